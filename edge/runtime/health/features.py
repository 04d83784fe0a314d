"""Features of a frame: what the network's own outputs and the picture's light look like as a whole.

Raw outputs, the network's specification and a picture's sample go in; one vector comes out, of the
same length for every frame of a network. Outputs are pooled over the picture, level by level: the
last layer's features, which every backend puts out. Works on at most CELLS cells of a level. Never
judges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.perception.classification import HeadSpec
from edge.perception.decode import DecodeSpec, NetworkSpec
from edge.perception.opencv import import_opencv
from edge.runtime.health.sample import Bytes, Sample

Floats = NDArray[np.float32]

CELLS = 192
"""Cells of a level that are read at most, at equal distances: enough for a mean."""

LABELS = 128
"""Labels of a classifier up to which each is a feature; of more, only their distribution is."""

PROBABILITIES: dict[str, tuple[slice, ...]] = {
    "yolox": (slice(4, None),),
    "roadnet": (),
    "fastestdet": (slice(0, 1), slice(5, None)),
}
"""By decoder, which values of a cell are probabilities: they are read as logits, since those of an
empty road are all close to 0."""

_LEAST = 1e-7
_GRID_ROWS, _GRID_COLUMNS = 6, 8


def features(outputs: Sequence[Floats], network: NetworkSpec, sample: Sample) -> Floats:
    """The vector of one frame, float32, finite for finite outputs.

    Args:
        outputs: as the network puts them out, main and condition, of the shapes of the mission.
        network: how they are read.
        sample: of the picture.
    """
    main, *condition = outputs
    if isinstance(network.main, DecodeSpec):
        found = _of_detector(main, network.main)
    elif isinstance(network.main, HeadSpec):
        found = _of_logits(main.ravel())
    else:
        found = _of_map(main[0])
    return np.concatenate([found, *(_of_logits(c.ravel()) for c in condition), _of_light(sample)])


def _of_detector(raw: Floats, spec: DecodeSpec) -> Floats:
    """Of every level: means of all values of a cell, deviations of box and objectness."""
    cells = raw[0]
    if raw.ndim == 4:  # one level as a map
        cells = cells.reshape(len(cells), -1).T
    own = cells.shape[1] - spec.classes
    pooled = []
    for level in _levels(cells, spec):
        values = np.array(level[:: -(-len(level) // CELLS)], np.float32)
        for columns in PROBABILITIES[spec.kind]:
            share = np.clip(values[:, columns], _LEAST, 1.0 - _LEAST)
            values[:, columns] = np.log(share / (np.float32(1.0) - share))
        pooled += [values.mean(axis=0), values[:, :own].std(axis=0), values[:, own:].max(axis=1)]
        pooled[-1] = _moments(pooled[-1])
    return np.concatenate(pooled)


def _levels(cells: Floats, spec: DecodeSpec) -> list[Floats]:
    """Cells of every stride. A level has a quarter of the cells of one with half its stride."""
    areas = [1.0 / stride**2 for stride in spec.strides]
    ends = np.cumsum([round(len(cells) * area / sum(areas)) for area in areas])
    return np.split(cells, ends[:-1])


def _of_map(classes: Floats) -> Floats:
    """Of logits (labels, h, w): mean and deviation of every label."""
    flat = classes.reshape(len(classes), -1)
    flat = flat[:, :: -(-flat.shape[1] // CELLS)]
    return np.concatenate([flat.mean(axis=1), flat.std(axis=1)])


def _of_logits(logits: Floats) -> Floats:
    return logits if len(logits) <= LABELS else _moments(logits)


def _moments(values: Floats) -> Floats:
    return np.array([values.mean(), values.std(), values.max()], np.float32)


def _of_light(sample: Sample) -> Floats:
    """Brightness over a grid, mean colour, contrast, and how much rows and columns differ."""
    cv2 = import_opencv("pictures")
    colour: Bytes = sample.colour
    grey = colour.mean(axis=2, dtype=np.float32)
    size = (_GRID_COLUMNS, _GRID_ROWS)
    grid = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, (64, 36), interpolation=cv2.INTER_AREA)
    steps = [np.abs(np.diff(small, axis=axis)).mean() for axis in (0, 1)]
    rest = [*colour.mean(axis=(0, 1)), small.std(), *steps]
    return np.concatenate([grid.ravel(), np.array(rest, np.float32)])
