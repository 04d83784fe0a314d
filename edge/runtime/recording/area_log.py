"""Logs the share of an area that a label covered, over a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.perception.segmentation import frame_shares
from edge.perception.values import LabelMap


class AreaLog:
    """Feed it the label map of every perceived frame."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._frames = 0
        self._total = np.zeros(len(labels))
        self._most = np.zeros(len(labels))

    def take(self, seen: LabelMap | None) -> None:
        """Counts one frame; None where the network tells no areas."""
        if seen is None:
            return
        shares = frame_shares(seen, len(self._labels))
        self._frames += 1
        self._total += shares
        self._most = np.maximum(self._most, shares)

    def to_json(self) -> dict[str, Any]:
        """Label -> mean and largest share of the frame, for labels that were seen at all."""
        return {
            label: {"mean": round(total / self._frames, 4), "most": round(float(most), 4)}
            for label, total, most in zip(self._labels, self._total, self._most, strict=True)
            if most > 0.0
        }
