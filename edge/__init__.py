"""What runs on the device: sources, inference, policy, the one command."""
