"""Takes initializers out of the graph's inputs, where exporters listed them up to IR version 3.

An ONNX model goes in, a copy whose inputs are what a caller feeds comes out, values unchanged. A
weight that is an input may be overridden by a caller, so nothing may be folded into it.
"""

from __future__ import annotations

import onnx_ir
from onnx import ModelProto
from onnx_ir.passes.common import RemoveInitializersFromInputsPass


def mend_inputs(model: ModelProto) -> ModelProto:
    """The same model whose inputs are what a caller feeds."""
    other = onnx_ir.to_proto(RemoveInitializersFromInputsPass()(onnx_ir.from_proto(model)).model)
    other.ir_version = max(other.ir_version, 8)  # IR 4 made initializers independent of inputs
    return other
