"""Every check of pictures finds its fault, and none fires on roads, real or drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from edge.contract.mission.sections.health import CheckName
from edge.perception.conditions import LIGHTS, WEATHERS, Conditions
from edge.perception.decode import DecodeSpec, NetworkSpec
from edge.perception.pixel_formats import Picture, PixelFormat
from edge.perception.values import BgrImage, Detections, Known, Unknown
from edge.runtime.health.frame_health import OFF, OUT_OF_DISTRIBUTION, FrameHealth
from edge.runtime.health.picture_checks import PICTURE_CHECKS
from edge.runtime.health.sample import sample
from edge.scenes.clips import clip_frame
from edge.scenes.still import still

NETWORK = NetworkSpec(DecodeSpec("roadnet", (8,), 3, 0.5, 0.5, 100), None)
KNOWN = Known(Detections.empty())
CLEAR = KNOWN


def health(*, off: Sequence[str] = ()) -> FrameHealth:
    return FrameHealth(NETWORK, profile=None, off=off)


def reasons(pictures: Sequence[BgrImage], *, off: Sequence[str] = ()) -> list[str | None]:
    """The check that failed for each picture of one run; None where all passed."""
    judge = health(off=off)
    found = [
        judge.judge(judge.look(Picture(np.ascontiguousarray(one))), (), KNOWN) for one in pictures
    ]
    return [one.reason.partition(":")[0] if isinstance(one, Unknown) else None for one in found]


@pytest.fixture(scope="module")
def drive() -> list[BgrImage]:
    """Twelve consecutive frames of a drive by day."""
    return [clip_frame("oncoming", index, seed=3).image for index in range(10, 22)]


def noisy(image: BgrImage, seed: int = 0) -> BgrImage:
    """With the noise of a sensor: a deviation of one grey level."""
    noise = np.random.default_rng(seed).normal(0.0, 1.0, image.shape)
    return np.clip(image + np.rint(noise), 0, 255).astype(np.uint8)


def blocked(image: BgrImage) -> BgrImage:
    """Half of the lens covered, out of focus."""
    cover = np.zeros(image.shape[:2], np.float32)
    cover[:, : image.shape[1] // 2] = 1.0
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), 12), np.float32)
    return np.asarray(image * (1.0 - cover[:, :, None]) + 30.0 * cover[:, :, None], np.uint8)


FAULTS: dict[str, Callable[[list[BgrImage]], list[BgrImage]]] = {
    "size": lambda drive: [drive[0], drive[1][:-8]],
    "frozen": lambda drive: [drive[0]] * 6,
    "dark": lambda drive: [(drive[0] * 0.03).astype(np.uint8)],
    "washed out": lambda drive: [(drive[0] * 0.03 + 200).astype(np.uint8)],
    "blocked": lambda drive: [blocked(drive[0])],
    "blurred": lambda drive: [np.asarray(cv2.GaussianBlur(drive[0], (0, 0), 4.0), np.uint8)],
    "colour missing": lambda drive: [drive[0] * np.array([1, 1, 0], np.uint8)],
    "torn": lambda drive: [
        noisy(drive[0]),
        np.concatenate([noisy(drive[1], 1)[:230], np.roll(noisy(drive[2], 2), 90, axis=1)[230:]]),
    ],
    "stale rows": lambda drive: [drive[0], np.concatenate([drive[6][:200], drive[0][200:]])],
}
"""Pictures whose last one has the fault."""


@pytest.mark.requirement("R-RUN-140")
@pytest.mark.parametrize("check", PICTURE_CHECKS, ids=lambda check: str(check.name))
def test_every_check_finds_its_fault_in_the_first_picture_that_has_it(
    check: object, drive: list[BgrImage]
) -> None:
    name = getattr(check, "name", "")
    others = [other.name for other in PICTURE_CHECKS if other.name != name]
    pictures = FAULTS[name](drive)
    *before, last = reasons(pictures, off=others)
    assert last == name
    assert before == [None] * (len(pictures) - 1)


def test_the_mission_can_name_every_check_and_the_table_says_all_of_each() -> None:
    names = [check.name for check in PICTURE_CHECKS]
    assert {*names, OUT_OF_DISTRIBUTION} == set(get_args(CheckName))
    for check in PICTURE_CHECKS:
        assert all(dataclasses.asdict(check).values())


@pytest.mark.requirement("R-RUN-141")
@pytest.mark.parametrize("light", LIGHTS)
def test_no_check_fires_on_drawn_roads_of_any_condition(light: str) -> None:
    for weather in WEATHERS:
        for seed in range(2):
            image = still(1000 + seed, conditions=Conditions(weather, light, None)).image
            assert reasons([image]) == [None], (weather, light, seed)


@pytest.mark.requirement("R-RUN-141")
@pytest.mark.parametrize("folder", ["road_scenes", "fog_traffic"])
def test_no_check_fires_on_real_roads(root: Path, folder: str) -> None:
    paths = sorted((root.parent / "shared" / "data" / folder / "images").glob("*.jpg"))[::5]
    if not paths:
        pytest.skip(f"no real pictures in ../shared/data/{folder}")
    for path in paths:
        assert reasons([np.asarray(cv2.imread(str(path)), np.uint8)]) == [None], path.name


@pytest.mark.requirement("R-RUN-141")
def test_no_check_fires_on_a_real_drive(root: Path) -> None:
    path = root.parent / "shared" / "data" / "video" / "day_highway.mp4"
    if not path.exists():
        pytest.skip("no real drive in ../shared/data/video")
    clip = cv2.VideoCapture(str(path))
    frames: list[BgrImage] = []
    while clip.isOpened() and len(frames) < 50:
        there, frame = clip.read()
        if not there:
            break
        frames.append(np.asarray(frame, np.uint8))
    assert reasons(frames) == [None] * 50


@pytest.mark.requirement("R-RUN-141")
def test_a_standing_vehicle_is_not_frozen_nor_torn(drive: list[BgrImage]) -> None:
    """The same view all the time, by a sensor with noise."""
    assert reasons([noisy(drive[0], seed) for seed in range(12)]) == [None] * 12


@pytest.mark.requirement("R-RUN-142")
def test_a_repeated_picture_is_known_until_the_fifth_repetition_and_again_once_it_moves(
    drive: list[BgrImage],
) -> None:
    found = reasons([*drive[:2], *[drive[1]] * 7, drive[2]])
    assert found == [None] * 6 + ["frozen"] * 3 + [None]


def test_a_check_that_is_off_is_not_made_and_shows(drive: list[BgrImage]) -> None:
    judge = health(off=["dark"])
    dark = (drive[0] * 0.03).astype(np.uint8)
    assert isinstance(
        judge.judge(judge.look(Picture(dark)), (), KNOWN), Unknown
    )  # washed out as well
    counts = {count.name: count for count in judge.counts()}
    assert counts["dark"].not_made == OFF
    assert (counts["dark"].frames, counts["washed out"].failed) == (0, 1)


def test_the_first_reason_stays_and_every_failed_check_is_counted(drive: list[BgrImage]) -> None:
    judge = health()
    reason = Unknown("output holds NaN or Inf")
    dark = Picture((drive[0] * 0.01).astype(np.uint8))
    assert judge.judge(judge.look(dark), (), reason) is reason
    assert {count.name for count in judge.counts() if count.failed} >= {"dark", "washed out"}


@pytest.mark.parametrize(
    ("pixel_format", "code"), [("nv12", None), ("yuyv", cv2.COLOR_BGR2YUV_YUY2)]
)
def test_a_picture_in_the_cameras_own_format_has_the_sample_of_its_bgr_form(
    drive: list[BgrImage], pixel_format: PixelFormat, code: int | None
) -> None:
    image = drive[0]
    if code is None:
        planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).reshape(-1, image.shape[1])
        height = image.shape[0]
        quarter = planes[height:].reshape(2, -1)
        data = np.concatenate([planes[:height], quarter.T.reshape(height // 2, -1)])
    else:
        data = cv2.cvtColor(image, code)
    picture = Picture(np.ascontiguousarray(data, np.uint8), pixel_format)
    own, bgr = sample(picture), sample(Picture(image))
    assert own.size_px == bgr.size_px
    for name in ("luma", "colour", "lines"):
        assert getattr(own, name).shape == getattr(bgr, name).shape
    # Chroma of half the resolution, and luma in place of green.
    assert np.abs(own.colour.astype(int) - bgr.colour).mean() < 6.0
    assert np.abs(own.lines.astype(int) - bgr.lines).mean() < 16.0


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (40, 30), (16, 2000)])
def test_a_picture_of_any_size_is_judged(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert len(reasons([image, image[::-1]])) == 2
