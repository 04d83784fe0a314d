"""Every pass on a graph of a few nodes: it does its work, and the numbers stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from tiny_graphs import (
    SHAPE,
    constant,
    initializers,
    node,
    ops,
    picture,
    ready,
    run,
    tiny,
    values,
    weights,
)

from converters.graph.fused_activations import fused_tensors
from converters.graph.passes.bind_input_shape import bind_shapes
from converters.graph.passes.canonical_names import PICTURE, name_everything
from converters.graph.passes.drop_initializer_inputs import mend_inputs
from converters.graph.passes.eliminate_dead_code import drop_dead_code
from converters.graph.passes.eliminate_identity import remove_identities
from converters.graph.passes.fold_batchnorm import fold_batchnorm
from converters.graph.passes.fold_constants import LARGEST_BYTES, fold_constants
from converters.graph.passes.infer_shapes import infer_shapes
from converters.graph.passes.strip_metadata import strip_metadata
from edge.perception.decode import CONDITION, DETECTIONS


def same(one: ModelProto, other: ModelProto, *, within: float = 0.0) -> None:
    """Both put out the same for a picture."""
    np.testing.assert_allclose(run(other), run(one), rtol=0, atol=within)


def branches(op: str, *more: Any, **attributes: Any) -> onnx.GraphProto:
    """A branch of an If that reads "x" from outside."""
    made = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    return helper.make_graph([node(op, ["x", *more], ["inner"], **attributes)], "b", [], [made])


def with_if() -> ModelProto:
    """relu(x) or -x, by the sign of the sum of x."""
    return tiny(
        [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Cast", ["sum"], ["any"], to=TensorProto.BOOL),
            node("If", ["any"], ["y"], then_branch=branches("Relu"), else_branch=branches("Neg")),
        ]
    )


class TestMendInputs:
    def test_weights_leave_the_inputs_and_keep_their_values(self) -> None:
        old = tiny(
            [node("Conv", ["x", "w"], ["y"])],
            {"w": weights(4, 3, 1, 1)},
            inputs={"x": SHAPE, "w": (4, 3, 1, 1)},
            ir_version=3,
        )
        mended = mend_inputs(old)
        assert [value.name for value in mended.graph.input] == ["x"]
        assert mended.ir_version >= 4
        assert len(old.graph.input) == 2
        assert run(mended).shape == (1, 4, 8, 8)


class TestBindShapes:
    @pytest.mark.parametrize("given", [("n", 3, "h", "w"), (None, 3, 8, 8), (1, 3, 8, 8), None])
    def test_what_is_open_is_set(self, given: Any) -> None:
        bound = infer_shapes(
            bind_shapes(tiny([node("Relu", ["x"], ["y"])], inputs={"x": given}), SHAPE)
        )
        for value in (bound.graph.input[0], bound.graph.output[0]):
            sizes = value.type.tensor_type.shape.dim
            assert tuple(size.dim_value for size in sizes) == SHAPE

    def test_what_is_fixed_is_left(self) -> None:
        bound = bind_shapes(
            tiny([node("Relu", ["x"], ["y"])], inputs={"x": ("n", 3, 16, 8)}), SHAPE
        )
        assert bound.graph.input[0].type.tensor_type.shape.dim[2].dim_value == 16


class TestFoldConstants:
    def test_constants_and_shapes_become_initializers(self) -> None:
        """x.flatten(1) as an older exporter writes it."""
        model = tiny(
            [
                node("Shape", ["x"], ["shape"]),
                constant("zero", np.int64(0)),
                node("Gather", ["shape", "zero"], ["batch"]),
                constant("axis", [0]),
                node("Unsqueeze", ["batch", "axis"], ["first"]),
                constant("rest", [-1]),
                node("Concat", ["first", "rest"], ["wanted"], axis=0),
                node("Reshape", ["x", "wanted"], ["y"]),
            ]
        )
        folded = fold_constants(infer_shapes(model))
        assert ops(folded) == ["Reshape"]
        assert values(folded, "wanted").tolist() == [1, -1]
        same(model, folded)

    def test_shapes_that_only_folding_makes_known_are_folded_too(self) -> None:
        model = tiny(
            [
                node("Shape", ["x"], ["s"]),
                node("ReduceProd", ["s"], ["all"], keepdims=1),
                node("Reshape", ["x", "all"], ["flat"]),
                node("Shape", ["flat"], ["s2"]),
                node("ReduceMax", ["s2"], ["half"], keepdims=1),
                node("Reshape", ["flat", "half"], ["y"]),
            ]
        )
        folded = fold_constants(infer_shapes(model))
        assert ops(folded) == ["Reshape", "Reshape"]
        same(model, folded)

    @pytest.mark.parametrize(("start", "end"), [(1, 3), (-2, 9), (0, -1)])
    def test_a_part_of_a_shape(self, start: int, end: int) -> None:
        model = tiny(
            [
                node("Shape", ["x"], ["s"], start=start, end=end),
                node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
                node("ReduceSum", ["f"], ["sum"]),
                node("Mul", ["x", "sum"], ["y"]),
            ]
        )
        folded = fold_constants(infer_shapes(model))
        assert ops(folded) == ["Mul"]
        same(model, folded)

    def test_random_numbers_sequences_and_what_would_be_huge_stay(self) -> None:
        side = int((LARGEST_BYTES / 8) ** 0.5) + 1
        model = tiny(
            [
                node("RandomNormal", [], ["random"], shape=[1]),
                node("SequenceEmpty", [], ["empty"], dtype=TensorProto.FLOAT),
                node("SequenceInsert", ["empty", "x"], ["one"]),
                node("ConcatFromSequence", ["one"], ["back"], axis=0),
                node("Expand", ["small", "sides"], ["large"]),
                node("ReduceMax", ["large"], ["max"], keepdims=0),
                node("Add", ["back", "random"], ["a"]),
                node("Add", ["a", "max"], ["y"]),
            ],
            {"small": np.float32([1.0]), "sides": np.array([side, side])},
        )
        kept = set(ops(fold_constants(infer_shapes(model))))
        assert {"RandomNormal", "SequenceEmpty", "Expand"} <= kept

    def test_a_constant_that_a_branch_reads_is_kept(self) -> None:
        model = tiny(
            [
                constant("k", np.float32(3.0)),
                node("ReduceSum", ["x"], ["sum"], keepdims=0),
                node("Cast", ["sum"], ["any"], to=TensorProto.BOOL),
                node(
                    "If",
                    ["any"],
                    ["y"],
                    then_branch=branches("Mul", "k"),
                    else_branch=branches("Add", "k"),
                ),
            ]
        )
        folded = fold_constants(infer_shapes(model))
        assert "Constant" not in ops(folded)
        same(model, folded)


def with_batchnorm(kind: str, group: int, *, bias: bool) -> ModelProto:
    channels = 8
    inputs = {"x": (1, 4, 6, 6)}
    shape = (channels, 4 // group, 3, 3) if kind == "Conv" else (4, channels // group, 3, 3)
    constants = {
        "w": weights(*shape),
        "b": weights(channels, seed=1),
        "scale": weights(channels, seed=2),
        "shift": weights(channels, seed=3),
        "mean": weights(channels, seed=4),
        "var": np.abs(weights(channels, seed=5)) + np.float32(0.1),
    }
    conv = node(kind, ["x", "w", "b"] if bias else ["x", "w"], ["c"], group=group)
    norm = node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], epsilon=1e-3)
    return tiny([conv, norm, node("Relu", ["n"], ["y"])], constants, inputs=inputs)


class TestFoldBatchnorm:
    @pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
    @pytest.mark.parametrize("group", [1, 2, 4])
    @pytest.mark.parametrize("bias", [True, False])
    def test_the_numbers_stay(self, kind: str, group: int, bias: bool) -> None:
        model = with_batchnorm(kind, group, bias=bias)
        folded = drop_dead_code(fold_batchnorm(model))
        assert ops(folded) == [kind, "Relu"]
        assert len(folded.graph.initializer) == 2
        x = picture(shape=(1, 4, 6, 6))
        np.testing.assert_allclose(run(folded, x), run(model, x), rtol=1e-5, atol=1e-5)

    def test_nothing_stands_between_the_convolution_and_its_activation(self) -> None:
        """The reason for the pass: rule R5 sees one fused operator."""
        folded = fold_batchnorm(with_batchnorm("Conv", 1, bias=False))
        from converters.graph.index import Graph

        graph = Graph(folded)
        assert fused_tensors(graph, graph.nodes[0]) == ["n", "y"]

    def test_two_convolutions_that_share_a_weight_keep_their_own_gains(self) -> None:
        constants = {"w": weights(3, 3, 1, 1)}
        nodes = []
        for row, source in enumerate(("x", "x1")):
            for part in ("s", "t", "m", "v"):
                constants[f"{part}{row}"] = np.abs(weights(3, seed=row + ord(part))) + np.float32(
                    0.1
                )
            names = [f"{part}{row}" for part in ("s", "t", "m", "v")]
            nodes += [
                node("Conv", [source, "w"], [f"c{row}"]),
                node("BatchNormalization", [f"c{row}", *names], [f"x{row + 1}"]),
            ]
        model = tiny([*nodes, node("Relu", ["x2"], ["y"])], constants)
        folded = fold_batchnorm(model)
        assert ops(folded) == ["Conv", "Conv", "Relu"]
        same(model, folded, within=1e-5)

    @pytest.mark.parametrize("why", ["somebody else reads it", "it is an output", "it trains"])
    def test_what_must_not_be_folded(self, why: str) -> None:
        nodes = list(with_batchnorm("Conv", 1, bias=True).graph.node)
        outputs = ["y"]
        if why == "somebody else reads it":
            nodes.append(node("Neg", ["c"], ["z"]))
            outputs.append("z")
        elif why == "it is an output":
            outputs.append("c")
        else:
            nodes[1].attribute.append(helper.make_attribute("training_mode", 1))
            nodes[1].output.extend(["mean_out", "var_out"])
        base = with_batchnorm("Conv", 1, bias=True)
        model = tiny(nodes, inputs={"x": (1, 4, 6, 6)}, outputs=outputs)
        model.graph.initializer.extend(base.graph.initializer)
        assert "BatchNormalization" in ops(fold_batchnorm(model))


class TestIdentities:
    def test_chains_of_them_and_dropout_go_and_names_of_outputs_stay(self) -> None:
        model = tiny(
            [
                node("Identity", ["x"], ["a"]),
                node("Dropout", ["a"], ["b"]),
                node("Relu", ["b"], ["c"]),
                node("Identity", ["c"], ["d"]),
                node("Neg", ["c"], ["z"]),
                node("Identity", ["d"], ["y"]),
            ],
            outputs=("y", "z"),
        )
        clean = remove_identities(model)
        assert ops(clean) == ["Relu", "Neg"]
        assert [value.name for value in clean.graph.output] == ["y", "z"]
        same(model, clean)

    @pytest.mark.parametrize(
        "nodes",
        [
            [node("Identity", ["x"], ["y"])],
            [node("Relu", ["x"], ["y"]), node("Identity", ["y"], ["z"])],
            [node("Dropout", ["x"], ["y", "mask"]), node("Cast", ["mask"], ["z"], to=1)],
            [node("Dropout", ["x", "ratio", "yes"], ["a"]), node("Relu", ["a"], ["y"])],
        ],
    )
    def test_what_must_stay(self, nodes: list[onnx.NodeProto]) -> None:
        outputs = ("y", "z") if any("z" in one.output for one in nodes) else ("y",)
        model = tiny(nodes, {"ratio": np.float32(0.5), "yes": np.array(True)}, outputs=outputs)
        assert ops(remove_identities(model)) == [one.op_type for one in nodes]

    def test_one_that_a_branch_reads_through_does_not_break_it(self) -> None:
        model = tiny([node("Identity", ["picture"], ["x"])], inputs={"picture": SHAPE})
        model.graph.node.extend(with_if().graph.node)
        same(model, remove_identities(model))


class TestDeadCode:
    def test_only_what_outputs_need_is_kept(self) -> None:
        model = tiny(
            [
                node("Relu", ["x"], ["a"]),
                node("Mul", ["a", "unused_by_output"], ["dead"]),
                node("Neg", ["dead"], ["dead_too"]),
                node("Add", ["a", "used"], ["y"]),
            ],
            {"used": np.float32(1), "unused_by_output": np.float32(2), "nobody": np.float32(3)},
        )
        alive = drop_dead_code(model)
        assert ops(alive) == ["Relu", "Add"]
        assert list(initializers(alive)) == ["used"]
        same(model, alive)

    def test_what_a_branch_reads_is_alive(self) -> None:
        model = with_if()
        assert ops(drop_dead_code(model)) == ops(model)


class TestNames:
    def test_picture_result_and_unique_nodes(self) -> None:
        nodes = [
            node("Relu", ["x"], [DETECTIONS], name="same"),
            node("Neg", [DETECTIONS], [PICTURE], name="same"),
            node("Neg", [PICTURE], ["images_inside"]),
            node("Neg", ["images_inside"], ["y"]),
        ]
        named = name_everything(tiny(nodes), [DETECTIONS])
        assert [value.name for value in named.graph.input] == [PICTURE]
        assert [value.name for value in named.graph.output] == [DETECTIONS]
        names = [one.name for one in named.graph.node]
        assert len({*names}) == 4
        assert all(names)
        for one in nodes:
            one.ClearField("name")  # onnxruntime takes no name twice
        same(tiny(nodes), named)

    def test_outputs_that_carry_each_others_names(self) -> None:
        nodes = [node("Relu", ["x"], [CONDITION]), node("Neg", ["x"], [DETECTIONS])]
        model = tiny(nodes, outputs=(CONDITION, DETECTIONS))
        named = name_everything(model, [DETECTIONS, CONDITION])
        assert [value.name for value in named.graph.output] == [DETECTIONS, CONDITION]
        same(model, named)

    def test_constants_under_those_names_get_out_of_the_way(self) -> None:
        model = tiny([node("Mul", ["x", PICTURE], ["y"])], {PICTURE: np.float32(2.0)})
        same(model, name_everything(model, [DETECTIONS]))

    def test_branches_read_the_picture_under_its_new_name(self) -> None:
        same(with_if(), name_everything(with_if(), [DETECTIONS]))

    def test_a_branch_that_makes_a_tensor_of_that_name(self) -> None:
        model = with_if()
        for attribute in model.graph.node[-1].attribute:
            attribute.g.node[0].output[0] = attribute.g.output[0].name = PICTURE
        same(model, name_everything(model, [DETECTIONS]))


def test_talk_is_stripped_and_the_graph_is_not() -> None:
    model = ready([node("Mul", ["x", "k"], ["y"])], {"k": np.float32(2)})
    quiet = strip_metadata(model).SerializeToString()
    model.producer_name, model.producer_version = "exporter", "1.2.3"
    model.doc_string = model.graph.doc_string = "made on a machine"
    model.graph.name = "/home/somebody/model.py"
    model.graph.node[0].doc_string = 'File "/home/somebody/model.py", line 3'
    model.graph.initializer[0].doc_string = "where it came from"
    entry = model.metadata_props.add()
    entry.key, entry.value = "stack", "trace"
    entry = model.graph.node[0].metadata_props.add()
    entry.key, entry.value = "stack", "trace"
    assert strip_metadata(model).SerializeToString() == quiet
    assert b"somebody" not in quiet
