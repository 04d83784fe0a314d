"""Decodes raw network outputs to detections, a classification or a label map. Pure numpy.

Outputs, a `NetworkSpec` and the input placement go in; `Known` in frame pixels, or `Unknown`,
come out. `DECODERS` is the one table of decoders; thresholds are the mission's `[model.decode]` and
`[model.condition]`. Never turns an impossible output (NaN, Inf, wrong shape) into "no detections":
it makes the frame Unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from edge.perception.boxes import Boxes, non_maximum_suppression
from edge.perception.candidates import Candidates, by_logit, by_objectness, every_cell
from edge.perception.classification import HeadSpec, classify
from edge.perception.preprocess import InputPlacement
from edge.perception.segmentation import MaskSpec, cells_in_frame, label_map, mask_shape
from edge.perception.values import Classification, Detections, Floats, Known, Perception, Unknown
from edge.perception.work_limits import CANDIDATES_PER_DETECTION, MOST_CANDIDATES

DETECTIONS, CLASSES, MASK, CONDITION = "detections", "classes", "mask", "condition"
"""Names of the outputs of converted networks: one of the first three is the main output, the last
is the second head. The order in a network is always main, condition."""


@dataclass(frozen=True)
class DecodeSpec:
    """How a detector's raw output becomes detections.

    Attributes:
        kind: a key of DECODERS.
        strides: network pixels per cell of each output level, in output order.
        classes: number of labels.
        score_threshold: detections below it are dropped.
        iou_threshold: two boxes of one label that overlap more are one object.
        max_detections: at most this many, best first; chosen among the best
            CANDIDATES_PER_DETECTION times as many cells.
    """

    kind: Literal["yolox", "roadnet", "fastestdet"]
    strides: tuple[int, ...]
    classes: int
    score_threshold: float
    iou_threshold: float
    max_detections: int


@dataclass(frozen=True)
class NetworkSpec:
    """The outputs of a network and how each is read.

    Attributes:
        main: a detector's output, a classifier's logits, or logits of each pixel.
        condition: the second head, where there is one.
    """

    main: DecodeSpec | HeadSpec | MaskSpec
    condition: HeadSpec | None


@lru_cache(maxsize=8)
def cells(strides: tuple[int, ...], width_px: int, height_px: int) -> tuple[Floats, Floats]:
    """Column and row (N, 2) and stride (N, 1) of every output cell, level by level, row-major."""
    grids: list[Floats] = []
    steps: list[Floats] = []
    for stride in strides:
        rows, columns = np.mgrid[0 : height_px // stride, 0 : width_px // stride]
        grid = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
        grids.append(grid)
        steps.append(np.full((len(grid), 1), stride, np.float32))
    return np.concatenate(grids), np.concatenate(steps)


def _yolox(raw: Floats, grid: Floats, stride: Floats) -> tuple[Boxes, Floats]:
    """Raw (N, 5+C): x, y, log w, log h per cell, objectness and class scores already sigmoid.

    Source: Ge et al., YOLOX (arXiv:2107.08430), section 2.1 and its ONNX export.
    """
    centre = (raw[:, :2] + grid) * stride
    half = np.exp(raw[:, 2:4]) * stride / 2.0
    return np.concatenate([centre - half, centre + half], axis=1), raw[:, 4:5] * raw[:, 5:]


def _roadnet(raw: Floats, grid: Floats, stride: Floats) -> tuple[Boxes, Floats]:
    """Raw (N, 4+C): distances left, top, right, bottom of the cell centre in strides, then logits.

    Source: Tian et al., FCOS (arXiv:1904.01355), equation 1; no centre-ness.
    """
    centre: Floats = (grid + np.float32(0.5)) * stride
    boxes = np.concatenate([centre - raw[:, :2] * stride, centre + raw[:, 2:4] * stride], axis=1)
    scores: Floats = np.float32(1.0) / (np.float32(1.0) + np.exp(-raw[:, 4:]))
    return boxes, scores


def _fastestdet(raw: Floats, grid: Floats, stride: Floats) -> tuple[Boxes, Floats]:
    """Raw (N, 5+C): objectness already sigmoid, x, y, w, h before tanh and sigmoid, class shares
    already softmax. The size is a share of the whole input; one stride.

    Source: FastestDet (dog-qiuqiu, BSD-3), its ONNX export and example.
    """
    centre = (grid + np.tanh(raw[:, 1:3])) * stride
    whole = (grid.max(axis=0) + np.float32(1.0)) * stride
    half = whole / (np.float32(1.0) + np.exp(-raw[:, 3:5])) / np.float32(2.0)
    with np.errstate(invalid="ignore"):
        scores: Floats = raw[:, :1] ** np.float32(0.6) * raw[:, 5:] ** np.float32(0.4)
    return np.concatenate([centre - half, centre + half], axis=1), scores


@dataclass(frozen=True)
class Decoder:
    """One row of the table.

    Attributes:
        arithmetic: from values of all cells (N, V), their grid and stride to boxes and scores.
        candidates: which cells need it, for a score threshold; the arithmetic of a cell must
            not depend on other cells then.
        box_values: how many values a cell has beside its classes.
        layout: "rows" (1, cells, values) of all levels; "map" (1, values, height, width) of one.
    """

    arithmetic: Callable[[Floats, Floats, Floats], tuple[Boxes, Floats]]
    candidates: Candidates
    box_values: int
    layout: Literal["rows", "map"] = "rows"


DECODERS: dict[str, Decoder] = {
    "yolox": Decoder(_yolox, by_objectness, 5),
    "roadnet": Decoder(_roadnet, by_logit, 4),
    # One level of a few hundred cells; its boxes are shares of the whole grid.
    "fastestdet": Decoder(_fastestdet, every_cell, 5, "map"),
}


def output_shape(spec: DecodeSpec, width_px: int, height_px: int) -> tuple[int, ...]:
    """The output shape of a network with this decoder, by the layout of its row."""
    decoder = DECODERS[spec.kind]
    values = decoder.box_values + spec.classes
    if decoder.layout == "map":
        (stride,) = spec.strides  # the mission's checks refuse more than one
        return (1, values, height_px // stride, width_px // stride)
    grid, _ = cells(spec.strides, width_px, height_px)
    return (1, len(grid), values)


def boxes_and_scores(
    raw: Floats, spec: DecodeSpec, width_px: int, height_px: int
) -> tuple[Boxes, Floats]:
    """Every cell's box (N, 4) in network pixels and scores (N, C), of raw output in its layout.

    Does not check them: an impossible output gives NaN, Inf or inverted boxes.
    """
    grid, stride = cells(spec.strides, width_px, height_px)
    return DECODERS[spec.kind].arithmetic(_values(raw, spec), grid, stride)


def _values(raw: Floats, spec: DecodeSpec) -> Floats:
    """Raw output in its layout as values of every cell (N, V)."""
    values: Floats = raw[0]
    is_map = DECODERS[spec.kind].layout == "map"
    return values.reshape(len(values), -1).T if is_map else values


def output_shapes(spec: NetworkSpec, width_px: int, height_px: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every output that the network must have, in order."""
    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(spec.main, HeadSpec):
        shapes[CLASSES] = (1, len(spec.main.labels))
    elif isinstance(spec.main, MaskSpec):
        shapes[MASK] = mask_shape(spec.main, width_px, height_px)
    else:
        shapes[DETECTIONS] = output_shape(spec.main, width_px, height_px)
    if spec.condition is not None:
        shapes[CONDITION] = (1, len(spec.condition.labels))
    return shapes


def decode(raw: Floats, spec: DecodeSpec, width_px: int, height_px: int) -> Detections:
    """Raw output to detections whose boxes are in network pixels.

    Raises:
        ValueError: the output is of another shape, or holds NaN, Inf or impossible boxes.
    """
    wanted = output_shape(spec, width_px, height_px)
    if raw.shape != wanted:
        raise ValueError(f"output has shape {raw.shape}, the {spec.kind} decoder needs {wanted}")
    decoder, values = DECODERS[spec.kind], _values(raw, spec)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = max(float(raw.max()), -float(raw.min()))  # NaN where any value is
        if not math.isfinite(largest):
            raise ValueError("output holds NaN or Inf")
        grid, stride = cells(spec.strides, width_px, height_px)
        rows = decoder.candidates(values, spec.score_threshold, largest)
        boxes, scores = decoder.arithmetic(values[rows], grid[rows], stride[rows])
    labels = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), labels]
    if np.isnan(best).any():  # the root of a negative share; no threshold would select it
        raise ValueError("output decodes to scores that are no numbers")
    picked = np.flatnonzero(best >= spec.score_threshold)
    if not len(picked):
        return Detections.empty()
    most = min(CANDIDATES_PER_DETECTION * spec.max_detections, MOST_CANDIDATES)
    beyond = max(len(picked) - most, 0)
    picked = picked[np.argsort(-best[picked], kind="stable")][:most]
    boxes, best, labels = boxes[picked], best[picked], labels[picked]
    if not (np.isfinite(boxes).all() and math.isfinite(best[0])):
        raise ValueError("output decodes to infinite boxes")
    if best[0] > 1.0 + 1e-3 or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("output decodes to scores above 1 or inverted boxes")
    kept, left = non_maximum_suppression(
        boxes, labels, iou_threshold=spec.iou_threshold, most=spec.max_detections
    )
    return Detections(boxes[kept], best[kept], labels[kept], left_out=left + beyond)


def perceive(
    outputs: Sequence[Floats],
    spec: NetworkSpec,
    *,
    placement: InputPlacement,
    input_size: tuple[int, int],
    frame_size: tuple[int, int],
) -> Perception:
    """Raw outputs, main and condition, to a perception in frame pixels.

    Sizes are (width_px, height_px). Unknown where an output is impossible, or where a classifier or
    a segmentation network finds the picture out of distribution.
    """
    wanted = 1 if spec.condition is None else 2
    if len(outputs) != wanted:
        return Unknown(f"the network put out {len(outputs)} tensors, the mission reads {wanted}")
    try:
        scene: tuple[Classification, ...] = ()
        if spec.condition is not None:
            scene = (classify(outputs[1], spec.condition, head=CONDITION),)
        if isinstance(spec.main, HeadSpec):
            said = classify(outputs[0], spec.main, head=CLASSES)
            if said.label is None:
                # Without the score, so that consecutive frames of this kind have one reason.
                limit = spec.main.score_threshold
                return Unknown(f"out of distribution: no label reaches a score of {limit:g}")
            return Known(Detections.empty(), (said, *scene))
        if isinstance(spec.main, MaskSpec):
            areas = label_map(
                outputs[0],
                spec.main,
                placement=placement,
                input_size=input_size,
                frame_size=frame_size,
            )
            limit = spec.main.score_threshold
            if not (areas.shares[cells_in_frame(areas)] >= limit).any():
                return Unknown(f"out of distribution: no pixel reaches a score of {limit:g}")
            return Known(Detections.empty(), scene, areas)
        found = decode(outputs[0], spec.main, *input_size)
    except ValueError as error:
        return Unknown(str(error))
    return Known(replace(found, boxes=placement.to_frame(found.boxes, *frame_size)), scene)


def with_threshold(spec: NetworkSpec, score_threshold: float) -> NetworkSpec:
    """The same network with another score threshold of its main output, as evaluation needs."""
    return replace(spec, main=replace(spec.main, score_threshold=score_threshold))
