"""The ONNX graph: an index, passes, and activations that fuse."""
