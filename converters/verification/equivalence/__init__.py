"""Proof that a lowering computes what int8.onnx computes."""
