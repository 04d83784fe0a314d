"""What is learned: examples, losses, metrics of each kind of network."""
