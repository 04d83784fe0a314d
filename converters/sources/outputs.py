"""Keeps the one output of a segmentation network that the mission reads, and removes an argmax at
its end.

Takes an ONNX model or a torch module, and the output's name or index. The argmax goes because INT8
is compared by logits and the device takes the likeliest label itself. What is computed before it
stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from converters.graph.index import Graph, attributes, copy_model
from converters.graph.passes.eliminate_dead_code import drop_dead_code
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

AFTER_ARGMAX = ("Cast", "Squeeze", "Unsqueeze", "Identity", "Reshape")
"""Operators that exporters write after an argmax and that keep its values."""


def pick_onnx(model: ModelProto, output: str | None) -> ModelProto:
    """A copy with only this output (None: with all), and without an argmax at the main output.

    Raises:
        UsageError: it has no such output.
    """
    if output is not None:
        names = [value.name for value in model.graph.output]
        name = _named(output, names)
        model = _with_outputs(model, [value for value in model.graph.output if value.name == name])
    if (logits := _before_argmax(Graph(model))) is not None:
        first = helper.make_empty_tensor_value_info(logits)
        first.type.tensor_type.elem_type = TensorProto.FLOAT
        model = _with_outputs(model, [first, *model.graph.output[1:]])
    return model


def _named(output: str, names: list[str]) -> str:
    if output in names:
        return output
    if output.isdecimal() and int(output) < len(names):
        return names[int(output)]
    raise _no_such(output, ", ".join(names))


def _before_argmax(graph: Graph) -> str | None:
    """The name of the tensor before an argmax over channels at the main output; None without
    one."""
    node = graph.producer.get(graph.outputs[0])
    while node is not None and node.op_type in AFTER_ARGMAX:
        node = graph.producer.get(node.input[0])
    if node is None or node.op_type != "ArgMax":
        return None
    return node.input[0] if attributes(node).get("axis", 0) in (1, -3) else None


def _with_outputs(model: ModelProto, outputs: list[ValueInfoProto]) -> ModelProto:
    kept = [ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
    other = copy_model(model)
    del other.graph.output[:]
    other.graph.output.extend(kept)
    return drop_dead_code(other)


def pick_torch(network: nn.Module, output: str) -> None:
    """Makes a module return one output alone: by its key, or by its index in a tuple.

    A forward hook does it, so that parameters keep their names.
    """

    def only(_module: nn.Module, _inputs: Any, found: Any) -> Any:
        if isinstance(found, Mapping):
            if output in found:
                return found[output]
            raise _no_such(output, ", ".join(map(str, found)))
        if isinstance(found, tuple | list) and output.isdecimal() and int(output) < len(found):
            return found[int(output)]
        count = len(found) if isinstance(found, tuple | list) else 1
        raise _no_such(output, f"{count} outputs, numbered from 0")

    network.register_forward_hook(only)


def _no_such(output: str, found: str) -> UsageError:
    return UsageError(
        f"the network has no output '{output}'",
        expected="the output that model.decode.output names",
        found=found,
        remedy="correct model.decode.output: a name, or a place from 0",
    )
