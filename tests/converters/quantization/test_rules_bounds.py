"""Where the rules of INT8 end: what stays in float, which branch of a residual is the skip, which
numbers FP16 and INT32 hold.
"""

from __future__ import annotations

import numpy as np
import pytest
from cpu_networks import lowered as lowered_to_cpu
from onnx import ModelProto, NodeProto, TensorProto, helper
from tiny_graphs import node, picture, ready, run, values, weights

from converters.graph.index import Graph
from converters.lowerings.strongly_typed import HALF_MAX, STAYS_FLOAT, fits_half, is_half, to_strong
from converters.quantization.rules import (
    FEW_CHANNELS,
    r5_inside_fusion,
    r5_reads,
    r6_skip_reads,
    r7_concat,
    r8_shared,
    r10_prefers_float,
)
from converters.verification.equivalence.fp16_emulation import emulate_fp16

LEAVES_FP16 = {
    "Pow": 30.0,
    "Exp": 12.0,
    "Reciprocal": 2.0**-17,
    "ReduceL1": 1000.0,
    "ReduceL2": 6000.0,
    "ReduceSumSquare": 30.0,
    "CumSum": 30000.0,
}
"""Operator -> a value that FP16 holds, and not what the operator makes of it."""

NEEDS_DIGITS = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization"}
    | {"Log", "NonMaxSuppression", "ReduceLogSumExp", "TopK"}
)
"""Operators whose results need digits that FP16 does not have."""

FLOAT_BY_DEFINITION = frozenset(
    {"Bernoulli", "Cast", "Constant", "ConstantOfShape", "DequantizeLinear", "EyeLike", "OneHot"}
    | {"QuantizeLinear", "RandomNormal", "RandomUniform", "Range", "If", "Loop", "Scan"}
)
"""Operators that make or hold float32 by definition, or contain graphs that do."""

IN_FLOAT = NEEDS_DIGITS | FLOAT_BY_DEFINITION | LEAVES_FP16.keys()

SQUARE = {"w": weights(3, 3, 1, 1), "w2": weights(3, 3, 1, 1, seed=1)}


def conv(source: str, made: str, weight: str = "w", **more: object) -> NodeProto:
    return node("Conv", [source, weight], [made], name=f"conv_{made}", **more)


def graph(*nodes: NodeProto, outputs: tuple[str, ...] = ("y",), **constants: object) -> Graph:
    return Graph(ready(nodes, {**SQUARE, **constants}, outputs=outputs))


def skips(of: Graph, *quantized: str) -> list[tuple[str, int]]:
    return [(read.node.name, read.slot) for read in r6_skip_reads(of, quantized)]


class TestSkipOfAResidual:
    """R6 asks for a pair on the branch that the convolution does not fuse with."""

    def test_the_other_branch_of_the_convolution_is_the_skip(self) -> None:
        left = graph(conv("x", "c"), node("Add", ["c", "x"], ["y"], name="add"))
        right = graph(conv("x", "c"), node("Add", ["x", "c"], ["y"], name="add"))
        assert skips(left, "conv_c") == [("add", 1)]
        assert skips(right, "conv_c") == [("add", 0)]

    def test_where_both_end_in_one_the_later_fuses_and_the_earlier_is_the_skip(self) -> None:
        of = graph(conv("x", "a"), conv("x", "b", "w2"), node("Add", ["b", "a"], ["y"], name="add"))
        assert skips(of, "conv_a", "conv_b") == [("add", 1)]

    def test_where_the_later_one_stays_in_float_nothing_fuses(self) -> None:
        """Two float neighbours: a pair on the skip would only cost."""
        of = graph(conv("x", "a"), conv("x", "b", "w2"), node("Add", ["a", "b"], ["y"], name="add"))
        assert skips(of, "conv_a") == []
        assert skips(of) == []

    def test_the_first_operator_of_a_graph_counts_like_any_other(self) -> None:
        of = graph(conv("x", "c"), node("Add", ["c", "x"], ["y"], name="add"))
        assert of.nodes[0].name == "conv_c"
        assert skips(of, "conv_c") == [("add", 1)]
        assert skips(of, "add") == []

    def test_an_addition_of_two_activations_has_no_skip(self) -> None:
        nodes = [node("Abs", ["x"], ["a"]), node("Add", ["a", "x"], ["s"], name="add")]
        of = graph(*nodes, conv("s", "y"))
        assert skips(of, "conv_y") == []

    def test_a_convolution_that_somebody_else_reads_too_fuses_with_nothing(self) -> None:
        nodes = [conv("x", "c"), node("Add", ["c", "x"], ["y"], name="add")]
        of = graph(*nodes, node("Abs", ["c"], ["z"]), outputs=("y", "z"))
        assert skips(of, "conv_c") == []

    def test_a_convolution_whose_weight_is_computed_fuses_with_nothing(self) -> None:
        nodes = [
            node("Slice", ["x", "zero", "one", "axes"], ["k4"]),
            node("ReduceMean", ["k4", "axes"], ["k1"], keepdims=1),
            node("Expand", ["k1", "size"], ["k"]),
            node("Conv", ["x", "k"], ["c"], name="conv_c"),
            node("Add", ["c", "x"], ["y"], name="add"),
        ]
        of = graph(
            *nodes,
            zero=np.array([0, 0]),
            one=np.array([1, 1]),
            axes=np.array([2, 3]),
            size=np.array([3, 3, 1, 1]),
        )
        assert skips(of, "conv_c") == []


class TestWhatIsRead:
    def test_shape_arithmetic_constants_and_what_lies_inside_a_fusion_get_no_pair(self) -> None:
        of = graph(conv("x", "c"), node("Relu", ["c"], ["r"]), conv("r", "y", "w2"))
        assert r5_inside_fusion(of) == {"c"}
        assert [read.node.name for read in r5_reads(of)] == ["conv_c", "conv_y"]

    def test_a_convolution_that_reads_a_constant_has_nothing_to_quantize(self) -> None:
        of = graph(
            node("Conv", ["still", "w"], ["c"], name="conv_c"),
            node("Add", ["x", "c"], ["y"]),
            still=picture(),
        )
        kept = [one.name for one in of.nodes]
        if "conv_c" in kept:  # folded away where the passes ran
            assert list(r5_reads(of)) == []

    def test_an_activation_behind_another_operator_is_no_fusion(self) -> None:
        of = graph(node("Abs", ["x"], ["a"]), node("Relu", ["a"], ["r"]), conv("r", "y"))
        assert r5_inside_fusion(of) == set()


class TestSharedPairs:
    def test_only_the_nearest_pair_above_a_mover_is_shared(self) -> None:
        nodes = [
            node("Reshape", ["x", "size"], ["a"], name="first"),
            node("Transpose", ["a"], ["b"], name="second", perm=[0, 1, 3, 2]),
            conv("b", "y"),
        ]
        of = graph(*nodes, size=np.array([1, 3, 8, 8]))
        shared = [(later, read.node.name) for later, read in r8_shared(of, ["x", "a", "b"])]
        assert shared == [("a", "first"), ("b", "second")]

    def test_a_concat_shares_with_each_paired_input_and_stops_at_what_computes(self) -> None:
        nodes = [
            node("Transpose", ["x"], ["t"], name="turn", perm=[0, 1, 3, 2]),
            node("Abs", ["x"], ["a"], name="abs"),
            node("Concat", ["t", "a"], ["j"], name="join", axis=1),
            node("Conv", ["j", "wide"], ["y"], name="conv_y"),
        ]
        of = graph(*nodes, wide=weights(3, 6, 1, 1))
        found = [(later, read.node.name, read.slot) for later, read in r7_concat(of, ["x", "j"])]
        assert found == [("j", "turn", 0)]
        every = [(later, read.node.name, read.slot) for later, read in r7_concat(of, ["a", "j"])]
        assert every == [("j", "join", 1)]

    def test_a_pair_between_a_concat_and_its_reader_ends_the_sharing(self) -> None:
        nodes = [
            node("Concat", ["x", "x"], ["j"], name="join", axis=1),
            node("Transpose", ["j"], ["t"], name="turn", perm=[0, 1, 3, 2]),
            node("Conv", ["t", "wide"], ["y"], name="conv_y"),
        ]
        of = graph(*nodes, wide=weights(3, 6, 1, 1))
        assert [later for later, _ in r7_concat(of, ["x", "j", "t"])] == ["j", "j"]
        assert [later for later, _ in r7_concat(of, ["x", "t"])] == ["t", "t"]


class TestFewChannels:
    """R10: a first guess of what INT8 kernels do not pay for."""

    @staticmethod
    def why(op: NodeProto, weight: np.ndarray, channels: int) -> str | None:
        model = ready([op], {"k": weight}, inputs={"x": (1, channels, 8, 8)})
        of = Graph(model)
        return r10_prefers_float(of, of.nodes[0])

    def test_fewer_than_sixteen_channels_on_either_side(self) -> None:
        narrow = node("Conv", ["x", "k"], ["y"])
        few = FEW_CHANNELS - 1
        assert self.why(narrow, weights(16, 16, 1, 1), 16) is None
        assert self.why(narrow, weights(16, few, 1, 1), few) == "15 input and 16 output channels"
        assert self.why(narrow, weights(few, 16, 1, 1), 16) == "16 input and 15 output channels"

    def test_depthwise_up_to_sixty_four_and_grouped_ones_by_their_channels(self) -> None:
        def deep(group: int) -> NodeProto:
            return node("Conv", ["x", "k"], ["y"], group=group)

        assert self.why(deep(63), weights(63, 1, 3, 3), 63) == "depthwise, 63 channels"
        assert self.why(deep(64), weights(64, 1, 3, 3), 64) is None
        assert self.why(deep(2), weights(32, 16, 1, 1), 32) is None
        assert self.why(deep(2), weights(8, 4, 1, 1), 8) == "8 input and 8 output channels"
        assert self.why(node("Conv", ["x", "k"], ["y"]), weights(16, 1, 1, 1), 1) == (
            "1 input and 16 output channels"
        )

    def test_a_matrix_times_a_vector(self) -> None:
        one = node("MatMul", ["x", "k"], ["y"])
        assert self.why(one, weights(8, 4), 3) is None
        assert self.why(one, weights(8, 1), 3) == "matrix times vector"
        tall = ready([one], {"k": weights(8, 4)}, inputs={"x": (1, 3, 1, 8)})
        assert r10_prefers_float(Graph(tall), Graph(tall).nodes[0]) == "matrix times vector"
        plain = ready([node("Gemm", ["x", "k"], ["y"])], {"k": weights(8, 1)}, inputs={"x": (1, 8)})
        assert r10_prefers_float(Graph(plain), Graph(plain).nodes[0]) is None

    def test_nothing_is_guessed_where_sizes_are_not_known(self) -> None:
        model = ready([node("Conv", ["x", "k"], ["y"])], {"k": weights(8, 3, 1, 1)})
        for name in ("x", "y"):
            blind = ModelProto()
            blind.CopyFrom(model)
            for value in (*blind.graph.input, *blind.graph.output, *blind.graph.value_info):
                if value.name == name:
                    value.type.tensor_type.ClearField("shape")
            assert r10_prefers_float(Graph(blind), Graph(blind).nodes[0]) is None


class TestWhatFp16Holds:
    @pytest.mark.parametrize(
        ("value", "held"),
        [
            (HALF_MAX, True),
            (-HALF_MAX, True),
            (HALF_MAX * 1.001, False),
            (-HALF_MAX * 1.001, False),
            (float("inf"), False),
            (float("nan"), False),
            (0.0, True),
            (1e-9, False),  # nothing of it is left
        ],
    )
    def test_the_largest_magnitude_and_the_smallest(self, value: float, held: bool) -> None:
        assert fits_half(np.array([value, value], np.float32)) is held

    def test_a_part_that_is_lost_to_zero_is_no_reason_while_some_of_it_stays(self) -> None:
        assert fits_half(np.array([1e-9, 1.0], np.float32))

    @pytest.mark.parametrize(("seen", "half"), [(HALF_MAX / 2, True), (HALF_MAX * 0.51, False)])
    def test_an_operator_whose_values_come_near_the_end_of_fp16_stays_in_float(
        self, seen: float, half: bool
    ) -> None:
        model = ready([node("Mul", ["x", "two"], ["y"])], {"two": np.float32([2.0])})
        strong = to_strong(model, magnitudes={"y": seen})
        assert ("y/half" in {name for one in strong.graph.node for name in one.output}) is half

    @pytest.mark.parametrize("operator", sorted(IN_FLOAT))
    def test_these_operators_stay_in_float(self, operator: str) -> None:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
        one = helper.make_node(operator, ["x"], ["y"])
        of = Graph(helper.make_model(helper.make_graph([one], "g", values[:1], values[1:])))
        assert not is_half(of, one)
        assert is_half(of, helper.make_node("Relu", ["x"], ["y"]))

    def test_no_other_operator_stays_in_float_by_its_name(self) -> None:
        assert IN_FLOAT == STAYS_FLOAT

    @pytest.mark.parametrize(("operator", "value"), LEAVES_FP16.items(), ids=list(LEAVES_FP16))
    def test_results_that_fp16_does_not_hold_though_it_holds_what_they_are_of(
        self, operator: str, value: float
    ) -> None:
        """30 ** 4 is 8.1e5, beyond FP16, though 30 and 4 are held exactly."""
        second = {"Pow": ["four"], "CumSum": ["axis"]}.get(operator, [])
        constants = {"four": np.float32([4.0]), "axis": np.int64(3)}
        nodes = [node(operator, ["x", *second], ["y"])]
        model = ready(nodes, {name: constants[name] for name in second})
        x = np.full((1, 3, 8, 8), value, np.float32)
        wanted = run(model, x)
        assert np.abs(wanted).max() > HALF_MAX
        assert run(emulate_fp16(to_strong(model)), x) == pytest.approx(wanted, rel=1e-6)


def test_a_bias_beyond_int32_widens_the_scale_of_its_channel() -> None:
    """Weights next to nothing: in steps of their scale the bias would wrap."""
    weight = weights(3, 3, 1, 1)
    weight[1] = 1e-12
    bias = np.float32([0.1, 5.0, -0.2])
    nodes = [node("Conv", ["x", "w", "b"], ["c"]), node("Relu", ["c"], ["r"]), conv("r", "y", "v")]
    model = ready(nodes, {"w": weight, "b": bias, "v": weights(3, 3, 1, 1, seed=3)})
    quantized = lowered_to_cpu(model)
    stored = [
        values(quantized, tensor.name)
        for tensor in quantized.graph.initializer
        if tensor.data_type == 6 and tensor.dims == [3]
    ]
    biases = [one for one in stored if np.any(one)]
    assert biases, "the bias is stored in INT32"
    assert max(np.abs(one.astype(np.int64)).max() for one in biases) <= 2**31 - 1
    assert biases[0][1] > 2**29, "in fine steps all the same"
    x = picture()
    assert run(quantized, x) == pytest.approx(run(model, x), abs=0.15)
