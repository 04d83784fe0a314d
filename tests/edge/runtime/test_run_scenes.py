"""Conditions of the whole frame, from network to vehicle; and the effect of broken outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_road import SIDE, chosen, tiny_mission, write_network
from tiny_scene import CONDITIONS, DRY, NEITHER, WET, add_condition, write_classifier, write_clip

from edge.contract.mission.schema import Mission
from edge.perception.decode import output_shapes, perceive
from edge.perception.pixel_formats import Picture
from edge.perception.preprocess import InputPlacement
from edge.perception.values import Classification, Detections, Frame, Known, Unknown
from edge.runtime.daemon import run
from edge.runtime.policy.facts import Facts, FrameFacts
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.recording.events import RunEvent
from edge.runtime.recording.run_report import RunReport
from edge.runtime.recording.scene_log import SceneLog
from firmware_bridge.errors import UsageError
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.protocol.messages import Action, Perception

WET_ROAD = {
    "name": "wet road",
    "why": "braking takes longer",
    "when": {"scene": "wet", "confidence": 0.8},
    "confirm": {"k": 3, "of": 5},
    "action": "CAP_SPEED",
    "speed_ceiling_mps": 9.0,
    "deceleration_mps2": 1.0,
    "clear": "when_gone",
    "hold_ms": 200,
}
SLOW = {
    "camera": {"fps": 8.0},
    "budget": {"infer_ms": 300.0, "end_to_end_ms": 400.0},
    "policy": {"rules": [WET_ROAD]},
}
CONDITION = {"labels": CONDITIONS, "score_threshold": 0.7}
CLASSIFIER = {
    "labels": CONDITIONS,
    "decode": {"kind": "classify", "score_threshold": 0.7},
}


SEGMENTER = {
    "labels": ("road", "person"),
    "decode": {"kind": "segment", "strides": (16,), "score_threshold": 0.7},
}
AREAS = {
    "rules": [{**WET_ROAD, "when": {"label": "person", "confidence": 0.8, "share_min": 0.1}}],
}


def with_condition(root: Path, **sections: Any) -> Mission:
    return tiny_mission(root, **{"model": {"condition": CONDITION}, **SLOW, **sections})


def ran(
    mission: Mission, network: Path, link: LinkDriver, clip: Path, **given: Any
) -> tuple[RunReport, list[RunEvent]]:
    events: list[RunEvent] = []
    report = run(
        mission,
        source=str(clip),
        model=chosen(network),
        link=link,
        on_event=events.append,
        **given,
    )
    return report, events


def test_a_wet_road_caps_the_speed_until_it_is_dry_again(
    root: Path, link: LinkDriver, tmp_path: Path
) -> None:
    network = add_condition(write_network(tmp_path / "tiny.onnx"))
    clip = write_clip(tmp_path / "clip.mp4", (DRY, 25), (WET, 25), (NEITHER, 15), (DRY, 25))
    video = tmp_path / "annotated.mp4"
    report, events = ran(with_condition(root), network, link, clip, record=video)
    assert report.exit_code == 0, report.faults
    assert report.frames.unknown == 0  # doubt about the condition is no doubt about the road
    (episode,) = [e for e in report.timeline if e.name == "wet road"]
    assert 25 <= (episode.moments["first_seen"].frame or 0) < 50
    # Not in the grey part, where the condition is not known.
    assert (episode.moments["released"].frame or 0) >= 65
    caps = [e for e in report.effective if e.action is Action.CAP_SPEED]
    assert caps[0].ceiling_mps == pytest.approx(9.0, abs=0.1)
    counted = report.to_json()["scenes"]["condition"]
    assert set(counted) == {"dry", "wet", "not known"}
    assert sum(counted.values()) == report.frames.inferred
    told = [event.values["label"] for event in events if event.kind == "scene"]
    assert told == ["dry", "wet", "dry"]
    playback = cv2.VideoCapture(str(video))
    assert playback.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(90, abs=3)


def test_a_classifiers_frame_out_of_distribution_is_unknown_and_slows_the_vehicle(
    root: Path, link: LinkDriver, tmp_path: Path
) -> None:
    mission = tiny_mission(root, model=CLASSIFIER, **SLOW)
    network = write_classifier(tmp_path / "classes.onnx")
    clip = write_clip(tmp_path / "clip.mp4", (DRY, 25), (WET, 25), (NEITHER, 40))
    report, _ = ran(mission, network, link, clip)
    assert report.frames.unknown > 20
    assert "wet road" in {episode.name for episode in report.timeline}
    assert "perception unknown" in {episode.name for episode in report.timeline}
    assert Action.SLOW_DOWN in {effective.action for effective in report.effective}
    reasons = [fault.text for fault in report.faults if fault.kind == "perception unknown"]
    assert reasons == ["out of distribution: no label reaches a score of 0.7"]


@pytest.mark.parametrize("heads", [1, 2])
def test_a_model_with_other_outputs_is_refused_before_the_first_frame(
    root: Path, link: LinkDriver, tmp_path: Path, heads: int
) -> None:
    network = write_network(tmp_path / "tiny.onnx")
    mission = with_condition(root)
    if heads == 2:
        add_condition(network)
        mission = tiny_mission(root)
    clip = write_clip(tmp_path / "clip.mp4", (DRY, 5))
    with pytest.raises(UsageError, match="output") as refused:
        ran(mission, network, link, clip)
    assert "condition" in refused.value.expected + refused.value.remedy


def test_the_annotated_frame_shows_the_scene_and_the_time(root: Path) -> None:
    """By what changes in the picture: a known, an unknown and no condition look different."""
    from edge.runtime.loop.decision_loop import Turn
    from edge.runtime.loop.inference import Result
    from edge.runtime.recording.overlay import Painter
    from edge.runtime.tracking.track import Track

    painter = Painter.of(with_condition(root))

    def drawn(*scene: Classification, seconds: float = 30.0) -> np.ndarray:
        track = Track(1, (200.0, 200.0, 300.0, 300.0), 0.9, 0, 3, 4, 0, 0, 0, seconds, "boxes")
        frame = Frame(Picture(np.full((384, 640, 3), 120, np.uint8)), 0, "video", 0)
        result = Result(frame, Known(Detections.empty(), scene), (track,), {})
        return painter.draw(replace(turn, result=result))

    turn = _turn(Turn)
    plain = drawn()
    wet, unknown = (drawn(Classification("condition", said, 0.9)) for said in ("wet", None))
    assert not np.array_equal(plain, wet)
    assert not np.array_equal(wet, unknown)
    assert np.array_equal(plain[150:], wet[150:])
    assert not np.array_equal(plain, drawn(seconds=1.5))
    assert np.array_equal(plain, drawn(seconds=11.0))


def _turn(made: Any) -> Any:
    """A turn of a loop that demands nothing."""
    from edge.runtime.policy.facts import Decision
    from firmware_bridge.link.states import LinkState
    from firmware_bridge.protocol.messages import Mode, Reason, SafetyCommand

    command = SafetyCommand(
        action=Action.NONE,
        release=False,
        speed_ceiling_mps=60.0,
        deceleration_limit_mps2=0.0,
        valid_for_ms=250,
        reason=Reason.CLEAR,
    )

    class Link:
        state = LinkState.DISCONNECTED
        effective_action = None

    return made(
        now_ns=0,
        result=None,
        camera=None,
        facts=None,
        link=Link(),
        state=None,
        decision=Decision(command, None, (), Perception.KNOWN, False, ()),
        mode=Mode.NORMAL,
        sent=None,
        end_to_end_ms=None,
        stage_ms={},
        link_events=(),
    )


def test_the_log_tells_changes_and_counts_doubt() -> None:
    log, told = SceneLog(), []
    for label in ("dry", None, "dry", "wet", None, "wet", "dry"):
        told += [said.label for said in log.add([Classification("condition", label, 0.9)])]
    assert told == ["dry", "wet", "dry"]
    assert log.to_json() == {"condition": {"dry": 3, "not known": 2, "wet": 2}}


FLOATS = st.one_of(
    st.floats(-50.0, 50.0, width=32),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 0.0]),
)


@st.composite
def any_outputs(draw: st.DrawFn, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Outputs as a broken network may put them out: any number, nearly right shapes, any values."""
    outputs = []
    for shape in shapes[: draw(st.integers(0, len(shapes)))] if draw(st.booleans()) else shapes:
        sizes = list(shape)
        if draw(st.integers(0, 4)) == 0:
            sizes[draw(st.integers(0, len(sizes) - 1))] += draw(st.sampled_from([-1, 1]))
        values = np.full(sizes, draw(st.floats(-50.0, 50.0, width=32)), np.float32)
        for _ in range(draw(st.integers(0, 4))):
            if values.size:
                values.flat[draw(st.integers(0, values.size - 1))] = draw(FLOATS)
        outputs.append(values)
    return outputs


@pytest.mark.parametrize("kind", ["detector", "two heads", "classifier", "segmenter"])
def test_no_output_however_broken_leads_to_a_release(root: Path, kind: str) -> None:
    """At standstill, with the stop of the start: only a frame that was truly perceived releases."""
    mission = {
        "detector": lambda: tiny_mission(root),
        "two heads": lambda: with_condition(root),
        "classifier": lambda: tiny_mission(root, model=CLASSIFIER, **SLOW),
        "segmenter": lambda: tiny_mission(root, model=SEGMENTER, **{**SLOW, "policy": AREAS}),
    }[kind]()
    spec = mission.model.network_spec
    shapes = list(output_shapes(spec, SIDE, SIDE).values())
    limits = PolicySettings.of(mission, fps=25.0)
    here = InputPlacement(1.0, 1.0, 0.0, 0.0)

    @settings(max_examples=150, deadline=None)
    @given(any_outputs(shapes))
    def holds(outputs: list[np.ndarray]) -> None:
        seen = perceive(
            outputs, spec, placement=here, input_size=(SIDE, SIDE), frame_size=(SIDE, SIDE)
        )
        known = isinstance(seen, Known)
        right = [output.shape for output in outputs] == shapes
        finite = all(np.isfinite(output).all() for output in outputs)
        if known:
            assert right
            assert finite
        else:
            assert isinstance(seen, Unknown)
            assert seen.reason
        scene = seen.scene if isinstance(seen, Known) else ()
        facts = Facts(
            frame=FrameFacts(0, known, (), (SIDE, SIDE), scene),
            camera_gone=False,
            inference_hung=False,
            late_share=None,
            unacknowledged_in_a_row=0,
            standstill=True,
            operator_request=True,
            effective_action=Action.COMFORT_STOP,
            link_up=True,
            ending=False,
        )
        _, decision = decide(limits, facts, initial(limits), 0)
        if not (right and finite):
            assert not decision.command.release
            assert decision.command.action is Action.COMFORT_STOP
        assert decision.command.release <= known

    holds()
