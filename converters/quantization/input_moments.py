"""Measures the mean and the second moments of the inputs of weighted operators.

Takes a float graph, its operators and pictures; returns `Moments` by operator. One pass, one
picture in memory at a time; the size of the result does not depend on the number of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from calibration.inference.sessions import ModelSession
from calibration.observation.observe import with_outputs
from converters.graph.index import Graph, attributes
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.rules import DATA, WEIGHT
from edge.perception.values import Floats

Doubles = NDArray[np.float64]

POSITIONS = 256
"""About how many output positions of one picture are sampled, on an even grid."""

LARGEST = 2048
"""Most inputs of one output value. An operator with more is left out: its matrix would be large,
and rounding errors of so many weights average out."""


@dataclass(frozen=True)
class Moments:
    """Moments of the K inputs x that one output value is a sum over.

    Attributes:
        mean: E[x], (groups, K).
        second: E[x x^T], (groups, K, K).
    """

    mean: Doubles
    second: Doubles


def readable(graph: Graph, node: NodeProto) -> bool:
    """Whether the moments of an operator can be measured: a plain 2-D convolution, or a Gemm."""
    shape = graph.shape(node.input[WEIGHT])
    if shape is None:
        return False
    given = attributes(node)
    if node.op_type == "Gemm":
        return not given.get("transA") and _inputs(node, shape) <= LARGEST
    plain = given.get("auto_pad", b"NOTSET") == b"NOTSET"
    undilated = set(_numbers(node, "dilations", [1, 1])) == {1}
    kind = node.op_type == "Conv" and len(shape) == 4
    return kind and plain and undilated and _inputs(node, shape) <= LARGEST


def input_moments(
    model: ModelProto, nodes: Sequence[NodeProto], pictures: Sequence[Floats], *, threads: int
) -> dict[str, Moments]:
    """By name, the moments of each of `nodes` (all `readable`) over `pictures` (1, 3, H, W)."""
    graph = Graph(model)
    inner = sorted({node.input[DATA] for node in nodes} - {PICTURE})
    session = ModelSession(with_outputs(model, inner), threads=threads) if inner else None
    sums: dict[str, list[Doubles]] = {}
    counts: dict[str, int] = {}
    for picture in pictures:
        found = session.run({PICTURE: picture}, inner) if session is not None else []
        seen = {PICTURE: picture, **dict(zip(inner, found, strict=True))}
        for node in nodes:
            columns = _columns(graph, node, seen[node.input[DATA]])
            total = [
                np.asarray(columns.sum(axis=2), np.float64),
                np.asarray(columns @ columns.transpose(0, 2, 1), np.float64),
            ]
            if (former := sums.get(node.name)) is not None:
                total = [a + b for a, b in zip(former, total, strict=True)]
            sums[node.name] = total
            counts[node.name] = counts.get(node.name, 0) + columns.shape[2]
    return {
        name: Moments(mean / counts[name], second / counts[name])
        for name, (mean, second) in sums.items()
    }


def _columns(graph: Graph, node: NodeProto, values: Floats) -> Floats:
    """(groups, K, positions): the inputs of each sampled output position, in the order of the
    weight."""
    if node.op_type == "Gemm":
        return np.asarray(values.reshape(1, len(values), -1).transpose(0, 2, 1), np.float32)
    shape = graph.shape(node.input[WEIGHT])
    assert shape is not None  # `readable` asked for it
    top, left, bottom, right = _numbers(node, "pads", [0] * 4)
    padded = np.pad(values[0], ((0, 0), (top, bottom), (left, right)))
    down, across = _numbers(node, "strides", [1, 1])
    windows = sliding_window_view(padded, shape[2:], axis=(1, 2))[:, ::down, ::across]
    every = max(1, round((windows.shape[1] * windows.shape[2] / POSITIONS) ** 0.5))
    some = windows[:, ::every, ::every]
    laid = some.transpose(0, 3, 4, 1, 2).reshape(len(padded) // shape[1], _inputs(node, shape), -1)
    return np.ascontiguousarray(laid, np.float32)


def _inputs(node: NodeProto, shape: tuple[int, ...]) -> int:
    """K: how many inputs one output value is a sum over."""
    if node.op_type == "Gemm":
        return shape[1] if attributes(node).get("transB") else shape[0]
    return int(np.prod(shape[1:]))


def _numbers(node: NodeProto, name: str, otherwise: list[int]) -> list[int]:
    found = attributes(node).get(name)
    return [int(value) for value in found] if isinstance(found, list) else otherwise
