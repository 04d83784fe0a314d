"""TensorRT x GPU: which release has kernels for which, and known faults."""
