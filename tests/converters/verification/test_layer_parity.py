"""Where two forms of a network diverge: the first tensor that differs is that of the faulty
operator.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, numpy_helper

from converters.graph.index import Graph
from converters.graph.passes.pipeline import passes, run_passes
from converters.sources.pytorch.export import export, trace
from converters.sources.pytorch.intermediate_values import TorchForm
from converters.verification.layer_parity import OnnxForm, compare_layers, worst_first
from converters.zoo import roadnet

Command = Callable[..., tuple[int, str, str]]

SHAPE = (1, 3, 64, 96)


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def road() -> tuple[torch.nn.Module, ModelProto, np.ndarray]:
    torch.manual_seed(0)
    net = roadnet(3)
    picture = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    model = export(net, SHAPE, ("detections",))
    floating, _ = run_passes(model, passes(18, SHAPE, ("detections",)), [picture])
    return net, floating, picture


def test_torch_and_onnx_agree_in_every_layer_that_both_have(
    road: tuple[torch.nn.Module, ModelProto, np.ndarray],
) -> None:
    net, floating, picture = road
    torch_form = TorchForm(trace(net, SHAPE, ("detections",)))
    layers = compare_layers(torch_form, OnnxForm(floating, threads=1), [picture], progress=quiet)
    made = [name for node in floating.graph.node for name in node.output]
    assert len(layers) >= 0.9 * len(made), "the exporter's names are those of the traced network"
    assert all((layer.difference.snr_db or 200.0) > 80.0 for layer in worst_first(layers)), (
        "one network"
    )


@pytest.mark.parametrize("room_values", [1, 1 << 24])
def test_a_fault_is_found_where_it_is(
    road: tuple[torch.nn.Module, ModelProto, np.ndarray], room_values: int
) -> None:
    _, floating, picture = road
    broken = ModelProto()
    broken.CopyFrom(floating)
    convolutions = [node for node in broken.graph.node if node.op_type == "Conv"]
    faulty = convolutions[7]
    weight = next(one for one in broken.graph.initializer if one.name == faulty.input[1])
    values = numpy_helper.to_array(weight) * np.float32(1.1)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    forms = [OnnxForm(model, threads=1) for model in (floating, broken)]
    layers = compare_layers(*forms, [picture], progress=quiet, room_values=room_values)
    differing = [layer for layer in layers if layer.difference.snr_db is not None]
    assert differing[0].tensor == faulty.output[0]
    assert differing[0].difference.snr_db == pytest.approx(20.0, abs=0.1), "a tenth"
    assert worst_first(layers)[0].difference.snr_db is not None
    assert worst_first(layers)[-1].difference.snr_db is None
    assert len(layers) == len({n for node in Graph(floating).nodes for n in node.output})


@pytest.fixture(scope="module")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edge.cli import main

    out = tmp_path_factory.mktemp("layers") / "out"
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tiny_mission), "--out", str(out), "--json"])
    assert not ended.value.code
    return out


@pytest.mark.parametrize("pair", ["source", "int8", "cpu", "strong"])
def test_the_verb_tells_every_layer(
    pair: str, brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "layers.png"
    arguments = ("parity", tiny_mission, "--from", converted, "--pair", pair)
    code, out, err = brakepoint(*arguments, "--json", "--plot", picture)
    assert code == 0, err
    layers = json.loads(out)["layers"]
    compared = [layer["tensor"] for layer in layers]
    every = ["a", "r", "map", "flat", "detections"]
    # cpu.onnx folds what onnxruntime fuses: the others are in it by other names.
    assert compared == ([name for name in every if name in compared] if pair == "cpu" else every)
    assert compared
    assert picture.read_bytes().startswith(b"\x89PNG")
    if pair == "int8":
        assert 40.0 < layers[0]["snr_db"] < 70.0, "eight bits"
    if pair == "source":
        assert all(layer["equal"] for layer in layers)
    code, out, _ = brakepoint(*arguments, "--worst", "2")
    assert code == 0
    assert len(compared) <= 2 or f"and {len(compared) - 2} layers that are closer" in out


def test_another_network_is_not_taken_for_the_source(
    brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    """Same sizes and labels, other weights: layers would differ, and nothing be wrong."""
    model = onnx.load(tiny_mission.parent / "tiny.onnx")
    weight = model.graph.initializer[0]
    values = numpy_helper.to_array(weight) * np.float32(2.0)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "other.onnx")
    arguments = ("--from", converted, "--set", f"model.file={tmp_path / 'other.onnx'}")
    code, _, err = brakepoint("parity", tiny_mission, *arguments, "--pair", "source")
    assert (code, "from another network" in " ".join(err.split())) == (4, True)


def test_the_verb_refuses(
    brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    asked = ("parity", tiny_mission, "--from")
    code, _, err = brakepoint(*asked, converted, "--pair", "engine")
    assert (code, "source, int8" in err) == (2, True)
    code, _, err = brakepoint(*asked, tmp_path / "none")
    assert (code, "report.json" in err) == (3, True)
