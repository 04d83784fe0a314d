"""Weights for a factory's network: every form that training scripts save, and nothing else."""

from __future__ import annotations

import pickle
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tiny_torch
import torch
from checkout import TESTS
from torch import nn

from converters.graph.passes.pipeline import passes, run_passes
from converters.sources.pytorch.export import export
from converters.sources.source import TorchSource, open_source
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.decode import DETECTIONS
from firmware_bridge.errors import Missing, Refusal, UsageError

SIDE = 64
SHAPE = (1, 3, SIDE, SIDE)


@pytest.fixture
def mission(tiny_mission: Path, tmp_path: Path) -> Mission:
    raw = load_mission(tiny_mission).model_dump()
    origin = {"factory": "tiny_torch:tiny", "weights": tmp_path / "weights.pt", "file": None}
    raw["model"] |= origin
    return Mission.model_validate(raw)


def named(mission: Mission, factory: str) -> Mission:
    raw = mission.model_dump()
    raw["model"]["factory"] = f"tiny_torch:{factory}"
    return Mission.model_validate(raw)


def state(network: nn.Module | None = None) -> dict[str, torch.Tensor]:
    network = tiny_torch.tiny(3) if network is None else network
    for parameter in network.parameters():
        parameter.data += 0.25
    return network.state_dict()


def saved(mission: Mission, what: Any, **more: Any) -> Mission:
    assert mission.model.weights is not None
    torch.save(what, mission.model.weights, **more)
    return mission


def refused(mission: Mission, words: str, kind: type[Refusal] = UsageError) -> Refusal:
    with pytest.raises(kind, match=words) as caught:
        open_source(mission.model)
    return caught.value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda plain: plain,
        lambda plain: {"state_dict": plain, "epoch": 3},
        lambda plain: {"model_state_dict": plain, "optimizer": {"lr": 0.1}},
        lambda plain: {"model": {"state_dict": plain}},
        lambda plain: {f"module.{key}": value for key, value in plain.items()},
        lambda plain: {"model": {f"module.{key}": value for key, value in plain.items()}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_usual_form_loads_the_same_weights(mission: Mission, wrap: Any, zipped: bool) -> None:
    plain = state()
    source = open_source(saved(mission, wrap(plain), _use_new_zipfile_serialization=zipped).model)
    assert isinstance(source, TorchSource)
    assert not source.network.training
    loaded = source.network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in plain.items())


def test_weights_that_a_gpu_held_are_loaded_without_one(mission: Mission) -> None:
    plain = state()
    saved(mission, plain)
    path = mission.model.weights
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (index,) = (name for name in files if name.endswith("data.pkl"))
    here, there = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    assert here in files[index]
    files[index] = files[index].replace(here, there)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    source = open_source(mission.model)
    assert isinstance(source, TorchSource)
    assert all(torch.equal(source.network.state_dict()[key], value) for key, value in plain.items())


def test_weights_that_are_no_numbers_are_named(mission: Mission) -> None:
    plain = state()
    plain["skip.weight"][2, 1] = float("nan")
    refusal = refused(saved(mission, plain), "NaN or infinity")
    assert refusal.found == "9 of 2304 in 'skip.weight'"


@pytest.mark.parametrize("parallel", [False, True])
def test_a_network_with_a_part_called_module(mission: Mission, parallel: bool) -> None:
    own = state(tiny_torch.wrapping(3))
    given = {f"module.{key}": value for key, value in own.items()} if parallel else own
    source = open_source(saved(named(mission, "wrapping"), given).model)
    assert isinstance(source, TorchSource)
    assert torch.equal(source.network.state_dict()["module.cells.bias"], own["module.cells.bias"])


def test_missing_weights_and_a_folder_exit_3(mission: Mission) -> None:
    assert mission.model.weights is not None
    assert "brakepoint train" in refused(mission, "no weights at", Missing).remedy
    mission.model.weights.mkdir()
    assert refused(mission, "no weights at", Missing).found == "a folder"


class Payload:
    """What a malicious file would run when it is loaded."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("was-run"),))


@pytest.mark.parametrize("form", ["zip", "old", "plain pickle"])
def test_code_in_a_weights_file_is_never_run(
    form: str, mission: Mission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": state(), "extra": Payload()}
    assert mission.model.weights is not None
    if form == "plain pickle":
        mission.model.weights.write_bytes(pickle.dumps({"extra": Payload()}))
    else:
        saved(mission, content, _use_new_zipfile_serialization=form == "zip")
    refused(mission, "is not a file of weights")
    assert not (tmp_path / "was-run").exists()


def test_a_pickled_module_is_no_state_dict(mission: Mission) -> None:
    refused(saved(mission, tiny_torch.tiny(3)), "is not a file of weights")


@pytest.mark.parametrize(
    "what", [{}, [1, 2], torch.zeros(3), {"epoch": 3}, {1: torch.zeros(3)}, {"state_dict": {}}]
)
def test_other_things_than_tensors_by_name(what: Any, mission: Mission) -> None:
    assert "torch.save" in refused(saved(mission, what), "is not a file of weights").remedy


@pytest.mark.parametrize("zipped", [True, False])
def test_cut_damaged_or_foreign_bytes_are_one_message(mission: Mission, zipped: bool) -> None:
    path = mission.model.weights
    assert path is not None
    saved(mission, {"a": torch.zeros(3)}, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    chance = random.Random(0)
    contents = [b"", b"a text\n" * 50, b"\xff\xd8\xff\xe0" * 50, whole[: len(whole) // 2]]
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        contents.append(bytes(damaged))
    for content in contents:
        path.write_bytes(content)
        refused(mission, "is not a file of weights|holds the weights of another network")


def test_another_architecture_lists_what_differs(mission: Mission) -> None:
    refusal = refused(saved(mission, state(tiny_torch.other(3))), "weights of another network")
    assert "tensors missing" in refusal.found
    assert "2 unknown tensors (0.weight, 0.bias)" in refusal.found


def test_weights_of_another_number_of_labels_say_so(mission: Mission) -> None:
    refusal = refused(saved(mission, state(tiny_torch.tiny(5))), "weights of another network")
    assert "cells.weight is [9, 16, 4, 4] in the file and [7, 16, 4, 4]" in refusal.found
    assert "were they trained for other than 3 labels?" in refusal.found


@pytest.mark.parametrize(
    ("factory", "words"), [("failing", "no network for 3"), ("no_network", "int")]
)
def test_a_factory_that_fails_or_makes_no_network(
    factory: str, words: str, mission: Mission
) -> None:
    assert words in refused(saved(named(mission, factory), state()), "the factory").found


@pytest.mark.parametrize("factory", ["tiny_torch:nobody", "no_such_module:tiny"])
def test_a_factory_that_is_not_there(factory: str, mission: Mission) -> None:
    raw = mission.model_dump()
    raw["model"]["factory"] = factory
    with pytest.raises(Refusal) as caught:
        open_source(saved(Mission.model_validate(raw), state()).model)
    assert factory in str(caught.value)


class TestExport:
    def test_float_is_what_torch_computes_at_every_opset(self) -> None:
        network = tiny_torch.tiny(3).eval()
        model = export(network, SHAPE, [DETECTIONS])
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            wanted = network(x).numpy()
        from tiny_graphs import ops, run

        for opset in (17, 18, 21):
            exported, _ = run_passes(model, passes(opset, SHAPE, [DETECTIONS]), [x.numpy()])
            assert "BatchNormalization" not in ops(exported)
            assert abs(run(exported, x.numpy()) - wanted).max() < 1e-4

    def test_a_network_left_in_training_mode_is_exported_for_inference(self) -> None:
        network = tiny_torch.tiny(3).train()
        one = export(network, SHAPE, [DETECTIONS])
        assert not network.training
        assert "Dropout" not in {node.op_type for node in one.graph.node}

    def test_twice_gives_the_same_bytes(self) -> None:
        made = []
        for _ in range(2):
            model = export(tiny_torch.tiny(3), SHAPE, [DETECTIONS])
            clean, _ = run_passes(
                model, passes(18, SHAPE, [DETECTIONS]), [torch.ones(SHAPE).numpy()]
            )
            made.append(clean.SerializeToString())
        assert made[0] == made[1]
        assert str(TESTS).encode() not in made[0]
        assert sys.version.split()[0].encode() not in made[0]

    def test_a_branch_on_the_picture_is_one_message(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(UsageError, match="cannot be exported") as refusal:
            export(tiny_torch.branching(3), SHAPE, [DETECTIONS])
        assert "branches" in refusal.value.remedy
        assert len(refusal.value.found.splitlines()) == 1
        out, err = capfd.readouterr()
        assert out == ""
        assert err == ""
