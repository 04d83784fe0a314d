"""The benchmark of a mission: what it measures, proposes and draws; no time is asserted."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_files import write_mp4
from jetson_root import HWMON, write_jetson
from session_variants import ONE_OF_EACH_DRIVER, opening
from simulated_device.description import Fault
from stepped_sources import SteppingClock, read_all
from tiny_road import chosen, tiny_mission, write_clip, write_network

from edge.backends import abandoned
from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.commands.bench import print_result
from edge.contract.artifact import read_json
from edge.contract.mission.checks.cross_checks import STAGES
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.device import Budget
from edge.perception.values import Frame
from edge.qualification.bench.bare import measure_bare
from edge.qualification.bench.budget import LEAST_MS, as_toml, propose
from edge.qualification.bench.chart import draw
from edge.qualification.bench.frames import DRAWN, DrawnSource, RepeatedSource
from edge.qualification.bench.measure import BenchResult, Effort, measure
from edge.qualification.bench.spread import Spread
from edge.qualification.bench.watch import Watch
from edge.qualification.bench.windows import END_TO_END, HANDED_OVER, ROWS, FrameTiming, window
from edge.qualification.candidate import Candidate
from edge.qualification.device.files import DeviceFiles
from edge.qualification.vehicle_link import vehicle_link
from edge.runtime.clock import monotonic_ns
from firmware_bridge.errors import DeviceFault

Brakepoint = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def mission(root: Path) -> Mission:
    return tiny_mission(root, camera={"width_px": 128, "height_px": 128, "fps": 25.0})


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("bench") / "tiny.onnx")


@pytest.fixture(scope="module")
def jetson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    status = "Uid:\t0\t0\t0\t0\nVmRSS:\t   51200 kB\n"
    return write_jetson(tmp_path_factory.mktemp("jetson"), {"/proc/self/status": status})


@pytest.fixture(scope="module")
def result(mission: Mission, network: Path, jetson: Path) -> BenchResult:
    """A short measurement on a machine whose files are those of a Jetson."""
    with vehicle_link(mission, "emulated") as link:
        return measure(
            Candidate(mission, chosen(network)),
            source=None,
            link=link,
            effort=Effort(alone_s=0.05, loop_s=2.0),
            files=DeviceFiles(jetson),
            progress=lambda _what, _done, _total: None,
        )


def test_every_stage_is_measured_at_both_ends(result: BenchResult) -> None:
    assert result.report.ended == "asked to"
    assert result.exit_code == 0, result.report.faults
    assert set(ROWS) == {*STAGES, HANDED_OVER, END_TO_END}
    for stretch in (result.first, result.last):
        assert stretch.frames > 5
        for row in ROWS:
            spread = stretch.rows[row]
            assert spread is not None, row
            assert 0.0 < spread.p50 <= spread.p95 <= spread.p99 <= spread.max
    assert result.first.to_s <= result.last.from_s
    for state in (result.cold, result.hot):
        assert state.fps_most is not None
        assert state.fps_most > 0.0
        assert state.bare.infer.count >= 15
    whole = [timing.end_to_end_ms for timing in result.timings]
    assert len(whole) > 30


def test_power_and_heat_stand_beside_the_times(result: BenchResult) -> None:
    for stretch in (result.first, result.last):
        assert stretch.watts == pytest.approx(6.048)
        assert stretch.millijoules == pytest.approx(6048.0 / stretch.fps)
        assert (stretch.celsius, stretch.gpu_mhz, stretch.cpu_mhz) == (49.125, 612.0, 1344.0)
        assert stretch.resident == 51200 << 10
        assert stretch.over_current == 0  # two since boot, none while it ran
    assert result.available == (4915204 << 10, 4915204 << 10)


def test_the_proposed_budget_is_one_that_a_mission_may_have(
    result: BenchResult, mission: Mission
) -> None:
    raw = mission.model_dump()
    raw["budget"] = result.proposal
    proposed = Mission.model_validate(raw).budget
    for stage in STAGES:
        highest = max(one.rows[stage].p99 for one in (result.first, result.last))  # type: ignore[union-attr] # measured
        assert proposed.stage_ms(stage) >= 1.25 * highest
    assert proposed.end_to_end_ms >= sum(proposed.stage_ms(stage) for stage in STAGES)
    text = as_toml(result.proposal)
    assert text.startswith("[budget]\ngrab_ms = ")
    assert text.count("\n") == len(STAGES) + 1


def test_the_plot_shows_what_was_measured_and_leaves_out_the_rest(result: BenchResult) -> None:
    picture = ET.fromstring(draw(result))
    words = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"inference in the loop, ms", "hottest zone, °C", "whole board, W", "highest"} <= words
    curves = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(curves) == 2 + 2 + 1 + 1 + 2 + 1
    wide, high = float(picture.attrib["width"]), float(picture.attrib["height"])
    for curve in curves:
        for point in curve.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0.0 <= x <= wide
            assert 0.0 <= y <= high


def test_percentiles_are_durations_that_were_measured() -> None:
    spread = Spread.of([float(value) for value in range(1, 101)])
    assert spread == Spread(100, 50.0, 95.0, 99.0, 100.0)
    assert Spread.of([7.0]) == Spread(1, 7.0, 7.0, 7.0, 7.0)
    assert Spread.of([]) is None


def test_a_window_counts_its_own_frames_only(tmp_path: Path) -> None:
    stages = dict.fromkeys(STAGES, 1.0)
    timings = [FrameTiming(at_s / 10.0, stages, 20.0) for at_s in range(40)]
    timings[25] = FrameTiming(2.5, {"grab": 1.0, "infer": 9.0}, None)  # it failed in the network
    found = window(timings, (), 2.0, 3.0)
    assert (found.frames, found.fps) == (10, pytest.approx(10.0))
    assert found.rows["infer"] == Spread(10, 1.0, 9.0, 9.0, 9.0)
    assert found.rows["send"] == Spread(9, 1.0, 1.0, 1.0, 1.0)
    assert found.rows[HANDED_OVER] == Spread(9, 6.0, 6.0, 6.0, 6.0)
    on_gpu = {stage: 1.0 for stage in STAGES if stage != "preprocess"}
    found_on_gpu = window([FrameTiming(2.5, on_gpu, 20.0, {"execute": 0.5})], (), 2.0, 3.0)
    assert found_on_gpu.rows["preprocess"] is None
    assert found_on_gpu.rows[HANDED_OVER] == Spread(1, 5.0, 5.0, 5.0, 5.0)
    assert found_on_gpu.device == {"execute": Spread(1, 0.5, 0.5, 0.5, 0.5)}
    assert (found.watts, found.celsius, found.millijoules) == (None, None, None)


def test_a_stage_that_never_ran_keeps_its_budget() -> None:
    present = Budget(**{f"{stage}_ms": 3.0 for stage in STAGES}, end_to_end_ms=30.0)
    timings = [FrameTiming(0.0, {"grab": 0.01, "infer": 16.7}, None)]
    found = propose([window(timings, (), 0.0, 1.0)], present)
    assert (found["grab_ms"], found["infer_ms"], found["send_ms"]) == (LEAST_MS, 21.0, 3.0)
    assert found["end_to_end_ms"] == 37.0  # its stages need more than the 30 that it had


def test_energy_is_not_made_up_where_no_sensor_is(tmp_path: Path) -> None:
    bare = write_jetson(tmp_path, {f"{HWMON}/name": "other"})
    with Watch(DeviceFiles(bare), monotonic_ns) as watch:
        sample = watch.sample()
    assert sample.reading.watts is None
    assert sample.reading.hottest == 49.125


def test_a_clip_begins_again_and_its_frames_go_on_counting(
    mission: Mission, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    clock = SteppingClock()
    source = RepeatedSource(str(clip), mission.camera, clock)
    frames = [source.read(clock.pause) for _ in range(10)]
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.index for frame in frames if isinstance(frame, Frame)] == list(range(10))
    times = [frame.captured_ns for frame in frames if isinstance(frame, Frame)]
    assert times == sorted(times)
    source.close()


def test_a_clip_that_is_cut_short_ends(mission: Mission, tmp_path: Path) -> None:
    """A fault of the file is not repeated for ten minutes."""
    clip = write_mp4(tmp_path / "hole.mp4", [40] * 30)
    data = bytearray(clip.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    middle = start + (end - start) // 4
    data[middle:end] = bytes(end - middle)
    clip.write_bytes(bytes(data))
    clock = SteppingClock()
    frames, last = read_all(RepeatedSource(str(clip), mission.camera, clock), clock)
    assert 0 < len(frames) < 30
    assert last.fault is not None


def test_a_drawn_story_goes_forwards_and_backwards(mission: Mission) -> None:
    clock = SteppingClock()
    source = DrawnSource(mission.camera, clock)
    frames = [source.read(clock.pause) for _ in range(2 * DRAWN)]
    images = [frame.image for frame in frames if isinstance(frame, Frame)]
    assert len(images) == 2 * DRAWN
    assert np.array_equal(images[1], images[2 * DRAWN - 3])
    assert np.array_equal(images[0], images[2 * DRAWN - 2])
    assert images[0].shape == (128, 128, 3)


def test_a_device_lost_while_the_model_is_loaded_ends_the_measurement(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "_KEPT", [])
    variant = ONE_OF_EACH_DRIVER[0].with_faults(Fault("launch failure"))
    lost = pytest.raises(DeviceFault, match="inference alone fails")
    with opening(variant) as way, lost as refused:
        measure_bare(lambda: way.open(network), np.zeros((1, 3, 64, 64), np.float32), seconds=0.01)
    assert "unspecified launch failure" in refused.value.found


def test_a_session_that_refuses_its_input_ends_the_measurement(network: Path) -> None:
    with pytest.raises(DeviceFault, match="inference alone fails"):
        measure_bare(
            lambda: open_session("onnxruntime", network, options=SessionOptions(threads=1)),
            np.zeros((1, 3, 32, 32), np.float32),
            seconds=0.01,
        )


def test_the_table_has_every_row_and_the_budget_to_copy(
    result: BenchResult, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(result)
    printed = capsys.readouterr().out
    for row in ("bare inference", *ROWS, "frames a second, at most", "energy for a frame"):
        assert row in printed
    section = printed[printed.index("[budget]") :]
    assert all(f"{key} = {value:g}" in section for key, value in result.proposal.items())


def test_the_verb_writes_its_files_and_proposes_what_the_mission_takes(
    brakepoint: Brakepoint, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench"
    how = ["bench", tiny_mission, "--from", converted, "--minutes", "0.01", "--out", out]
    code, printed, err = brakepoint(*how, "--json")
    assert code == 0, err
    saved: dict[str, Any] = json.loads(printed)
    assert saved == read_json(out / "bench.json", "brakepoint.bench/1")
    ET.parse(out / "bench.svg")
    settings = [
        part
        for key, value in saved["budget"].items()
        for part in ("--set", f"budget.{key}={value}")
    ]
    assert brakepoint("mission", "check", tiny_mission, *settings)[0] == 0


def test_a_folder_of_something_else_is_refused_before_the_work(
    brakepoint: Brakepoint, tiny_mission: Path, converted: Path
) -> None:
    code, _, err = brakepoint("bench", tiny_mission, "--from", converted, "--out", converted)
    assert code == 2
    assert "holds no measurement" in err
    assert (converted / "report.json").exists()


@pytest.mark.parametrize("verb", ["bench", "qualify"])
@pytest.mark.parametrize("below", ["", "new"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(
    verb: str, below: str, brakepoint: Brakepoint, tiny_mission: Path, converted: Path
) -> None:
    out = converted / "report.json" / below
    code, _, err = brakepoint(verb, tiny_mission, "--from", converted, "--out", out)
    assert code == 2
    assert "cannot write to" in err
