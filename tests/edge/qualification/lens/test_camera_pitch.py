"""`camera pitch` on drawn roads of a known pitch, and on a real one."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.scenes.clips import clip_frame

SECTION = """[camera.geometry]
width_px = {0}
height_px = {1}
fx_px = {2}
fy_px = {2}
cx_px = {3}
cy_px = {4}
distortion = [0.0, 0.0, 0.0, 0.0, 0.0]
"""


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["camera", "pitch", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("road")
    for row, (story, index) in enumerate(
        (story, index) for story in ("clear_road", "oncoming") for index in (0, 30, 60)
    ):
        cv2.imwrite(str(folder / f"{row}.png"), clip_frame(story, index, seed=2).image)
    return folder


def camera_file(folder: Path, *values: float) -> Path:
    path = folder / "camera.toml"
    path.write_text(SECTION.format(*values))
    return path


@pytest.mark.requirement("R-RUN-158")
@pytest.mark.parametrize("looks_down_deg", [0.0, 4.0])
def test_the_pitch_of_a_drawn_road_is_found(
    looks_down_deg: float, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The horizon lies in row 172.8: where the middle of the picture is lower, it looks down."""
    middle = 172.8 + 576.0 * float(np.tan(np.radians(looks_down_deg)))
    camera = camera_file(tmp_path, 640, 384, 576.0, 320.0, middle)
    assert run(drawn, "--camera", camera, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pitch_deg"] == pytest.approx(looks_down_deg, abs=0.25)
    assert found["used"] >= 5
    assert found["deviation_deg"] < 0.5


def test_a_real_highway_has_its_horizon_where_a_person_sees_it(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = cv2.VideoCapture(str(shared_data / "video" / "day_highway.mp4"))
    for index in range(121):
        picture = clip.read()[1]
        if index % 15 == 0:
            cv2.imwrite(str(tmp_path / f"{index:03d}.png"), picture)
    clip.release()
    # The row in which lanes, barriers and the sky meet, with a field of view of 58 degrees.
    camera = camera_file(tmp_path, 960, 540, 864.0, 480.0, 270.0)
    assert run(tmp_path, "--camera", camera, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    row = 270.0 - 864.0 * np.tan(np.radians(found["pitch_deg"]))
    assert row == pytest.approx(304.0, abs=8.0)
    assert found["deviation_deg"] < 0.5


@pytest.mark.requirement("R-RUN-158")
def test_what_does_not_tell_a_pitch_is_one_message(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = tmp_path / "fields"
    fields.mkdir()
    noise = np.random.default_rng(0)
    for row in range(6):
        picture = noise.integers(0, 255, (384, 640, 3)).astype(np.uint8)
        cv2.imwrite(str(fields / f"{row}.png"), picture)
    here = camera_file(tmp_path, 640, 384, 576.0, 320.0, 172.8)
    other = tmp_path / "other.toml"
    other.write_text(SECTION.format(1280, 768, 576.0, 640.0, 384.0))
    for arguments, code, words in (
        ((fields, "--camera", here), 2, "do not tell the camera's pitch"),
        ((drawn, "--camera", other), 2, "of another camera than the intrinsics"),
        ((drawn, "--camera", tmp_path / "none.toml"), 2, "has no intrinsics"),
        ((tmp_path / "nowhere", "--camera", here), 3, "has no pictures"),
    ):
        assert run(*arguments) == code
        assert words in capsys.readouterr().err
