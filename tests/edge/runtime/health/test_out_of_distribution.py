"""Frames of another kind than those that a profile was fitted to are Unknown; others are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_road import tiny_mission

from edge.contract.artifact import json_file, read_json
from edge.perception.classification import HeadSpec
from edge.perception.decode import DECODERS, DecodeSpec, NetworkSpec, output_shapes
from edge.perception.pixel_formats import Picture
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Detections, Floats, Known, Unknown
from edge.runtime.health.features import PROBABILITIES, features
from edge.runtime.health.frame_health import NO_PROFILE, OFF, OUT_OF_DISTRIBUTION, FrameHealth
from edge.runtime.health.profile import LEAST_FRAMES, SCHEMA, Profile, fit, profile_of
from edge.runtime.health.sample import sample
from firmware_bridge.errors import NotTrusted

RANDOM = np.random.default_rng(5)
PICTURE = Picture(RANDOM.integers(60, 200, (96, 128, 3), dtype=np.uint8))
DETECTOR = NetworkSpec(DecodeSpec("roadnet", (8, 16), 3, 0.5, 0.5, 100), None)
CLASSES = tuple(f"label {row}" for row in range(200))
NETWORKS = {
    "detector": DETECTOR,
    "detector of probabilities": NetworkSpec(
        DecodeSpec("yolox", (8, 16, 32), 80, 0.5, 0.5, 100), HeadSpec(("dry", "wet"), 0.5)
    ),
    "map": NetworkSpec(DecodeSpec("fastestdet", (16,), 80, 0.5, 0.5, 100), None),
    "classifier": NetworkSpec(HeadSpec(CLASSES[:12], 0.5), None),
    "classifier of many labels": NetworkSpec(HeadSpec(CLASSES, 0.5), None),
    "segmentation": NetworkSpec(MaskSpec(CLASSES[:5], 4, 0.5, None), None),
}


def outputs(network: NetworkSpec, *, scale: float = 1.0) -> tuple[Floats, ...]:
    shapes = output_shapes(network, 128, 96).values()
    return tuple((scale * RANDOM.uniform(0.0, 1.0, shape)).astype(np.float32) for shape in shapes)


@pytest.fixture(scope="module")
def profile() -> Profile:
    rows = [[features(outputs(DETECTOR), DETECTOR, sample(PICTURE))] for _ in range(160)]
    return fit(np.array(rows))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_has_as_many_features_for_every_frame(name: str) -> None:
    network = NETWORKS[name]
    rows = [features(outputs(network), network, sample(PICTURE)) for _ in range(2)]
    assert rows[0].shape == rows[1].shape
    assert rows[0].dtype == np.float32
    assert len(rows[0]) < 700
    extreme = tuple(np.zeros_like(one) for one in outputs(network))
    assert np.isfinite(features(extreme, network, sample(PICTURE))).all()


def test_of_every_decoder_it_is_known_which_values_are_probabilities() -> None:
    assert PROBABILITIES.keys() == DECODERS.keys()


@pytest.mark.requirement("R-RUN-143")
def test_a_frame_of_another_kind_is_unknown_and_counted(profile: Profile) -> None:
    health = FrameHealth(DETECTOR, profile=profile, off=["frozen", "blocked", "blurred"])
    known = Known(Detections.empty())
    usual = [health.judge(health.look(PICTURE), outputs(DETECTOR), known) for _ in range(50)]
    assert usual == [known] * 50
    odd = health.judge(health.look(PICTURE), outputs(DETECTOR, scale=4.0), known)
    assert isinstance(odd, Unknown)
    assert odd.reason.startswith("out of distribution")
    assert health.judge(health.look(PICTURE), outputs(DETECTOR), known) is known
    (count,) = [one for one in health.counts() if one.name == OUT_OF_DISTRIBUTION]
    assert (count.frames, count.failed, count.not_made) == (52, 1, None)


@pytest.mark.parametrize(("off", "why"), [((OUT_OF_DISTRIBUTION,), OFF), ((), NO_PROFILE)])
def test_without_a_profile_or_switched_off_the_report_says_so(
    profile: Profile, off: tuple[str, ...], why: str
) -> None:
    health = FrameHealth(DETECTOR, profile=profile if off else None, off=off)
    known = Known(Detections.empty())
    off_too = health.judge(health.look(PICTURE), outputs(DETECTOR, scale=4.0), known)
    assert not isinstance(off_too, Unknown) or not off_too.reason.startswith("out of")
    (count,) = [one for one in health.counts() if one.name == OUT_OF_DISTRIBUTION]
    assert (count.frames, count.not_made) == (0, why)


def test_a_profile_is_the_same_after_its_file(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(json_file(SCHEMA, profile.to_json()))
    read = profile_of(read_json(path, SCHEMA), source=str(path))
    row = features(outputs(DETECTOR, scale=2.0), DETECTOR, sample(PICTURE))
    assert read.score(row) == pytest.approx(profile.score(row), rel=1e-3)
    assert read.limit == pytest.approx(profile.limit, rel=1e-5)
    assert len(path.read_bytes()) < 40_000


def test_a_damaged_profile_is_refused(profile: Profile) -> None:
    for key, value in (
        ("limit", "high"),
        ("mean", [0.0]),
        ("variances", [0.0] * len(profile.variances)),
        ("deviation", None),
        ("residual", -1.0),
    ):
        document = {**json.loads(json.dumps(profile.to_json())), key: value}
        with pytest.raises(NotTrusted, match="not a whole profile"):
            profile_of(document, source="profile.json")


def test_a_profile_of_another_network_is_noticed(profile: Profile) -> None:
    with pytest.raises(ValueError, match="7 features"):
        profile.score(np.zeros(7))


def test_too_few_frames_give_no_profile() -> None:
    with pytest.raises(ValueError, match=f"{LEAST_FRAMES - 1} frames"):
        fit(RANDOM.normal(size=(LEAST_FRAMES - 1, 1, 4)))


@pytest.mark.requirement("R-RUN-144")
def test_the_limit_leaves_under_one_in_a_hundred_of_the_calibrated_kind() -> None:
    """Correlated features, frames by two forms of a network."""
    mixed = RANDOM.normal(size=(60, 200))

    def frames(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        rows = RANDOM.normal(size=(count, 1, 60)) @ mixed
        return rows + 0.05 * RANDOM.normal(size=(count, 2, 200))

    profile = fit(frames(160))
    scores = np.array([profile.score(row) for row in frames(1000)[:, 0]])
    assert (scores >= profile.limit).mean() < 0.01


def test_the_mission_has_every_check_on_by_default(root: Path) -> None:
    mission = tiny_mission(root, health={"off": ()})
    assert mission.health.off == ()
