"""`brakepoint finetune`: torch computes what int8.onnx computes, accuracy lost to INT8 is
recovered, and a killed fine-tuning ends with the same bytes. Held-back frames are not read.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from loud_mission import write_loud_mission
from ruined_layer import FRAMES, network, ranges_of
from tiny_graphs import node, ready, values, weights
from tiny_mission import write_mission
from torch import nn

from calibration.inference.sessions import ModelSession
from calibration.ranges.calibrate import calibrate
from calibration.ranges.ranges import read_ranges
from converters.conversion.float_stage import to_float
from converters.conversion.frame_split import frames_to_split
from converters.finetuning.distillation import BOXES, output_loss
from converters.finetuning.loop import Pace
from converters.finetuning.parent_conversion import read_parent
from converters.finetuning.torch_graph.network import FakeQuantization, network_of
from converters.finetuning.training_frames import pictures_of, training_frames
from converters.finetuning.unfold_batchnorm import CannotUnfold, unfold
from converters.graph.passes.canonical_names import PICTURE
from converters.graph.passes.pipeline import passes, run_passes
from converters.quantization.equalization.cross_layer import equalize
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from converters.quantization.range_scaling import scaled_ranges
from converters.sources.pytorch.export import export
from converters.sources.source import open_source
from edge.contract.artifact import digest_file, read_json
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.fitting import Finetune
from edge.perception.decode import DECODERS, DecodeSpec, boxes_and_scores, cells, output_shape
from edge.perception.values import Floats
from firmware_bridge.errors import UsageError

Command = Callable[..., tuple[int, str, str]]

QUICK = (
    *("--steps", "40", "--set", "finetune.learning_rate=0.005"),
    *("--set", "finetune.judge_every=5"),
)


def power(values: Floats) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def int8_apart(
    model: onnx.ModelProto, ranges: dict[str, object], pictures: list[Floats]
) -> tuple[float, float]:
    """Noise of torch's INT8 against int8.onnx, and of int8.onnx against float, as shares of the
    signal's power."""
    placement = place(model)
    written = quantize_int8(model, placement, ranges)  # type: ignore[arg-type]
    mine = network_of(model, pictures[:2], threads=1)
    rounding = FakeQuantization.of(placement, ranges)  # type: ignore[arg-type]
    float_session = ModelSession(model.SerializeToString(), threads=1)
    session = ModelSession(written.SerializeToString(), threads=1)
    ours = theirs = signal_power = 0.0
    for picture in pictures:
        with torch.inference_mode():
            found = [v.numpy() for v in mine(torch.from_numpy(picture), rounding).values()]
        rows = zip(
            found,
            session.run({PICTURE: picture}),
            float_session.run({PICTURE: picture}),
            strict=True,
        )
        for torch_made, int8_made, float_made in rows:
            ours += power(torch_made - int8_made)
            theirs += power(int8_made - float_made)
            signal_power += power(float_made)
    return ours / signal_power, theirs / signal_power


class TestNetwork:
    def test_it_computes_what_int8_onnx_computes(self) -> None:
        model = network()
        ours, theirs = int8_apart(model, dict(ranges_of(model)), FRAMES)
        assert theirs > 1e-2
        assert ours < 1e-8

    @pytest.mark.parametrize("name", ["roadnet", "yolox_nano", "efficientnet_lite0"])
    def test_also_for_real_networks(self, name: str, root: Path, shared_data: Path) -> None:
        """Where a value lies between two steps, the order of a sum decides: so within a share of
        what INT8 itself changes."""
        if name == "efficientnet_lite0":
            pytest.importorskip(
                "efficientnet_lite_pytorch", reason="the extra [pretrained] is missing"
            )
        own = {
            "roadnet": ["model.factory=converters.zoo:roadnet"],
            "yolox_nano": [f"model.file={shared_data / 'detectors' / 'yolox_nano.onnx'}"],
            "efficientnet_lite0": [],
        }[name]
        data = [] if name == "roadnet" else [f"data.root={shared_data / 'road_scenes'}"]
        few = ["calibration.frames=8", "calibration.held_back=4"]
        mission = load_mission(root / "examples" / name, [*own, *data, *few])
        if name == "roadnet":
            mission = mission.model_copy(
                update={"model": mission.model.model_copy(update={"weights": None})}
            )
        torch.manual_seed(0)  # of a RoadNet that nobody has trained
        split = frames_to_split(mission)
        model, _ = to_float(open_source(mission.model), mission, split, progress=lambda *_: None)
        ranges = calibrate(
            model, place(model).pairs, split.calibration, mission, progress=lambda *_: None
        ).ranges
        pictures = pictures_of(split.held_back, mission.model.preprocess_spec)
        ours, theirs = int8_apart(model, dict(ranges.tensors), pictures)
        assert ours < 0.1 * theirs

    def test_a_graph_with_room_for_one_picture_is_run_one_by_one(self) -> None:
        """A channel shuffle, as it is exported without an axis for pictures."""
        model = ready(
            [
                node("Conv", [PICTURE, "w0"], ["c0"]),
                node("Reshape", ["c0", "apart"], ["r0"]),
                node("Transpose", ["r0"], ["t0"], perm=[1, 0, 2]),
                node("Reshape", ["t0", "back"], ["r1"]),
                node("Conv", ["r1", "w1"], ["y"]),
            ],
            {
                "w0": weights(4, 3, 1, 1),
                "w1": weights(4, 4, 1, 1, seed=1),
                "apart": np.array([2, 2, 64]),
                "back": np.array([1, 4, 8, 8]),
            },
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        made = network_of(model, FRAMES[:2], threads=1)
        assert made.one_by_one
        ours, _ = int8_apart(model, dict(ranges_of(model)), FRAMES)
        assert ours < 1e-8

    def test_an_operator_it_does_not_know_is_refused_by_name(self) -> None:
        model = ready(
            [
                node("Conv", [PICTURE, "w"], ["c"]),
                node("CumSum", ["c", "axis"], ["y"]),
            ],
            {"w": weights(4, 3, 1, 1), "axis": np.array(1)},
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        with pytest.raises(UsageError, match="CumSum"):
            network_of(model, FRAMES[:2], threads=1)

    def test_copies_of_one_weight_stay_one(self) -> None:
        """Folding BatchNorm leaves a copy of a shared weight with each of its readers."""
        shared = weights(4, 4, 1, 1)
        model = ready(
            [
                node("Conv", [PICTURE, "w0", "b0"], ["c0"]),
                node("Conv", ["c0", "w1", "b1"], ["c1"]),
                node("Conv", ["c1", "w2", "b2"], ["y"]),
            ],
            {"w0": weights(4, 3, 1, 1), "w1": shared, "w2": shared}
            | {name: np.zeros(4, np.float32) for name in ("b0", "b1", "b2")},
            inputs={PICTURE: (1, 3, 8, 8)},
        )
        made = network_of(model, FRAMES[:2], threads=1)
        assert len(made.fitted) == 4
        with torch.no_grad():
            for row, values_ in enumerate(made.fitted):
                values_.add_(float(row + 1))
        written = made.write_into(model)
        moved = {name: values(written, name) for name in ("b0", "w1", "b1", "w2", "b2")}
        np.testing.assert_array_equal(moved["w1"], moved["w2"])
        np.testing.assert_array_equal(moved["b1"], moved["b2"])
        assert not np.array_equal(moved["b0"], moved["b1"])


class Sharing(nn.Module):
    """A convolution that is used twice, one without BatchNorm, and a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))
        self.both = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.plain = nn.Conv2d(8, 8, 1)
        self.last = nn.Linear(8, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = torch.relu(self.both(torch.relu(self.stem(images))))
        seen = torch.relu(self.plain(torch.relu(self.both(seen))))
        made: torch.Tensor = self.last(seen.mean(dim=(2, 3)))
        return made


def sharing() -> tuple[nn.Module, onnx.ModelProto]:
    """Such a network with statistics of its own, and its float graph."""
    torch.manual_seed(3)
    made = Sharing().eval()
    for norm in (made.stem[1], made.both[1]):
        for values_ in (norm.weight, norm.running_var):
            nn.init.uniform_(values_, 0.5, 2.0)
        for values_ in (norm.bias, norm.running_mean):
            nn.init.normal_(values_)
    return made, folded(made)


def folded(made: nn.Module) -> onnx.ModelProto:
    """The float graph of a network for small pictures."""
    shape = (1, 3, 16, 16)
    model, _ = run_passes(export(made, shape, ["y"]), passes(18, shape, ["y"]), [weights(*shape)])
    return model


class TestUnfolding:
    def test_the_network_computes_what_the_tuned_graph_does(self) -> None:
        made, model = sharing()
        moving = network_of(model, [weights(1, 3, 16, 16)], threads=1)
        with torch.no_grad():
            for values_ in moving.fitted:
                values_.mul_(1.5).add_(0.01)
        tuned = moving.write_into(model)
        made.load_state_dict(unfold(made, model, tuned))
        picture = weights(1, 3, 16, 16, seed=5)
        with torch.inference_mode():
            found = made(torch.from_numpy(picture)).numpy()
        (wanted,) = ModelSession(tuned.SerializeToString(), threads=1).run({PICTURE: picture})
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)

    def test_scale_that_equalization_moved_stays_where_it_is(self) -> None:
        torch.manual_seed(4)
        made = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
        ).eval()
        model = folded(made)
        moved = equalize(model)
        before = made[0].weight.clone()
        made.load_state_dict(unfold(made, model, moved))
        assert not torch.equal(made[0].weight, before)
        picture = weights(1, 3, 16, 16, seed=5)
        with torch.inference_mode():
            found = made(torch.from_numpy(picture)).numpy()
        (wanted,) = ModelSession(model.SerializeToString(), threads=1).run({PICTURE: picture})
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)

    def test_a_weight_of_another_network_has_no_place_in_it(self) -> None:
        made, model = sharing()
        with torch.no_grad():
            made.plain.weight.add_(1.0)
        with pytest.raises(CannotUnfold, match="no weight of the network"):
            unfold(made, model, model)


class TestDistillation:
    def test_every_decoder_is_there(self) -> None:
        assert set(BOXES) == set(DECODERS)

    @pytest.mark.parametrize("kind", sorted(DECODERS))
    def test_boxes_and_scores_are_those_of_the_device(self, kind: str) -> None:
        spec = DecodeSpec(kind, (16,), 3, 0.3, 0.5, 10)  # type: ignore[arg-type]
        shape = output_shape(spec, 64, 32)
        raw = np.random.default_rng(0).uniform(0.0, 1.0, shape).astype(np.float32)
        wanted_boxes, wanted_scores = boxes_and_scores(raw, spec, 64, 32)
        rows = torch.from_numpy(raw)
        rows = rows if DECODERS[kind].layout == "rows" else rows.flatten(2).transpose(1, 2)
        grid = (torch.from_numpy(values) for values in cells((16,), 64, 32))
        boxes, scores = BOXES[kind](rows, *grid)
        np.testing.assert_allclose(boxes[0].numpy(), wanted_boxes, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(scores[0].numpy(), wanted_scores, rtol=1e-4, atol=1e-6)

    def test_the_same_answers_cost_nothing_and_others_do(self, loud: Path) -> None:
        loss = output_loss(load_mission(loud).model)
        raw = torch.from_numpy(weights(2, 16, 7)).abs()
        assert float(loss([raw], [raw])) == pytest.approx(0.0, abs=1e-5)
        assert float(loss([raw], [raw + 0.5])) > 0.01


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mission file of a network that INT8 ruins; not to be changed."""
    return write_loud_mission(tmp_path_factory.mktemp("loud"))


def verb(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge.cli", name, *(str(one) for one in arguments)]


@pytest.fixture(scope="module")
def ruined(loud: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its conversion with every layer in INT8, which fails its gate."""
    out = tmp_path_factory.mktemp("ruined") / "out"
    whole = ("--set", "precision.search=none")
    done = subprocess.run(
        verb("convert", loud, "--out", out, *whole), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "int8.onnx finds 0 of float's 8" in done.stderr
    return out


@pytest.fixture(scope="module")
def mended(loud: Path, ruined: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `finetune` makes of it."""
    out = tmp_path_factory.mktemp("mended") / "out"
    done = subprocess.run(
        verb("finetune", loud, "--from", ruined, "--out", out, *QUICK, "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (
        told["finetuning"]["task_loss"]["after"] < 0.1 * told["finetuning"]["task_loss"]["before"]
    )
    assert [told[when]["agreement"]["int8.onnx"]["found"] for when in ("before", "after")] == [0, 8]
    return out


def test_what_int8_lost_comes_back_under_the_same_gates(ruined: Path, mended: Path) -> None:
    before, after = (
        read_json(folder / "report.json", "brakepoint.report/2") for folder in (ruined, mended)
    )
    assert (before["passed"], after["passed"]) == (False, True)
    assert after["held_back"] == before["held_back"]
    for same in ("float.onnx", "ranges.json"):
        assert digest_file(mended / same) == digest_file(ruined / same)
    assert after["quantized"] == before["quantized"]
    assert after["finetuning"]["parent"] == {
        "float_sha256": before["artifacts"]["float.onnx"]["sha256"],
        "ranges_sha256": before["artifacts"]["ranges.json"]["sha256"],
        "placement_sha256": after["finetuning"]["parent"]["placement_sha256"],
    }
    assert before["finetuning"] is None
    pages = [(folder / "report.html").read_text() for folder in (ruined, mended)]
    assert "brakepoint finetune MISSION --from DIR" in pages[0]
    assert "weights fitted to this INT8 in 40 steps on 8 frames" in pages[1]
    assert "tuned.onnx" in after["artifacts"]
    onnx.checker.check_model(onnx.load(mended / "tuned.onnx"), full_check=True)
    assert not (mended / "finetune.checkpoint.pt").exists()
    (record,) = (mended / "runs").iterdir()
    assert json.loads(record.read_text())["kind"] == "finetune"


def test_it_starts_from_ranges_as_wide_as_the_conversion_has_them(
    loud: Path, ruined: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ruined, tmp_path / "parent"))
    report = json.loads((folder / "report.json").read_text())
    report["quantized"]["range_scale"] = 1.5
    (folder / "report.json").write_text(json.dumps(report))
    mission = load_mission(loud)
    parent = read_parent(folder, mission, open_source(mission.model))
    taken = read_ranges(folder / "ranges.json", model=None).tensors
    assert parent.range_scale == 1.5
    assert parent.ranges.tensors == scaled_ranges(taken, 1.5)


def test_a_torch_source_gets_its_weights_back(brakepoint: Command, tmp_path: Path) -> None:
    path = write_mission(tmp_path)
    text = path.read_text().replace('file = "tiny.onnx"', 'factory = "tiny_torch:tiny"')
    path.write_text(text)
    free = ("--set", "gates.found_min=0.0")
    assert brakepoint("convert", path, "--out", tmp_path / "one", *free)[0] == 0
    tune = ("finetune", path, "--from", tmp_path / "one", "--out", tmp_path / "two", "--steps", "4")
    code, said, _ = brakepoint(*tune, *free, "--json")
    assert code == 0
    state = json.loads(said)["state_dict"]
    assert digest_file(tmp_path / "two" / "tuned.pt") == state["sha256"]
    assert state["max_abs"] < 1e-2  # of outputs up to some hundreds
    own = (*free, "--set", f"model.weights={tmp_path / 'two' / 'tuned.pt'}")
    assert brakepoint("convert", path, "--out", tmp_path / "three", *own)[0] == 0


def test_killed_and_taken_up_again_it_ends_with_the_same_bytes(
    brakepoint: Command, loud: Path, ruined: Path, mended: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    checkpoint = out / "finetune.checkpoint.pt"
    often = (*QUICK, "--set", "finetune.checkpoint_every=1")
    running = subprocess.Popen(
        verb("finetune", loud, "--from", ruined, "--out", out, *often),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if checkpoint.exists() and _step_of(checkpoint) >= 5:
            break
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (out / "report.json").exists()
    code, said, _ = brakepoint("finetune", loud, "--from", ruined, "--out", out, *often, "--json")
    assert code == 0
    assert len(json.loads(said)["resumed_at"]) == 1
    for name in ("tuned.onnx", "int8.onnx", "cpu.onnx"):
        assert (out / name).read_bytes() == (mended / name).read_bytes()


def _step_of(checkpoint: Path) -> int:
    loaded = torch.load(checkpoint, weights_only=True)
    step: int = loaded["progress"]["step"]
    return step


def test_a_checkpoint_of_other_settings_is_refused_unless_fresh(
    brakepoint: Command, loud: Path, ruined: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    short = ("--steps", "2", "--set", "gates.found_min=1.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("converters.finetuning.finetune.convert", _cut)
        with pytest.raises(Cut):
            brakepoint("finetune", loud, "--from", ruined, "--out", out, *short)
    code, _, err = brakepoint("finetune", loud, "--from", ruined, "--out", out, *QUICK)
    assert code == 2
    assert "finetune.steps: 2 there, 40 here" in err
    assert "brakepoint finetune MISSION" in err
    code, _, _ = brakepoint("finetune", loud, "--from", ruined, "--out", out, *QUICK, "--fresh")
    assert code == 0


class Cut(Exception):
    """Somebody stops it."""


def _cut(*_: object, **__: object) -> None:
    raise Cut


REFUSED = {
    "another mission": (4, "the conversion of another mission"),
    "a changed float.onnx": (4, "float.onnx is not the file of its report"),
    "other frames": (4, "ranges.json is stale"),
    "the same folder": (2, "--out is the conversion to start from"),
    "no conversion": (3, "cannot read"),
}
"""What does not fit -> exit code, and what is said."""


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    brakepoint: Command, loud: Path, ruined: Path, tmp_path: Path, what: str
) -> None:
    parent = Path(shutil.copytree(ruined, tmp_path / "parent"))
    out, more = tmp_path / "out", list(QUICK)
    if what == "another mission":
        more += ["--set", 'model.preprocess.color="bgr"']
    elif what == "a changed float.onnx":
        (parent / "float.onnx").write_bytes(b"other")
    elif what == "other frames":
        more += ["--set", "data.seed=3"]
    elif what == "the same folder":
        out = parent
    else:
        parent = tmp_path / "nowhere"
    found, _, err = brakepoint("finetune", loud, "--from", parent, "--out", out, *more)
    code, said = REFUSED[what]
    assert found == code, err
    assert said in err
    assert out == parent or not out.exists()


def test_one_drive_beside_those_held_back_is_too_few(tmp_path: Path) -> None:
    path = write_loud_mission(tmp_path)
    frames = sorted((tmp_path / "road").iterdir())
    rows = [f"{frame.name},{'ab'[row > 3]}" for row, frame in enumerate(frames)]
    (tmp_path / "road" / "drives.csv").write_text("\n".join(["file,drive", *rows]) + "\n")
    mission = load_mission(path, ["data.table=drives.csv", "data.group=drive"])
    with pytest.raises(UsageError, match="too few frames to fine-tune on"):
        training_frames(mission, mission.finetune, frames_to_split(mission))


def test_a_disk_without_room_is_one_message(loud: Path, ruined: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        verb("finetune", loud, "--from", ruined, "--out", tmp_path / "out", *QUICK),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_frames_that_judge_are_never_looked_at(loud: Path) -> None:
    mission: Mission = load_mission(loud)
    split = frames_to_split(mission)
    examples = training_frames(mission, mission.finetune, split)
    fitted, watched, judged = (
        {frame.group for frame in part}
        for part in (examples.fitted, examples.watched, split.held_back)
    )
    assert len(fitted) + len(watched) == 10  # every frame that is not held back
    assert not fitted & watched
    assert not (fitted | watched) & judged


def test_where_nothing_is_gained_the_best_weights_come_back_and_steps_become_shorter(
    brakepoint: Command, loud: Path, ruined: Path, tmp_path: Path
) -> None:
    """Steps of a tenth of a weight's size, which no network bears."""
    wild = ("--steps", "12", "--set", "finetune.learning_rate=0.1")
    often = ("--set", "finetune.judge_every=3", "--set", "gates.found_min=0.0")
    code, said, _ = brakepoint(
        "finetune", loud, "--from", ruined, "--out", tmp_path / "out", *wild, *often, "--json"
    )
    assert code == 0
    told = json.loads(said)["finetuning"]
    watched = [row["watched"] for row in told["curve"] if row["watched"] is not None]
    assert len(watched) == 4
    assert told["task_loss"]["after"] == min([told["task_loss"]["before"], *watched])


def test_steps_grow_at_first_and_fall_to_nothing() -> None:
    settings = Finetune(steps=100, learning_rate=0.01)
    rates = [Pace().rate(step, settings) for step in range(100)]
    assert rates.index(max(rates)) == 9
    assert rates[0] < 0.002
    assert rates[-1] < 0.001
    again = Pace(shorter=0.3, since=50)
    assert again.rate(50, settings) < 0.1 * rates[50]
    assert again.rate(70, settings) == pytest.approx(0.3 * rates[70])


@pytest.mark.long
def test_efficientnet_gains_with_every_layer_in_int8(
    brakepoint: Command, root: Path, shared_data: Path, tmp_path: Path
) -> None:
    """ImageNet's network on road frames of other drives: what it names as float does."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [pretrained] is missing")
    mission = root / "examples" / "efficientnet_lite0"
    road = ("--set", f"data.root={shared_data / 'road_scenes'}")
    whole = (*road, "--set", "precision.search=none")
    brakepoint("convert", mission, "--out", tmp_path / "one", *whole)
    tune = ("finetune", mission, "--from", tmp_path / "one", "--out", tmp_path / "two", *road)
    _, said, _ = brakepoint(*tune, "--steps", "40", "--json")
    told = json.loads(said)
    before, after = (told[when]["agreement"]["int8.onnx"]["found"] for when in ("before", "after"))
    assert after >= before + 5
    assert (
        told["finetuning"]["task_loss"]["after"] < 0.85 * told["finetuning"]["task_loss"]["before"]
    )
    assert told["state_dict"]["file"] == "tuned.pt"
