"""Reads anyone's quantized ONNX file against the rules, and writes it anew by them."""
