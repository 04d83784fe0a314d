"""One end of the link: session, states, port, driver."""
