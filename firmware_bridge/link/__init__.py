"""The host's end of the link: session, states, sender, ports, driver."""
