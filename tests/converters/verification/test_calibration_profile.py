"""The profile of `convert` knows held-back frames and no noise; too few frames make none."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from tiny_mission import detector, write_mission, write_road

from calibration.dataset.frames.images import image_frames
from calibration.dataset.splits.calibration_holdout import Split
from calibration.inference.sessions import ModelSession
from converters.sources.network import Network
from converters.verification.calibration_profile import calibration_profile
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.pixel_formats import Picture
from edge.perception.preprocess import preprocess
from edge.runtime.health.features import features
from edge.runtime.health.profile import profile_of
from edge.runtime.health.sample import sample


def quiet(_what: str, _done: int, _of: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mission, Split, dict[str, Network]]:
    folder = tmp_path_factory.mktemp("profile")
    mission = load_mission(write_mission(folder / "mission"))
    frames = image_frames(write_road(folder / "road", 60), table=None, group=None)
    data = onnx.shape_inference.infer_shapes(detector()).SerializeToString()
    session = ModelSession(data, threads=1)

    def run(x: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[np.ndarray, ...]:
        return tuple(session.run({session.inputs[0]: x}))

    return (
        mission,
        Split(tuple(frames[:48]), tuple(frames[48:])),
        {"float.onnx": run, "cpu.onnx": run},
    )


@pytest.mark.requirement("R-RUN-143")
def test_noise_is_beyond_the_limit_and_held_back_frames_are_not(
    road: tuple[Mission, Split, dict[str, Network]],
) -> None:
    mission, frames, networks = road
    found, files = calibration_profile(networks, frames, mission.model, progress=quiet)
    assert (found["state"], found["frames"], found["held_back"]) == ("made", 48, 12)
    assert found["held_back_unknown"] <= 2 / 24
    profile = profile_of(json.loads(files["profile.json"]), source="profile.json")
    assert profile.limit == found["limit"]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    outputs = networks["cpu.onnx"](preprocess(noise, mission.model.preprocess_spec)[0])
    row = features(outputs, mission.model.network_spec, sample(Picture(noise)))
    assert profile.score(row) > 2.0 * profile.limit


def test_too_few_frames_make_none_and_it_is_said_why(
    road: tuple[Mission, Split, dict[str, Network]],
) -> None:
    mission, frames, networks = road
    few = Split(frames.calibration[:31], frames.held_back)
    found, files = calibration_profile(networks, few, mission.model, progress=quiet)
    assert files == {}
    assert found == {"state": "not made", "why": "31 calibration frames, it takes 32"}
