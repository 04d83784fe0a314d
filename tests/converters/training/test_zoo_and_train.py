"""RoadNet and its training: the output contract, learning, determinism, atomic files."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from converters.training.run_record import SCHEMA
from converters.training.tasks.detection_loss import Grid, assign, giou, loss
from converters.training.train import train
from converters.zoo import ROADNET_STRIDES, roadnet, roadnet_deep, roadnet_narrow, roadnet_wide
from edge.contract.artifact import read_json
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.decode import output_shapes
from firmware_bridge.errors import UsageError

SMALL = (
    "train.steps=12",
    "train.batch=8",
    "train.scenes=40",
    "train.validation_scenes=8",
    "model.input.width_px=160",
    "model.input.height_px=96",
)


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress."""


@pytest.fixture
def mission(root: Path, tmp_path: Path) -> Mission:
    weights = f"model.weights={tmp_path / 'weights.pt'}"
    return load_mission(root / "examples" / "roadnet" / "mission.toml", [weights, *SMALL])


def test_the_output_is_what_the_decoder_wants(mission: Mission) -> None:
    network = roadnet(3).eval()
    with torch.inference_mode():
        raw = network(torch.randn(1, 3, 96, 160))
    assert tuple(raw.shape) == output_shapes(mission.model.network_spec, 160, 96)["detections"]
    assert float(raw[..., :4].min()) >= 0.0
    assert mission.model.decode.strides == ROADNET_STRIDES
    assert sum(values.numel() for values in network.parameters()) < 500_000


def test_every_convolution_has_sixteen_channels_or_is_first_or_last() -> None:
    thin = [
        module
        for module in roadnet(3).modules()
        if isinstance(module, torch.nn.Conv2d) and min(module.in_channels, module.out_channels) < 16
    ]
    assert len(thin) == 3, "the first one and the two outputs"


def test_a_cell_answers_for_the_box_around_it() -> None:
    grid = Grid.of((8, 16), 64, 64)
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [0.0, 0.0, 63.0, 63.0]])
    row = assign(grid, boxes)
    middle = (grid.centres == torch.tensor([20.0, 20.0])).all(dim=1)
    assert row[middle].tolist() == [0], "stride 8 takes the small box"
    assert set(row[grid.strides == 16].tolist()) == {-1, 1}
    assert (assign(grid, torch.zeros(0, 4)) == -1).all()


def test_giou_of_equal_apart_and_half() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]] * 3)
    b = torch.tensor([[0.0, 0.0, 2.0, 2.0], [4.0, 0.0, 6.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
    torch.testing.assert_close(giou(a, b), torch.tensor([1.0, -1.0 / 3.0, 1.0 / 3.0]))


def test_the_loss_is_small_for_the_right_answer() -> None:
    grid = Grid.of((8,), 64, 64)
    boxes, labels = [torch.tensor([[8.0, 8.0, 40.0, 40.0]])], [torch.tensor([1])]
    row = assign(grid, boxes[0])
    right = torch.full((1, 64, 7), -10.0)
    right[..., :4] = 0.0
    mine = row >= 0
    right[0, mine, 5] = 10.0
    right[0, mine, :2] = (grid.centres[mine] - boxes[0][0, :2]) / 8.0
    right[0, mine, 2:4] = (boxes[0][0, 2:] - grid.centres[mine]) / 8.0
    assert float(loss(right, grid, boxes, labels)) < 1e-3
    right[0, mine, 5] = -10.0
    assert float(loss(right, grid, boxes, labels)) > 1.0


def test_two_heads_and_few_parameters(mission: Mission) -> None:
    with torch.inference_mode():
        raw, condition = roadnet(3, 4).eval()(torch.randn(2, 3, 96, 160))
    wanted = output_shapes(mission.model.network_spec, 160, 96)
    assert tuple(raw.shape[1:]) == wanted["detections"][1:]
    assert tuple(condition.shape[1:]) == wanted["condition"][1:]
    for factory in (roadnet, roadnet_narrow, roadnet_deep, roadnet_wide):
        assert sum(values.numel() for values in factory(3, 4).parameters()) < 1_000_000


def test_training_is_deterministic_and_writes_weights_that_load(
    mission: Mission, tmp_path: Path
) -> None:
    first = train(mission, progress=silent)
    state = torch.load(first.weights, weights_only=True)
    roadnet(3, 4).load_state_dict(state)
    assert read_json(tmp_path / "weights.json", SCHEMA)["recipe"]["train"]["seed"] == 0
    again = train(mission, progress=silent)
    assert again.judgement == first.judgement
    for name, values in torch.load(again.weights, weights_only=True).items():
        assert torch.equal(values, state[name]), name


def test_training_learns(mission: Mission) -> None:
    """Forty small steps already find some vehicles; untrained weights find none."""
    none = train(mission.model_copy(update={"train": _steps(mission, 1)}), progress=silent)
    some = train(mission.model_copy(update={"train": _steps(mission, 40)}), progress=silent)
    assert (none.judgement.by_label["vehicle"]["ap50"] or 0.0) < 0.02
    assert (some.judgement.by_label["vehicle"]["ap50"] or 0.0) > 0.04
    assert some.judgement.figures["condition_accuracy"] > 0.3
    assert sum(row["frames"] for row in some.judgement.by_condition.values()) == 24


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_example_finds_objects_and_tells_the_road(root: Path, tmp_path: Path) -> None:
    """The bar that docs/benchmarks.md stands behind; time is not asserted."""
    weights = f"model.weights={tmp_path / 'weights.pt'}"
    report = train(load_mission(root / "examples" / "roadnet", [weights]), progress=silent)
    assert report.parameters < 1_000_000
    assert report.judgement.figures["ap50"] >= 0.70
    assert report.judgement.figures["condition_accuracy"] >= 0.90


def _steps(mission: Mission, steps: int) -> object:
    assert mission.train is not None
    changes = {"steps": steps, "scenes": 96, "validation_scenes": 24, "learning_rate": 0.004}
    return mission.train.model_copy(update=changes)


def test_a_kill_in_the_middle_leaves_the_former_weights(root: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"former")
    overrides = [f"model.weights={weights}", *SMALL, "train.steps=5000"]
    code = (
        "from converters.training.train import train\n"
        "from edge.contract.mission.loading import load_mission\n"
        "from pathlib import Path\n"
        f"mission = load_mission(Path({str(root / 'examples' / 'roadnet')!r}), {overrides!r})\n"
        "train(mission, progress=lambda what, done, _of: print(what, done, flush=True))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert any(line.strip() == "train 3" for line in child.stdout), "it never began to train"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert weights.read_bytes() == b"former"
    assert {path.name for path in tmp_path.iterdir()} == {"weights.pt", "weights.checkpoint.pt"}


@pytest.mark.parametrize(
    "override",
    ['model.labels=["pedestrian","vehicle","dog"]', "model.factory=converters.zoo:nothing"],
)
def test_a_mission_that_cannot_be_trained(root: Path, override: str) -> None:
    mission = load_mission(root / "examples" / "roadnet", [override])
    with pytest.raises(UsageError):
        train(mission, progress=silent)


def test_a_mission_with_a_file_is_not_trained(root: Path) -> None:
    mission = load_mission(root / "examples" / "yolox_nano")
    with pytest.raises(UsageError, match=r"\[train\]"):
        train(mission, progress=silent)
