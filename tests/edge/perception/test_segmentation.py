"""Segmentation: every pixel of the frame gets the label of its cell, or the frame is Unknown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.perception.decode import NetworkSpec, output_shapes, perceive, with_threshold
from edge.perception.label_colors import label_colors
from edge.perception.preprocess import InputPlacement, PreprocessSpec, input_placement, preprocess
from edge.perception.segmentation import MaskSpec, frame_labels, frame_shares
from edge.perception.values import Known, LabelMap, Unknown

LABELS = ("road", "vehicle", "sky")
SPEC = MaskSpec(LABELS, 4, 0.6)
NETWORK = NetworkSpec(SPEC, None)
SIZE = (64, 48)
WHOLE = InputPlacement(1.0, 1.0, 0.0, 0.0)


def logits(rows: np.ndarray, *, sure: float = 9.0) -> np.ndarray:
    raw = np.zeros((1, len(LABELS), *rows.shape), np.float32)
    for label in range(len(LABELS)):
        raw[0, label][rows == label] = sure
    return raw


def seen(raw: np.ndarray, *, frame: tuple[int, int] = SIZE, fit: str = "stretch") -> LabelMap:
    spec = PreprocessSpec(*SIZE, fit, "center", 114, "bgr", (0.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type] # a literal
    found = perceive(
        [raw], NETWORK, placement=input_placement(spec, *frame), input_size=SIZE, frame_size=frame
    )
    assert isinstance(found, Known)
    assert len(found.detections) == 0
    assert found.areas is not None
    return found.areas


def cells(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (12, 16)).astype(np.uint8)


def test_the_output_has_its_name_and_shape() -> None:
    assert output_shapes(NETWORK, *SIZE) == {"mask": (1, 3, 12, 16)}


def test_labels_stand_in_the_frame_where_their_cells_are() -> None:
    rows = cells()
    whole = frame_labels(seen(logits(rows)))
    np.testing.assert_array_equal(whole, np.kron(rows, np.ones((4, 4), np.uint8)))
    twice = frame_labels(seen(logits(rows), frame=(128, 96)))
    np.testing.assert_array_equal(twice, np.kron(rows, np.ones((8, 8), np.uint8)))


def test_padding_is_no_part_of_the_frame() -> None:
    """A square frame in a wide input: columns 2 to 13 are the frame, the others padding."""
    rows = np.full((12, 16), 2, np.uint8)
    rows[:, 2:14] = 0
    square = seen(logits(rows), frame=(96, 96), fit="letterbox")
    assert (frame_labels(square) == 0).all()
    np.testing.assert_allclose(frame_shares(square, 3), [1.0, 0.0, 0.0])


@given(
    wide=st.integers(20, 400),
    high=st.integers(20, 400),
    fit=st.sampled_from(["letterbox", "stretch"]),
)
def test_a_picture_that_goes_there_comes_back(wide: int, high: int, fit: str) -> None:
    """Left half black, right half white: labels by brightness split the frame where it is split."""
    image = np.zeros((high, wide, 3), np.uint8)
    image[:, wide // 2 :] = 255
    spec = PreprocessSpec(*SIZE, fit, "center", 0, "bgr", (0.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type] # a literal
    x, placement = preprocess(image, spec)
    bright = x[0, 0].reshape(12, 4, 16, 4).mean(axis=(1, 3)) > 127
    found = perceive(
        [logits(bright.astype(np.uint8))],
        NETWORK,
        placement=placement,
        input_size=SIZE,
        frame_size=(wide, high),
    )
    assert isinstance(found, Known)
    assert found.areas is not None
    mask = frame_labels(found.areas)
    cell = 4.0 / placement.scale_x
    # In the middle row: at the rim half a cell may be padding.
    assert abs(np.count_nonzero(mask[high // 2] == 0) - wide // 2) <= cell + 1


def test_shares_are_a_softmax_and_a_frame_like_nothing_is_unknown() -> None:
    raw = logits(cells(), sure=1.0)
    assert np.e / (np.e + 2) < SPEC.score_threshold
    said = perceive([raw], NETWORK, placement=WHOLE, input_size=SIZE, frame_size=SIZE)
    assert said == Unknown("out of distribution: no pixel reaches a score of 0.6")
    free = with_threshold(NETWORK, 0.0)
    said = perceive([raw], free, placement=WHOLE, input_size=SIZE, frame_size=SIZE)
    assert isinstance(said, Known)
    assert said.areas is not None
    np.testing.assert_allclose(said.areas.shares, np.e / (np.e + 2), rtol=1e-6)


@pytest.mark.parametrize(
    "raw",
    [
        np.full((1, 3, 12, 16), np.nan, np.float32),
        np.zeros((1, 2, 12, 16), np.float32),
        np.zeros((1, 3, 16, 12), np.float32),
        np.zeros((1, 12, 16), np.float32),
        np.zeros((1, 1, 12, 16), np.float32),
    ],
)
def test_an_output_that_cannot_be_right_is_unknown(raw: np.ndarray) -> None:
    said = perceive([raw], NETWORK, placement=WHOLE, input_size=SIZE, frame_size=SIZE)
    assert isinstance(said, Unknown)


def test_huge_logits_overflow_nothing() -> None:
    areas = seen(logits(cells(), sure=3e38))
    assert (areas.shares == 1.0).all()


def test_colours_can_be_told_apart() -> None:
    colours = label_colors(20).astype(int)
    apart = np.abs(colours[:, None] - colours[None, :]).sum(axis=2) + 999 * np.eye(20, dtype=int)
    assert apart.min() > 40
