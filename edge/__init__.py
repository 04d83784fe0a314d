"""What runs on the device: contract, backends, runtime, scenes and the one command."""
