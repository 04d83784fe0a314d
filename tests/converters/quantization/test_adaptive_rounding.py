"""Adaptive rounding: never worse than nearest by the error that it minimises, on the same grid, and
better for a network that bias correction alone does not repair.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from tiny_graphs import SHAPE, node, picture, ready, weights

from calibration.inference.sessions import ModelSession
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.adaptive_rounding import descend, round_weights, with_weights
from converters.quantization.input_moments import Doubles, input_moments, readable
from converters.quantization.placement import place
from converters.quantization.rules import WEIGHTED, r1_scale, r2_weight_amax
from edge.perception.values import Floats

PICTURES = [picture(seed) for seed in range(6)]


def network() -> ModelProto:
    """Dense, strided, depthwise and pointwise convolutions, then a linear layer."""
    return ready(
        [
            node("Conv", [PICTURE, "w0", "b0"], ["c0"], pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Relu", ["c0"], ["r0"]),
            node("Conv", ["r0", "w1"], ["c1"], group=8, pads=[1, 1, 1, 1]),
            node("Relu", ["c1"], ["r1"]),
            node("Conv", ["r1", "w2"], ["c2"]),
            node("Relu", ["c2"], ["r2"]),
            node("Flatten", ["r2"], ["f"]),
            node("Gemm", ["f", "w3"], ["y"], transB=1),
        ],
        {
            "w0": weights(8, 3, 3, 3), "b0": weights(8, seed=1), "w1": weights(8, 1, 3, 3, seed=2),
            "w2": weights(6, 8, 1, 1, seed=3), "w3": weights(5, 96, seed=4),
        },
        inputs={PICTURE: SHAPE},
    )  # fmt: skip


def error(weights: Doubles, steps: Doubles, form: Doubles) -> Doubles:
    """e^T H e of each row."""
    apart = weights - steps
    return np.einsum("grk,gkl,grl->gr", apart, form, apart)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 2, 9, 70])
)
@settings(max_examples=40, deadline=None)
def test_it_is_never_worse_than_nearest_and_keeps_the_largest(
    seed: int, groups: int, rows: int, size: int
) -> None:
    random = np.random.default_rng(seed)
    given_ = random.normal(size=(groups, rows, size))
    given_ *= 127.0 / np.abs(given_).max(axis=2, keepdims=True)
    seen = random.normal(size=(groups, size, 2 * size)) + random.normal(size=(groups, size, 1))
    form = seen @ seen.transpose(0, 2, 1) + 1e-3 * np.eye(size)
    steps = descend(given_, form)
    assert np.array_equal(steps, np.rint(steps))
    assert np.abs(steps).max() == 127.0
    largest = np.abs(given_).argmax(axis=2)[:, :, None]
    assert (np.abs(np.take_along_axis(steps, largest, axis=2)) == 127.0).all()
    nearest = error(given_, np.rint(given_), form)
    assert (error(given_, steps, form) <= nearest * (1.0 + 1e-9) + 1e-9).all()


def test_two_inputs_that_are_one_make_up_for_each_other() -> None:
    """Two equal inputs with weights of 0.4 steps are one of 0.8: one step, not none."""
    form = np.ones((1, 3, 3)) + 1e-6 * np.eye(3)
    steps = descend(np.array([[[127.0, 0.4, 0.4]]]), form)
    assert steps[0, 0].tolist() == [127.0, 1.0, 0.0]


def test_moments_are_those_of_what_a_convolution_sums_over() -> None:
    """w^T H w is the mean square of the layer's output, by its own arithmetic."""
    model = network()
    graph = Graph(model)
    nodes = [one for one in graph.nodes if one.op_type in WEIGHTED and readable(graph, one)]
    assert [one.op_type for one in nodes] == ["Conv", "Conv", "Conv", "Gemm"]
    moments = input_moments(model, nodes, PICTURES, threads=1)
    for one in nodes[1:]:
        weight = graph.constant(one.input[1])
        assert weight is not None
        seen = moments[one.name].second
        rows = weight.reshape(len(seen), -1, seen.shape[1]).astype(np.float64)
        wanted = np.einsum("grk,gkl,grl->gr", rows, seen, rows).reshape(-1)
        found = np.concatenate([of_each(model, one.output[0], x) for x in PICTURES], axis=1)
        np.testing.assert_allclose(
            wanted, np.mean(found.astype(np.float64) ** 2, axis=1), rtol=1e-4
        )


def of_each(model: ModelProto, name: str, x: Floats) -> Floats:
    """An inner tensor as (channels, positions)."""
    other = ModelProto()
    other.CopyFrom(model)
    del other.graph.output[:]
    other.graph.output.add().name = name
    (found,) = ModelSession(other.SerializeToString(), threads=1).run({PICTURE: x})
    return np.asarray(found.reshape(found.shape[1], -1))


def test_new_weights_are_whole_steps_of_the_scale_that_they_had() -> None:
    model = network()
    plan = place(model)
    found = round_weights(model, plan, PICTURES, threads=1)
    assert set(found) == {"w0", "w1", "w2", "w3"}
    graph = Graph(model)
    for name, value in found.items():
        given_ = graph.constant(name)
        assert given_ is not None
        scale = r1_scale(r2_weight_amax(given_, plan.weights[name]))
        np.testing.assert_allclose(r1_scale(r2_weight_amax(value, plan.weights[name])), scale)
        steps = value / scale.reshape(-1, *[1] * (value.ndim - 1))
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        assert np.abs(steps - given_ / scale.reshape(-1, *[1] * (value.ndim - 1))).max() < 8.0


def test_layers_in_float_keep_their_weights() -> None:
    model = network()
    found = round_weights(model, place(model), PICTURES, threads=1)
    kept = next(one.name for one in model.graph.node if one.input[1:2] == ["w2"])
    changed = Graph(with_weights(model, found, place(model, kept_float={kept: "measured"})))
    assert np.array_equal(changed.constant("w2"), Graph(model).constant("w2"))  # type: ignore[arg-type] # both are constants
    assert not np.array_equal(changed.constant("w1"), Graph(model).constant("w1"))  # type: ignore[arg-type] # both are constants


@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_a_layer_that_sees_nothing_is_rounded_to_nearest(seen: float) -> None:
    values = np.array([[[127.0, 3.4, -2.6]]])
    assert descend(values, np.eye(3)[None] * max(seen, 1e-9)).tolist() == [[[127.0, 3.0, -3.0]]]
