"""Counts over a run which share of the frame each label covered.

In: the label map of every perceived frame. Out: mean and largest share of each label, 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.perception.segmentation import frame_shares
from edge.perception.values import LabelMap


class AreaLog:
    """Mean and largest shares of the labels over one run."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._frames = 0
        self._total = np.zeros(len(labels))
        self._most = np.zeros(len(labels))

    def add(self, areas: LabelMap | None) -> None:
        """Counts one frame; None of a network without a label map."""
        if areas is None:
            return
        shares = frame_shares(areas, len(self._labels))
        self._frames += 1
        self._total += shares
        self._most = np.maximum(self._most, shares)

    def to_json(self) -> dict[str, Any]:
        """Label -> mean and largest share of the frame, without labels that never occurred."""
        return {
            label: {"mean": round(total / self._frames, 4), "most": round(float(most), 4)}
            for label, total, most in zip(self._labels, self._total, self._most, strict=True)
            if most > 0.0
        }
