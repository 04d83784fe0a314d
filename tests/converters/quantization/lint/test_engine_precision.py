"""Rule R14: the linter's findings joined with what an engine really computes in.

The inspector's records here are written by hand in the form that TensorRT documents (8.6 and 10,
detailed profiling verbosity): nothing could be recorded on a machine without a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import ModelProto
from test_lint import network, ours, ranges

from converters.graph.index import Graph
from converters.quantization.lint.checks import inspect_model, lint
from converters.quantization.lint.engine_precision import EngineFindings, join
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from edge.engine.inspector import read_inspector

Command = Callable[..., tuple[int, str, str]]

HALF = "Channel major FP16 format where channel % 8 == 0"
INT8 = "Thirty-two wide channel vectorized row major Int8 format"
FLOAT = "Row major linear FP32"


def layer(name: str, reads: str, makes: str, **more: object) -> dict[str, object]:
    return {
        "Name": name,
        "LayerType": "CaskConvolution",
        "ParameterType": "Convolution",
        "Inputs": [{"Name": "a", "Location": "Device", "Format/Datatype": reads}],
        "Outputs": [{"Name": "b", "Location": "Device", "Format/Datatype": makes}],
        "Weights": {"Type": "Int8" if reads == INT8 else "Half", "Count": 1},
        **more,
    }


def convolutions(model: ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def record(names: Iterable[str], **changed: dict[str, object]) -> str:
    """An engine in which every convolution of `names` is INT8, but for those in `changed`."""
    layers = [
        layer("x/QuantizeLinear", FLOAT, INT8)
        | {"LayerType": "Reformat", "ParameterType": "Reformat", "Origin": "QDQ"},
        *(
            changed.get(name) or layer(f"w + w/QuantizeLinear + {name} + PWN(Relu_1)", INT8, INT8)
            for name in names
        ),
        layer("Reformatting CopyNode for Input Tensor 0 to Conv_9", INT8, HALF)
        | {"LayerType": "Reformat", "ParameterType": "Reformat"},
    ]
    return json.dumps({"Layers": layers, "Bindings": ["x", "y"]})


def joined(model: ModelProto, text: str) -> EngineFindings:
    seen = inspect_model(model)
    return join(seen, lint(seen), read_inspector(text, name="record"))


def r14(found: EngineFindings) -> dict[str, tuple[str, str]]:
    return {one.node: (one.severity, one.engine) for one in found.findings if one.rule == "R14"}


def test_an_engine_that_does_what_the_file_says_is_told_with_its_copies() -> None:
    names = convolutions(ours())
    found = joined(ours(), record(names))
    assert r14(found) == {
        "x/QuantizeLinear": ("warning", "FP32"),
        "Reformatting CopyNode for Input Tensor 0 to Conv_9": ("note", "INT8"),
    }
    assert found.int8_macs_share == pytest.approx(1.0)
    assert found.not_found == ()
    first = next(one for one in found.findings if one.rule == "R10")
    assert first.engine == "INT8", "every finding tells how its operator is computed"


def test_convolutions_that_the_engine_left_in_float_point_at_the_rules_they_break() -> None:
    names = convolutions(ours())
    lost = names[0]  # three input channels: R10 says so
    half = layer(lost, HALF, HALF)
    found = joined(ours(), record(names, **{lost: half}))
    assert r14(found)[lost] == ("warning", "FP16")
    (told,) = [one for one in found.findings if one.rule == "R14" and one.node == lost]
    assert "R10" in told.remedy
    assert told.macs_share is not None
    assert found.int8_macs_share == pytest.approx(1.0 - told.macs_share)


def test_int8_where_the_file_says_float_is_an_error() -> None:
    model = network()
    kept = convolutions(model)[2]
    placement = place(model, kept_float={kept: "measured"})
    mixed = quantize_int8(model, placement, ranges(model))
    found = joined(mixed, record(convolutions(mixed)))
    assert r14(found)[kept] == ("error", "INT8")
    assert found.findings[0].node == kept


def test_layers_are_found_by_metadata_whatever_they_are_called() -> None:
    names = convolutions(ours())
    nodes = "\u001e".join(f"[ONNX Layer: {name}]" for name in (names[1], "Relu_1"))
    renamed = layer("ForeignNode_17_myl", INT8, INT8, Metadata=nodes)
    found = joined(ours(), record(names, **{names[1]: renamed}))
    assert found.not_found == ()
    strange = layer("ForeignNode_17_myl", INT8, INT8)
    found = joined(ours(), record(names, **{names[1]: strange}))
    assert found.not_found == (names[1],)
    assert r14(found)[names[1]] == ("note", "")
    assert set(names) <= {node.name for node in Graph(ours()).nodes}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model, text = tmp_path / "int8.onnx", tmp_path / "inspector.json"
    onnx.save(ours(), model)
    text.write_text(record(convolutions(ours())))
    return model, text


def test_the_verb_joins(brakepoint: Command, files: tuple[Path, Path]) -> None:
    model, text = files
    code, out, err = brakepoint("lint", model, "--inspector", text, "--json")
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    assert told["engine"]["int8_share"] == 1.0
    assert told["engine"]["int8_macs_share"] == pytest.approx(1.0)
    assert len(told["engine"]["reformats"]) == 1
    assert {one["rule"] for one in told["findings"]} >= {"R14", "R10"}
    code, out, _ = brakepoint("lint", model, "--inspector", text)
    assert "4 of 4 convolutions and the like in INT8" in " ".join(out.split())
    code, out, _ = brakepoint("lint", model, "--json")
    assert json.loads(out)["engine"] is None


def test_the_verb_refuses(brakepoint: Command, files: tuple[Path, Path], tmp_path: Path) -> None:
    model, text = files
    both = ("--inspector", text, "--engine", tmp_path / "x.plan")
    assert brakepoint("lint", model, *both)[0] == 2
    assert brakepoint("lint", model, "--inspector", tmp_path / "none")[0] == 3
    text.write_text("[]")
    assert brakepoint("lint", model, "--inspector", text)[0] == 4
    assert brakepoint("lint", model, "--engine", tmp_path / "none.plan")[0] == 3
