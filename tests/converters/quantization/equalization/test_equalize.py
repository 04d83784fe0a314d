"""Cross-layer equalization: float outputs stay the same, and INT8 becomes more accurate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper
from tiny_graphs import initializers, node, ops, picture, ready, run, values, weights

from calibration.inference.sessions import ModelSession
from calibration.observation.histogram import Histogram
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range, range_of
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.equalization.cross_layer import LARGEST_STEP, equalize
from converters.quantization.equalization.equalize import channel_magnitudes, equalize_network
from converters.quantization.equalization.scale_links import links
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from edge.perception.values import Floats

LOUD = np.float32([2.0**k for k in (6, -5, 0, 3, -2, 8, 0, 1)])
"""Gains of eight channels that one scale for all of them does not fit."""


def chain(*between: NodeProto, **more: Any) -> ModelProto:
    """Conv to "a", then `between` up to "b", then a Conv that reads it."""
    made = weights(8, 3, 3, 3) * LOUD.reshape(-1, 1, 1, 1)
    read = weights(4, 8, 1, 1, seed=2) / LOUD.reshape(1, -1, 1, 1)
    return ready(
        [
            node("Conv", [PICTURE, "w0", "b0"], ["a"], pads=[1, 1, 1, 1]),
            *between,
            node("Conv", ["b", "w1", "b1"], ["y"]),
        ],
        {"w0": made, "b0": weights(8, seed=1) * LOUD, "w1": read, "b1": weights(4, seed=3)} | more,
        inputs={PICTURE: (1, 3, 8, 8)},
    )


def with_depthwise() -> ModelProto:
    """The triple of MobileNets: pointwise, depthwise, pointwise."""
    return ready(
        [
            node("Conv", [PICTURE, "w0", "b0"], ["a"]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "w1", "b1"], ["c"], group=8, pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["d"]),
            node("Conv", ["d", "w2"], ["y"]),
        ],
        {
            "w0": weights(8, 3, 1, 1) * LOUD.reshape(-1, 1, 1, 1),
            "b0": weights(8, seed=1) * LOUD,
            "w1": weights(8, 1, 3, 3, seed=2),
            "b1": weights(8, seed=3) * LOUD,
            "w2": weights(4, 8, 1, 1, seed=4) / LOUD.reshape(1, -1, 1, 1),
        },
        inputs={PICTURE: (1, 3, 8, 8)},
    )


def same(one: ModelProto, other: ModelProto, x: Floats) -> None:
    """Both put out the same for a picture, but for rounding in float32."""
    wanted = run(other, x)
    np.testing.assert_allclose(run(one, x), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


HANDED_ON = {
    "Relu": [node("Relu", ["a"], ["b"])],
    "LeakyRelu": [node("LeakyRelu", ["a"], ["b"], alpha=0.1)],
    "PRelu": [node("PRelu", ["a", "slope"], ["b"])],
    "MaxPool": [
        node("Relu", ["a"], ["r"]),
        node("MaxPool", ["r"], ["b"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ],
    "AveragePool": [node("AveragePool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2])],
    "Resize": [node("Resize", ["a", "", "twice"], ["b"], mode="linear")],
    "Pad": [node("Pad", ["a", "pads"], ["b"])],
}
MORE = {
    "slope": np.float32(np.linspace(0.1, 0.8, 8)).reshape(8, 1, 1),
    "twice": np.float32([1, 1, 2, 2]),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
}
KEPT_BACK = {
    "Clip": [node("Clip", ["a", "", "six"], ["b"])],
    "SiLU": [node("Sigmoid", ["a"], ["g"]), node("Mul", ["a", "g"], ["b"])],
    "HardSwish": [node("HardSwish", ["a"], ["b"])],
    "Add": [node("Relu", ["a"], ["r"]), node("Add", ["r", "one"], ["b"])],
    "Pad with ones": [node("Pad", ["a", "pads", "one"], ["b"])],
    "Pad that shifts channels": [node("Pad", ["a", "shift"], ["b"])],
    "Transpose": [node("Transpose", ["a"], ["b"], perm=[0, 1, 3, 2])],
}
FOREIGN = {
    "six": np.float32(6.0),
    "one": np.float32(1.0),
    "shift": np.array([0, 1, 0, 0, 0, -1, 0, 0]),
}


def needed(nodes: list[NodeProto], constants: dict[str, Any]) -> dict[str, Any]:
    read = {name for one in nodes for name in one.input}
    return {name: value for name, value in constants.items() if name in read}


class TestFloat:
    @pytest.mark.parametrize("what", HANDED_ON)
    @pytest.mark.parametrize("observed", [True, False])
    def test_the_numbers_stay_through_what_is_homogeneous(self, what: str, observed: bool) -> None:
        model = chain(*HANDED_ON[what], **needed(HANDED_ON[what], MORE))
        assert len(list(links(Graph(model)))) == 1
        seen = channel_magnitudes(model, [picture(1, (1, 3, 8, 8))]) if observed else None
        other = equalize(model, magnitudes=seen)
        assert ops(other) == ops(model)
        assert not np.array_equal(values(other, "w0"), values(model, "w0"))
        for seed in range(3):
            x = picture(seed, (1, 3, 8, 8))
            same(other, model, x)

    @pytest.mark.parametrize("what", KEPT_BACK)
    def test_nothing_moves_through_what_is_not(self, what: str) -> None:
        model = chain(*KEPT_BACK[what], **needed(KEPT_BACK[what], {**MORE, **FOREIGN}))
        assert not list(links(Graph(model)))
        np.testing.assert_array_equal(values(equalize(model), "w0"), values(model, "w0"))

    def test_depthwise_triples_settle_together(self) -> None:
        model = with_depthwise()
        assert len(list(links(Graph(model)))) == 2
        other = equalize(model)
        x = picture(0, (1, 3, 8, 8))
        same(other, model, x)
        made = np.abs(values(other, "w0")).max(axis=(1, 2, 3))
        through = np.abs(values(other, "w1")).max(axis=(1, 2, 3))
        read = np.abs(values(other, "w2")).max(axis=(0, 2, 3))
        for one, two in ((made, through), (through, read)):
            np.testing.assert_allclose(one, two, rtol=0.01)

    def test_through_flatten_into_a_matrix(self) -> None:
        model = ready(
            [
                node("Conv", [PICTURE, "w0"], ["a"]),
                node("Relu", ["a"], ["r"]),
                node("GlobalAveragePool", ["r"], ["p"]),
                node("Flatten", ["p"], ["f"]),
                node("Gemm", ["f", "w1", "b1"], ["y"], transB=1),
            ],
            {
                "w0": weights(8, 3, 1, 1) * LOUD.reshape(-1, 1, 1, 1),
                "w1": weights(5, 8, seed=2),
                "b1": weights(5, seed=3),
            },
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        (link,) = links(Graph(model))
        assert [one.op_type for one in link.readers] == ["Gemm"]
        x = picture(0, (1, 3, 8, 8))
        same(equalize(model), model, x)

    def test_a_flatten_that_mixes_channels_with_places_is_none(self) -> None:
        model = ready(
            [
                node("Conv", [PICTURE, "w0"], ["a"]),
                node("Flatten", ["a"], ["f"]),
                node("Gemm", ["f", "w1"], ["y"]),
            ],
            {"w0": weights(8, 3, 1, 1), "w1": weights(512, 5, seed=2)},
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        assert not list(links(Graph(model)))

    def test_every_reader_gets_the_same_scale(self) -> None:
        model = ready(
            [
                node("Conv", [PICTURE, "w0"], ["a"]),
                node("Relu", ["a"], ["r"]),
                node("Conv", ["r", "w1"], ["c"]),
                node("Conv", ["r", "w2"], ["d"]),
                node("Add", ["c", "d"], ["y"]),
            ],
            {
                "w0": weights(8, 3, 1, 1) * LOUD.reshape(-1, 1, 1, 1),
                "w1": weights(4, 8, 1, 1, seed=1),
                "w2": weights(4, 8, 1, 1, seed=2),
            },
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        (link,) = links(Graph(model))
        assert len(link.readers) == 2
        x = picture(0, (1, 3, 8, 8))
        same(equalize(model), model, x)

    def test_a_graph_output_keeps_its_numbers(self) -> None:
        model = chain(node("Relu", ["a"], ["b"]))
        model.graph.output.append(helper.make_tensor_value_info("b", 1, None))
        assert not list(links(Graph(model)))

    def test_weights_that_two_share_are_written_apart(self) -> None:
        model = ready(
            [
                node("Conv", [PICTURE, "w0"], ["a"]),
                node("Relu", ["a"], ["b"]),
                node("Conv", ["b", "w"], ["c"]),
                node("Relu", ["c"], ["d"]),
                node("Conv", ["d", "w"], ["e"]),
                node("Relu", ["e"], ["f"]),
                node("Conv", ["f", "w2"], ["y"]),
            ],
            {
                "w0": weights(8, 3, 1, 1) * LOUD.reshape(-1, 1, 1, 1),
                "w": weights(8, 8, 1, 1, seed=1),
                "w2": weights(4, 8, 1, 1, seed=2),
            },
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        other = equalize(model)
        assert {"c.weight", "e.weight"} <= set(initializers(other))
        x = picture(0, (1, 3, 8, 8))
        same(other, model, x)


class TestGuards:
    @pytest.mark.parametrize("dead", ["made", "read", "both"])
    @pytest.mark.parametrize("observed", [True, False])
    def test_dead_channels_stay_as_they_are(self, dead: str, observed: bool) -> None:
        made = weights(8, 3, 3, 3) * LOUD.reshape(-1, 1, 1, 1)
        read = weights(4, 8, 1, 1, seed=2)
        if dead != "read":
            made[3] = 0.0
        if dead != "made":
            read[:, 3] = 0.0
        model = chain(node("Relu", ["a"], ["b"]), w0=made, w1=read)
        seen = channel_magnitudes(model, [picture(1, (1, 3, 8, 8))]) if observed else None
        other = equalize(model, magnitudes=seen)
        for name in ("w0", "w1"):
            assert np.isfinite(values(other, name)).all()
        if dead != "made" or not observed:  # a bias alone may still be seen
            np.testing.assert_array_equal(values(other, "w0")[3], made[3])
        x = picture(0, (1, 3, 8, 8))
        same(other, model, x)

    def test_a_huge_ratio_moves_no_farther_than_the_limit(self) -> None:
        made = weights(8, 3, 3, 3)
        made[2] *= np.float32(1e-25)
        model = chain(node("Relu", ["a"], ["b"]), w0=made)
        moved = np.abs(values(equalize(model), "w0")[2]).max() / np.abs(made[2]).max()
        assert 1.0 < moved <= 2.0**LARGEST_STEP

    def test_the_observed_tensor_never_grows(self) -> None:
        model = chain(node("Relu", ["a"], ["b"]))
        frames = [picture(seed, (1, 3, 8, 8)) for seed in range(4)]
        seen = channel_magnitudes(model, frames)
        after = channel_magnitudes(equalize(model, magnitudes=seen), frames)
        assert after["b"].max() <= 1.001 * seen["b"].max()
        assert after["b"].max() / after["b"].min() < 0.1 * seen["b"].max() / seen["b"].min()


def test_int8_comes_closer_to_float() -> None:
    model = chain(node("Relu", ["a"], ["b"]))
    frames = [picture(seed, (1, 3, 8, 8)) for seed in range(6)]
    other, result = equalize_network(model, frames)
    assert result.max_abs < 1e-4
    wanted = [run(model, x) for x in frames]
    errors = []
    for graph in (model, other):
        int8 = quantize_int8(graph, place(graph), _ranges(graph))
        found = [run(int8, x) for x in frames]
        errors.append(
            float(np.mean([np.abs(a - b).mean() for a, b in zip(found, wanted, strict=True)]))
        )
    assert errors[1] < 0.5 * errors[0]


def _ranges(model: ModelProto) -> dict[str, Range]:
    frames = [picture(seed, (1, 3, 8, 8)) for seed in range(6)]
    inner = [name for name in place(model).pairs if name != PICTURE]
    session = ModelSession(with_outputs(model, inner), threads=1)
    seen = {name: Histogram() for name in (PICTURE, *inner)}
    for x in frames:
        seen[PICTURE].add(x)
        for name, values_seen in zip(inner, session.run({PICTURE: x}, inner), strict=True):
            seen[name].add(values_seen)
    return {name: range_of(one, method="max", percentile=100.0) for name, one in seen.items()}
