"""The ground truth of a frame: its objects, and regions that are not judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Truth:
    """The objects of one frame.

    Attributes:
        boxes, labels: the objects, (N, 4) float32 xyxy pixels and (N,) int64.
        regions, region_labels: regions (crowds, objects too hard to tell) where a detection of the
            label is not a mistake, and none is not either, (M, 4) float32 and (M,) int64.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    regions: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    region_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


IGNORED = 255
"""Pixels of ground truth with this label are not judged, as in Pascal VOC and Cityscapes."""
