"""How a network's outputs are most likely read, guessed from their shapes and from values for one
picture of noise: which decoder, which strides, how many labels.

A guess, told as one; what no decoder reads is told as that. Pure.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from converters.sources.first_mission.signature import Signature, Size
from edge.perception.decode import DECODERS
from edge.perception.values import Floats

STRIDES = (4, 8, 16, 32, 64, 128)
MOST_CONDITIONS = 32


@dataclass(frozen=True)
class Reading:
    """A guess.

    Attributes:
        kind: of `[model.decode]`.
        strides: network pixels a cell; none for a classifier.
        labels: how many.
        conditions: how many the second head has; 0 where there is none.
        output: the output that is meant, of several.
        unsure: what could not be known, one sentence each.
    """

    kind: str
    strides: tuple[int, ...]
    labels: int
    conditions: int = 0
    output: str | None = None
    unsure: tuple[str, ...] = ()


def reading_of(seen: Signature) -> Reading | None:
    """The likeliest reading of the outputs; None where no decoder reads them."""
    values = list(seen.outputs.values())
    if not values:
        return None
    main = _main(values[0], seen.size)
    if main is None or len(values) == 1:
        return main
    if len(values) == 2 and _is_row(values[1]) and values[1].shape[1] <= MOST_CONDITIONS:
        told = f"the second output {list(values[1].shape)} is taken for conditions of the frame"
        return replace(main, conditions=values[1].shape[1], unsure=(*main.unsure, told))
    if main.kind == "segment":
        name = next(iter(seen.outputs))
        told = f"of {len(values)} outputs the first, '{name}', is taken for the mask"
        return replace(main, output=name, unsure=(*main.unsure, told))
    return None


def no_reading(seen: Signature) -> str:
    """Why no decoder reads these outputs, in words."""
    shapes = [values.shape for values in seen.outputs.values()]
    told = ", ".join(str(list(shape)) for shape in shapes)
    if len(shapes) > 1:
        return f"{told}: levels apart; export them joined, as docs/mission.md shows"
    (shape,) = shapes or [()]
    if len(shape) == 3 and shape[1] < shape[2] and _strides(shape[2], seen.size):
        return f"{told}: values before cells, as YOLOv8 has them; no decoder here reads that"
    return f"{told}: not the shape of any decoder of docs/mission.md"


def _main(raw: Floats, size: Size) -> Reading | None:
    if _is_row(raw) and raw.shape[1] > 1:
        return Reading("classify", (), raw.shape[1])
    if raw.ndim == 4 and raw.shape[0] == 1:
        return _map(raw, size)
    if raw.ndim == 3 and raw.shape[0] == 1:
        return _rows(raw, size)
    return None


def _map(raw: Floats, size: Size) -> Reading | None:
    """(1, values, height, width): a mask, or FastestDet's one level."""
    _, count, high, wide = raw.shape
    stride = size[0] // wide if wide and size[0] % wide == 0 else 0
    if stride == 0 or stride * high != size[1]:
        return None
    beside = DECODERS["fastestdet"].box_values
    if count > beside and _shares(raw[0, beside:]) and _within_one(raw[0, :1]):
        return Reading("fastestdet", (stride,), count - beside)
    if count < 2:
        return None
    return Reading("segment", (stride,), count)


def _rows(raw: Floats, size: Size) -> Reading | None:
    """(1, cells, values): a detector of several levels."""
    _, cells, values = raw.shape
    strides = _strides(cells, size)
    if strides is None:
        return None
    beside = DECODERS["yolox"].box_values
    scores = raw[0, :, 4:]
    if values > beside and _within_one(scores):
        return Reading("yolox", strides, values - beside)
    beside = DECODERS["roadnet"].box_values
    if values <= beside:
        return None
    told = (
        "scores go beyond 0 to 1, so decoder 'roadnet' is taken: distances of a cell's centre and "
        "logits; a YOLOX head ends with its sigmoid"
    )
    return Reading("roadnet", strides, values - beside, unsure=(told,))


def _strides(cells: int, size: Size) -> tuple[int, ...] | None:
    """The row of strides, each twice the one before, whose cells are so many."""
    for first, last in itertools.combinations_with_replacement(range(len(STRIDES)), 2):
        steps = STRIDES[first : last + 1]
        if any(side % steps[-1] for side in size):
            continue
        if sum((size[0] // step) * (size[1] // step) for step in steps) == cells:
            return steps
    return None


def _is_row(raw: Floats) -> bool:
    return raw.ndim == 2 and raw.shape[0] == 1


def _within_one(values: Floats) -> bool:
    return bool((values >= 0.0).all() and (values <= 1.0).all())


def _shares(values: Floats) -> bool:
    """(C, H, W): whether each pixel's values are shares of one."""
    return _within_one(values) and bool(np.allclose(values.sum(axis=0), 1.0, atol=1e-3))
