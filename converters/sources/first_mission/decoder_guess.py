"""Guesses the decoder of a network's outputs from their shapes and from their values for one
picture of noise.

Takes a `Signature`; returns a `DecoderGuess` (decoder, strides, number of labels, and what could
not be known), or None where no decoder reads the outputs. Pure functions.
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
class DecoderGuess:
    """The likeliest `[model.decode]`.

    Attributes:
        kind: `model.decode.kind`.
        strides: network pixels per cell; empty for a classifier.
        labels: number of labels.
        conditions: number of labels of the second head; 0 without one.
        output: name of the output to read, of several.
        unsure: what could not be known, one sentence each.
    """

    kind: str
    strides: tuple[int, ...]
    labels: int
    conditions: int = 0
    output: str | None = None
    unsure: tuple[str, ...] = ()


def guess_decoder(seen: Signature) -> DecoderGuess | None:
    """The likeliest decoder of the outputs; None where no decoder reads them."""
    values = list(seen.outputs.values())
    if not values:
        return None
    main = _main(values[0], seen.size)
    if main is None or len(values) == 1:
        return main
    if len(values) == 2 and _is_row(values[1]) and values[1].shape[1] <= MOST_CONDITIONS:
        note = f"the second output {list(values[1].shape)} is taken for conditions of the frame"
        return replace(main, conditions=values[1].shape[1], unsure=(*main.unsure, note))
    if main.kind == "segment":
        name = next(iter(seen.outputs))
        note = f"of {len(values)} outputs the first, '{name}', is taken for the mask"
        return replace(main, output=name, unsure=(*main.unsure, note))
    return None


def why_no_decoder(seen: Signature) -> str:
    """One sentence that says why no decoder reads these outputs."""
    shapes = [values.shape for values in seen.outputs.values()]
    shown = ", ".join(str(list(shape)) for shape in shapes)
    if len(shapes) > 1:
        return f"{shown}: levels apart; export them joined, as docs/mission.md shows"
    (shape,) = shapes or [()]
    if len(shape) == 3 and shape[1] < shape[2] and _strides(shape[2], seen.size):
        return f"{shown}: values before cells, as YOLOv8 has them; no decoder here reads that"
    return f"{shown}: not the shape of any decoder of docs/mission.md"


def _main(raw: Floats, size: Size) -> DecoderGuess | None:
    if _is_row(raw) and raw.shape[1] > 1:
        return DecoderGuess("classify", (), raw.shape[1])
    if raw.ndim == 4 and raw.shape[0] == 1:
        return _map(raw, size)
    if raw.ndim == 3 and raw.shape[0] == 1:
        return _rows(raw, size)
    return None


def _map(raw: Floats, size: Size) -> DecoderGuess | None:
    """(1, values, height, width): a mask, or FastestDet's one level."""
    _, count, high, wide = raw.shape
    stride = size[0] // wide if wide and size[0] % wide == 0 else 0
    if stride == 0 or stride * high != size[1]:
        return None
    beside = DECODERS["fastestdet"].box_values
    if count > beside and _shares(raw[0, beside:]) and _within_one(raw[0, :1]):
        return DecoderGuess("fastestdet", (stride,), count - beside)
    if count < 2:
        return None
    return DecoderGuess("segment", (stride,), count)


def _rows(raw: Floats, size: Size) -> DecoderGuess | None:
    """(1, cells, values): a detector of several levels."""
    _, cells, values = raw.shape
    strides = _strides(cells, size)
    if strides is None:
        return None
    beside = DECODERS["yolox"].box_values
    scores = raw[0, :, 4:]
    if values > beside and _within_one(scores):
        return DecoderGuess("yolox", strides, values - beside)
    beside = DECODERS["roadnet"].box_values
    if values <= beside:
        return None
    note = (
        "scores go beyond 0 to 1, so decoder 'roadnet' is taken: distances of a cell's centre and "
        "logits; a YOLOX head ends with its sigmoid"
    )
    return DecoderGuess("roadnet", strides, values - beside, unsure=(note,))


def _strides(cells: int, size: Size) -> tuple[int, ...] | None:
    """Strides, each twice the one before, that give `cells` cells in all; None where there are
    none."""
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
    """Whether each pixel's values in (C, H, W) add up to one, as after a softmax."""
    return _within_one(values) and bool(np.allclose(values.sum(axis=0), 1.0, atol=1e-3))
