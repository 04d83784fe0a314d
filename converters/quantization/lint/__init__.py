"""Checks any quantized ONNX file against the rules, and rewrites it by them."""
