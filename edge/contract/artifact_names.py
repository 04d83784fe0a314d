"""Names of the files of a conversion, each defined here alone."""

from __future__ import annotations

FLOAT = "float.onnx"
INT8 = "int8.onnx"
"""Q/DQ on a float graph: the numeric reference of every other lowering."""
CPU = "cpu.onnx"
"""Unsigned affine activations, for onnxruntime only."""
STRONG = "strong.onnx"
"""FP16 with Q/DQ, for strongly typed TensorRT networks."""
IMPLICIT = "implicit.onnx"
"""int8.onnx without its Q/DQ: not float.onnx, whose biases are not corrected."""
DLA_BODY = "dla.body.onnx"
"""The part of implicit.onnx that a DLA computes, where the mission sets `target.dla`."""
DLA_HEAD = "dla.head.onnx"
"""The rest of implicit.onnx, for the GPU."""
PROFILE = "profile.json"
"""What frames of the calibrated kind look like to the network (edge/runtime/health/profile.py)."""
