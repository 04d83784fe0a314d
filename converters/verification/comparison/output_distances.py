"""Adds up the distance of two files' outputs, frame by frame.

Takes the outputs of A and B for each frame, float32 arrays in one order; holds figures of every
frame and the maps of the worst few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.verification.comparison.result import FrameApart, OutputApart, OutputMap
from converters.verification.parity import Sums
from edge.perception.values import Floats

MOST_WORST = 12
"""Frames that are named and shown."""


class OutputDistances:
    """Distances of the outputs `names`.

    Attributes:
        frames: a row for each frame, in order.
        maps: by frame, its first output that is a map.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._sums = {name: Sums() for name in names}
        self._same: dict[str, list[bool]] = {name: [] for name in names}
        self._other_shape = dict.fromkeys(names, 0)
        self.frames: list[FrameApart] = []
        self.maps: dict[str, OutputMap] = {}

    def add(self, frame: str, wanted: Sequence[Floats], found: Sequence[Floats]) -> None:
        """The outputs of A (`wanted`) and B (`found`) for one frame."""
        apart = {}
        for name, one, other in zip(self._names, wanted, found, strict=True):
            if one.shape != other.shape:
                self._other_shape[name] += 1
                apart[name] = math.inf
                continue
            with np.errstate(invalid="ignore", over="ignore"):
                self._sums[name].add(one, other)
                noise = float(np.sum((one.astype(np.float64) - other) ** 2))
                signal = float(np.sum(one.astype(np.float64) ** 2))
            ratio = noise / signal if signal > 0.0 else math.inf
            apart[name] = 0.0 if noise == 0.0 else ratio if math.isfinite(ratio) else math.inf
            if one.ndim == 2 and one.shape[0] == 1 and one.shape[1] > 1:
                self._same[name].append(int(one.argmax()) == int(other.argmax()))
        self.frames.append(FrameApart(frame, apart))
        self._keep_map(frame, wanted, found)

    def _keep_map(self, frame: str, wanted: Sequence[Floats], found: Sequence[Floats]) -> None:
        """The first output that is a map, of the worst frames so far."""
        for name, one, other in zip(self._names, wanted, found, strict=True):
            if one.ndim == 4 and one.shape == other.shape and min(one.shape[2:]) > 1:
                both = (np.nan_to_num(each[0].max(axis=0)) for each in (one, other))
                self.maps[frame] = OutputMap(name, *both)
                break
        if len(self.maps) > MOST_WORST:
            apart = {row.name: row.worst for row in self.frames}
            del self.maps[min(self.maps, key=lambda name: apart[name])]

    def outputs(self) -> tuple[OutputApart, ...]:
        """Of all frames, in the order of the outputs."""
        rows = []
        for name, sums in self._sums.items():
            found, same, other = sums.result(), self._same[name], self._other_shape[name]
            share = sum(same) / len(same) if same else None
            rows.append(OutputApart(name, found.max_abs, found.snr_db, share, other))
        return tuple(rows)
