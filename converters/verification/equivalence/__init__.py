"""Proof that a lowering is int8.onnx again."""
