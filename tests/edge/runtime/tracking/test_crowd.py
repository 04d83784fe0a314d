"""A frame of ten thousand detections, as of noise or an attack, costs bounded work and hides
nothing that it left out.
"""

from __future__ import annotations

import numpy as np
import pytest

from edge.perception import decode as decoding
from edge.perception.boxes import iou_matrix, non_maximum_suppression
from edge.perception.decode import DecodeSpec, decode, output_shape
from edge.perception.values import Detections
from edge.perception.work_limits import MOST_CANDIDATES, MOST_DETECTIONS
from edge.runtime.tracking import tracker as tracking
from edge.runtime.tracking.tracker import Tracker, TrackerSettings

SIDE_PX, CELLS = 704, 10_164
SPEC = DecodeSpec("roadnet", (8, 16, 32), 3, 0.3, 0.45, MOST_DETECTIONS)
FRAME = (960, 540)


def crowd(seed: int) -> np.ndarray:
    """Output in which every cell sees something, other things with every seed."""
    random = np.random.default_rng(seed)
    raw = random.uniform(0.5, 4.0, output_shape(SPEC, SIDE_PX, SIDE_PX)).astype(np.float32)
    assert raw.shape[1] == CELLS
    return raw


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many boxes go into each suppression and each join."""
    rows: list[int] = []

    def suppression(boxes: np.ndarray, *arguments: object, **options: object) -> object:
        rows.append(len(boxes))
        return non_maximum_suppression(boxes, *arguments, **options)  # type: ignore[arg-type] # passed through

    def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rows.append(max(len(a), len(b)))
        return iou_matrix(a, b)

    monkeypatch.setattr(decoding, "non_maximum_suppression", suppression)
    monkeypatch.setattr(tracking, "iou_matrix", overlap)
    return rows


@pytest.mark.requirement("R-RUN-110")
def test_ten_thousand_detections_are_bounded_work_and_are_counted(compared: list[int]) -> None:
    tracker, most = Tracker(), 2 * MOST_DETECTIONS
    image = np.random.default_rng(0).integers(0, 256, (540, 960, 3), dtype=np.uint8)
    for frame in range(4):
        found: Detections = decode(crowd(frame), SPEC, SIDE_PX, SIDE_PX)
        assert len(found) == MOST_DETECTIONS
        # All that is neither kept nor suppressed by what is kept, and all beyond the candidates.
        assert CELLS - MOST_CANDIDATES <= found.left_out <= CELLS - MOST_DETECTIONS
        tracker.follow(image, frame * 40_000_000)
        tracks = tracker.update(found, frame * 40_000_000, frame_size=FRAME, image=image)
        assert sum(track.missed_frames == 0 for track in tracks) == MOST_DETECTIONS
        assert len(tracks) <= most
        measured = [track for track in tracks if track.contact_from != "boxes"]
        assert len(measured) <= TrackerSettings().measured_most
    assert MOST_CANDIDATES in compared
    assert max(compared) == MOST_CANDIDATES
