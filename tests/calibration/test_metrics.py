"""Metrics against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.metrics import Truth, average_precision_50, found_share
from edge.contract.perception import Detections


def seen(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def truth(*rows: tuple[float, float, float, float, int]) -> Truth:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Truth(table[:, :4], table[:, 4].astype(np.int64))


BOX = (10.0, 10.0, 50.0, 50.0)
FAR = (100.0, 100.0, 140.0, 140.0)


def test_perfect_detections_have_precision_one() -> None:
    values = average_precision_50(
        [truth((*BOX, 0)), truth((*FAR, 1))],
        [seen((*BOX, 0.9, 0)), seen((*FAR, 0.8, 1))],
        classes=3,
    )
    assert values == [pytest.approx(1.0), pytest.approx(1.0), None]


def test_half_the_objects_found_gives_half() -> None:
    # Recall ends at 0.5: precision is 1 at 51 of the 101 recall points and 0 at the others.
    values = average_precision_50([truth((*BOX, 0), (*FAR, 0))], [seen((*BOX, 0.9, 0))], classes=1)
    assert values == [pytest.approx(51 / 101)]


def test_a_better_scored_mistake_halves_the_precision() -> None:
    values = average_precision_50(
        [truth((*BOX, 0))], [seen((*FAR, 0.95, 0), (*BOX, 0.9, 0))], classes=1
    )
    assert values == [pytest.approx(0.5)]


def test_nothing_found_and_nothing_there() -> None:
    assert average_precision_50([truth((*BOX, 0))], [seen()], classes=2) == [0.0, None]
    assert average_precision_50([truth()], [seen((*BOX, 0.9, 0))], classes=1) == [None]


def test_pycocotools_does_not_talk(capsys: pytest.CaptureFixture[str]) -> None:
    average_precision_50([truth((*BOX, 0))], [seen((*BOX, 0.9, 0))], classes=1)
    assert capsys.readouterr().out == ""


def test_found_share_wants_label_overlap_and_one_partner_each() -> None:
    near = (12.0, 10.0, 52.0, 50.0)
    reference = [seen((*BOX, 0.9, 0), (*near, 0.8, 0), (*FAR, 0.7, 1), (*FAR, 0.2, 0))]
    assert found_share(
        reference, [seen((*BOX, 0.5, 0), (*FAR, 0.9, 0))], iou_threshold=0.5, score_min=0.3
    ) == (1, 3)
    assert found_share(reference, reference, iou_threshold=0.5, score_min=0.3) == (3, 3)
    assert found_share(reference, [seen()], iou_threshold=0.5, score_min=0.3) == (0, 3)
