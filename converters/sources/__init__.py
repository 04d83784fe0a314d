"""Networks, read safely from a file or a factory, exported to ONNX."""
