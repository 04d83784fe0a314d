"""Metrics against cases computed by hand."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.average_precision import average_precision_50
from calibration.metrics.confidence_intervals import wilson_95
from calibration.metrics.matching import found_share, match_detections
from edge.perception.values import Detections


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


def test_an_overlap_and_a_score_at_the_threshold_count() -> None:
    half = (10.0, 10.0, 50.0, 30.0)  # half of BOX: an overlap of 0.5
    wanted, offered = seen((*BOX, 0.3, 0)), seen((*half, 0.3, 0))
    assert match_detections(wanted, offered, iou_threshold=0.5).tolist() == [0]
    assert match_detections(wanted, offered, iou_threshold=0.51).tolist() == [-1]
    assert found_share(
        [wanted], [offered], iou_threshold=0.5, score_min=float(np.float32(0.3))
    ) == (
        1,
        1,
    )
    assert found_share([wanted], [offered], iou_threshold=0.5, score_min=0.31) == (0, 0)


def test_the_best_score_chooses_first_and_takes_the_largest_overlap() -> None:
    near, nearer = (12.0, 10.0, 52.0, 50.0), (11.0, 10.0, 51.0, 50.0)
    wanted = seen((*near, 0.6, 0), (*BOX, 0.9, 0))
    offered = seen((*BOX, 0.1, 0), (*nearer, 0.2, 0), (*near, 0.3, 1))
    assert match_detections(wanted, offered, iou_threshold=0.5).tolist() == [1, 0]
    only = seen((*nearer, 0.2, 0))  # both could take it
    assert match_detections(wanted, only, iou_threshold=0.5).tolist() == [-1, 0]
    assert match_detections(seen(), offered, iou_threshold=0.5).tolist() == []
    assert match_detections(wanted, seen(), iou_threshold=0.5).tolist() == [-1, -1]


def test_wilsons_interval_ends_where_the_score_test_does() -> None:
    """Its ends p solve (share - p)^2 = z^2 p (1 - p) / n, z of 95 %."""
    z = NormalDist().inv_cdf(0.975)
    for found, of in ((8.0, 10.0), (1.5, 3.0), (1.0, 40.0)):
        for end in wilson_95(found, of):
            assert (found / of - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / of, abs=1e-9)
    assert wilson_95(0, 0) == (0.0, 1.0)
    assert wilson_95(0, 5)[0] == 0.0
    assert 0.0 < wilson_95(0, 5)[1] < 1.0
    assert wilson_95(5, 5)[1] == 1.0
    assert 0.0 < wilson_95(5, 5)[0] < 1.0


def test_as_many_frames_of_detections_as_of_truth() -> None:
    with pytest.raises(ValueError, match="1 frames of truth, 2 of detections"):
        average_precision_50([truth()], [seen(), seen()], classes=1)


def test_labels_without_objects_beside_one_that_is_found() -> None:
    found = [seen((*BOX, 0.9, 0), (*FAR, 0.8, 1))]
    assert average_precision_50([truth((*BOX, 0))], found, classes=3) == [
        pytest.approx(1.0),
        None,
        None,
    ]
    assert average_precision_50([truth((*BOX, 2))], [seen()], classes=3) == [None, None, 0.0]
