"""PyTorch sources: factories, exported programs, TorchScript. Files run confined."""
