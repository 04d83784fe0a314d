"""CUDA: the driver's calls by name, and the preprocess kernel."""
