"""Equalizes a float graph by the magnitudes of its channels on pictures, and proves that it
computes the same.

Takes the graph and pictures; returns the equalized graph and the pass's result. Whether INT8 gains
by it, `search/equalization_choice.py` measures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from calibration.observation.observe import with_outputs
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.graph.passes.pipeline import Pass, PassResult, run_passes
from converters.quantization.equalization.cross_layer import equalize
from converters.quantization.equalization.scale_links import links
from edge.perception.values import Floats


def equalize_network(
    model: ModelProto, pictures: Sequence[Floats], *, threads: int = 1
) -> tuple[ModelProto, PassResult]:
    """float.onnx with its channels balanced by `pictures` (1, 3, H, W), and the pass's result.

    The same model where there is nothing to balance. Its activations differ from those of `model`,
    so ranges must be observed again.

    Raises:
        GateFailed: the pass changed an output, a defect of this program.
    """

    def apply(given: ModelProto) -> ModelProto:
        return equalize(given, magnitudes=channel_magnitudes(given, pictures, threads=threads))

    kept = ("constants are initializers", "BatchNorm is folded", "shapes are static")
    table = (Pass("equalize", apply, (*kept, "nodes are named"), kept),)
    other, (result,) = run_passes(model, table, pictures[:3])
    return other, result


def channel_magnitudes(
    model: ModelProto, pictures: Sequence[Floats], *, threads: int = 1
) -> dict[str, Floats]:
    """By tensor, the largest magnitude of each channel (C,) over `pictures`, for every tensor that
    `equalize` needs. One picture is in memory at a time."""
    names = sorted({name for link in links(Graph(model)) for name in link.tensors})
    seen: dict[str, Floats] = {}
    if not names:
        return seen
    session = ModelSession(with_outputs(model, names), threads=threads)
    for picture in pictures:
        for name, values in zip(names, session.run({PICTURE: picture}, names), strict=True):
            others = tuple(axis for axis in range(values.ndim) if axis != 1)
            largest = np.abs(values).max(axis=others)
            seen[name] = np.maximum(seen.get(name, largest), largest)
    return seen
