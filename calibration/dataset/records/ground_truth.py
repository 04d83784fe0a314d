"""What is really in a frame: boxes, regions that are not judged, label masks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Truth:
    """What is really in one frame.

    Attributes:
        boxes, labels: the objects, (N, 4) float32 xyxy pixels and (N,) int64.
        regions, region_labels: where finding the label is no mistake and finding none is none
            either (crowds, objects too hard to tell), (M, 4) float32 and (M,) int64.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    regions: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    region_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


IGNORED = 255
"""Pixels of truth with this label are not looked at, as in Pascal VOC and Cityscapes."""
