"""The figures of an evaluation as values, and their JSON form. Computes none."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from calibration.metrics.confidence_intervals import Interval


@dataclass(frozen=True)
class Figure:
    """One number with its 95 % interval; None where it cannot be known."""

    value: float | None
    interval: Interval = None


@dataclass(frozen=True)
class Row:
    """Figures of one class, one condition or of everything.

    Attributes:
        frames: number of frames.
        count: number of objects, of classified pictures, or of pixels.
        figures: by name, in the order in which they are shown.
    """

    name: str
    frames: int
    count: int
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Confusion:
    """How often each true label (row) was predicted as each label (column); the last of both may be
    "nothing"."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class FrameRow:
    """One frame, to compare networks by and to find the worst frames.

    Attributes:
        right: objects found, or 1 where the picture's label was predicted.
        missed: objects not found, or 1 where it was not.
        false: detections of nothing; 0 for a classifier.
        objects: of each true object in order: row of its label, and 1 where it was found.
        detections: of each detection with a judged label: row of the label, score, and 1 where
            COCO's matching at IoU 0.5 calls it right; those that it ignores are left out.
        pixels: of a segmentation network, of each judged label that is true or predicted somewhere:
            its row, and the pixels where it is both, true, and predicted.

    Of a segmentation network `right` and `missed` count pixels, and `objects` are the labels that
    occur, found where their IoU in this frame is at least 0.5.
    """

    name: str
    group: str
    right: int
    missed: int
    false: int
    objects: tuple[tuple[int, int], ...]
    detections: tuple[tuple[int, float, int], ...]
    fault: str
    pixels: tuple[tuple[int, int, int, int], ...] = ()


@dataclass(frozen=True)
class Spread:
    """A figure over folds: that of each fold, their mean and sample standard deviation."""

    each: tuple[float | None, ...]
    mean: float | None
    deviation: float | None


@dataclass(frozen=True)
class ScoreDrop:
    """The score under one corruption, and its drop from the clean score; None: not known.

    Attributes:
        low, high: 95 % interval of the drop.
    """

    corruption: str
    severity: int
    score: float | None
    drop: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Tables:
    """All figures of one network over one set of frames.

    Attributes:
        score: name of the figure that summarizes the network.
        condition_head: accuracy of the second head, where its ground truth is known.
        faults: frames whose output could not be right.
        crowded: frames in which `max_detections` cut off detections that AP would count.
    """

    score: str
    overall: Row
    by_class: tuple[Row, ...]
    by_condition: tuple[Row, ...]
    confusion: Confusion
    condition_head: Row | None
    faults: int
    frames: tuple[FrameRow, ...]
    folds: dict[str, Spread] = field(default_factory=dict)
    robustness: tuple[ScoreDrop, ...] = ()
    crowded: int = 0


def plain_row(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    return {
        "name": row.name,
        "frames": row.frames,
        "count": row.count,
        **{
            name: {
                "value": one.value,
                "low": None if one.interval is None else one.interval[0],
                "high": None if one.interval is None else one.interval[1],
            }
            for name, one in row.figures.items()
        },
    }


def _plain_frame(frame: FrameRow) -> dict[str, Any]:
    """A frame as JSON has it; "pixels" only where there are any."""
    values = asdict(frame)
    return values if frame.pixels else {k: v for k, v in values.items() if k != "pixels"}


def plain_tables(tables: Tables) -> dict[str, Any]:
    """Tables as JSON has them, frames last."""
    head = tables.condition_head
    return {
        "score": tables.score,
        "overall": plain_row(tables.overall),
        "by_class": [plain_row(row) for row in tables.by_class],
        "by_condition": [plain_row(row) for row in tables.by_condition],
        "condition_head": None if head is None else plain_row(head),
        "confusion": asdict(tables.confusion),
        "folds": {name: asdict(one) for name, one in tables.folds.items()},
        "robustness": [asdict(one) for one in tables.robustness],
        "faults": tables.faults,
        "crowded": tables.crowded,
        "frames": [_plain_frame(frame) for frame in tables.frames],
    }
