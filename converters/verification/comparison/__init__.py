"""Two ONNX files compared on frames without labels."""
