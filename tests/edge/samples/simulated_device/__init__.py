"""A strict simulation of a CUDA device: TensorRT's runtime, pycuda, cuda-bindings, libcuda."""
