"""Whole runs: clip, network, policy and link, with the real firmware process at the other end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from tiny_road import LABELS, chosen, tiny_mission, write_clip, write_network

from edge.backends.table import BACKENDS, Backend
from edge.contract.artifact import read_json, write_json
from edge.contract.mission.schema import Mission
from edge.runtime.daemon import run
from edge.runtime.recording.events import RunEvent
from edge.runtime.recording.explanation import explain
from edge.runtime.recording.journal import journal_of_report
from edge.runtime.recording.run_report import SCHEMA, RunReport
from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.errors import Missing, UsageError
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.protocol.line_rate import minimum_baud


@pytest.fixture
def mission(root: Path) -> Mission:
    """Slow enough in its demands that a busy test machine is not what fails."""
    return tiny_mission(
        root,
        camera={"fps": 8.0},
        budget={"infer_ms": 300.0, "end_to_end_ms": 400.0},
        link={"acknowledge_within_ms": 500},
        policy={
            "rules": [
                {
                    "name": "pedestrian",
                    "why": "a person cannot be passed",
                    "when": {"label": "pedestrian", "confidence": 0.5, "zone": "corridor"},
                    "confirm": {"k": 3, "of": 5},
                    "action": "COMFORT_STOP",
                    "deceleration_mps2": 2.0,
                    "clear": "standstill",
                    "hold_ms": 200,
                }
            ]
        },
    )


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "tiny.onnx")


def test_a_generated_story_runs_as_a_camera_does(
    mission: Mission, network: Path, link: LinkDriver
) -> None:
    report = run(
        mission,
        source="scenes:oncoming?weather=rain&light=night&road=highway&seed=2",
        model=chosen(network),
        link=link,
        on_event=lambda _event: None,
    )
    assert report.ended == "source ended"
    assert report.exit_code == 0, report.faults
    frames = report.frames
    # A busy machine may draw late: a frame whose time has passed is skipped.
    assert 40 < frames.captured <= 138
    assert frames.captured == frames.inferred + frames.dropped
    assert frames.unknown == 0


@pytest.mark.requirement("R-LINK-48")
def test_a_line_too_slow_for_the_source_is_refused_before_the_first_frame(
    root: Path, network: Path, link: LinkDriver, tmp_path: Path
) -> None:
    """The mission's camera of 8 frames a second fits; this clip of 100 does not."""
    slow = tiny_mission(root, camera={"fps": 8.0}, link={"baud": 38400})
    with pytest.raises(UsageError, match="too slow for 100 frames a second") as refused:
        run(
            slow,
            source=str(write_clip(tmp_path / "fast.mp4", frames=5, fps=100.0)),
            model=chosen(network),
            link=link,
            on_event=lambda _event: None,
        )
    assert str(minimum_baud(8.0 + 50.0)) not in refused.value.expected
    assert str(minimum_baud(100.0 + 50.0)) in refused.value.expected
    assert "38400" in refused.value.found


def test_a_pedestrian_steps_out_and_the_vehicle_stops_and_is_released(
    mission: Mission, network: Path, link: LinkDriver, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=75, red=(25, 45))
    events: list[RunEvent] = []
    video = tmp_path / "out" / "annotated.mp4"
    report = run(
        mission,
        source=str(clip),
        model=chosen(network),
        link=link,
        on_event=events.append,
        record=video,
    )
    assert report.ended == "source ended"
    assert report.exit_code == 0, report.faults
    frames = report.frames
    assert frames.captured == 75 == frames.inferred + frames.dropped
    assert frames.inferred > 40
    assert frames.unknown == 0

    (episode,) = [e for e in report.timeline if e.kind == "rule"]
    moments = [episode.moments[m] for m in ("first_seen", "confirmed", "commanded")]
    moments += [episode.moments[m] for m in ("acknowledged", "effective", "released")]
    assert moments[0].mono_ms < moments[1].mono_ms < moments[2].mono_ms <= moments[3].mono_ms
    assert moments[4].mono_ms < moments[5].mono_ms
    assert 25 <= (moments[0].frame or 0) < 45
    assert moments[0].clip_s == pytest.approx((moments[0].frame or 0) / 25.0, abs=1e-3)
    assert moments[1].mono_ms < episode.moments["ended"].mono_ms <= moments[5].mono_ms
    journal = journal_of_report(json.loads(json.dumps(report.to_json())))
    told = explain(journal, moments[4].mono_ms / 1e3 + 0.001, mission.policy)
    assert episode.name in [cause.name for cause in told.causes]
    assert told.applied.startswith("COMFORT_STOP since")
    actions = [e.action.name for e in report.effective]
    assert actions[0] == "COMFORT_STOP"  # as it boots
    assert actions[1:4] == ["NONE", "COMFORT_STOP", "NONE"]
    # A busy machine may be late with a heartbeat as it starts, which is SAFE until the next.
    modes = [mode.name for _, mode in report.modes if mode.name != "SAFE"]
    assert modes[:3] == ["STARTING", "STOPPED", "NORMAL"]
    assert report.commands.acknowledged >= report.commands.commands_sent - 3 > 50
    assert report.latency["to_acknowledge"].count > 40
    pedestrians = [t for t in report.tracks if t.label == "pedestrian"]
    assert [t.last_s - t.first_s for t in pedestrians] == pytest.approx([0.76], abs=0.2)

    kinds = {event.kind for event in events}
    assert {"frame", "mode", "rule", "fallback", "command", "effective", "camera"} <= kinds
    assert events[-1].text

    assert report.recording is not None
    playback = cv2.VideoCapture(str(video))
    assert playback.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(75, abs=3)
    assert [p.name for p in video.parent.iterdir()] == ["annotated.mp4"]

    document = report.to_json()
    write_json(tmp_path / "run.json", SCHEMA, report.payload())
    assert read_json(tmp_path / "run.json", SCHEMA)["timeline"] == document["timeline"]
    assert document["latency_ms"]["end_to_end"]["budget"] == 400.0


@pytest.mark.requirement("R-RUN-22")
@pytest.mark.parametrize("fps", [25.0, 5.0])
def test_a_person_who_is_there_from_the_start_is_never_released_onto(
    fps: float, mission: Mission, network: Path, link: LinkDriver, tmp_path: Path
) -> None:
    """The stop was released for 52 ms at 25 and 382 ms at 5 frames a second, until the rule
    confirmed."""
    frames = int(2.4 * fps)
    clip = write_clip(tmp_path / "clip.mp4", frames=frames, red=(0, frames), fps=fps)
    report = background_run(mission, network, link, clip)()
    assert {row.action.name for row in report.effective} == {"COMFORT_STOP"}
    assert report.effective[0].latched
    assert "pedestrian" in {episode.name for episode in report.timeline}
    (fault,) = [fault for fault in report.faults if fault.kind == "never released"]
    assert fault.text.startswith("every command was a stop")
    assert report.exit_code == 0, report.faults


@pytest.mark.requirement("R-RUN-1", "R-RUN-3")
def test_a_source_that_is_too_slow_to_be_trusted_never_moves_the_vehicle_and_says_so(
    mission: Mission, network: Path, link: LinkDriver, tmp_path: Path
) -> None:
    """The mission's rate is a slip of the unit: by periods alone nothing would ever get old."""
    slow = mission.model_copy(update={"camera": mission.camera.model_copy(update={"fps": 1.0})})
    clip = write_clip(tmp_path / "clip.mp4", frames=4, fps=1.0)
    report = background_run(slow, network, link, clip)()
    assert {row.action.name for row in report.effective} == {"COMFORT_STOP"}
    (fault,) = [fault for fault in report.faults if fault.kind == "frames too far apart"]
    assert "1 frames a second" in fault.text
    assert "500 ms" in fault.text


def test_a_run_that_misses_its_budget_all_the_time_says_so_and_what_to_do(
    mission: Mission, network: Path, link: LinkDriver, tmp_path: Path
) -> None:
    names = ("grab", "preprocess", "infer", "decode", "track", "decide", "send", "end_to_end")
    budget = mission.budget.model_copy(
        update={f"{name}_ms": 0.08 if name == "end_to_end" else 0.01 for name in names}
    )
    clip = write_clip(tmp_path / "clip.mp4", frames=30)
    texts: list[str] = []
    report = background_run(
        mission.model_copy(update={"budget": budget}),
        network,
        link,
        clip,
        on_event=lambda event: texts.append(event.text),
    )()
    (fault,) = [fault for fault in report.faults if fault.kind == "budget missed"]
    assert "results took longer than the 0.08 ms of budget.end_to_end_ms" in fault.text
    assert "infer" in fault.text
    assert "--precision int8" in fault.remedy
    assert any(text.startswith("budget missed: ") and fault.remedy in text for text in texts)
    assert report.exit_code == 0, report.faults


def background_run(
    mission: Mission, network: Path, link: LinkDriver, clip: Path, **given: Any
) -> Callable[[], RunReport]:
    """A run on a thread; call the result to wait for its report."""
    reports: list[RunReport] = []
    given = {"on_event": lambda _: None, **given}
    thread = threading.Thread(
        target=lambda: reports.append(
            run(
                mission,
                source=str(clip),
                model=chosen(network),
                link=link,
                **given,
            )
        )
    )
    thread.start()

    def finish() -> RunReport:
        thread.join(60.0)
        assert reports, "the run did not end"
        return reports[0]

    return finish


def test_a_microcontroller_unplugged_in_mid_run_is_a_state_and_the_run_goes_on(
    mission: Mission, network: Path, mcu: HostFirmware, link: LinkDriver, tmp_path: Path
) -> None:
    started = threading.Event()
    texts: list[str] = []

    def listen(event: RunEvent) -> None:
        texts.append(event.text)
        if event.kind == "frame" and event.values["index"] >= 10:
            started.set()

    clip = write_clip(tmp_path / "clip.mp4", frames=50)
    finish = background_run(mission, network, link, clip, on_event=listen)
    assert started.wait(20.0)
    mcu.kill()
    report = finish()
    assert report.ended == "source ended"
    assert report.frames.captured == 50
    assert report.exit_code == 5
    kinds = [fault.kind for fault in report.faults]
    assert "link lost" in kinds
    assert kinds[-1] == "link lost at the end"
    assert "microcontroller" in report.faults[-1].remedy
    assert report.modes[-1][1].name == "STOPPED"
    assert any("link lost" in text for text in texts)


def test_a_set_event_ends_the_run_with_a_stop(
    mission: Mission, network: Path, mcu: HostFirmware, link: LinkDriver, tmp_path: Path
) -> None:
    until = threading.Event()
    clip = write_clip(tmp_path / "clip.mp4", frames=500)
    finish = background_run(mission, network, link, clip, until=until)
    time.sleep(1.0)
    until.set()
    report = finish()
    assert report.ended == "asked to"
    assert report.exit_code == 0, report.faults
    assert report.seconds < 15.0
    assert report.effective[-1].action.name == "COMFORT_STOP"
    assert report.effective[-1].latched


def test_sigterm_ends_the_run_and_leaves_the_handlers_as_they_were(
    mission: Mission, network: Path, link: LinkDriver, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    clip = write_clip(tmp_path / "clip.mp4", frames=500)
    killer: list[int] = []

    def listen(event: RunEvent) -> None:
        if event.kind == "frame" and not killer:
            killer.append(1)
            os.kill(os.getpid(), signal.SIGTERM)

    report = run(
        mission,
        source=str(clip),
        model=chosen(network),
        link=link,
        on_event=listen,
    )
    assert report.ended == "asked to"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_network_that_puts_out_nan_never_releases_the_vehicle(
    mission: Mission, link: LinkDriver, tmp_path: Path
) -> None:
    broken = write_network(tmp_path / "nan.onnx", first=4)
    clip = write_clip(tmp_path / "clip.mp4", frames=20)
    report = background_run(mission, broken, link, clip)()
    assert report.frames.unknown == report.frames.inferred > 0
    assert {e.action.name for e in report.effective} == {"COMFORT_STOP"}
    assert [f.text for f in report.faults if f.kind == "perception unknown"] == [
        "output holds NaN or Inf"
    ]


@pytest.mark.requirement("R-RUN-110")
def test_a_frame_with_more_detections_than_may_be_kept_says_so(
    mission: Mission, link: LinkDriver, tmp_path: Path
) -> None:
    decode = mission.model.decode.model_copy(update={"max_detections": 10})
    model = mission.model.model_copy(update={"decode": decode})
    hot = write_network(tmp_path / "hot.onnx", hot=True)
    clip = write_clip(tmp_path / "clip.mp4", frames=12)
    report = background_run(mission.model_copy(update={"model": model}), hot, link, clip)()
    assert report.frames.crowded == report.frames.inferred > 0
    (fault,) = [f for f in report.faults if f.kind == "detections left out"]
    assert fault.text == "10 kept of a frame, 6 more cells reach the threshold"
    assert report.exit_code == 0, report.faults
    assert report.payload()["frames"]["crowded"] == report.frames.crowded


def test_a_clip_cut_in_mid_frame_runs_to_there_and_the_report_says_so(
    mission: Mission, network: Path, link: LinkDriver, tmp_path: Path, shared_data: Path
) -> None:
    whole = (shared_data / "video" / "day_highway.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 8])
    report = background_run(mission, network, link, cut)()
    assert report.ended == "source ended"
    assert report.exit_code == 3
    (fault,) = [f for f in report.faults if f.kind == "source ended early"]
    assert fault.text == f"ended early: {report.frames.captured} of 221 frames"


def test_a_network_that_hangs_ends_the_run_with_a_stop_and_code_5(
    mission: Mission,
    network: Path,
    link: LinkDriver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = Backend(
        module="stalling_session", name="StallingSession", model=Path, extra="cpu", remedy=""
    )
    monkeypatch.setitem(BACKENDS, "onnxruntime", row)
    clip = write_clip(tmp_path / "clip.mp4", frames=200)
    report = background_run(mission, network, link, clip)()
    assert report.ended == "inference hung"
    assert report.exit_code == 5
    assert report.seconds < 30.0
    assert report.effective[-1].action.name == "COMFORT_STOP"
    assert report.effective[-1].latched
    hung = [e for e in report.timeline if e.name == "inference hung"]
    assert "acknowledged" in hung[0].moments


class TestRefusedBeforeTheFirstFrame:
    """Nothing is written and nothing is left running."""

    def refused(
        self, mission: Mission, link: LinkDriver, tmp_path: Path, **given: Any
    ) -> pytest.ExceptionInfo[Exception]:
        threads = threading.active_count()
        clip = write_clip(tmp_path / "clip.mp4", frames=3)
        given = {"source": str(clip), "model": tmp_path / "tiny.onnx", **given}
        with pytest.raises((Missing, UsageError)) as info:
            run(mission, model=chosen(given.pop("model")), link=link, on_event=print, **given)
        deadline = time.monotonic() + 5.0
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() == threads
        return info

    def test_no_source(self, mission: Mission, network: Path, link: Any, tmp_path: Path) -> None:
        info = self.refused(mission, link, tmp_path, source=str(tmp_path / "no.mp4"))
        assert "no source" in str(info.value)

    def test_no_model(self, mission: Mission, link: Any, tmp_path: Path) -> None:
        info = self.refused(mission, link, tmp_path, model=tmp_path / "no.onnx")
        assert "no.onnx" in str(info.value)

    def test_a_truncated_model(
        self, mission: Mission, network: Path, link: Any, tmp_path: Path
    ) -> None:
        network.write_bytes(network.read_bytes()[:-50])
        assert "not a model" in str(self.refused(mission, link, tmp_path).value)

    def test_a_wrong_label_count(self, mission: Mission, link: Any, tmp_path: Path) -> None:
        other = write_network(tmp_path / "two.onnx", labels=len(LABELS) - 1)
        text = str(self.refused(mission, link, tmp_path, model=other).value)
        assert "output does not fit" in text
        assert "model.labels" in text

    def test_a_recording_that_cannot_be(
        self, mission: Mission, network: Path, link: Any, tmp_path: Path
    ) -> None:
        info = self.refused(mission, link, tmp_path, record=tmp_path / "out.avi")
        assert ".mp4" in str(info.value)
        assert not (tmp_path / "out.avi").exists()


@pytest.mark.requirement("R-RUN-151")
def test_a_rule_on_distance_stops_for_what_stands_near(
    root: Path, network: Path, tmp_path: Path, link: LinkDriver
) -> None:
    geometry = {"width_px": 128, "height_px": 128, "fx_px": 120.0, "fy_px": 120.0}
    geometry |= {"cx_px": 64.0, "cy_px": 64.0, "height_m": 1.3, "pitch_deg": 10.0}
    geometry |= {"to_bumper_m": 0.5, "height_error_m": 0.02, "pitch_error_deg": 0.3}
    geometry |= {"foot_error_px": 1.0, "foot_error_share": 0.03}
    near = {
        "name": "near",
        "why": "it is close",
        "when": {"label": "pedestrian", "confidence": 0.5, "distance_max_m": 30.0},
        "confirm": {"k": 3, "of": 5},
        "action": "COMFORT_STOP",
        "deceleration_mps2": 2.0,
        "clear": "standstill",
    }
    mission = tiny_mission(
        root,
        camera={"fps": 8.0, "width_px": 128, "height_px": 128, "geometry": geometry},
        budget={"infer_ms": 300.0, "end_to_end_ms": 400.0},
        link={"acknowledge_within_ms": 500},
        policy={"rules": [near]},
    )
    clip = write_clip(tmp_path / "near.mp4", frames=20, red=(5, 18), fps=8.0)
    report = run(
        mission,
        source=str(clip),
        model=chosen(network),
        link=link,
        on_event=lambda _event: None,
    )
    (track,) = report.to_json()["tracks"]
    assert track["nearest_m"] is not None
    assert "near" in {episode.name for episode in report.timeline}
