"""Cameras against the kernel's own test camera, vivid, in an emulated PC.

The PC boots once and runs `cameras/vivid_guest.py`; here its results are judged.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cameras import vivid_guest
from cameras.emulated_pc import OUT, VIVID_FPS, VIVID_SIZE, run_in_emulated_pc
from checkout import HARNESS, ROOT, samples
from tiny_road import tiny_mission, write_network

from edge.contract.mission.schema import Mission
from firmware_bridge.emulation.build import build_firmware

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("vivid")
    write_network(out / "tiny.onnx")
    (out / "mission.json").write_text(_mission(root).model_dump_json())
    build_firmware(out / "firmware", target="host")
    paths = os.pathsep.join(map(str, (ROOT, HARNESS, samples("edge"))))
    program = str(Path(vivid_guest.__file__))
    console = run_in_emulated_pc(
        ["env", f"PYTHONPATH={paths}", "PYTHONDONTWRITEBYTECODE=1", sys.executable, program, OUT],
        out,
    )
    sys.stdout.write(console)
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def _mission(root: Path) -> Mission:
    """Ages and budgets for a processor that is emulated."""
    return tiny_mission(
        root,
        camera={"width_px": VIVID_SIZE[0], "height_px": VIVID_SIZE[1], "fps": VIVID_FPS},
        budget={"infer_ms": 400.0, "end_to_end_ms": 450.0},
        link={"acknowledge_within_ms": 1000},
    )


def of(results: dict[str, Any], case: str) -> Any:
    found = results[case]
    assert "error" not in found, found["error"]
    return found


def kinds(rows: list[dict[str, Any]]) -> list[str]:
    return [kind for kind, _ in itertools.groupby(row["kind"] for row in rows)]


def test_every_format_that_vivid_has_shows_the_same_colours(results: dict[str, Any]) -> None:
    found = of(results, "formats")
    grey = found.pop("GREY")
    assert found.keys() == {"NV12", "YUYV", "BGR3", "RGB3", "NV21", "UYVY"}
    assert found["BGR3"] == found["RGB3"]
    for code, bars in found.items():
        for bar, exact in zip(bars, found["BGR3"], strict=True):
            assert max(abs(a - b) for a, b in zip(bar, exact, strict=True)) <= 4, (code, bars)
    assert len({tuple(bar) for bar in found["BGR3"]}) == 8
    assert all(len(set(bar)) == 1 for bar in grey)


@pytest.mark.requirement("R-RUN-132")
def test_frames_have_the_drivers_times_and_numbers(results: dict[str, Any]) -> None:
    rows = of(results, "frames")
    assert kinds(rows) == ["Frame"]
    assert {row["stamp_source"] for row in rows} == {"driver"}
    assert {row["uncertainty_ns"] for row in rows} == {0}
    assert {row["format"] for row in rows} == {"nv12"}
    for one, other in itertools.pairwise(rows):
        assert one["captured_ns"] <= one["read_ns"]
        periods = (other["captured_ns"] - one["captured_ns"]) / (1e9 / VIVID_FPS)
        # The driver counts what it drops, so number and time agree even on a busy machine.
        assert abs(periods - (other["index"] - one["index"])) < 0.5


@pytest.mark.requirement("R-RUN-132")
def test_times_ahead_of_the_clock_are_not_used(results: dict[str, Any]) -> None:
    rows = of(results, "end_of_frame")
    assert {row["stamp_source"] for row in rows} == {"read"}
    assert all(row["captured_ns"] <= row["read_ns"] for row in rows)
    assert all(row["uncertainty_ns"] >= 2e9 / VIVID_FPS for row in rows)


@pytest.mark.requirement("R-RUN-70")
def test_each_refusal_says_what_the_driver_did(results: dict[str, Any]) -> None:
    found = of(results, "refusals")
    assert "not the one that the mission describes" in found["size"]["what"]
    assert "320 x 180 pixels at 10 frames a second" in found["size"]["found"]
    assert "320 x 180 pixels at 15 frames a second" in found["rate"]["found"]
    assert "several planes" in found["planes"]["found"]
    assert found["absent"]["what"] == "no camera at /dev/video9"
    assert found["busy"]["what"] == "/dev/video0 is in use"
    assert found["permission"]["what"] == "this user may not open /dev/video0"
    for name in ("Inject VIDIOC_REQBUFS Error", "Inject VIDIOC_STREAMON Error"):
        assert found[name]["what"]
    assert found["afterwards"] == {}


@pytest.mark.requirement("R-RUN-134")
def test_dropped_and_damaged_buffers_are_counted_and_not_shown(results: dict[str, Any]) -> None:
    rows = of(results, "dropped")
    assert kinds(rows) == ["Frame"]
    assert rows[-1]["index"] - rows[0]["index"] > 25  # 19 frames and about as many dropped
    rows = of(results, "damaged")
    assert kinds(rows) == ["Frame", "Damaged", "Frame"]
    assert {row["reason"] for row in rows if row["kind"] == "Damaged"} == {
        "the driver marks it as damaged"
    }


@pytest.mark.requirement("R-RUN-130")
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("all_dropped", "/dev/video0 delivers no frame within 2 s"),
        ("fatal", "/dev/video0 fails: Input/output error"),
    ],
)
def test_a_lost_stream_is_a_camera_that_comes_back(
    case: str, reason: str, results: dict[str, Any]
) -> None:
    rows = of(results, case)
    assert kinds(rows) == ["Frame", "CameraGone", "Frame"]
    assert [row["reason"] for row in rows if row["kind"] == "CameraGone"] == [reason]
    numbers = [row["index"] for row in rows if row["kind"] == "Frame"]
    assert numbers == sorted(set(numbers))


def test_unplugged_and_plugged_in_again(results: dict[str, Any]) -> None:
    rows = of(results, "unplugged")
    assert kinds(rows) == ["Frame", "CameraGone", "Frame"]
    reasons = [row["reason"] for row in rows if row["kind"] == "CameraGone"]
    assert reasons == [
        "/dev/video0 fails: No such device",
        *["no camera at /dev/video0: No such device"] * 2,
    ]


@pytest.mark.requirement("R-RUN-7")
def test_a_run_whose_camera_is_unplugged_ends_stopped(results: dict[str, Any]) -> None:
    found = of(results, "whole_run")
    report = found["report"]
    assert report["source"]["kind"] == "camera"
    assert report["frames"]["inferred"] > 0
    assert report["capture_times"]["driver"]["uncertainty_ms"] == 0.0
    assert report["effective"][-1]["action"] == "COMFORT_STOP"
    assert [fault["kind"] for fault in report["faults"]].count("camera gone at the end") == 1
    assert report["exit_code"] == 5
