"""Compares two ONNX files on frames without labels."""
