"""Sessions of onnxruntime for the workshop, and their devices."""
