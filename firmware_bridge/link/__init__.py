"""The host's end of the link: session, states, ports, driver."""
