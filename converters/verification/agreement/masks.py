"""Agreement of segmentation networks with float: IoU of labels of pixels, by class, condition and
frame.

Takes every network's label map frame by frame and compares it in the cells of the output; returns
plain values for report.json. Intervals resample groups of frames, since pixels of one frame are
alike. It keeps counts and small masks of the frames that changed most.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.mask_overlays import small_mask
from calibration.metrics.confidence_intervals import share_95
from calibration.metrics.pixel_counts import pixel_counts
from converters.verification.agreement.average_precision import NOTHING_KNOWN
from converters.verification.agreement.counts import KINDS, OWN_WORDS, in_order, words_of
from edge.perception.segmentation import cells_in_frame, frame_labels
from edge.perception.values import Floats, LabelMap

WORST_FRAMES = 6
NONE = 255
"""In masks: outside of the frame, or an output that cannot be decoded."""

Ints = NDArray[np.int64]


def labels_in_frame(seen: LabelMap | None, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """(h, w) uint8 of an output of this shape (1, C, h, w); NONE where there is no label."""
    if seen is None:
        return np.full(shape[2:], NONE, np.uint8)
    return np.where(cells_in_frame(seen), seen.labels, NONE).astype(np.uint8)


def mean_iou(counts: Ints) -> float | None:
    """Mean over float's labels of the IoU with them, from (C, C + 1); None where it names none."""
    both = np.diagonal(counts).astype(np.float64)
    either = counts.sum(axis=1) + counts[:, :-1].sum(axis=0) - both
    there = counts.sum(axis=1) > 0
    return float((both[there] / either[there]).mean()) if there.any() else None


@dataclass(frozen=True)
class _FrameRow:
    name: str
    words: Mapping[str, str | None]
    lost: int
    networks: Mapping[str, dict[str, Any]]


class MaskAgreement:
    """Adds up frames. The first of `networks` is float, with which the others are compared."""

    def __init__(self, labels: Sequence[str], networks: Sequence[str]) -> None:
        self._labels = labels
        self._floating, *self._candidates = networks
        self._counts: dict[str, list[Ints]] = {name: [] for name in networks}
        self._unreadable = dict.fromkeys(networks, 0)
        self._groups: list[str] = []
        self._words: list[Mapping[str, str | None]] = []
        self._worst: list[_FrameRow] = []

    def add(
        self, frame: RoadFrame, seen: Mapping[str, LabelMap | None], raw: Mapping[str, Floats]
    ) -> None:
        """One frame: every network's label map (None: output cannot be decoded) and raw output."""
        masks = {name: labels_in_frame(one, raw[name].shape) for name, one in seen.items()}
        wanted = masks[self._floating]
        for name, mask in masks.items():
            found = pixel_counts(wanted, mask, classes=len(self._labels))
            self._counts[name].append(found)
            self._unreadable[name] += seen[name] is None
        self._groups.append(frame.group)
        self._words.append(words_of(frame))
        lost = sum(_changed(self._counts[name][-1]) for name in self._candidates)
        if lost and (len(self._worst) < WORST_FRAMES or lost > self._worst[-1].lost):
            networks = {name: self._frame_json(name, seen[name]) for name in seen}
            self._worst.append(_FrameRow(frame.name, words_of(frame), lost, networks))
            self._worst.sort(key=lambda row: (-row.lost, row.name))
            del self._worst[WORST_FRAMES:]

    def _frame_json(self, name: str, seen: LabelMap | None) -> dict[str, Any]:
        counts = self._counts[name][-1]
        mask = np.full((1, 1), NONE, np.uint8) if seen is None else frame_labels(seen)
        return {
            "pixels": int(counts.sum()),
            "changed": _changed(counts),
            "mask": base64.b64encode(small_mask(mask)).decode("ascii"),
        }

    def total(self, name: str) -> Ints:
        """(C, C + 1) pixels of each of float's labels by the label that `name` gives them."""
        size = len(self._labels)
        none = np.zeros((size, size + 1), np.int64)
        return np.asarray(np.sum([none, *self._counts[name]], axis=0), np.int64)

    def unreadable(self, name: str) -> int:
        """Frames whose output cannot be decoded."""
        return self._unreadable[name]

    def to_json(self) -> dict[str, Any]:
        """By class and by condition in a fixed order, and the frames that changed most."""
        totals = {name: self.total(name) for name in self._candidates}
        met = [
            row
            for row in range(len(self._labels))
            if any(one[row].any() or one[:, row].any() for one in totals.values())
        ]
        return {
            "frames": len(self._groups),
            "frames_with_truth": 0,
            "labels": list(self._labels),
            "by_class": [
                {
                    "label": self._labels[row],
                    "networks": {name: self._of_label(name, row) for name in self._candidates},
                    "objects": None,
                    "ap50": {},
                    "ap50_interval": {},
                }
                for row in met
            ],
            **NOTHING_KNOWN,
            "iou_mean": {name: mean_iou(counts) for name, counts in totals.items()},
            "by_condition": self._by_condition(),
            "confusions": {name: self._confused(counts) for name, counts in totals.items()},
            "worst_frames": [
                {"name": row.name, "conditions": dict(row.words), "networks": dict(row.networks)}
                for row in self._worst
            ],
        }

    def _of_label(self, name: str, row: int) -> dict[str, Any]:
        counts = np.array(self._counts[name])
        both, of = counts[:, row, row], counts[:, row].sum(axis=1)
        return self._share(both, of, counts[:, :, row].sum(axis=1) - both, np.arange(len(both)))

    def _by_condition(self) -> dict[str, list[dict[str, Any]]]:
        rows_of: dict[str, list[dict[str, Any]]] = {}
        for kind in (*KINDS, OWN_WORDS):
            words = [row[kind] for row in self._words]
            rows_of[kind] = []
            for word in in_order(kind, list(dict.fromkeys(words))):
                rows = np.array([one == word for one in words]).nonzero()[0]
                networks = {}
                for name in self._candidates:
                    counts = np.array(self._counts[name])[rows]
                    both = np.diagonal(counts, axis1=1, axis2=2).sum(axis=1)
                    of = counts.sum(axis=(1, 2))
                    networks[name] = {
                        **self._share(both, of, of - both, rows),
                        "iou": mean_iou(counts.sum(axis=0)),
                    }
                rows_of[kind].append({"word": word, "frames": len(rows), "networks": networks})
        return rows_of

    def _share(self, both: Ints, of: Ints, added: Ints, rows: Ints) -> dict[str, Any]:
        """Pixels that both give the label, all of float's, and those that only the network gives
        it."""
        groups = np.unique(np.array(self._groups)[rows], return_inverse=True)[1]
        found, total, more = int(both.sum()), int(of.sum()), int(added.sum())
        low, high = share_95(both, of, np.asarray(groups, np.int64)) or (None, None)
        return {
            "found": found,
            "of": total,
            "added": more,
            "share": found / total if total else None,
            "low": low,
            "high": high,
            "iou": found / (total + more) if total else None,
        }

    def _confused(self, counts: Ints) -> list[dict[str, Any]]:
        names = [*self._labels, "none of them"]
        rows = [
            {"float": names[true], "said": names[said], "pixels": int(counts[true, said])}
            for true, said in zip(*counts.nonzero(), strict=True)
        ]
        return sorted(rows, key=lambda row: -row["pixels"])


def _changed(counts: Ints) -> int:
    return int(counts.sum() - np.diagonal(counts).sum())
