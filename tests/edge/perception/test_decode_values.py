"""Decoding of candidates alone against decoding every cell, and blocks against one box at a time.

The reference is the definition written the plain way: every score and every box of the output, and
non-maximum suppression that selects one row at a time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.perception.boxes import BLOCK, iou_matrix, non_maximum_suppression
from edge.perception.decode import (
    DECODERS,
    DecodeSpec,
    boxes_and_scores,
    decode,
    output_shape,
)
from edge.perception.values import Detections
from edge.perception.work_limits import CANDIDATES_PER_DETECTION, MOST_CANDIDATES

SIZE = (64, 32)
STRIDES = {"yolox": (8, 16), "roadnet": (8, 16), "fastestdet": (16,)}


def plain_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0.0, None)
    shared = sides[..., 0] * sides[..., 1]
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0.0, None), axis=1)
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0.0, None), axis=1)
    union = area_a[:, None] + area_b[None, :] - shared
    return np.where(union > 0.0, shared / np.maximum(union, 1e-12), 0.0).astype(np.float32)


def plain_suppression(
    boxes: np.ndarray, labels: np.ndarray, *, threshold: float, most: int | None
) -> tuple[list[int], int]:
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and (most is None or len(kept) < most):
        best, left = left[:1], left[1:]
        kept.append(int(best[0]))
        rivals = labels[left] == labels[best]
        rivals[rivals] = plain_iou(boxes[best], boxes[left[rivals]])[0] > threshold
        left = left[~rivals]
    return kept, len(left)


def plain_decode(raw: np.ndarray, spec: DecodeSpec) -> Detections:
    if not np.isfinite(raw).all():
        raise ValueError("output holds NaN or Inf")
    with np.errstate(over="ignore"):
        boxes, scores = boxes_and_scores(raw, spec, *SIZE)
    labels = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), labels]
    if np.isnan(best).any():
        raise ValueError("output decodes to scores that are no numbers")
    picked = np.flatnonzero(best >= spec.score_threshold)
    most = min(CANDIDATES_PER_DETECTION * spec.max_detections, MOST_CANDIDATES)
    beyond = max(len(picked) - most, 0)
    picked = picked[np.argsort(-best[picked], kind="stable")][:most]
    boxes, best, labels = boxes[picked], best[picked], labels[picked]
    if not np.isfinite(boxes).all() or not np.isfinite(best).all():
        raise ValueError("output decodes to infinite boxes")
    if (best > 1.0 + 1e-3).any() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("output decodes to scores above 1 or inverted boxes")
    kept, left = plain_suppression(
        boxes, labels, threshold=spec.iou_threshold, most=spec.max_detections
    )
    return Detections(boxes[kept], best[kept], labels[kept], left + beyond)


def outcome(decoded: Detections | str) -> object:
    if isinstance(decoded, str):
        return decoded
    arrays = (decoded.boxes, decoded.scores, decoded.labels)
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays], decoded.left_out


def assert_decodes_the_same(raw: np.ndarray, spec: DecodeSpec) -> None:
    try:
        wanted: Detections | str = plain_decode(raw, spec)
    except ValueError as error:
        wanted = str(error)
    try:
        found: Detections | str = decode(raw, spec, *SIZE)
    except ValueError as error:
        found = str(error)
    assert outcome(found) == outcome(wanted)


ODD = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 3e38, -3e38, 1e20, -1e20, 88.8, 104.0, 17.0, 1e-7]
POISON = [np.nan, np.inf, -np.inf]


def output(
    spec: DecodeSpec, seed: int, *, spread: float, odd: int, poisoned: bool, cornered: bool
) -> np.ndarray:
    """Output of a network that is more or less certain, with `odd` rare values in random places.

    `cornered`: class values lie about the threshold's own, some of them exactly on it.
    """
    random = np.random.default_rng(seed)
    raw = random.normal(0.0, spread, output_shape(spec, *SIZE)).astype(np.float32)
    if spec.kind != "roadnet":
        axis = 1 if spec.kind == "fastestdet" else 2
        shares = np.moveaxis(raw, axis, -1)
        shares[...] = np.abs(shares) % 1.0
    flat = raw.reshape(-1)
    if cornered:
        share = np.clip(spec.score_threshold, 1e-6, 1.0 - 1e-6)
        edge = np.log(share / (1.0 - share)) if spec.kind == "roadnet" else share
        rows = random.integers(0, flat.size, flat.size // 4)
        flat[rows] = np.float32(edge) + random.integers(-3, 4, len(rows)) * np.float32(6e-8)
    flat[random.integers(0, flat.size, odd)] = random.choice(np.float32(ODD), odd)
    if poisoned:
        flat[random.integers(0, flat.size)] = random.choice(np.float32(POISON))
    return raw


SPECS = st.builds(
    lambda kind, classes, score, iou, most: DecodeSpec(
        kind, STRIDES[kind], classes, score, iou, most
    ),
    st.sampled_from(sorted(DECODERS)),
    st.integers(1, 5),
    st.sampled_from([0.0, 1e-45, 1e-38, 1e-6, 0.001, 0.25, 0.3, 0.45, 0.5, 0.9, 0.999999, 1.0])
    | st.floats(0.0, 1.0),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([1, 3, 10, 300]),
)


@pytest.mark.requirement("R-RUN-111")
@settings(max_examples=400)
@given(
    SPECS,
    st.integers(0, 2**32 - 1),
    st.fixed_dictionaries(
        {
            "spread": st.sampled_from([0.1, 1.0, 4.0]),
            "odd": st.sampled_from([0, 0, 1, 5]),
            "poisoned": st.sampled_from([False, False, False, True]),
            "cornered": st.booleans(),
        }
    ),
)
def test_candidates_give_what_every_cell_gives(
    spec: DecodeSpec, seed: int, how: dict[str, float]
) -> None:
    assert_decodes_the_same(output(spec, seed, **how), spec)  # type: ignore[arg-type] # shorthand


@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_two_impossible_factors_make_an_impossible_score(kind: str) -> None:
    """A negative objectness times a negative share is above the threshold, and no detection."""
    spec = DecodeSpec(kind, STRIDES[kind], 3, 0.3, 0.5, 10)  # type: ignore[arg-type] # shorthand
    raw = np.zeros(output_shape(spec, *SIZE), np.float32)
    values = np.moveaxis(raw, 1, -1) if kind == "fastestdet" else raw
    values[0, 1, ..., 4:] = values[0, 1, ..., :1] = -1.5
    assert_decodes_the_same(raw, spec)
    if kind != "roadnet":
        with pytest.raises(ValueError, match="scores"):
            decode(raw, spec, *SIZE)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 30.0, 1e-20, 3e38]))
def test_overlaps_are_those_of_the_plain_formula(seed: int, scale: float) -> None:
    """Also of inverted, empty and infinitely large boxes."""
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore", invalid="ignore"):
        a, b = (random.normal(0.0, 1.0, (5, 4)).astype(np.float32) * scale for _ in range(2))
        b[:3] = np.sort(b[:3].reshape(3, 2, 2), axis=1).reshape(3, 4)
        a[0], a[1, 2:] = b[0], a[1, :2]
        assert iou_matrix(a, b).tobytes() == plain_iou(a, b).tobytes()


@pytest.mark.requirement("R-RUN-111")
@pytest.mark.parametrize("kind", sorted(DECODERS))
def test_a_detection_is_found_in_every_cell_and_label(kind: str) -> None:
    spec = DecodeSpec(kind, STRIDES[kind], 2, 0.3, 0.5, 10)  # type: ignore[arg-type] # shorthand
    beside = DECODERS[kind].box_values
    quiet = np.full(output_shape(spec, *SIZE), -9.0 if kind == "roadnet" else 0.0, np.float32)
    cells = quiet.size // (beside + 2)
    for cell in range(cells):
        for label in range(2):
            raw = quiet.copy()
            values = raw[0].reshape(beside + 2, cells).T if kind == "fastestdet" else raw[0]
            values[cell] = 0.9
            values[cell, beside + label] = 0.95
            found = decode(raw, spec, *SIZE)
            assert found.labels.tolist() == [label]
            assert_decodes_the_same(raw, spec)


def test_every_cell_full_of_objects_decodes_the_same() -> None:
    for kind in sorted(DECODERS):
        spec = DecodeSpec(kind, STRIDES[kind], 3, 0.3, 0.5, 4)  # type: ignore[arg-type] # shorthand
        raw = output(spec, 0, spread=1.0, odd=0, poisoned=False, cornered=False)
        assert_decodes_the_same(raw, replace(spec, score_threshold=0.01))


@pytest.mark.parametrize("most", [None, 1, 50, BLOCK, BLOCK + 1, 300])
@pytest.mark.parametrize("spread_px", [20.0, 100.0, 800.0])
def test_suppression_in_blocks_selects_what_one_at_a_time_selects(
    most: int | None, spread_px: float
) -> None:
    """Over several blocks: of boxes that nearly all overlap, and of boxes that hardly do."""
    random = np.random.default_rng(int(spread_px))
    for count, labels in ((BLOCK, 1), (3 * BLOCK + 7, 1), (3 * BLOCK + 7, 4)):
        middle = random.uniform(0.0, spread_px, (count, 2))
        half = random.uniform(2.0, 15.0, (count, 2))
        boxes = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
        label = random.integers(0, labels, count)
        for threshold in (0.1, 0.5):
            kept, left = non_maximum_suppression(boxes, label, iou_threshold=threshold, most=most)
            wanted = plain_suppression(boxes, label, threshold=threshold, most=most)
            assert (kept.tolist(), left) == wanted


def test_a_chain_in_which_each_suppresses_the_next_keeps_every_second() -> None:
    count = 2 * BLOCK
    x = np.arange(count, dtype=np.float32)
    boxes = np.stack([x * 4.0, np.zeros(count), x * 4.0 + 10.0, np.ones(count)], axis=1)
    kept, left = non_maximum_suppression(
        boxes.astype(np.float32), np.zeros(count, np.int64), iou_threshold=0.3
    )
    assert kept.tolist() == list(range(0, count, 2))
    assert left == 0
