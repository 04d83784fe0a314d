"""Measures how far a Q/DQ graph in other types is from its reference, layer by layer in INT8 steps.

Takes both graphs and pictures; returns the mean distance of each activation's codes and of each
output. Every layer reads the codes that the reference has there, so that a layer's error is its
own: over a whole network, one code on the other side of .5 moves everything behind it. It holds the
codes of one picture, one byte each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper

from calibration.inference.sessions import ModelSession
from converters.graph.index import Graph, rename_tensors, with_nodes
from converters.graph.passes.canonical_names import PICTURE
from edge.engine.calibration_cache import INT8_LEVELS
from edge.perception.values import Floats

GIVEN = "/given"


def steps_apart(
    reference: ModelProto, lowered: ModelProto, pictures: Sequence[Floats], *, threads: int
) -> dict[str, float]:
    """By tensor, the mean distance of every activation's codes, and of every output, in INT8 steps.

    For a value anywhere between two codes, the mean distance of the codes is the mean distance of
    the values before rounding: |round(x + e) - round(x)| is |e| on average. An output has no codes;
    its step is a 127th of its largest magnitude. Values that are not finite are infinitely far.
    """
    codes = _codes(reference)
    shapes = _shapes(reference, codes)
    outputs = Graph(reference).outputs
    wanted = ModelSession(_telling(reference, shapes).SerializeToString(), threads=threads)
    found = ModelSession(_forced(lowered, shapes).SerializeToString(), threads=threads)
    sums = dict.fromkeys((*codes.values(), *outputs), 0.0)
    counts = dict.fromkeys(sums, 0)
    for picture in pictures:
        (*ours,) = wanted.run({PICTURE: picture}, [*codes, *outputs])
        given = dict(zip(codes, ours, strict=False))
        feeds = {PICTURE: picture, **{name + GIVEN: code for name, code in given.items()}}
        theirs = found.run(feeds, [*codes, *outputs])
        for name, one, other in zip(sums, ours, theirs, strict=True):
            sums[name] += _distance(one, other)
            counts[name] += one.size
    return {name: sums[name] / max(counts[name], 1) for name in sums}


def _distance(wanted: Floats, found: Floats) -> float:
    """Sum of the distances in steps."""
    apart = float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).sum())
    if not np.isfinite(apart):
        return float("inf")
    if wanted.dtype == np.int8:
        return apart
    largest = float(np.abs(wanted).max(initial=0.0))
    return apart * INT8_LEVELS / largest if largest else apart


def _codes(model: ModelProto) -> dict[str, str]:
    """Tensor of INT8 codes -> the activation that they encode."""
    graph = Graph(model)
    return {
        node.output[0]: node.input[0]
        for node in graph.nodes
        if node.op_type == "QuantizeLinear" and node.input[0] not in graph.initializers
    }


def _shapes(model: ModelProto, codes: Mapping[str, str]) -> dict[str, Sequence[int] | None]:
    graph = Graph(model)
    return {code: graph.shape(tensor) for code, tensor in codes.items()}


def _telling(model: ModelProto, codes: Mapping[str, Sequence[int] | None]) -> ModelProto:
    """The same graph with its codes as further outputs."""
    wider = with_nodes(model, nodes=list(model.graph.node))
    wider.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.INT8, shape)
        for name, shape in codes.items()
    )
    return wider


def _forced(model: ModelProto, codes: Mapping[str, Sequence[int] | None]) -> ModelProto:
    """The graph cut between Q and DQ: it puts out its codes and reads given ones."""
    names = {name: name + GIVEN for name in codes}
    nodes = [
        rename_tensors(node, names) if node.op_type == "DequantizeLinear" else node
        for node in model.graph.node
    ]
    cut = _telling(with_nodes(model, nodes=nodes), codes)
    cut.graph.input.extend(
        helper.make_tensor_value_info(name + GIVEN, TensorProto.INT8, shape)
        for name, shape in codes.items()
    )
    return cut
