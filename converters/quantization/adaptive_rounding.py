"""Adaptive rounding: chooses the rounding steps of a layer's weights jointly, to minimise the error
of its outputs.

Takes the float graph, the placement and pictures; returns new float weights that are whole numbers
of steps. Scales stay those of rule R2; biases, ranges and layers in float stay as they are.

It minimises e^T H e for each output, with e the rounding errors of its weights and H the second
moments of its inputs, by coordinate descent from the nearest steps: each weight in turn takes the
best step while all others stay, so the error never grows (the quadratic form is equation 13 of
Nagel et al., AdaRound, arXiv:2004.10568). Where biases are corrected afterwards, the mean of the
inputs hardly counts: it adds a constant, which the bias takes up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from converters.graph.index import Array, Graph, with_nodes
from converters.quantization.bias_correction import CORRECTED
from converters.quantization.input_moments import Doubles, Moments, input_moments, readable
from converters.quantization.placement import QdqPlacement
from converters.quantization.rules import WEIGHT, r1_scale, r2_weight_amax
from edge.engine.calibration_cache import INT8_LEVELS
from edge.perception.values import Floats

MEAN_KEPT = 0.1
"""Share of the mean that counts where biases are corrected: the correction knows the mean over all
pictures, and each picture has its own."""

DAMPING = 0.003
"""Share of H's mean diagonal that is added to its diagonal: the noise of quantized inputs."""

ENOUGH = 16
"""Pictures; with more of them the moments hardly change."""

SWEEPS = 4
BLOCK = 64
"""How many columns change before their changes are applied to all others."""

Steps = NDArray[np.float64]
"""Whole numbers of steps."""


def round_weights(
    model: ModelProto, placement: QdqPlacement, pictures: Sequence[Floats], *, threads: int
) -> dict[str, Array]:
    """New values by name of weight, for every weight that one quantized operator alone reads.

    Args:
        pictures: network inputs (1, 3, H, W).
    """
    graph = Graph(model)
    nodes = [
        node
        for node in graph.nodes
        if node.name in placement.macs_of
        and readable(graph, node)
        and graph.sole_reader(node.input[WEIGHT]) is node
    ]
    if not nodes:
        return {}
    some = pictures[:: max(1, len(pictures) // ENOUGH)]
    seen = input_moments(model, nodes, some, threads=threads)
    found: dict[str, Array] = {}
    for node in nodes:
        name = node.input[WEIGHT]
        weight = graph.constant(name)
        assert weight is not None  # R3
        kept = MEAN_KEPT if node.op_type in CORRECTED else 1.0
        found[name] = _rounded(weight, placement.weights[name], _form(seen[node.name], kept))
    return found


def with_weights(
    model: ModelProto, weights: Mapping[str, Array], placement: QdqPlacement
) -> ModelProto:
    """The graph with `weights` in its quantized operators; layers in float keep their own."""
    used = {name: value for name, value in weights.items() if name in placement.weights}
    if not used:
        return model
    changed = with_nodes(model, nodes=model.graph.node, initializers=used)
    changed.graph.value_info.extend(model.graph.value_info)
    return changed


def descend(weights: Doubles, form: Doubles) -> Steps:
    """Rounds weights (G, R, K), in steps, so that their error under `form` (G, K, K) is least.

    The largest weight of each row keeps its nearest step, since the row's scale follows from it.
    """
    steps = np.clip(np.rint(weights), -INT8_LEVELS, INT8_LEVELS)
    largest = np.abs(weights).argmax(axis=2)
    diagonal = np.einsum("gkk->gk", form)
    pull = (weights - steps) @ form
    for _ in range(SWEEPS):
        moved = False
        for start in range(0, weights.shape[2], BLOCK):
            end = min(start + BLOCK, weights.shape[2])
            before = steps[:, :, start:end].copy()
            for column in range(start, end):
                wanted = steps[:, :, column] + pull[:, :, column] / diagonal[:, None, column]
                wanted = np.clip(np.rint(wanted), -INT8_LEVELS, INT8_LEVELS)
                change = np.where(largest == column, 0.0, wanted - steps[:, :, column])
                if change.any():
                    steps[:, :, column] += change
                    pull[:, :, start:end] -= change[:, :, None] * form[:, None, column, start:end]
            changed = steps[:, :, start:end] - before
            if changed.any():
                moved = True
                pull[:, :, :start] -= changed @ form[:, start:end, :start]
                pull[:, :, end:] -= changed @ form[:, start:end, end:]
        if not moved:
            break
    return steps


def _form(moments: Moments, mean_kept: float) -> Doubles:
    """H of a layer, damped: its diagonal is positive also where inputs were 0."""
    gone = 1.0 - mean_kept**2
    form = moments.second - gone * moments.mean[:, :, None] * moments.mean[:, None, :]
    size = form.shape[1]
    average = np.einsum("gkk->g", form) / size
    damping = np.where(average > 0.0, DAMPING * average, 1.0)
    return np.asarray(form + damping[:, None, None] * np.eye(size), np.float64)


def _rounded(weight: Array, axis: int, form: Doubles) -> Array:
    """The weight, rounded to whole steps of each output's scale; `axis` counts outputs."""
    rows = np.moveaxis(weight, axis, 0)
    scale = r1_scale(r2_weight_amax(weight, axis)).astype(np.float64)
    flat = rows.reshape(len(rows), -1).astype(np.float64) / scale[:, None]
    groups, size = form.shape[:2]
    steps = descend(flat.reshape(groups, -1, size), form).reshape(flat.shape)
    made = np.moveaxis((steps * scale[:, None]).reshape(rows.shape), 0, axis)
    return np.ascontiguousarray(made, np.float32)
