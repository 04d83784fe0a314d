"""From the opset of a file to that of the target: equal numbers, or a refusal with the operator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import NodeProto
from tiny_graphs import constant, node, ops, picture, run, tiny, weights

from converters.graph.index import opset_of
from converters.graph.passes.bind_input_shape import bind_shapes
from converters.graph.passes.convert_opset import LOWER_TO_17, MAX_OPSET, MIN_OPSET, to_opset
from converters.graph.passes.drop_initializer_inputs import mend_inputs
from firmware_bridge.errors import UsageError


def old_network(opset: int) -> onnx.ModelProto:
    """Convolution, BatchNorm, pooling, upsampling, slices and means as that opset writes them."""
    channels = np.abs(weights(4, seed=1)) + np.float32(0.1)
    constants = {"w": weights(4, 3, 3, 3), **dict.fromkeys(("s", "t", "m", "v"), channels)}
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        node("LeakyRelu", ["n"], ["r"], alpha=0.1),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    scales = np.float32([1, 1, 2, 2])
    if opset < 10:
        nodes.append(node("Upsample", ["p", "scales"], ["u"], mode="nearest"))
    elif opset < 11:
        nodes.append(node("Resize", ["p", "scales"], ["u"], mode="nearest"))
    else:
        asked = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        constants["roi"] = np.zeros(0, np.float32)
        nodes.append(node("Resize", ["p", "roi", "scales"], ["u"], mode="nearest", **asked))
    constants["scales"] = scales
    nodes.append(node("Concat", ["u", "r"], ["joined"], axis=1))
    if opset < 10:
        nodes.append(node("Slice", ["joined"], ["part"], starts=[1], ends=[7], axes=[1]))
    else:
        constants |= {"from": np.array([1]), "to": np.array([7]), "along": np.array([1])}
        nodes.append(node("Slice", ["joined", "from", "to", "along"], ["part"]))
    if opset < 13:
        nodes.append(node("Squeeze", ["part"], ["flat"], axes=[0]))
        nodes.append(node("Unsqueeze", ["flat"], ["back"], axes=[0]))
        nodes.append(node("ReduceSum", ["back"], ["sum"], axes=[3], keepdims=1))
    else:
        constants |= {"first": np.array([0]), "last": np.array([3])}
        nodes.append(node("Squeeze", ["part", "first"], ["flat"]))
        nodes.append(node("Unsqueeze", ["flat", "first"], ["back"]))
        nodes.append(node("ReduceSum", ["back", "last"], ["sum"], keepdims=1))
    nodes.append(node("Softmax", ["sum"], ["y"], axis=1))
    return tiny(nodes, constants, opset=opset)


@pytest.mark.parametrize("there", [9, 10, 11, 12, 13, 16])
@pytest.mark.parametrize("wanted", [17, 18, 21])
def test_upwards_the_numbers_stay(there: int, wanted: int) -> None:
    model = old_network(there)
    raised = to_opset(mend_inputs(model), wanted)
    assert opset_of(raised) == wanted
    onnx.checker.check_model(raised, full_check=False)
    np.testing.assert_allclose(run(raised), run(model), rtol=1e-5, atol=1e-6)


def test_the_opset_that_is_there_is_left_alone() -> None:
    model = tiny([node("Relu", ["x"], ["y"])])
    assert to_opset(model, 18) is model


CASES: dict[str, list[NodeProto]] = {
    **{
        f"Reduce{name}": [constant("axes", [2, 3]), node(f"Reduce{name}", ["x", "axes"], ["y"])]
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    },
    "Pad": [constant("pads", [0, 0, 1, 1, 0, 0, 1, 1]), node("Pad", ["x", "pads", "", ""], ["y"])],
    "Resize": [
        constant("scales", np.float32([1, 1, 2, 2])),
        node("Resize", ["x", "", "scales"], ["y"], mode="nearest", antialias=0),
    ],
    "Split": [
        node("Relu", ["x"], ["r"]),  # its shape is not written in the file
        node("Split", ["r"], ["a", "b"], num_outputs=2, axis=-1),
        node("Sub", ["a", "b"], ["y"]),
    ],
}


@pytest.mark.parametrize("op", LOWER_TO_17)
@pytest.mark.parametrize("there", [18, 19])
def test_down_to_17_the_numbers_stay(op: str, there: int) -> None:
    model = tiny([node("Abs", ["x"], ["positive"]), *CASES[op]], opset=there)
    for one in model.graph.node:
        if one.op_type.startswith("Reduce"):
            one.input[0] = "positive"  # so that logarithms exist
    lowered = to_opset(bind_shapes(model, (1, 3, 8, 8)), 17)
    assert opset_of(lowered) == 17
    assert op in ops(lowered)
    onnx.checker.check_model(lowered)
    np.testing.assert_allclose(run(lowered), run(model), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([node("Mish", ["x"], ["y"])], "Mish exist from opset 18 on"),
        (
            [
                node("NonZero", ["x"], ["n"]),
                node("ReduceMax", ["n"], ["k"], keepdims=0),
                node("Unsqueeze", ["k", "zero"], ["axes"]),
                node("ReduceMean", ["x", "axes"], ["y"]),
            ],
            "the axes of ReduceMean 'it' are computed",
        ),
        ([node("ReduceMean", ["x"], ["y"], noop_with_empty_axes=1)], "reduces nothing when empty"),
        ([node("Split", ["x"], ["y", "b", "c"], num_outputs=3, axis=2)], "makes unequal parts"),
        ([node("Pad", ["x", "pads", "", "zero"], ["y"])], "pads chosen axes"),
        (
            [node("Resize", ["x", "", "scales"], ["y"], mode="linear", antialias=1)],
            "uses what came in opset 18",
        ),
    ],
)
def test_what_17_cannot_say_is_refused_by_name(nodes: list[NodeProto], found: str) -> None:
    nodes[-1].name = "it"
    constants = {
        "zero": np.array([0]),
        "pads": np.array([1, 1]),
        "scales": np.float32([1, 1, 0.5, 0.5]),
    }
    with pytest.raises(UsageError, match="cannot be brought from opset 18 to 17") as refused:
        to_opset(tiny(nodes, constants), 17)
    assert found in refused.value.found
    assert "precision.opset=18" in refused.value.remedy


def test_an_operator_that_differs_inside_a_branch_is_refused() -> None:
    from test_passes import branches

    model = tiny(
        [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Cast", ["sum"], ["any"], to=onnx.TensorProto.BOOL),
            node(
                "If",
                ["any"],
                ["y"],
                then_branch=branches("ReduceMean", "zero", keepdims=1),
                else_branch=branches("ReduceMax", "zero", keepdims=1),
            ),
        ],
        {"zero": np.array([0])},
    )
    assert run(model, picture()).shape == (1, 3, 8, 8)
    with pytest.raises(UsageError) as refused:
        to_opset(model, 17)
    assert refused.value.found == "ReduceMax, ReduceMean inside If"


def test_the_mission_may_ask_for_what_there_is() -> None:
    from edge.contract.mission.sections.conversion import Precision

    limits = {type(item).__name__: item for item in Precision.model_fields["opset"].metadata}
    assert (limits["Ge"].ge, limits["Le"].le) == (MIN_OPSET, MAX_OPSET)
