"""The held-back frames stay the same, however many are calibrated on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_mission import write_mission

from converters.conversion.frame_split import frames_to_split
from edge.contract.mission.loading import load_mission


@pytest.mark.parametrize("kind", ["images", "drives", "scenes"])
def test_more_calibration_frames_do_not_move_them(tmp_path: Path, kind: str) -> None:
    mission, settings = write_mission(tmp_path), []
    if kind == "scenes":
        told = mission.read_text().replace('kind = "images"\nroot = "road"', 'kind = "scenes"')
        mission.write_text(told)
    if kind == "drives":
        road = tmp_path / "road"
        names = sorted(path.name for path in road.glob("*.png"))
        rows = [f"{name},drive {row // 2}" for row, name in enumerate(names)]
        (road / "drives.csv").write_text("\n".join(["file,drive", *rows]))
        settings = ["data.table=drives.csv", "data.group=drive"]
    few, many = (
        frames_to_split(load_mission(mission, [*settings, f"calibration.frames={count}"]))
        for count in (8, 10)
    )
    assert (len(few.calibration), len(many.calibration)) == (8, 10)
    assert [one.name for one in few.held_back] == [one.name for one in many.held_back]
    assert len(few.held_back) == 4
    assert {one.name for one in few.calibration} <= {one.name for one in many.calibration}
    judging = {one.group for one in many.held_back}
    assert not judging & {one.group for one in many.calibration}
