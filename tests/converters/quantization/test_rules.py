"""Rules R1 to R10, each on a graph that it applies to and on one that it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto
from tiny_graphs import node, ready, weights

from converters.graph.index import Graph
from converters.graph.multiplications import multiplications
from converters.quantization import rules
from converters.quantization.placement import QdqPlacement, place
from converters.quantization.rules import (
    RULES,
    r1_scale,
    r2_weight_amax,
    r2_weight_axis,
    r9_never,
    r10_prefers_float,
)

SQUARE = {"w": weights(3, 3, 1, 1), "w2": weights(3, 3, 1, 1, seed=1), "b": weights(3, seed=2)}


def conv(source: str, made: str, weight: str = "w", *more: str) -> NodeProto:
    return node("Conv", [source, weight, *more], [made], name=f"conv_{made}")


def placed(
    *nodes: NodeProto, outputs: tuple[str, ...] = ("y",), **constants: object
) -> QdqPlacement:
    return place(ready(nodes, {**SQUARE, **constants}, outputs=outputs))


def reads(plan: QdqPlacement) -> set[tuple[str, int, str]]:
    return {(read.node, read.slot, read.rule) for read in plan.reads}


def test_every_rule_is_tested_here() -> None:
    tested = {name.split("_")[1].upper() for name in globals() if name.startswith("test_r")}
    tested |= {name.removeprefix("TestR") for name in globals() if name.startswith("TestR")}
    assert {f"R{name.removeprefix('R')}" for name in tested} >= set(RULES)


class TestR1:
    @given(st.floats(0.0, 2.0**127, width=32))
    def test_amax_itself_is_127_steps_and_every_scale_is_usable(self, amax: float) -> None:
        scale = float(r1_scale(amax))
        assert np.isfinite(scale)
        assert scale > 0.0
        if amax > 127 * rules.SMALLEST_SCALE:
            assert amax / scale == pytest.approx(127, rel=1e-6)

    def test_all_zeros_get_one(self) -> None:
        assert r1_scale(np.float32([0.0, 12.7])).tolist() == pytest.approx([1.0, 0.1])

    @pytest.mark.parametrize("amax", [-1.0, float("nan"), float("inf")])
    def test_what_is_no_magnitude_is_refused(self, amax: float) -> None:
        with pytest.raises(ValueError, match="no scale follows"):
            r1_scale(np.array([1.0, amax]))


class TestR2:
    @pytest.mark.parametrize(
        ("op", "attributes", "axis"),
        [
            ("Conv", {}, 0),
            ("ConvTranspose", {}, 1),
            ("Gemm", {"transB": 1}, 0),
            ("Gemm", {}, 1),
            ("MatMul", {}, 1),
        ],
    )
    def test_the_axis_of_output_channels(self, op: str, attributes: dict, axis: int) -> None:
        assert r2_weight_axis(node(op, ["x", "w"], ["y"], **attributes)) == axis

    def test_the_largest_of_each_channel_is_never_clipped(self) -> None:
        weight = weights(4, 3, 5, 5)
        weight[2, 1, 0, 0] = -100.0
        found = r2_weight_amax(weight, 0)
        assert found.tolist() == np.abs(weight).reshape(4, -1).max(axis=1).tolist()
        assert r2_weight_amax(weight, 1).shape == (3,)

    def test_a_weight_is_quantized_along_one_axis_whoever_shares_it(self) -> None:
        """An autoencoder with tied weights: the decoder reads them along the other axis."""
        plan = placed(
            conv("x", "c"), conv("c", "d"), node("ConvTranspose", ["d", "w"], ["y"], name="up")
        )
        assert plan.weights == {"w": 0}
        assert plan.quantized_ops == {"Conv": 2}
        assert [(left.node, left.rule) for left in plan.left_float] == [("up", "R2")]


class TestR3:
    def test_a_constant_weight_is_quantized(self) -> None:
        assert placed(conv("x", "y")).weights == {"w": 0}

    @pytest.mark.parametrize(
        ("nodes", "constants"),
        [
            ([node("MatMul", ["x", "x"], ["y"])], {}),
            ([node("MatMul", ["x", "stack"], ["y"])], {"stack": weights(1, 3, 8, 4)}),
            ([node("MatMul", ["x", "vector"], ["y"])], {"vector": weights(8)}),
            ([node("Relu", ["w"], ["k"]), node("Abs", ["x"], ["a"]), conv("a", "y", "k")], {}),
        ],
    )
    def test_a_computed_one_a_stack_and_a_vector_are_not(
        self, nodes: list[NodeProto], constants: dict
    ) -> None:
        plan = placed(*nodes, **constants)
        if nodes[-1].op_type == "Conv":  # Relu of a constant is a constant after folding
            assert list(plan.weights) == ["k"]
            return
        assert plan.weights == {}
        assert [left.rule for left in plan.left_float] == ["R3"]


def test_r4_the_bias_gets_no_pair() -> None:
    plan = placed(conv("x", "y", "w", "b"))
    assert reads(plan) == {("conv_y", 0, "R5")}
    assert "b" not in plan.pairs
    assert "b" not in plan.weights


ACTIVATIONS: dict[str, list[NodeProto]] = {
    "Relu": [node("Relu", ["c"], ["a"])],
    "LeakyRelu": [node("LeakyRelu", ["c"], ["a"])],
    "Clip": [node("Clip", ["c", "low", "high"], ["a"])],
    "HardSwish": [node("HardSwish", ["c"], ["a"])],
    "SiLU": [node("Sigmoid", ["c"], ["g"]), node("Mul", ["c", "g"], ["a"])],
    "SiLU, turned": [node("Sigmoid", ["c"], ["g"]), node("Mul", ["g", "c"], ["a"])],
    "HardSwish, old": [node("HardSigmoid", ["c"], ["g"]), node("Mul", ["c", "g"], ["a"])],
}


class TestR5:
    @pytest.mark.parametrize("name", ACTIVATIONS)
    def test_nothing_between_a_convolution_and_its_activation(self, name: str) -> None:
        plan = placed(
            conv("x", "c"),
            *ACTIVATIONS[name],
            conv("a", "y", "w2"),
            low=np.float32(0.0),
            high=np.float32(6.0),
        )
        assert plan.pairs == ("x", "a")
        assert reads(plan) == {("conv_c", 0, "R5"), ("conv_y", 0, "R5")}
        assert plan.left_float == ()

    def test_a_convolution_that_reads_inside_an_activation_stays_in_float(self) -> None:
        """It reads the convolution's own output, which exists only inside the fused kernel."""
        silu = [node("Sigmoid", ["c"], ["g"]), conv("g", "h", "w2")]
        plan = placed(conv("x", "c"), *silu, node("Mul", ["c", "h"], ["y"]))
        # Not x * sigmoid(x): the gate is read by a convolution, so nothing is fused here.
        assert plan.pairs == ("x", "g")

    @pytest.mark.parametrize("op", ["ConvTranspose", "Gemm", "MatMul"])
    def test_all_weighted_operators(self, op: str) -> None:
        if op == "ConvTranspose":
            nodes = [node(op, ["x", "w"], ["y"], name="it")]
        else:
            nodes = [node("Flatten", ["x"], ["f"]), node(op, ["f", "m"], ["y"], name="it")]
        plan = placed(*nodes, m=weights(192, 5))
        assert plan.quantized_ops == {op: 1}
        assert ("it", 0, "R5") in reads(plan)


class TestR6:
    def test_the_skip_branch_is_read_quantized_and_not_the_fused_one(self) -> None:
        plan = placed(
            conv("x", "c"), node("Relu", ["c"], ["r"]), conv("r", "d", "w2"),
            node("Add", ["d", "r"], ["y"], name="sum"),
        )  # fmt: skip
        assert {read for read in reads(plan) if read[0] == "sum"} == {("sum", 1, "R6")}
        assert plan.pairs == ("x", "r")

    def test_of_two_convolutions_the_later_fuses(self) -> None:
        plan = placed(
            conv("x", "one"), conv("x", "two", "w2"), node("Add", ["two", "one"], ["y"], name="sum")
        )
        assert ("sum", 1, "R6") in reads(plan)
        assert ("sum", 0, "R6") not in reads(plan)

    @pytest.mark.parametrize(
        "why", ["a constant", "another shape", "both", "a float one", "no end"]
    )
    def test_what_is_no_residual(self, why: str) -> None:
        nodes = {
            "a constant": [conv("x", "d"), node("Add", ["d", "k"], ["y"], name="sum")],
            "another shape": [
                conv("x", "d"),
                node("ReduceMean", ["x", "axes"], ["m"]),
                node("Add", ["d", "m"], ["y"], name="sum"),
            ],
            "both": [conv("x", "d"), node("Add", ["d", "d"], ["y"], name="sum")],
            "a float one": [
                node("MatMul", ["x", "x"], ["d"]),
                node("Add", ["d", "x"], ["y"], name="sum"),
            ],
            "no end": [
                conv("x", "d"),
                node("Relu", ["d"], ["r"]),
                node("Add", ["r", "x"], ["y"], name="sum"),
            ],
        }[why]
        plan = placed(*nodes, k=weights(1, 3, 8, 8), axes=np.array([2]))
        assert not [read for read in plan.reads if read.rule == "R6"]


class TestR7:
    def test_a_concat_shares_one_scale_with_its_quantized_inputs(self) -> None:
        plan = placed(
            conv("x", "c"), node("Relu", ["c"], ["r"]), conv("r", "d", "w2"),
            node("Concat", ["r", "x"], ["both"], axis=1, name="join"),
            conv("both", "e", "wide"), node("Add", ["d", "e"], ["y"]),
            wide=weights(3, 6, 1, 1),
        )  # fmt: skip
        assert ("both", "r", "x") in plan.shared
        assert {("join", 0, "R7"), ("join", 1, "R7")} <= reads(plan)

    def test_through_movers_on_either_side(self) -> None:
        plan = placed(
            conv("x", "c"),
            node("MaxPool", ["x"], ["p"], kernel_shape=[1, 1], name="pool"),
            node("Concat", ["p", "c"], ["both"], axis=1, name="join"),
            node("Transpose", ["both"], ["t"], perm=[0, 1, 3, 2], name="turn"),
            conv("t", "y", "wide"),
            wide=weights(3, 6, 1, 1),
        )
        assert plan.shared == (("t", "x"),)
        assert ("pool", 0, "R7") in reads(plan)

    def test_a_concat_that_nobody_reads_quantized_is_left(self) -> None:
        plan = placed(conv("x", "c"), node("Concat", ["c", "x"], ["y"], axis=1))
        assert plan.shared == ()
        assert reads(plan) == {("conv_c", 0, "R5")}


class TestR8:
    @pytest.mark.parametrize(
        "mover",
        [
            node("MaxPool", ["r"], ["m"], kernel_shape=[1, 1], name="mover"),
            node("Reshape", ["r", "same"], ["m"], name="mover"),
            node("Transpose", ["r"], ["m"], perm=[0, 1, 3, 2], name="mover"),
            node("Slice", ["r", "from", "to"], ["m"], name="mover"),
            node("Resize", ["r", "", "scales"], ["m"], mode="nearest", name="mover"),
        ],
        ids=lambda one: one.op_type,
    )
    def test_one_scale_across_what_moves_values(self, mover: NodeProto) -> None:
        plan = placed(
            node("Abs", ["x"], ["r"]), conv("r", "c"), mover, conv("m", "d", "w2"),
            node("ReduceMax", ["c"], ["k"]), node("Add", ["d", "k"], ["y"]),
            same=np.array([1, 3, 8, 8]), **{"from": np.array([0]), "to": np.array([9])},
            scales=np.float32([1, 1, 2, 2]),
        )  # fmt: skip
        assert plan.shared == (("m", "r"),)
        assert ("mover", 0, "R8") in reads(plan)

    def test_a_linear_resize_makes_new_values(self) -> None:
        plan = placed(
            conv("x", "c"),
            node("Resize", ["x", "", "scales"], ["m"], mode="linear"),
            conv("m", "d", "w2"),
            node("ReduceMax", ["c"], ["k"]),
            node("Add", ["d", "k"], ["y"]),
            scales=np.float32([1, 1, 2, 2]),
        )
        assert plan.shared == ()

    def test_readers_that_share_a_tensor_share_its_pair(self) -> None:
        plan = placed(conv("x", "c"), conv("x", "d", "w2"), node("Mul", ["c", "d"], ["y"]))
        assert plan.pairs == ("x",)


class TestR9:
    @pytest.mark.parametrize("op", ["Softmax", "Exp", "Log", "Erf"])
    def test_what_these_make_stays_in_float_even_when_moved(self, op: str) -> None:
        plan = placed(
            conv("x", "c"), node("Abs", ["c"], ["p"]), node(op, ["p"], ["s"]),
            node("Transpose", ["s"], ["t"], perm=[0, 1, 3, 2]), conv("t", "y", "w2"),
        )  # fmt: skip
        assert plan.pairs == ("x",)
        (left,) = plan.left_float
        assert (left.node, left.rule) == ("conv_y", "R9")
        assert op in left.why

    def test_graph_outputs_and_shape_arithmetic_never(self) -> None:
        plan = placed(conv("x", "mid"), conv("mid", "y", "w2"), outputs=("mid", "y"))
        assert plan.pairs == ("x",)
        assert plan.left_float[0].why == "its input is a graph output"
        nodes = [node("NonZero", ["x"], ["where"]), node("Cast", ["where"], ["y"], to=1)]
        graph = Graph(ready(nodes, {}))
        assert r9_never(graph, "y") == "a graph output"
        assert r9_never(graph, "where") == "not float32: shape arithmetic"
        assert r9_never(graph, "x") is None


class TestR10:
    @staticmethod
    def says(weight: tuple[int, ...], group: int = 1) -> str | None:
        channels = weight[1] * group
        one = node("Conv", ["x", "wide"], ["y"], group=group, name="conv")
        shape = {"x": (1, channels, 8, 8)}
        graph = Graph(ready([one], {"wide": weights(*weight)}, inputs=shape))
        return r10_prefers_float(graph, graph.nodes[0])

    def test_few_channels_and_few_depthwise_ones_are_better_left_in_float(self) -> None:
        assert self.says((32, 12, 3, 3)) == "12 input and 32 output channels"
        assert self.says((8, 32, 1, 1)) == "32 input and 8 output channels"
        assert self.says((32, 1, 3, 3), group=32) == "depthwise, 32 channels"

    def test_many_channels_are_not(self) -> None:
        assert self.says((16, 16, 3, 3)) is None
        assert self.says((64, 1, 3, 3), group=64) is None

    def test_a_matrix_times_a_vector_is(self) -> None:
        one = node("MatMul", ["x", "m"], ["y"], name="product")
        graph = Graph(ready([one], {"m": weights(64, 32)}, inputs={"x": (1, 64)}))
        assert r10_prefers_float(graph, graph.nodes[0]) == "matrix times vector"


def network() -> ModelProto:
    return ready(
        [
            node("Conv", ["x", "deep"], ["a"], group=3, pads=[1, 1, 1, 1]),
            node("ConvTranspose", ["a", "up"], ["b"], strides=[2, 2]),
            node("Flatten", ["b"], ["f"]),
            node("Gemm", ["f", "m"], ["y"], transB=1),
        ],
        {"deep": weights(6, 1, 3, 3), "up": weights(6, 2, 2, 2), "m": weights(5, 512)},
    )


def test_multiplications_are_counted_from_shapes() -> None:
    model = network()
    graph = Graph(model)
    counted = {one.op_type: multiplications(graph, one) for one in graph.nodes}
    assert counted == {
        "Flatten": 0,
        "Conv": 6 * 8 * 8 * 9,
        "ConvTranspose": 6 * 8 * 8 * 2 * 4,
        "Gemm": 512 * 5,
    }
    plan = place(model)
    assert plan.macs == plan.macs_int8 == sum(counted.values())
    assert plan.quantized_ops == {"Conv": 1, "ConvTranspose": 1, "Gemm": 1}
