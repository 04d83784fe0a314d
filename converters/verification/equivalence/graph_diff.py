"""Compares two Q/DQ graphs to the bit: the same operators on the same tensors with the same
constants.

Takes two models; returns the differences in words. It ignores casts between a tensor and its FP16
twin, and has no tolerance: it reports a scale that is a thousandth off, one along the wrong axis,
or a missing pair. What types cost in numbers, `layer_error.py` measures.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from converters.graph.index import Array, Graph

HALF = "/half"
"""Suffix of the name of a tensor's FP16 twin (`lowerings/strongly_typed.py`)."""


def differences(reference: ModelProto, lowered: ModelProto) -> tuple[str, ...]:
    """What `lowered` computes differently from `reference`, in words; empty where they are the
    same.

    Casts between a tensor and its FP16 twin do not count. A constant's twin must be the nearest
    FP16 of it.
    """
    return tuple(_differences(Graph(reference), Graph(lowered)))


def _differences(ours: Graph, theirs: Graph) -> Iterator[str]:
    if ours.inputs != theirs.inputs:
        yield f"inputs {theirs.inputs} in place of {ours.inputs}"
    if ours.outputs != theirs.outputs:
        yield f"outputs {theirs.outputs} in place of {ours.outputs}"
    wanted = {tuple(plain.output): plain for plain in map(_plain, ours.nodes)}
    found = {
        tuple(plain.output): plain
        for plain in (_plain(node) for node in theirs.nodes if not _is_type_change(node))
    }
    for made, node in wanted.items():
        other = found.pop(made, None)
        if other is None:
            yield f"{node.op_type} '{node.name}' is missing"
        elif other.SerializeToString(deterministic=True) != node.SerializeToString(
            deterministic=True
        ):
            yield f"{node.op_type} '{node.name}' reads or does something else"
    for node in found.values():
        yield f"{node.op_type} '{node.name}' is new"
    read = {name for node in ours.nodes for name in node.input}
    for name in sorted(read & ours.initializers.keys()):
        constant = ours.constant(name)
        assert constant is not None  # its name is an initializer's
        twins = [twin for twin in (name, name + HALF) if twin in theirs.initializers]
        if not twins:
            yield f"constant '{name}' is missing"
        for twin in twins:
            other_constant = numpy_helper.to_array(theirs.initializers[twin])
            if not _same_bits(constant, other_constant):
                yield f"constant '{name}' has other values"


def _full(name: str) -> str:
    return name.removesuffix(HALF)


def _plain(node: NodeProto) -> NodeProto:
    """The node with the names of its float32 tensors, attributes in a fixed order."""
    plain = NodeProto()
    plain.CopyFrom(node)
    plain.input[:] = [_full(name) for name in node.input]
    plain.output[:] = [_full(name) for name in node.output]
    del plain.attribute[:]
    plain.attribute.extend(sorted(node.attribute, key=lambda item: item.name))
    return plain


def _is_type_change(node: NodeProto) -> bool:
    """A Cast from a tensor to its twin or back."""
    return node.op_type == "Cast" and _full(node.input[0]) == _full(node.output[0])


def _same_bits(wanted: Array, found: Array) -> bool:
    if found.dtype == np.float16 and wanted.dtype == np.float32:
        wanted = wanted.astype(np.float16)
    return (
        wanted.dtype == found.dtype
        and wanted.shape == found.shape
        and wanted.tobytes() == found.tobytes()
    )
