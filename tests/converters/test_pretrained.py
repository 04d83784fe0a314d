"""EfficientNet-Lite0 from the package index: it fits any number of labels, converts within 1e-4 on
road frames, stays accurate in INT8, and learns real signs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from tiny_pictures import settings, write_pictures

from converters.conversion.convert import convert
from converters.pretrained import efficientnet_lite0
from converters.report.report import Report
from converters.sources.source import TorchSource, open_source
from converters.training.train import train
from edge.contract.artifact_names import CPU, INT8
from edge.contract.mission.loading import load_mission
from edge.install import pip_install
from firmware_bridge.errors import Missing, UsageError

pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [pretrained] is not installed")


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress."""


def test_the_head_of_imagenet_is_kept_and_another_number_of_labels_gets_a_new_one() -> None:
    imagenet, signs = efficientnet_lite0(1000).state_dict(), efficientnet_lite0(43).state_dict()
    assert imagenet["_fc.weight"].shape == (1000, 1280)
    assert signs["_fc.weight"].shape == (43, 1280)
    assert torch.equal(imagenet["_conv_stem.weight"], signs["_conv_stem.weight"])
    again = efficientnet_lite0(1000).state_dict()
    assert all(torch.equal(values, again[name]) for name, values in imagenet.items())


def test_without_the_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    mission = load_mission(root / "examples" / "efficientnet_lite0")
    with pytest.raises(Missing) as refused:
        open_source(mission.model)
    assert pip_install("pretrained") in refused.value.remedy


def test_a_factory_with_its_own_weights_needs_no_file(root: Path) -> None:
    mission = load_mission(root / "examples" / "efficientnet_lite0")
    source = open_source(mission.model)
    assert isinstance(source, TorchSource)
    assert source.path is None
    assert source.sha256 == open_source(mission.model).sha256
    assert len(set(mission.model.labels)) == 1000
    with pytest.raises(UsageError, match="says nothing about training"):
        train(mission, progress=silent)


def test_fine_tuning_changes_its_features_and_its_head(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures")
    factory = "model.factory=converters.pretrained:efficientnet_lite0"
    mission = load_mission(
        ROOT / "examples" / "signs",
        [*settings(folder), factory, "train.steps=4", "train.learning_rate=0.001"],
    )
    state = torch.load(train(mission, progress=silent).weights, weights_only=True)
    former = efficientnet_lite0(4).state_dict()
    assert not torch.equal(state["_conv_stem.weight"], former["_conv_stem.weight"])
    assert state["_fc.weight"].shape == (4, 1280)


def converted(root: Path, shared_data: Path, out: Path, *overrides: str) -> Report:
    """The example's conversion on real road frames."""
    frames = f"data.root={shared_data / 'road_scenes'}"
    mission = load_mission(root / "examples" / "efficientnet_lite0", [frames, *overrides])
    return convert(mission, out, progress=silent)


@pytest.mark.slow
def test_on_road_frames_it_converts_within_1e_4(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    few = ("calibration.frames=24", "calibration.held_back=24", "gates.found_min=0.7")
    report = converted(root, shared_data, tmp_path / "out", *few)
    assert all(gate.passed is not False for gate in report.gates), report.gates
    assert report.source_to_float.max_abs < 1e-4
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["source"]["file"] is None


@pytest.mark.long
@pytest.mark.timeout(900)
def test_int8_names_the_class_that_float_names_on_a_hundred_road_frames(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    report = converted(root, shared_data, tmp_path / "out")
    assert report.judgement.frames == 100
    assert min(report.judgement.found[name].share or 0.0 for name in (INT8, CPU)) >= 0.92


def fitted_on_signs(root: Path, shared_data: Path, folder: Path, *overrides: str) -> float:
    """Accuracy on tracks that the network never saw."""
    own = [f"data.root={shared_data / 'signs'}", f"model.weights={folder / 'weights.pt'}"]
    mission = load_mission(root / "examples" / "signs", [*own, *overrides])
    return train(mission, progress=silent).judgement.score


@pytest.mark.slow
def test_it_begins_to_learn_real_signs(root: Path, shared_data: Path, tmp_path: Path) -> None:
    few = ("train.steps=60", "model.input.width_px=64", "model.input.height_px=64")
    assert fitted_on_signs(root, shared_data, tmp_path, *few) > 0.3


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_learns_real_signs(root: Path, shared_data: Path, tmp_path: Path) -> None:
    assert fitted_on_signs(root, shared_data, tmp_path) >= 0.97
