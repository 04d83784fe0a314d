"""`[camera.geometry]` as the template has it: what is taken, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.mission.loading import MissionInvalid, load_mission
from edge.contract.mission.template import mission_template
from edge.runtime.tracking.ground_plane import GroundCamera


def geometry_mission(folder: Path, *changes: tuple[str, str]) -> Path:
    """The template with its commented geometry put in force."""
    before, after = mission_template().split("# [camera.geometry]\n")
    lines = after.splitlines()
    count = next(row for row, line in enumerate(lines) if "A rule may then ask" in line)
    given = "\n".join(line.removeprefix("# ") for line in lines[:count])
    for old, new in changes:
        assert old in given
        given = given.replace(old, new, 1)
    path = folder / "mission.toml"
    path.write_text("\n".join([before + "[camera.geometry]", given, *lines[count:]]))
    return path


def test_the_templates_geometry_and_its_rule_are_a_mission(tmp_path: Path) -> None:
    rule = 'policy.rules=[{name="a", why="b", when={label="pedestrian", confidence=0.6, '
    rule += 'distance_max_m=12.0}, confirm={k=1, of=1}, action="NOTIFY", clear="never"}]'
    mission = load_mission(geometry_mission(tmp_path), [rule])
    assert mission.camera.geometry is not None
    camera = GroundCamera.of(mission.camera.geometry)
    assert camera.size_px == (mission.camera.width_px, mission.camera.height_px)
    assert camera.horizon_px == pytest.approx(172.9, abs=0.1)


@pytest.mark.requirement("R-RUN-153")
@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("width_px = 640", "width_px = 1280", "camera.geometry", "1280 x 384"),  # another aspect
        ("height_px = 384", "height_px = 768", "camera.geometry", "delivers 640 x 384"),
        ("cx_px = 320.0", "cx_px = 640.0", "camera.geometry.cx_px", "far from the middle"),
        ("cy_px = 192.0", "cy_px = 20.0", "camera.geometry.cy_px", "far from the middle"),
        ("pitch_error_deg = 0.5", "# ", "camera.geometry.pitch_error_deg", "missing"),
        ("height_m = 1.3", "height_m = 130.0", "camera.geometry.height_m", "6"),
        ("[0.0, 0.0, 0.0, 0.0, 0.0]", "[0.0]", "camera.geometry.distortion", "5"),
    ],
)
def test_a_geometry_that_cannot_be_meant_is_one_message(
    old: str, new: str, key: str, words: str, tmp_path: Path
) -> None:
    path = geometry_mission(tmp_path, (old, new))
    with pytest.raises(MissionInvalid) as refused:
        load_mission(path)
    assert words in dict(refused.value.mistakes)[key]


@pytest.mark.requirement("R-RUN-153")
def test_intrinsics_of_twice_the_size_are_refused_too(tmp_path: Path) -> None:
    path = geometry_mission(
        tmp_path,
        ("width_px = 640", "width_px = 1280"),
        ("height_px = 384", "height_px = 768"),
        ("cx_px = 320.0", "cx_px = 640.0"),
        ("cy_px = 192.0", "cy_px = 384.0"),
    )
    with pytest.raises(MissionInvalid, match="another camera or mode"):
        load_mission(path)
