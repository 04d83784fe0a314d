"""`init --model`: a first mission that fits the model, and names what the file does not say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper
from patience import PATIENCE_S
from tiny_mission import write_mission
from torch import Tensor, nn

from converters.conversion.mission_fit import fit_of
from converters.sources.first_mission.write import USUAL, first_mission
from edge.contract.mission.loading import load_mission
from edge.contract.mission.notes import notes_of
from edge.contract.mission.schema import Mission
from edge.contract.mission.template import mission_template
from edge.perception.decode import DECODERS
from firmware_bridge.errors import Missing, UsageError


class Head(nn.Module):
    """A network of one convolution for each stride, its cells put out as a decoder wants them."""

    def __init__(self, kind: str, *, labels: int, strides: tuple[int, ...], conditions: int = 0):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.conditions = kind, conditions
        values = labels + {"yolox": 5, "roadnet": 4, "fastestdet": 5}.get(kind, 0)
        self.levels = nn.ModuleList(nn.Conv2d(3, values, step, step) for step in strides)
        self.second = nn.Linear(3, max(conditions, 1))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps = [level(x) for level in self.levels]
        if self.kind == "classify":
            main = maps[0].mean((2, 3))
        elif self.kind == "segment":
            main = maps[0]
        elif self.kind == "fastestdet":
            shares = maps[0][:, 5:].softmax(1)
            main = torch.cat([maps[0][:, :1].sigmoid(), maps[0][:, 1:5], shares], 1)
        else:
            main = torch.cat([one.flatten(2) for one in maps], 2).transpose(1, 2)
            if self.kind == "yolox":
                main = torch.cat([main[..., :4], main[..., 4:].sigmoid()], -1)
        return (main, self.second(x.mean((2, 3)))) if self.conditions else main


def save(network: nn.Module, path: Path, size: tuple[int, int]) -> Path:
    """As its suffix says."""
    picture = torch.zeros(1, 3, size[1], size[0])
    network.eval()
    if path.suffix == ".onnx":
        torch.onnx.export(network, (picture,), str(path), dynamo=True, verbose=False)
    elif path.suffix == ".pt2":
        torch.export.save(torch.export.export(network, (picture,)), path)
    else:
        torch.jit.save(torch.jit.trace(network, picture), path)
    return path


def made(model: Path, **options: str | None) -> tuple[Mission, str, tuple[str, ...]]:
    """The mission written for a model, known to be valid and to fit it."""
    path = model.parent / "mission.toml"
    first = first_mission(model, path, labels=options.get("labels"), size=options.get("size"))
    path.write_text(first.text)
    mission = load_mission(path)
    assert fit_of(mission) is not None
    assert not [note for note in notes_of(mission) if "is applied" in note]
    return mission, first.text, first.unknown


CASES = {
    "yolox": ((8, 16, 32), (416, 416)),
    "roadnet": ((8, 16), (320, 192)),
    "fastestdet": ((16,), (352, 352)),
    "classify": ((32,), (224, 224)),
    "segment": ((8,), (512, 256)),
}


@pytest.mark.parametrize("kind", CASES)
def test_every_decoder_is_known_by_what_a_network_puts_out(kind: str, tmp_path: Path) -> None:
    strides, size = CASES[kind]
    network = Head(kind, labels=7, strides=strides)
    mission, text, unknown = made(save(network, tmp_path / "net of mine.onnx", size))
    assert mission.model.decode.kind == kind
    assert mission.model.decode.strides == (() if kind == "classify" else strides)
    assert (mission.model.input.width_px, mission.model.input.height_px) == size
    assert mission.model.labels == tuple(f"label {row}" for row in range(7))
    assert mission.name == "net-of-mine"
    assert {rule.action for rule in mission.policy.rules} == {"NOTIFY"}
    assert mission.train is None
    assert any("model.labels" in line for line in unknown)
    assert any("model.preprocess" in line for line in unknown)
    keys = [line.split("=")[0].strip() for line in re.findall(r"^\w+ *=", text, re.M)]
    assert keys.count("file") == keys.count("labels") == 1


def test_all_decoders_are_in_the_template_and_have_a_usual_feed() -> None:
    template = mission_template()
    kinds = {*DECODERS, "classify", "segment"}
    assert set(USUAL) == kinds == set(CASES)
    assert all(f'"{kind}"' in template for kind in kinds)


@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
def test_files_of_torch_are_read_too(suffix: str, tmp_path: Path) -> None:
    network = Head("yolox", labels=2, strides=(8, 16, 32))
    model = save(network, tmp_path / f"net{suffix}", (352, 352))
    mission, _, unknown = made(
        model, labels="person,car", size="352x352" if suffix == ".pt" else None
    )
    assert mission.model.input.width_px == 352
    assert mission.model.decode.kind == "yolox"
    assert not any("model.input" in line for line in unknown)


def test_a_size_that_no_file_tells_is_said_to_be_a_guess(tmp_path: Path) -> None:
    model = save(Head("segment", labels=3, strides=(8,)), tmp_path / "net.pt", (128, 128))
    mission, _, unknown = made(model)
    assert (mission.model.input.width_px, mission.model.input.height_px) == (640, 384)
    assert any("640 x 384 is the first that runs" in line for line in unknown)


def test_a_second_head_becomes_a_condition_and_says_so(tmp_path: Path) -> None:
    network = Head("roadnet", labels=3, strides=(8, 16), conditions=4)
    mission, _, unknown = made(save(network, tmp_path / "net.onnx", (320, 192)))
    assert mission.model.condition is not None
    assert len(mission.model.condition.labels) == 4
    assert any("taken for conditions" in line for line in unknown)


def test_labels_that_are_known_make_rules_that_act(tmp_path: Path) -> None:
    model = save(Head("yolox", labels=3, strides=(8, 16, 32)), tmp_path / "net.onnx", (416, 416))
    (tmp_path / "labels.txt").write_text("\ufeffbicycle\nperson\n\ncar\n")
    mission, _, _ = made(model, labels=str(tmp_path / "labels.txt"))
    acts = {rule.when.label: rule.action for rule in mission.policy.rules}
    assert acts == {"person": "EMERGENCY_STOP", "car": "CAP_SPEED"}
    with pytest.raises(UsageError, match="another number of labels") as refused:
        made(model, labels="person,car")
    assert "3, by the shape" in refused.value.expected
    (tmp_path / "labels.bin").write_bytes(b"\xff\xfe\x00")
    for gone in ("no-such.txt", str(tmp_path / "labels.bin"), str(tmp_path)):
        with pytest.raises(Missing, match="cannot read the labels"):
            made(model, labels=gone)


def test_names_that_an_exporter_wrote_beside_are_taken(tmp_path: Path) -> None:
    path = save(Head("classify", labels=2, strides=(32,)), tmp_path / "net.onnx", (224, 224))
    model = onnx.load(path)
    for names, taken in (
        ("{0: 'dry', 1: 'wet'}", ("dry", "wet")),
        ("{0: 'dry', 1: 'dry'}", ("label 0", "label 1")),
        ("{0: 'dry', 1: '\\x1b[31m'}", ("label 0", "label 1")),
        ("__import__('os').system('true')", ("label 0", "label 1")),
        ("[" * 5000, ("label 0", "label 1")),
    ):
        del model.metadata_props[:]
        helper.set_model_props(model, {"names": names})
        onnx.save(model, path)
        assert made(path)[0].model.labels == taken


class Yolov8(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))[:, :1, None].expand(1, 84, 2100).contiguous()


class Levels(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(x[:, :1, ::step, ::step] for step in (8, 16, 32))  # type: ignore[return-value] # three


@pytest.mark.parametrize(
    ("network", "words"), [(Yolov8(), "as YOLOv8 has them"), (Levels(), "levels apart")]
)
def test_outputs_that_no_decoder_reads_are_refused_with_what_they_look_like(
    network: nn.Module, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no decoder reads") as refused:
        made(save(network, tmp_path / "net.onnx", (320, 320)))
    assert words in refused.value.found


def init(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "init", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_the_verb_writes_a_mission_that_checks_and_says_what_it_did_not_know(
    tmp_path: Path,
) -> None:
    write_mission(tmp_path / "made")
    done = init(tmp_path / "made", "first.toml", "--model", "tiny.onnx")
    assert done.returncode == 0, done.stderr
    assert "decoder 'roadnet', 3 labels, 64 x 64 pixels" in done.stderr
    assert "model.preprocess: no file tells it" in done.stderr
    assert 'file = "tiny.onnx"' in (tmp_path / "made" / "first.toml").read_text()
    assert fit_of(load_mission(tmp_path / "made" / "first.toml")) is not None
    for options, code in (
        (("other.toml", "--model", "none.onnx"), 3),
        (("other.toml", "--model", "mission.toml"), 2),
        (("other.toml", "--model", "tiny.onnx", "--size", "64"), 2),
        (("other.toml", "--labels", "a,b"), 2),
    ):
        refused = init(tmp_path / "made", *options)
        assert refused.returncode == code, refused.stderr
        assert "Traceback" not in refused.stderr
        assert not (tmp_path / "made" / "other.toml").exists()


def test_a_model_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        first_mission(tmp_path / "none.onnx", tmp_path / "mission.toml", labels=None, size=None)
