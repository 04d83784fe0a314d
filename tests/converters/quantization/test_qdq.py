"""int8.onnx and cpu.onnx as files: what TensorRT requires of the one, what onnxruntime fuses of the
other, and that both compute the quantized values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from tiny_graphs import initializers, node, ops, picture, ready, run, values, weights

from calibration.inference.sessions import ModelSession
from calibration.observation.histogram import Histogram
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range, range_of
from converters.graph.fused_activations import ACTIVATIONS
from converters.graph.index import Graph
from converters.graph.passes.pipeline import passes, run_passes
from converters.lowerings.cpu import affine, quantize_cpu
from converters.lowerings.cpu_placement import cpu_places, cpu_tensors
from converters.quantization.placement import QdqPlacement, place
from converters.quantization.qdq import quantize_int8, shared_ranges
from converters.quantization.rules import WEIGHTED, r1_scale
from edge.perception.decode import DETECTIONS
from edge.perception.values import Floats

PICTURES = [picture(seed) for seed in range(4)]


def detector() -> ModelProto:
    """Every pattern in one: SiLU, residual, pooling, concat, upsampling, softmax, transposed and
    depthwise convolutions, a linear layer, biases, dead channels.
    """
    dead = weights(4, 4, 3, 3, seed=2)
    dead[1] = 0.0
    return ready(
        [
            node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
            node("Sigmoid", ["c1"], ["g1"]),
            node("Mul", ["c1", "g1"], ["s1"]),
            node("Conv", ["s1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
            node("Add", ["c2", "s1"], ["sum"]),
            node("MaxPool", ["sum"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["p", "dw"], ["c3"], group=4, pads=[1, 1, 1, 1]),
            node("Relu", ["c3"], ["r3"]),
            node("Conv", ["sum", "w4", "b4"], ["c4"], strides=[2, 2]),
            node("Concat", ["r3", "p", "c4"], ["join"], axis=1),
            node("ConvTranspose", ["join", "up"], ["u"], strides=[2, 2]),
            node("Softmax", ["u"], ["soft"], axis=1),
            node("Conv", ["soft", "w5"], ["c5"]),
            node("Flatten", ["u"], ["f"]),
            node("Gemm", ["f", "m", "mb"], ["fc"]),
            node("ReduceSum", ["c5"], ["total"], keepdims=0),
            node("Add", ["fc", "total"], ["y"]),
        ],
        {
            "w1": weights(4, 3, 3, 3), "b1": weights(4, seed=1), "w2": dead,
            "b2": weights(4, seed=3), "dw": weights(4, 1, 3, 3, seed=4),
            "w4": weights(4, 4, 1, 1, seed=5), "b4": weights(4, seed=6, scale=10.0),
            "up": weights(12, 2, 2, 2, seed=7), "w5": weights(3, 2, 1, 1, seed=8),
            "m": weights(128, 5, seed=9), "mb": weights(5, seed=10),
        },
    )  # fmt: skip


def observed(model: ModelProto, plan: QdqPlacement) -> dict[str, Range]:
    """Largest magnitudes over PICTURES."""
    names = cpu_tensors(model, plan)
    seen = {name: Histogram() for name in names}
    inner = [name for name in names if name != "x"]
    session = ModelSession(with_outputs(model, inner), threads=1) if inner else None
    for x in PICTURES:
        found = session.run({"x": x}, inner) if session is not None else []
        for name, tensor in zip(("x", *inner), (x, *found), strict=True):
            seen[name].add(tensor)
    return {name: range_of(one, method="max", percentile=100.0) for name, one in seen.items()}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    model = detector()
    plan = place(model)
    ranges = observed(model, plan)
    return {
        "float": model,
        "plan": plan,
        "ranges": ranges,
        "int8": quantize_int8(model, plan, ranges),
        "cpu": quantize_cpu(model, plan, ranges),
    }


def quantizers(model: ModelProto) -> list[onnx.NodeProto]:
    return [
        one for one in model.graph.node if one.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]


def axis_of(one: onnx.NodeProto) -> int | None:
    return next((item.i for item in one.attribute if item.name == "axis"), None)


@pytest.mark.parametrize("name", ["int8", "cpu"])
class TestBoth:
    def test_files_pass_the_checker_and_the_same_input_gives_the_same_bytes(
        self, name: str, made: dict[str, Any]
    ) -> None:
        onnx.checker.check_model(made[name], full_check=True)
        write = {"int8": quantize_int8, "cpu": quantize_cpu}[name]
        again = write(detector(), place(detector()), made["ranges"])
        assert again.SerializeToString() == made[name].SerializeToString()

    def test_outputs_keep_name_and_type_and_never_end_in_a_pair(
        self, name: str, made: dict[str, Any]
    ) -> None:
        graph = Graph(made[name])
        assert graph.outputs == ["y"]
        assert graph.producer["y"].op_type == "Add"
        assert run(made[name]).dtype == np.float32

    def test_softmax_is_neither_quantized_nor_are_its_readers(
        self, name: str, made: dict[str, Any]
    ) -> None:
        graph = Graph(made[name])
        assert {read.node.op_type for read in graph.readers("soft")} == {"Conv"}

    @pytest.mark.parametrize("kernels", ["as_written", "fused"])
    def test_runs_and_stays_near_float(self, name: str, kernels: Any, made: dict[str, Any]) -> None:
        session = ModelSession(made[name].SerializeToString(), threads=1, kernels=kernels)
        for x in PICTURES:
            wanted = run(made["float"], x)
            (found,) = session.run({"x": x})
            noise = float(np.sum((found - wanted) ** 2) / np.sum(wanted**2))
            assert noise < 0.02

    def test_no_initializer_is_left_that_nobody_reads(
        self, name: str, made: dict[str, Any]
    ) -> None:
        read = {name for one in made[name].graph.node for name in one.input}
        assert set(initializers(made[name])) <= read


class TestInt8:
    def test_nothing_stands_between_a_convolution_and_its_activation(
        self, made: dict[str, Any]
    ) -> None:
        graph = Graph(made["int8"])
        for one in graph.nodes:
            if one.op_type in (*ACTIVATIONS, "Mul"):
                assert {graph.producer[n].op_type for n in one.input} <= {*WEIGHTED, "Sigmoid"}

    def test_shared_scales_across_concat_and_pooling(self, made: dict[str, Any]) -> None:
        model = made["int8"]
        for group in made["plan"].shared:
            scales = {values(model, f"{tensor}/scale").tobytes() for tensor in group}
            zeros = {values(model, f"{tensor}/zero").tobytes() for tensor in group}
            assert len(scales) == len(zeros) == 1
        assert any({"join", "p"} <= set(group) for group in made["plan"].shared)

    def test_r1_signed_zero_points_of_0_and_scales_above_0(self, made: dict[str, Any]) -> None:
        model = made["int8"]
        for one in quantizers(model):
            zero, scale = values(model, one.input[2]), values(model, one.input[1])
            assert zero.dtype == np.int8
            assert not zero.any()
            assert scale.dtype == np.float32
            assert np.isfinite(scale).all()
            assert (scale > 0).all()

    def test_r2_activations_per_tensor_and_weights_per_channel(self, made: dict[str, Any]) -> None:
        model = made["int8"]
        axes = {"w1": 0, "w2": 0, "dw": 0, "w4": 0, "up": 1, "m": 1}
        assert made["plan"].weights == axes
        for one in quantizers(model):
            tensor = one.input[1].removesuffix("/scale")
            if tensor in axes:
                assert axis_of(one) == axes[tensor]
                weight = values(model, tensor)
                others = tuple(n for n in range(weight.ndim) if n != axes[tensor])
                wanted = r1_scale(np.abs(weight).max(axis=others))
                assert np.array_equal(values(model, one.input[1]), wanted)
            else:
                assert values(model, one.input[1]).shape == ()
                taken = shared_ranges(made["plan"], made["ranges"])[tensor]
                assert values(model, one.input[1]) == r1_scale(taken.amax)

    def test_r3_weights_are_float_then_q_then_dq(self, made: dict[str, Any]) -> None:
        graph = Graph(made["int8"])
        for name in made["plan"].weights:
            assert graph.initializers[name].data_type == TensorProto.FLOAT
            (read,) = graph.readers(name)
            assert read.node.op_type == "QuantizeLinear"
            assert graph.sole_reader(read.node.output[0]).op_type == "DequantizeLinear"

    def test_r4_no_pair_on_a_bias(self, made: dict[str, Any]) -> None:
        graph = Graph(made["int8"])
        for name in ("b1", "b2", "b4", "mb"):
            assert {read.node.op_type for read in graph.readers(name)} <= {"Conv", "Gemm"}

    def test_r6_the_residual_reads_only_its_skip_dequantized(self, made: dict[str, Any]) -> None:
        graph = Graph(made["int8"])
        (add,) = [read.node for read in graph.readers("c2")]
        assert list(add.input) == ["c2", "s1/dq"]

    def test_every_q_feeds_one_dq_and_a_tensor_has_one_pair(self, made: dict[str, Any]) -> None:
        graph = Graph(made["int8"])
        quantized = [one.input[0] for one in graph.nodes if one.op_type == "QuantizeLinear"]
        assert len(quantized) == len(set(quantized))
        assert set(quantized) == {*made["plan"].pairs, *made["plan"].weights}
        for one in graph.nodes:
            if one.op_type == "QuantizeLinear":
                assert graph.sole_reader(one.output[0]).op_type == "DequantizeLinear"


class TestCpu:
    def test_activations_are_unsigned_and_affine_over_a_range_that_holds_0(
        self, made: dict[str, Any]
    ) -> None:
        model = made["cpu"]
        places = cpu_places(made["float"], made["plan"])
        for tensor in places.pairs:
            taken = made["ranges"][tensor]
            zero, scale = values(model, f"{tensor}/zero"), values(model, f"{tensor}/scale")
            assert zero.dtype == np.uint8
            low, high = (0 - int(zero)) * scale, (255 - int(zero)) * scale
            assert low <= 0.0 <= high
            assert low <= taken.low + scale
            assert high >= taken.high - scale

    def test_weights_are_stored_and_biases_are_int32_at_the_product_of_scales(
        self, made: dict[str, Any]
    ) -> None:
        model = made["cpu"]
        graph = Graph(model)
        for one in graph.nodes:
            if one.op_type not in WEIGHTED or not one.input[1].endswith("/dq"):
                continue
            prefix = one.input[1].removesuffix("/dq")
            assert values(model, f"{prefix}/q").dtype == np.int8
            assert set(values(model, f"{prefix}/zero").tolist()) == {0}
            if one.op_type == "Conv" and len(one.input) > 2:
                bias = one.input[2].removesuffix("/dq")
                assert values(model, f"{bias}/q").dtype == np.int32
                step = values(model, one.input[0].removesuffix("/dq") + "/scale")
                product = values(model, f"{prefix}/scale").astype(np.float64) * step
                np.testing.assert_allclose(values(model, f"{bias}/scale"), product, rtol=1e-6)
        assert not {"w1", "w2", "b1", "b2"} & set(initializers(model))

    @pytest.mark.parametrize("weight", [0.0, 1e-30, 1e-12])
    @pytest.mark.parametrize("kernels", ["as_written", "fused"])
    def test_a_bias_keeps_its_value_whatever_its_weights(self, weight: float, kernels: Any) -> None:
        """A pruned channel is nothing but its bias."""
        model = ready(
            [node("Conv", ["x", "w", "b"], ["c"]), node("Relu", ["c"], ["y"])],
            {"w": np.full((3, 3, 1, 1), weight, np.float32), "b": np.float32([3.0, 0.01, 0.0])},
        )
        plan = place(model)
        quantized = quantize_cpu(model, plan, observed(model, plan))
        session = ModelSession(quantized.SerializeToString(), threads=1, kernels=kernels)
        (found,) = session.run({"x": PICTURES[0]})
        np.testing.assert_allclose(found, run(model, PICTURES[0]), rtol=1e-3, atol=1e-3)

    @given(
        st.floats(-1e6, 0.0, width=32, allow_subnormal=False),
        st.floats(0.0, 1e6, width=32, allow_subnormal=False),
    )
    def test_zero_is_exact_and_both_ends_are_within_one_step(self, low: float, high: float) -> None:
        scale, zero = affine(low, high)
        assert scale > 0.0
        assert np.isfinite(scale)
        steps = np.clip(np.rint(np.array([low, 0.0, high]) / float(scale)) + int(zero), 0, 255)
        back = (steps - int(zero)) * float(scale)
        assert back[1] == 0.0
        assert abs(back[0] - low) <= float(scale) * 1.001
        assert abs(back[2] - high) <= float(scale) * 1.001


def fake(x: NDArray[np.floating], scale: Any) -> NDArray[np.float32]:
    """Symmetric signed INT8 by hand: R1."""
    scale = np.asarray(scale, np.float32)
    rounded = np.clip(np.rint(x / scale), -128, 127)
    return (rounded * scale).astype(np.float32)


def by_hand(x: Floats, constants: Mapping[str, Floats], amax: Mapping[str, float]) -> Floats:
    """relu(conv(x)) + x, then a convolution: 1 x 1 kernels, so that a matrix product says it."""

    def product(data: Floats, weight: Floats) -> Floats:
        amaxes = np.abs(weight).max(axis=(1, 2, 3))
        taken = fake(weight[:, :, 0, 0], r1_scale(amaxes)[:, None])
        return np.einsum("oi,nihw->nohw", taken, data).astype(np.float32)

    first = product(fake(x, r1_scale(amax["x"])), constants["w1"]) + constants["b"][:, None, None]
    rectified = np.maximum(first, 0.0)
    second = product(fake(rectified, r1_scale(amax["r"])), constants["w2"])
    return second + fake(rectified, r1_scale(amax["r"]))


def test_int8_is_what_quantization_means_by_numpy() -> None:
    constants = {
        "w1": weights(3, 3, 1, 1),
        "b": weights(3, seed=1),
        "w2": weights(3, 3, 1, 1, seed=2),
    }
    model = ready(
        [
            node("Conv", ["x", "w1", "b"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "w2"], ["d"]),
            node("Add", ["d", "r"], ["y"]),
        ],
        constants,
    )
    plan = place(model)
    # Ranges that clip, so that saturation is seen too.
    ranges = {
        name: Range(amax=a, low=-a, high=a, lowest=-a, highest=a, values=1)
        for name, a in (("x", 2.0), ("r", 1.5))
    }
    quantized = quantize_int8(model, plan, ranges)
    assert ops(quantized).count("QuantizeLinear") == 4
    for x in PICTURES:
        wanted = by_hand(x, constants, {"x": 2.0, "r": 1.5})
        found = run(quantized, x)
        # A value on the edge between two steps may round either way after float32 sums.
        assert np.mean(np.abs(found - wanted) > 1e-5) < 0.01
        np.testing.assert_allclose(found, wanted, atol=2 * float(r1_scale(2.0)))


@pytest.mark.parametrize(("name", "side"), [("yolox_nano", 416), ("FastestDet", 352)])
def test_real_detectors_become_files_that_check_and_run(
    name: str, side: int, shared_data: Path
) -> None:
    path = shared_data / "detectors" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}")
    shape = (1, 3, side, side)
    x = picture(shape=shape)
    model, _ = run_passes(onnx.load(path), passes(18, shape, [DETECTIONS]), [x])
    plan = place(model)
    convolutions = ops(model).count("Conv")
    assert plan.quantized_ops == {"Conv": convolutions}
    assert plan.left_float == ()
    graph = Graph(model)
    for tensor in plan.pairs:
        maker = graph.producer.get(tensor)
        assert maker is None or maker.op_type != "Softmax"
        assert tensor not in graph.outputs
    wide = Range(amax=8.0, low=-8.0, high=8.0, lowest=-8.0, highest=8.0, values=1)
    ranges = dict.fromkeys(cpu_tensors(model, plan), wide)
    for quantized, kernels in (
        (quantize_int8(model, plan, ranges), "as_written"),
        (quantize_cpu(model, plan, ranges), "fused"),
    ):
        session = ModelSession(quantized.SerializeToString(), threads=2, kernels=kernels)  # type: ignore[arg-type] # one of two
        assert np.isfinite(session.run({session.inputs[0]: x})[0]).all()
