"""Takes initializers out of the inputs, where old exporters (IR 3 and before) listed them.

A weight that is an input may be overridden by a caller, so nothing may be folded into it. Never
touches the values.
"""

from __future__ import annotations

from onnx import ModelProto

from converters.graph.index import copied


def mend_inputs(model: ModelProto) -> ModelProto:
    """The same model whose inputs are what a caller feeds."""
    other = copied(model)
    constants = {tensor.name for tensor in other.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in constants]
    del other.graph.input[:]
    other.graph.input.extend(fed)
    other.ir_version = max(other.ir_version, 8)  # IR 4 made initializers independent of inputs
    return other
