"""A float ONNX graph as a torch module that rounds as INT8 does."""
