"""cpu.onnx in onnxruntime: operators that run in integers, values that must not be rounded, and
fused kernels that compute what the file says.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from cpu_networks import PICTURES, lowered, ranges_of, residual
from onnx import ModelProto, TensorProto, helper
from tiny_graphs import initializers, node, ready, weights

from calibration.inference.sessions import ModelSession
from calibration.ranges.ranges import Range
from converters.lowerings.cpu import quantize_cpu
from converters.lowerings.cpu_placement import CARRIERS, cpu_places
from converters.quantization.placement import place
from edge.backends import integer_products
from edge.perception.values import Floats


def fused(model: ModelProto, folder: Path) -> Counter[str]:
    """Operators that onnxruntime makes of a model."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    optimized = onnx.load(folder / "optimized.onnx")
    return Counter(one.op_type for one in optimized.graph.node)


def answers(model: ModelProto, kernels: str, x: Floats) -> Floats:
    session = ModelSession(model.SerializeToString(), threads=1, kernels=kernels)  # type: ignore[arg-type] # one of two
    found: Floats = session.run({"x": x})[0]
    return found


class TestEverythingFuses:
    def test_a_classifier_has_no_float_convolution_and_no_conversion_inside(
        self, tmp_path: Path
    ) -> None:
        found = fused(lowered(residual()), tmp_path)
        assert found["QLinearConv"] == 4
        assert found["QLinearAdd"] == found["QLinearGlobalAveragePool"] == found["QGemm"] == 1
        assert not found.keys() & {"Conv", "FusedConv", "Clip", "Relu", "DequantizeLinear"}
        assert found["QuantizeLinear"] == 1  # the picture

    @pytest.mark.parametrize("kind", sorted(CARRIERS))
    def test_every_carrier_becomes_an_integer_kernel(self, kind: str, tmp_path: Path) -> None:
        reads = ["a", "b"] if kind in ("Add", "Mul", "Concat") else ["a"]
        more = {"Concat": {"axis": 1}, "AveragePool": {"kernel_shape": [2, 2]}}.get(kind, {})
        model = ready(
            [
                node("Conv", ["x", "w0"], ["a"]),
                node("Conv", ["x", "w1"], ["b"]),
                node(kind, reads, ["c"], **more),
                node("Conv", ["c", "w2"], ["d"]),
                node("Relu", ["d"], ["r"]),
                node("GlobalAveragePool", ["r"], ["y"]),
            ],
            {
                "w0": weights(8, 3, 1, 1),
                "w1": weights(8, 3, 1, 1, seed=1),
                "w2": weights(8, 16 if kind == "Concat" else 8, 1, 1, seed=2),
            },
        )
        found = fused(lowered(model), tmp_path)
        assert found[CARRIERS[kind]] == 1
        assert kind not in found or kind == "GlobalAveragePool"  # the last one stays in float

    def test_silu_and_what_moves_values_stay_in_integers(self, tmp_path: Path) -> None:
        model = ready(
            [
                node("Conv", ["x", "w0"], ["c0"]),
                node("Sigmoid", ["c0"], ["g0"]),
                node("Mul", ["c0", "g0"], ["s0"]),
                node("MaxPool", ["s0"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
                node("Resize", ["p", "", "twice"], ["u"], mode="nearest"),
                node("Concat", ["u", "s0"], ["j"], axis=1),
                node("Conv", ["j", "w1"], ["y"]),
            ],
            {
                "w0": weights(8, 3, 1, 1),
                "w1": weights(4, 16, 1, 1),
                "twice": np.float32([1, 1, 2, 2]),
            },
        )
        found = fused(lowered(model), tmp_path)
        wanted = ("QLinearConv", "QLinearSigmoid", "QLinearMul", "QLinearConcat", "MaxPool")
        assert [found[kind] for kind in wanted] == [1] * 5
        assert found["Conv"] == 1  # the head, whose output must not be rounded
        assert found["QuantizeLinear"] == found["DequantizeLinear"] == 1


class TestWhatIsNotRounded:
    def test_a_head_puts_out_float_from_weights_as_they_came(self, tmp_path: Path) -> None:
        model = residual("Conv")
        cpu = lowered(model)
        assert np.array_equal(initializers(cpu)["head"], initializers(model)["head"])
        assert len(np.unique(answers(cpu, "fused", PICTURES[0]))) > 300  # not 256 steps

    def test_what_the_placement_leaves_in_float_stays(self) -> None:
        model = residual()
        kept = model.graph.node[4].name
        plan = place(model, kept_float={kept: "measured"})
        assert kept not in cpu_places(model, plan).weighted
        cpu = quantize_cpu(model, plan, ranges_of(model))
        assert np.array_equal(initializers(cpu)["w2"], initializers(model)["w2"])

    @pytest.mark.parametrize(("high", "gone"), [(6.0, True), (5.0, True), (6.5, False)])
    def test_a_clip_goes_only_where_the_range_cuts_as_much(self, high: float, gone: bool) -> None:
        model = residual()
        ranges = ranges_of(model)
        ranges["r0"] = Range(amax=high, low=0.0, high=high, lowest=0.0, highest=high, values=1)
        cpu = quantize_cpu(model, place(model), ranges)
        assert ("r0" in {one.output[0] for one in cpu.graph.node if one.op_type == "Clip"}) != gone


class TestFusedKernels:
    @pytest.mark.parametrize("last", ["Gemm", "Conv"])
    def test_they_compute_what_the_file_says(self, last: str) -> None:
        cpu = lowered(residual(last))
        for x in PICTURES:
            written, quick = answers(cpu, "as_written", x), answers(cpu, "fused", x)
            # A value on the edge between two steps may round either way, and on from there.
            assert np.abs(quick - written).mean() < 0.02 * np.abs(written).mean()

    def test_the_largest_bytes_do_not_overflow(self) -> None:
        """255 x 127, summed in pairs of 16 bits, would be cut off at half."""
        model = ready(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Relu", ["c"], ["r"]),
                node("Conv", ["r", "w"], ["d"]),
                node("Relu", ["d"], ["t"]),
                node("GlobalAveragePool", ["t"], ["y"]),
            ],
            {"w": np.ones((3, 3, 1, 1), np.float32)},
        )
        wide = {"x": 1.0, "r": 3.0, "t": 9.0}
        ranges = {name: Range(top, 0.0, top, 0.0, top, 1) for name, top in wide.items()}
        cpu = quantize_cpu(model, place(model), ranges)
        found = answers(cpu, "fused", np.ones((1, 3, 8, 8), np.float32))
        np.testing.assert_allclose(found, 9.0, rtol=1e-3)

    def test_the_trial_of_products_is_the_graph_that_it_names(self) -> None:
        side = [integer_products.SIDE] * 2
        kinds = {"a": TensorProto.UINT8, "b": TensorProto.INT8, "y": TensorProto.INT32}
        a, b, y = (helper.make_tensor_value_info(n, k, side) for n, k in kinds.items())
        graph = helper.make_graph([node("MatMulInteger", ["a", "b"], ["y"])], "p", [a, b], [y])
        opsets = [helper.make_opsetid("", 10)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        assert model.SerializeToString() == integer_products.TRIAL
        assert integer_products.session_options() in ({}, {"session.x64quantprecision": "1"})
