"""Health of what is seen: checks of every picture, of its kind, of the network."""
