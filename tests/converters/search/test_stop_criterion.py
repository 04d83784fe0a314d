"""The search for float layers may end where the gates hold on its own frames, with a margin for
chance, whatever the task loss is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from mask_road import write_mission as write_mask_mission
from onnx import ModelProto
from tiny_mission import CELL, SIDE, write_mission

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.frames.open_frames import frames_of
from calibration.inference.sessions import ModelSession
from calibration.metrics.confidence_intervals import wilson_95
from calibration.observation.histogram import Histogram
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range, range_of
from converters.conversion.float_stage import to_float
from converters.conversion.frame_split import frames_to_split
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from converters.search.candidate import Candidate
from converters.search.evaluator import Evaluator
from converters.search.stop_criterion import TASK_LOSS_MAX, GatesAim, TaskLossAim, aim_of
from converters.search.task_loss import task_loss_measure
from converters.sources.network import running
from converters.sources.source import open_source
from converters.verification.agreement.shares import agreement_shares
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import preprocess


class Network:
    """A float network, its frames, and candidates that are worse and worse."""

    def __init__(self, mission: Mission) -> None:
        self.mission = mission
        self.frames: list[RoadFrame] = frames_of(mission)
        split = frames_to_split(mission)
        self.model, _ = to_float(
            open_source(mission.model), mission, split, progress=lambda *_: None
        )
        spec = mission.model.preprocess_spec
        self.pictures = [preprocess(frame.read(), spec)[0] for frame in self.frames]
        self.placement = place(self.model)
        inner = [one for one in self.placement.pairs if one != self.model.graph.input[0].name]
        session = ModelSession(with_outputs(self.model, inner), threads=1)
        seen = {name: Histogram() for name in self.placement.pairs}
        for x in self.pictures:
            for name, values in zip(inner, session.run({session.inputs[0]: x}, inner), strict=True):
                seen[name].add(values)
            seen[session.inputs[0]].add(x)
        self.ranges = {
            name: range_of(one, method="max", percentile=100.0) for name, one in seen.items()
        }
        self.evaluator = Evaluator(
            self.model, self.pictures, task_loss_measure(mission.model), threads=1
        )

    def candidate(self, times: float) -> Candidate:
        """With ranges so many times as wide, so with steps so many times as coarse."""
        wide: dict[str, Range] = {
            name: replace(one, amax=one.amax * times) for name, one in self.ranges.items()
        }
        write = partial(quantize_int8, placement=self.placement, ranges=wide)
        made: ModelProto = write(self.model)
        task_loss = self.evaluator.task_loss(made)
        return Candidate(made, self.model, write, task_loss, task_loss)

    def aim(self, *settings: str) -> GatesAim | TaskLossAim:
        mission = load_mission(self.mission_file, settings)
        found = aim_of(mission, [self.evaluator])
        assert isinstance(found, GatesAim | TaskLossAim)
        return found

    mission_file: Path


def write_dim_road(folder: Path) -> None:
    """60 pictures, each with a red and a blue cell, from just seen to bright."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    for row in range(60):
        image = np.full((SIDE, SIDE, 3), 20, np.uint8)
        for cell, channel in zip(random.choice(16, 2, replace=False), (0, 2), strict=True):
            y, x = CELL * (cell // 4), CELL * (cell % 4)
            image[y : y + CELL, x : x + CELL] = 0
            image[y : y + CELL, x : x + CELL, channel] = random.integers(125, 256)
        cv2.imwrite(str(folder / f"{row:03}.png"), image)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """60 frames with two objects each."""
    folder = tmp_path_factory.mktemp("aim")
    path = write_mission(folder / "m")
    write_dim_road(folder / "road")
    network = Network(load_mission(path, [f"data.root={folder / 'road'}"]))
    network.mission_file = path
    return network


COARSER = (1.0, 60.0, 130.0, 135.0, 150.0, 200.0)


def test_what_is_kept_is_what_the_gate_will_count(detector: Network) -> None:
    floating = running(ModelSession(detector.model.SerializeToString(), threads=1))
    aim = detector.aim("gates.found_min=0.9")
    assert isinstance(aim, GatesAim)
    shares = set()
    for times in COARSER:
        made = detector.candidate(times).quantized
        other = running(ModelSession(made.SerializeToString(), threads=1))
        counted = agreement_shares(
            floating, other, detector.frames, detector.mission.model, progress=lambda *_: None
        )
        kept = aim.agreement(made)["found_min"]
        assert kept.share == counted["found_min"]
        assert kept.of == 120
        shares.add(kept.share)
    assert len(shares) > 2  # or this says nothing


def test_the_lower_end_of_the_interval_must_reach_the_limit(detector: Network) -> None:
    told = []
    for times in COARSER:
        candidate = detector.candidate(times)
        for limit in (0.5, 0.7, 0.9, 0.96):
            reached = detector.aim(f"gates.found_min={limit}")(candidate)
            kept = reached.kept["found_min"]
            assert kept.share is not None
            assert kept.low == wilson_95(round(kept.share * kept.of), kept.of)[0]
            assert reached.enough == (kept.low >= limit)
            told.append((reached.enough, kept.share >= limit, candidate.task_loss > TASK_LOSS_MAX))
    assert (True, True, True) in told, "enough, whatever the task loss"
    assert (False, True, True) in told, "the share alone would do, by luck"


def test_a_task_loss_that_the_mission_gives_is_kept_too(detector: Network) -> None:
    worse = detector.candidate(60.0)
    assert detector.aim("gates.found_min=0.1")(worse).enough
    below = f"precision.task_loss_max={worse.task_loss / 2}"
    assert not detector.aim("gates.found_min=0.1", below)(worse).enough


def test_where_answers_are_too_few_for_the_limit_all_are_kept_with_little_task_loss(
    detector: Network,
) -> None:
    """Not even 120 of 120 say that 99 % will be kept."""
    reached = detector.aim("gates.found_min=0.99")(detector.candidate(1.0))
    assert reached.kept["found_min"].share == 1.0
    assert reached.enough
    assert not detector.aim("gates.found_min=0.99")(detector.candidate(60.0)).enough, "task_loss"


def test_without_a_gate_on_answers_the_task_loss_decides(detector: Network, tmp_path: Path) -> None:
    text = detector.mission_file.read_text().replace("found_min = 0.90\n", "")
    write_mission(tmp_path).write_text(text)
    judges = [detector.evaluator]
    assert aim_of(load_mission(tmp_path), judges) == TaskLossAim(TASK_LOSS_MAX)
    given = load_mission(tmp_path, ["precision.task_loss_max=0.5"])
    assert aim_of(given, judges) == TaskLossAim(0.5)


def test_pixels_are_judged_over_frames(tmp_path: Path) -> None:
    path = write_mask_mission(tmp_path)
    network = Network(load_mission(path))
    network.mission_file = path
    for times, enough in ((1.0, True), (255.0, False)):
        aim = network.aim("gates.found_min=0.9")
        reached = aim(network.candidate(times))
        kept = reached.kept["found_min"]
        assert kept.share is not None
        assert kept.low is not None
        assert kept.low <= kept.share
        assert reached.enough is enough
