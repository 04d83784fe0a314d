"""First hour on a device: what it is, what it proves, how fast it is."""
