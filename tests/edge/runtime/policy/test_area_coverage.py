"""Rules on areas of a segmentation network: coverage of a zone, and that uncertainty does not count
as absence.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_road import SIDE, chosen, tiny_mission, write_clip

from edge.contract.mission.sections.policy import When
from edge.perception.values import LabelMap
from edge.runtime.daemon import run
from edge.runtime.policy.area_coverage import cover_of
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.policy.rule_matching import matches
from edge.runtime.recording.area_log import AreaLog
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.protocol.messages import Action

LABELS = ("road", "pedestrian")
LOWER = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))
STRIDE = 4


def areas(labels: np.ndarray, shares: np.ndarray | float = 0.9) -> LabelMap:
    """A map of square cells of ten pixels that fills its frame."""
    high, wide = labels.shape
    return LabelMap(
        labels=labels.astype(np.uint8),
        shares=np.broadcast_to(np.float32(shares), labels.shape),
        x_px=np.arange(wide, dtype=np.float32) * 10 + 5,
        y_px=np.arange(high, dtype=np.float32) * 10 + 5,
        frame_size=(10 * wide, 10 * high),
    )


def test_a_label_covers_the_share_of_a_zone_that_its_cells_do() -> None:
    labels = np.zeros((10, 10), int)
    labels[5:7, :] = 1
    seen = areas(labels)
    assert cover_of(seen, 1, confidence=0.5).sure == pytest.approx(0.2)
    assert cover_of(seen, 1, confidence=0.5, zone=LOWER).sure == pytest.approx(0.4)
    triangle = ((0.0, 0.0), (0.98, 0.0), (0.0, 0.98))
    assert cover_of(seen, 0, confidence=0.5, zone=triangle).sure == pytest.approx(38 / 45)


def test_padding_belongs_to_no_zone_and_a_tiny_zone_is_never_empty() -> None:
    labels = np.ones((4, 4), int)
    labels[:, 1:3] = 0
    seen = LabelMap(
        labels.astype(np.uint8),
        np.ones((4, 4), np.float32),
        np.array([-5, 5, 15, 25], np.float32),  # the first and the last lie beyond the frame
        np.array([5, 15, 25, 35], np.float32),
        (20, 40),
    )
    assert cover_of(seen, 0, confidence=0.5).sure == 1.0
    sliver = ((0.49, 0.0), (0.51, 0.0), (0.51, 0.01))
    assert cover_of(seen, 0, confidence=0.5, zone=sliver).sure == 1.0
    rim = ((0.99, 0.4), (1.0, 0.4), (1.0, 0.6))  # in the frame, but nearest to no cell of it
    further = replace(seen, x_px=np.array([-10, 4, 12, 20], np.float32))
    assert cover_of(further, 0, confidence=0.5, zone=rim).sure == 1.0


def matched(seen: LabelMap | None) -> bool | None:
    when = When(label="pedestrian", confidence=0.6, zone="lower", share_min=0.3)
    turn = FrameFacts(0, seen is not None, (), (100, 100), (), seen)
    return matches(when, turn, labels=LABELS, zones={"lower": LOWER})


def test_what_nobody_is_sure_of_is_no_sign_that_the_area_is_free() -> None:
    labels = np.zeros((10, 10), int)
    assert matched(areas(labels)) is False
    labels[6:8] = 1
    assert matched(areas(labels)) is True
    shares = np.full((10, 10), 0.9)
    shares[6:8] = 0.5  # the network wavers there
    assert matched(areas(labels, shares)) is None
    shares[7] = 0.9
    assert matched(areas(labels, shares)) is None
    tenths = np.zeros((10, 10), int)
    tenths[:7] = 1
    wavering = np.full((10, 10), 0.9)
    wavering[7] = 0.5  # 0.7 and 0.1 are less than 0.8 in binary fractions
    when = When(label="pedestrian", confidence=0.6, share_min=0.8)
    turn = FrameFacts(0, True, (), (100, 100), (), areas(tenths, wavering))
    assert matches(when, turn, labels=LABELS, zones={}) is None
    labels[6:8] = 0  # and were it sure of the rest, a fifth would not be enough
    shares[6:8] = 0.9
    shares[5] = 0.5
    assert matched(areas(labels, shares)) is False
    assert matched(None) is None


def test_the_log_tells_mean_and_largest_share() -> None:
    log, labels = AreaLog(LABELS), np.zeros((10, 10), int)
    log.add(areas(labels))
    labels[:4] = 1
    log.add(areas(labels))
    log.add(None)
    assert log.to_json() == {
        "road": {"mean": 0.8, "most": 1.0},
        "pedestrian": {"mean": 0.2, "most": 0.4},
    }


def write_segmenter(path: Path) -> Path:
    """Logits of LABELS for squares of four pixels (RGB): the redder the more a pedestrian."""
    weight = np.zeros((2, 3, STRIDE, STRIDE), np.float32)
    weight[1] = (np.float32([1, -1, -1]) * 10 / 90 / STRIDE**2)[:, None, None]
    cells = SIDE // STRIDE
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "w"], ["mask"], strides=[STRIDE, STRIDE])],
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 2, cells, cells])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


def test_an_area_in_the_zone_slows_the_vehicle_until_it_is_gone(
    root: Path, link: LinkDriver, tmp_path: Path
) -> None:
    rule = {
        "name": "somebody ahead",
        "why": "the way is taken",
        "when": {"label": "pedestrian", "confidence": 0.6, "zone": "ahead", "share_min": 0.1},
        "confirm": {"k": 2, "of": 3},
        "action": "CAP_SPEED",
        "speed_ceiling_mps": 4.0,
        "deceleration_mps2": 2.0,
        "clear": "when_gone",
    }
    mission = tiny_mission(
        root,
        model={
            "labels": LABELS,
            "decode": {"kind": "segment", "strides": (STRIDE,), "score_threshold": 0.55},
        },
        camera={"fps": 8.0},
        budget={"infer_ms": 300.0, "end_to_end_ms": 400.0},
        policy={
            "zones": {"ahead": [[0.25, 0.5], [0.75, 0.5], [0.75, 1.0], [0.25, 1.0]]},
            "rules": [rule],
        },
    )
    clip = write_clip(tmp_path / "clip.mp4", frames=70, red=(20, 45))
    video = tmp_path / "annotated.mp4"
    report = run(
        mission,
        source=str(clip),
        model=chosen(write_segmenter(tmp_path / "mask.onnx")),
        link=link,
        on_event=lambda event: None,
        record=video,
    )
    assert report.exit_code == 0, report.faults
    assert report.frames.unknown == 0
    (episode,) = [e for e in report.timeline if e.name == "somebody ahead"]
    assert 20 <= (episode.moments["first_seen"].frame or 0) < 45
    assert (episode.moments["released"].frame or 0) >= 45
    assert Action.CAP_SPEED in {effective.action for effective in report.effective}
    shares = report.to_json()["areas"]
    assert shares["pedestrian"]["most"] == pytest.approx(1 / 16, abs=0.03)
    playback = cv2.VideoCapture(str(video))
    assert playback.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(70, abs=3)
