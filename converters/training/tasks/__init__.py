"""What is trained: examples, losses, metrics of each kind of network."""
