"""Tests whether onnxruntime's fast u8 x s8 products are exact on this processor.

On x86 without VNNI onnxruntime sums pairs of products in 16 bits, where 255 x 127 twice saturates
silently. The option session.x64quantprecision prevents that, but halves the speed of processors
that are exact without it: so it is set only where the trial fails. Returns session options; never
depends on the processor's name.
"""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime

SIDE = 16
UNSIGNED_MAX, SIGNED_MAX = 255, 127

# MatMulInteger(a, b) -> y of opset 10: a uint8, b int8, y int32, all 16 x 16. As bytes, since a
# device has no onnx package to create it; a test creates it again and compares.
TRIAL = bytes.fromhex(
    "08083a5c0a180a01610a0162120179220d4d61744d756c496e74656765721201705a130a0161120e0a0c0802"
    "12080a0208100a0208105a130a0162120e0a0c080312080a0208100a02081062130a0179120e0a0c08061208"
    "0a0208100a02081042040a00100a"
)


@functools.cache
def session_options() -> dict[str, str]:
    """Session options under which u8 x s8 products are exact on this processor."""
    return {} if _exact() else {"session.x64quantprecision": "1"}


def _exact() -> bool:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(TRIAL, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(
        None,
        {
            "a": np.full((SIDE, SIDE), UNSIGNED_MAX, np.uint8),
            "b": np.full((SIDE, SIDE), SIGNED_MAX, np.int8),
        },
    )
    return bool((found == SIDE * UNSIGNED_MAX * SIGNED_MAX).all())
