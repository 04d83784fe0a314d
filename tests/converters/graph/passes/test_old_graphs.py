"""Graphs as exporters wrote them years ago: every opset from 7 on is brought to the target's, with
the weights among the inputs, no names, no shapes, and masks that nobody reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tiny_graphs import SHAPE, node, ops, picture, run, tiny, weights

from converters.graph.passes.canonical_names import PICTURE
from converters.graph.passes.pipeline import passes, run_passes
from converters.sources.onnx_file import OLDEST_OPSET, read_onnx
from edge.perception.values import Floats
from firmware_bridge.errors import UsageError

IR_OF = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7}
"""The IR that came with each opset."""

CONSTANTS: dict[str, np.ndarray] = {
    "w": weights(8, 3, 3, 3),
    "scale": np.abs(weights(8, seed=1)) + 0.5,
    "shift": weights(8, seed=2),
    "mean": weights(8, seed=3),
    "var": np.abs(weights(8, seed=4)) + 0.5,
    "w2": weights(6, 8, 1, 1, seed=5),
    "dense": weights(6, 4, seed=6),
}


def old_network(opset: int) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """One network, written with the operators of `opset`."""
    constants = dict(CONSTANTS)

    def told(name: str, value: object, since: int) -> list[str]:
        """An input from the opset on that made one of an attribute."""
        if opset < since:
            return []
        constants[name] = np.asarray(value)
        return [name]

    def attribute(key: str, value: object, until: int) -> dict[str, object]:
        return {key: value} if opset < until else {}

    twice, pads, axes = [1.0, 1.0, 2.0, 2.0], [0, 0, 1, 1, 0, 0, 1, 1], [3]
    factor = np.float32(twice)
    if opset < 9:
        up = node("Upsample", ["r"], ["u"], mode="nearest", scales=twice)
    elif opset == 9:
        up = node("Upsample", ["r", *told("s", factor, 9)], ["u"], mode="nearest")
    elif opset == 10:
        up = node("Resize", ["r", *told("s", factor, 10)], ["u"], mode="nearest")
    else:
        roi = told("roi", np.zeros(0, np.float32), 11)
        up = node(
            "Resize", ["r", *roi, *told("s", factor, 11)], ["u"], mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
    return [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["b"]),
        node("Relu", ["b"], ["r"]),
        up,
        node("Dropout", ["u"], ["d", "mask"], **attribute("ratio", 0.3, 12)),
        node(
            "Pad", ["d", *told("pads", np.array(pads), 11)], ["p"], **attribute("pads", pads, 11)
        ),
        node(
            "Clip",
            ["p", *told("low", np.float32(0.0), 11), *told("high", np.float32(6.0), 11)],
            ["k"], **attribute("min", 0.0, 11), **attribute("max", 6.0, 11),
        ),
        node("Conv", ["k", "w2"], ["e"]),
        node(
            "Slice",
            ["e", *told("from", np.array([0]), 10), *told("to", np.array([9]), 10),
             *told("along", np.array([2]), 10)],
            ["f"],
            **(attribute("starts", [0], 10) | attribute("ends", [9], 10)
               | attribute("axes", [2], 10)),
        ),
        node("ReduceMean", ["f"], ["g"], axes=axes, keepdims=1),
        node("Squeeze", ["g", *told("at", np.array([3]), 13)], ["q"], **attribute("axes", [3], 13)),
        node("Transpose", ["q"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["t", "dense"], ["z"]),
        node("Softmax", ["z"], ["y"], axis=2),
    ], constants  # fmt: skip


def old_model(opset: int) -> ModelProto:
    nodes, constants = old_network(opset)
    shapes = {"x": SHAPE} | {name: value.shape for name, value in constants.items()}
    types = {name: value.dtype for name, value in constants.items()}
    fed = shapes if IR_OF[opset] < 4 or opset == 12 else {"x": SHAPE}
    graph = helper.make_graph(
        nodes,
        "old",
        [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(types.get(name, np.dtype(np.float32))),
                shape,
            )
            for name, shape in fed.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_OF[opset]
    )


def expected(x: Floats) -> Floats:
    """What every one of them computes, from the one of opset 13."""
    return run(old_model(13), x)


@pytest.mark.parametrize("target", [17, 18, 21])
@pytest.mark.parametrize("opset", sorted(IR_OF))
def test_every_opset_computes_the_same(opset: int, target: int, tmp_path: Path) -> None:
    path = tmp_path / "old.onnx"
    path.write_bytes(old_model(opset).SerializeToString())
    model, _ = read_onnx(path, SHAPE)
    x = picture(1)
    mended, _ = run_passes(model, passes(target, SHAPE, ["answer"]), [picture(0), x])
    np.testing.assert_allclose(run(mended, x), expected(x), atol=1e-5)
    assert [value.name for value in mended.graph.input] == [PICTURE]
    assert all(one.name for one in mended.graph.node)
    assert not {"BatchNormalization", "Dropout", "Upsample"} & set(ops(mended))


@pytest.mark.parametrize("opset", sorted(IR_OF))
def test_a_normalization_in_training_is_refused_by_its_name(opset: int, tmp_path: Path) -> None:
    """By these opsets' rules it would take its statistics from the picture."""
    model = old_model(opset)
    (norm,) = (one for one in model.graph.node if one.op_type == "BatchNormalization")
    norm.output.extend(["mean_now", "var_now", "mean_saved", "var_saved"])
    refused_in_training(model, tmp_path, "BatchNormalization 'b'")


@pytest.mark.parametrize("op", ["BatchNormalization", "Dropout"])
def test_training_as_later_opsets_write_it(op: str, tmp_path: Path) -> None:
    yes = node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    norm = node("BatchNormalization", ["x", *"abcd"], ["y"], name="n", training_mode=1)
    drop = node("Dropout", ["x", "", "yes"], ["y"], name="n")
    model = tiny(
        [norm] if op == "BatchNormalization" else [yes, drop],
        {name: np.ones(3, np.float32) for name in "abcd" if op == "BatchNormalization"},
        opset=15,
    )
    refused_in_training(model, tmp_path, f"{op} 'n'")


def refused_in_training(model: ModelProto, folder: Path, words: str) -> None:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="in training mode") as caught:
        read_onnx(path, SHAPE)
    assert words in caught.value.found
    assert "eval()" in caught.value.remedy


def test_the_oldest_is_the_oldest_that_is_tested() -> None:
    assert min(IR_OF) == OLDEST_OPSET


@pytest.mark.parametrize("name", ["FastestDet", "yolox_nano"])
def test_real_ones_of_2021(name: str, shared_data: Path) -> None:
    path = shared_data / "detectors" / f"{name}.onnx"
    sizes = {"FastestDet": 352, "yolox_nano": 416}
    shape = (1, 3, sizes[name], sizes[name])
    model, _ = read_onnx(path, shape)
    assert onnx.load(path).opset_import[0].version == 11
    x = picture(0, shape)
    mended, _ = run_passes(model, passes(18, shape, ["answer"]), [x])
    np.testing.assert_allclose(run(mended, x), run(model, x), atol=1e-3)
