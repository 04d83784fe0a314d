"""PyTorch sources: factories, exported programs, TorchScript; files run confined."""
