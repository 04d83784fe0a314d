"""Rounds the weights of a layer together instead of each to its nearest step: what one weight is
off by, others of the same output make up for, as far as what the layer really reads lets them.

Minimises e^T H e for each output, e the rounding error of its weights and H how its inputs vary
together, by coordinate descent from the nearest steps: each weight in turn takes the step that is
best with all others as they are, so the error never grows (the quadratic form is that of Nagel et
al., AdaRound, arXiv:2004.10568, equation 13). Where biases are corrected afterwards the inputs'
mean hardly counts: what it adds is a constant, and the bias takes it. Scales stay those of rule R2.
Never touches a bias, a range or a layer in float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from converters.graph.index import Array, Graph, rebuilt
from converters.quantization.bias_correction import CORRECTED
from converters.quantization.input_moments import Doubles, Moments, input_moments, readable
from converters.quantization.placement import QdqPlacement
from converters.quantization.rules import WEIGHT, r1_scale, r2_weight_amax
from edge.engine.calibration_cache import INT8_LEVELS
from edge.perception.values import Floats

MEAN_KEPT = 0.1
"""Share of the mean that counts where biases are corrected: a picture's own mean is another than
that of all, and the correction knows only the latter."""

DAMPING = 0.003
"""Of the mean diagonal of H, added to it: the noise that quantized inputs have of their own."""

ENOUGH = 16
"""Pictures: what layers read hardly changes with more of them."""

SWEEPS = 4
BLOCK = 64
"""Columns whose changes are carried to all others at once."""

Steps = NDArray[np.float64]
"""Whole numbers of steps."""


def round_weights(
    model: ModelProto, placement: QdqPlacement, pictures: Sequence[Floats], *, threads: int
) -> dict[str, Array]:
    """New values by name of weight, for all that only quantized operators read."""
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
    """The graph whose quantized operators have `weights`; layers in float keep their own."""
    used = {name: value for name, value in weights.items() if name in placement.weights}
    if not used:
        return model
    changed = rebuilt(model, nodes=model.graph.node, initializers=used)
    changed.graph.value_info.extend(model.graph.value_info)
    return changed


def descend(weights: Doubles, form: Doubles) -> Steps:
    """Steps (G, R, K) of weights (G, R, K), given in steps, of least error under `form` (G, K, K).

    The largest of each row keeps its nearest step: it makes the row's scale.
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
    """H of a layer, damped: positive on its diagonal also where nothing was seen."""
    gone = 1.0 - mean_kept**2
    form = moments.second - gone * moments.mean[:, :, None] * moments.mean[:, None, :]
    size = form.shape[1]
    average = np.einsum("gkk->g", form) / size
    damping = np.where(average > 0.0, DAMPING * average, 1.0)
    return np.asarray(form + damping[:, None, None] * np.eye(size), np.float64)


def _rounded(weight: Array, axis: int, form: Doubles) -> Array:
    """A weight with `axis` counting its outputs, every value a whole number of its row's steps."""
    rows = np.moveaxis(weight, axis, 0)
    scale = r1_scale(r2_weight_amax(weight, axis)).astype(np.float64)
    flat = rows.reshape(len(rows), -1).astype(np.float64) / scale[:, None]
    groups, size = form.shape[:2]
    steps = descend(flat.reshape(groups, -1, size), form).reshape(flat.shape)
    made = np.moveaxis((steps * scale[:, None]).reshape(rows.shape), 0, axis)
    return np.ascontiguousarray(made, np.float32)
