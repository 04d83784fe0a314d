"""A network's agreement with float by class, condition and frame, on cases computed by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.average_precision import average_precision_50
from calibration.metrics.confidence_intervals import wilson_95
from converters.verification.agreement.breakdown import (
    WORST_FRAMES,
    AgreementBreakdown,
    Predictions,
)
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage, Detections

LABELS = ("pedestrian", "vehicle")
FOGGY_DAY = Conditions("fog", "day")
NETWORKS = ("float", "int8", "cpu")
HERE, THERE, ELSEWHERE = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 70.0, 20.0), (0.0, 50.0, 9.0, 59.0)


@dataclass(frozen=True)
class Frame:
    """A frame that only tells what it was taken in."""

    name: str
    conditions: Conditions = FOGGY_DAY
    words: str = ""

    @property
    def group(self) -> str:
        return self.name

    def truth(self) -> Truth | None:
        return None

    def read(self) -> BgrImage:
        return np.zeros((8, 8, 3), np.uint8)

    def digest(self) -> str:
        return self.name


def seen(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    return Detections(boxes, scores, np.array([row[2] for row in rows], np.int64))


def said(float_: Detections, int8: Detections, cpu: Detections) -> dict[str, Predictions]:
    return dict(zip(NETWORKS, (Predictions.of(one) for one in (float_, int8, cpu)), strict=True))


def test_losses_are_told_by_class_condition_and_frame() -> None:
    both = seen((HERE, 0.9, 0), (THERE, 0.6, 1))
    judged = AgreementBreakdown(LABELS, NETWORKS, iou_min=0.5)
    one, other = seen((HERE, 0.5, 0)), seen((THERE, 0.4, 1), (ELSEWHERE, 0.7, 1))
    judged.add(Frame("a", words="heavy fog"), said(both, one, both))
    judged.add(Frame("b", Conditions("clear")), said(both, other, both))
    judged.add(Frame("c", Conditions("clear")), said(both, both, both))
    told = judged.to_json()
    pedestrian, vehicle = (row["networks"]["int8"] for row in told["by_class"])
    assert (pedestrian["found"], pedestrian["of"], pedestrian["added"]) == (2, 3, 0)
    assert (vehicle["found"], vehicle["of"], vehicle["added"]) == (2, 3, 1)
    weather = told["by_condition"]["weather"]
    assert [(row["word"], row["frames"]) for row in weather] == [("clear", 2), ("fog", 1)]
    assert [row["networks"]["int8"]["share"] for row in weather] == [0.75, 0.5]
    assert [row["word"] for row in told["by_condition"]["light"]] == ["day", None]
    assert [row["word"] for row in told["by_condition"]["as labelled"]] == ["heavy fog", None]
    # As many lost in both: the surer one is worse.
    worst = told["worst_frames"]
    assert [frame["name"] for frame in worst] == ["b", "a"]
    assert [box["lost_by"] for box in worst[0]["networks"]["float"]] == [["int8"], []]
    assert [box["added"] for box in worst[0]["networks"]["int8"]] == [False, True]
    assert told["frames_with_truth"] == 0
    assert told["ap50_mean"] == {}


def test_only_the_worst_frames_are_kept() -> None:
    judged = AgreementBreakdown(LABELS, NETWORKS, iou_min=0.5)
    for number in range(3 * WORST_FRAMES):
        lost = seen((HERE, 0.3 + number / 100, 0))
        judged.add(Frame(f"{number:02}"), said(lost, seen(), lost))
    names = [frame["name"] for frame in judged.to_json()["worst_frames"]]
    assert names == [f"{3 * WORST_FRAMES - 1 - row:02}" for row in range(WORST_FRAMES)]


def test_precision_is_told_where_truth_is_known() -> None:
    judged = AgreementBreakdown(LABELS, NETWORKS, iou_min=0.5)
    found, nothing = seen((HERE, 0.9, 0)), seen()
    judged.add(Frame("a"), said(found, nothing, found))
    truth = Truth(np.array([HERE], np.float32), np.array([0]))
    judged.add_truth(truth, {"float": found, "int8": nothing, "cpu": found}, group="a")
    told = judged.to_json()
    assert told["by_class"][0]["objects"] == 1
    assert told["by_class"][0]["ap50"] == {
        "float": pytest.approx(1.0),
        "int8": 0.0,
        "cpu": pytest.approx(1.0),
    }
    assert told["ap50_mean"]["int8"] == 0.0


def test_every_precision_has_its_interval_and_every_loss_too() -> None:
    """INT8 finds nothing in two of eight drives; of the first label alone, the other is as good."""
    judged = AgreementBreakdown(LABELS, NETWORKS, iou_min=0.5)
    truths, scored = [], []
    for number in range(16):
        truth = Truth(np.array([HERE, THERE], np.float32), np.array([0, 1]))
        whole, worse = seen((HERE, 0.9, 0), (THERE, 0.8, 1)), seen((THERE, 0.8, 1))
        int8 = worse if number < 4 else whole
        judged.add(Frame(str(number)), said(whole, int8, whole))
        found = {"float": whole, "int8": int8, "cpu": whole}
        judged.add_truth(truth, found, group=f"drive {number // 2}")
        truths.append(truth)
        scored.append(int8)
    told = judged.to_json()
    first, second = told["by_class"]
    wanted = average_precision_50(truths, scored, classes=len(LABELS))
    assert first["ap50"]["int8"] == pytest.approx(wanted[0])
    low, high = first["ap50_interval"]["int8"]
    assert 0.3 < low < first["ap50"]["int8"] < high <= 1.0
    assert second["ap50_interval"]["int8"] is None  # no resample tells anything else
    mean = told["ap50_mean"]["int8"]
    low, high = told["ap50_mean_interval"]["int8"]
    assert low < mean < high
    loss = told["ap50_loss"]["int8"]
    assert loss["value"] == pytest.approx(told["ap50_mean"]["float"] - mean)
    assert loss["interval"] == pytest.approx([1.0 - high, 1.0 - low], abs=1e-9)
    assert told["ap50_loss"]["cpu"] == {"value": 0.0, "interval": None}


def test_labels_of_whole_frames_and_what_they_are_taken_for() -> None:
    judged = AgreementBreakdown(("dry", "wet"), NETWORKS, iou_min=0.5)
    for number, rows in enumerate([(0, 0, 0), (0, 1, 0), (1, 1, None)]):
        tops = {name: Predictions.top(row, 0.8) for name, row in zip(NETWORKS, rows, strict=True)}
        judged.add(Frame(str(number)), tops)
    told = judged.to_json()
    dry, wet = (row["networks"] for row in told["by_class"])
    assert (dry["int8"]["found"], dry["int8"]["of"]) == (1, 2)
    assert (wet["cpu"]["found"], wet["cpu"]["of"]) == (0, 1)
    assert {"float": "dry", "said": "wet", "frames": 1} in told["confusions"]["int8"]
    assert {frame["name"] for frame in told["worst_frames"]} == {"1", "2"}
    assert told["worst_frames"][0]["networks"]["float"][0]["box"] is None


def test_the_interval_of_a_share() -> None:
    # Worked example: 8 of 10 by Wilson's score without correction.
    assert wilson_95(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson_95(0, 5)[0] == 0.0
    assert wilson_95(5, 5)[1] == 1.0
    assert wilson_95(0, 0) == (0.0, 1.0)
