"""TensorRT x GPU: which release has kernels for which, and what is known to be wrong."""
