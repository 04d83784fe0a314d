"""A user's ONNX file: each fault gives one refusal that names it."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from tiny_graphs import SHAPE, node, picture, ready, run, tiny, weights

from calibration.ranges.ranges import Range
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from converters.sources.onnx_checks import QUANTIZED
from converters.sources.onnx_file import read_onnx
from firmware_bridge.errors import Missing, Refusal, UsageError


def network(**more: Any) -> ModelProto:
    model = tiny(
        [node("Conv", ["x", "w", "b"], ["c"]), node("Relu", ["c"], ["y"])],
        {"w": weights(64, 3, 1, 1), "b": weights(64, seed=1)},
        **more,
    )
    return onnx.shape_inference.infer_shapes(model)


def written(path: Path, model: ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path, kind: type[Refusal], words: str) -> Refusal:
    with pytest.raises(kind, match=words) as caught:
        read_onnx(path, SHAPE)
    assert path.name in caught.value.what
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("name", ["m.onnx", "m.txt", "m.json", "m.onnxtxt", "no_suffix"])
def test_a_good_file_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    model, digest = read_onnx(written(tmp_path / name, network()), SHAPE)
    assert len(digest) == 64
    np.testing.assert_array_equal(run(model), run(network()))


def test_missing_and_a_folder_exit_3(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.onnx", Missing, "no model at").found == "no such file"
    assert refused(tmp_path, Missing, "no model at").found == "a folder"


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = network().SerializeToString()
    for size in (0, 1, 17, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "cut.onnx"
        path.write_bytes(whole[:size])
        refused(path, UsageError, "is not a whole ONNX model")


@pytest.mark.parametrize("suffix", [".onnx", ".txt", ".json", ".onnxtxt", ".textproto"])
@pytest.mark.parametrize("kind", ["jpeg", "text", "torch", "old torch"])
def test_a_file_of_another_kind(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"foreign{suffix}"
    if kind == "jpeg":
        import cv2

        path.write_bytes(cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes())
    elif kind == "text":
        path.write_text("the quick brown fox\n" * 20)
    else:
        state = {"w": torch.zeros(3)}
        torch.save(state, path, _use_new_zipfile_serialization=kind == "torch")
    refused(path, UsageError, "is not a whole ONNX model")


def test_damaged_bytes_are_refused_and_never_a_traceback(tmp_path: Path) -> None:
    whole = network().SerializeToString()
    chance = random.Random(0)
    path = tmp_path / "damaged.onnx"
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.choice((chance.randrange(200), -chance.randrange(1, 200)))] ^= (
                1 << chance.randrange(8)
            )
        path.write_bytes(damaged)
        with contextlib.suppress(Refusal):
            read_onnx(path, SHAPE)


def test_unknown_operators_are_counted_by_name(tmp_path: Path) -> None:
    model = network()
    model.graph.node[1].op_type = "Imagined"
    model.graph.node.append(node("FusedConv", ["c"], ["z"], domain="com.example"))
    refusal = refused(written(tmp_path / "m.onnx", model), UsageError, "not in the ONNX standard")
    assert refusal.found == "ai.onnx::Imagined (1), com.example::FusedConv (1)"


def test_functions_of_the_file_itself_are_written_out(tmp_path: Path) -> None:
    model = network()
    twice = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    model.functions.append(twice)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.node[1].CopyFrom(node("Twice", ["c"], ["y"], domain="mine"))
    read, _ = read_onnx(written(tmp_path / "m.onnx", model), SHAPE)
    assert [one.op_type for one in read.graph.node] == ["Conv", "Add"]


@pytest.mark.parametrize(("opset", "words"), [(6, "is too old"), (99, "is too new")])
def test_too_old_and_too_new(opset: int, words: str, tmp_path: Path) -> None:
    model = network()
    model.opset_import[0].version = opset
    refusal = refused(written(tmp_path / "m.onnx", model), UsageError, words)
    assert refusal.found == f"opset {opset}"


@pytest.mark.parametrize("op", sorted(QUANTIZED))
def test_quantized_already(op: str, tmp_path: Path) -> None:
    model = network()
    model.graph.node[1].op_type = op
    refusal = refused(written(tmp_path / "m.onnx", model), UsageError, "is quantized already")
    assert op in refusal.found


class TestQuantizedByAnyTool:
    """The remedy is the float network, or lint where that is lost."""

    def refused(self, model: ModelProto, folder: Path) -> str:
        refusal = refused(written(folder / "m.onnx", model), UsageError, "is quantized already")
        assert "lint" in refusal.remedy
        return refusal.found

    def test_by_this_one(self, tmp_path: Path) -> None:
        model = ready(
            [node("Conv", [PICTURE, "w"], ["c"]), node("Relu", ["c"], ["y"])],
            {"w": weights(16, 3, 1, 1)},
            inputs={PICTURE: SHAPE},
        )
        placement = place(model)
        one = Range(amax=1.0, low=-1.0, high=1.0, lowest=-1.0, highest=1.0, values=9)
        int8 = quantize_int8(model, placement, dict.fromkeys(placement.pairs, one))
        found = self.refused(int8, tmp_path)
        assert found == "DequantizeLinear (2), QuantizeLinear (2)"

    def test_by_onnxruntime_with_a_zero_point(self, tmp_path: Path) -> None:
        class Pictures(CalibrationDataReader):
            def __init__(self) -> None:
                self.left = [{"x": np.abs(picture(seed))} for seed in range(3)]

            def get_next(self) -> Any:
                return self.left.pop() if self.left else None

        quantize_static(written(tmp_path / "f.onnx", network()), tmp_path / "q.onnx", Pictures())
        found = self.refused(onnx.load(tmp_path / "q.onnx"), tmp_path)
        assert "QuantizeLinear" in found
        assert "of them asymmetric, which TensorRT refuses" in found

    def test_weights_alone(self, tmp_path: Path) -> None:
        model = tiny(
            [node("DequantizeLinear", ["q", "s"], ["w"]), node("Conv", ["x", "w"], ["y"])],
            {"q": np.ones((8, 3, 1, 1), np.int8), "s": np.float32(0.1)},
        )
        assert self.refused(model, tmp_path) == "DequantizeLinear (1)"


class TestWeightsThatAreNoNumbers:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_are_named_with_their_layer(self, bad: float, tmp_path: Path) -> None:
        broken = weights(64, 3, 1, 1)
        broken[3, 1] = broken[7, 2] = bad
        model = tiny([node("Conv", ["x", "w"], ["y"], name="stem")], {"w": broken})
        refusal = refused(written(tmp_path / "m.onnx", model), UsageError, "NaN or infinity")
        assert refusal.found == "2 of 192 in 'w' of Conv 'stem'"

    def test_an_infinity_that_is_no_weight_is_meant(self, tmp_path: Path) -> None:
        model = tiny(
            [node("Conv", ["x", "w"], ["c"]), node("Max", ["c", "low"], ["y"])],
            {"w": weights(64, 3, 1, 1), "low": np.float32(-np.inf)},
        )
        read_onnx(written(tmp_path / "m.onnx", model), SHAPE)


@pytest.mark.parametrize(
    "inputs", [{"x": ("batch", 3, "h", "w")}, {"x": ("n", 3, 8, 8)}, {"x": SHAPE}]
)
def test_open_sizes_fit_any_picture(inputs: dict[str, Any], tmp_path: Path) -> None:
    model, _ = read_onnx(written(tmp_path / "m.onnx", network(inputs=inputs)), SHAPE)
    assert run(model, picture()).shape == (1, 64, 8, 8)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"x": (1, 3, 16, 8)}, "x [1, 3, 16, 8]"),
        ({"x": (2, 3, 8, 8)}, "x [2, 3, 8, 8]"),
        ({"x": SHAPE, "size": (2,)}, "size [2]"),
        ({"x": (3, 8, 8)}, "x [3, 8, 8]"),
    ],
)
def test_another_picture_size_or_more_inputs(
    inputs: dict[str, Any], found: str, tmp_path: Path
) -> None:
    model = tiny([node("Relu", ["x"], ["y"])], inputs=inputs)
    model = onnx.shape_inference.infer_shapes(model)
    refusal = refused(written(tmp_path / "m.onnx", model), UsageError, "mission's picture")
    assert found in refusal.found
    assert "[1, 3, 8, 8]" in refusal.expected


def test_bytes_instead_of_floats(tmp_path: Path) -> None:
    model = network()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    refused(written(tmp_path / "m.onnx", model), UsageError, "whole|picture")


class TestExternalData:
    def saved(self, folder: Path) -> Path:
        path = folder / "m.onnx"
        onnx.save(network(), path, save_as_external_data=True, location="m.bin", size_threshold=100)
        return path

    def test_is_taken_in(self, tmp_path: Path) -> None:
        model, _ = read_onnx(self.saved(tmp_path), SHAPE)
        (tmp_path / "m.bin").unlink()
        np.testing.assert_array_equal(run(model), run(network()))

    def test_missing_exits_3_and_names_it(self, tmp_path: Path) -> None:
        path = self.saved(tmp_path)
        (tmp_path / "m.bin").unlink()
        assert refused(path, Missing, "keeps beside it are not there").found == "no m.bin"

    def test_cut(self, tmp_path: Path) -> None:
        path = self.saved(tmp_path)
        (tmp_path / "m.bin").write_bytes((tmp_path / "m.bin").read_bytes()[:50])
        refused(path, UsageError, "is not a whole ONNX model")

    def test_more_than_protobuf_holds_is_refused_unread(self, tmp_path: Path) -> None:
        path = self.saved(tmp_path)
        with (tmp_path / "m.bin").open("r+b") as file:
            file.truncate(2 << 30)  # sparse: takes no room
        assert refused(path, UsageError, "is too large").found == "2.1 GB"

    def test_never_reads_outside_the_models_folder(self, tmp_path: Path) -> None:
        (tmp_path / "inside").mkdir()
        path = self.saved(tmp_path / "inside")
        (tmp_path / "inside" / "m.bin").rename(tmp_path / "m.bin")
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "../m.bin"
        refused(written(path, model), UsageError, "is not a whole ONNX model")
