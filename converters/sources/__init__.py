"""Where a network comes from: a file or a factory, read safely, exported to ONNX."""
