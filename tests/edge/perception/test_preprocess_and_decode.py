"""Preprocess and decoders: positions of pixels and boxes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.mission.sections.model import Decode
from edge.perception.boxes import iou_matrix, non_maximum_suppression
from edge.perception.decode import (
    DECODERS,
    DecodeSpec,
    NetworkSpec,
    decode,
    output_shape,
    perceive,
)
from edge.perception.preprocess import PreprocessSpec, fit_image, input_placement, preprocess
from edge.perception.values import Known, Unknown
from edge.perception.work_limits import MOST_DETECTIONS


def spec(**changes: object) -> PreprocessSpec:
    values: dict[str, object] = {
        "width_px": 320,
        "height_px": 192,
        "fit": "letterbox",
        "anchor": "center",
        "pad_value": 114,
        "color": "rgb",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }
    return PreprocessSpec(**(values | changes))  # type: ignore[arg-type] # test shorthand


def test_colour_order_mean_and_std_are_applied_in_the_stated_order() -> None:
    image = np.zeros((192, 320, 3), np.uint8)
    image[:] = (10, 20, 30)
    rgb, _ = preprocess(image, spec(mean=(30.0, 20.0, 10.0), std=(1.0, 2.0, 4.0)))
    assert rgb.shape == (1, 3, 192, 320)
    assert rgb.dtype == np.float32
    assert np.abs(rgb).max() == 0.0
    bgr, _ = preprocess(image, spec(color="bgr", std=(1.0, 2.0, 3.0)))
    np.testing.assert_allclose(bgr[0, :, 5, 5], [10.0, 10.0, 10.0])


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("anchor", ["center", "top_left"])
@pytest.mark.parametrize("size", [(640, 384), (848, 635), (100, 400), (321, 193)])
def test_a_bright_patch_is_found_again_where_the_placement_says(
    fit: str, anchor: str, size: tuple[int, int]
) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    box = np.array([[width * 0.25, height * 0.5, width * 0.5, height * 0.75]], np.float32)
    x1, y1, x2, y2 = box[0].astype(int)
    image[y1:y2, x1:x2] = 255
    fitted, placement = fit_image(image, spec(fit=fit, anchor=anchor, pad_value=0))
    rows, columns = np.nonzero(fitted[:, :, 0] > 127)
    seen = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    np.testing.assert_allclose(placement.to_network(box), seen, atol=1.5)
    back = placement.to_frame(placement.to_network(box), width, height)
    np.testing.assert_allclose(back, box, atol=0.01)


def test_padding_has_the_declared_value() -> None:
    fitted, _ = fit_image(np.zeros((100, 320, 3), np.uint8), spec(anchor="top_left"))
    assert (fitted[150:] == 114).all()
    assert (fitted[:100] == 0).all()


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_any_frame_fits(width: int, height: int) -> None:
    placement = input_placement(spec(), width, height)
    corner = placement.to_network(np.array([[0, 0, width, height]], np.float32))[0]
    assert corner[2] <= 320 + 1
    assert corner[3] <= 192 + 1


def decoder(kind: str = "roadnet", **changes: object) -> DecodeSpec:
    values: dict[str, object] = {
        "kind": kind,
        "strides": (16,) if kind == "fastestdet" else (8, 16),
        "classes": 3,
        "score_threshold": 0.3,
        "iou_threshold": 0.5,
        "max_detections": 10,
    }
    return DecodeSpec(**(values | changes))  # type: ignore[arg-type] # test shorthand


def detector(kind: str = "roadnet") -> NetworkSpec:
    return NetworkSpec(decoder(kind), None)


def quiet(made: DecodeSpec) -> np.ndarray:
    """Output that says nothing anywhere, for a 64 x 32 input."""
    raw = np.zeros(output_shape(made, 64, 32), np.float32)
    if made.kind == "roadnet":
        raw[..., 4:] = -20.0
    return raw


def test_every_decoder_can_be_asked_for_and_is_documented(root: Path) -> None:
    assert set(get_args(get_type_hints(DecodeSpec)["kind"])) == set(DECODERS)
    asked = get_args(Decode.model_fields["kind"].annotation)
    assert set(asked) == {*DECODERS, "classify", "segment"}
    page = (root / "docs" / "mission.md").read_text()
    assert [kind for kind in asked if f"| `{kind}` |" not in page] == []


@pytest.mark.parametrize("kind", DECODERS)
def test_silence_decodes_to_a_clear_road(kind: str) -> None:
    seen = decode(quiet(decoder(kind)), decoder(kind), 64, 32)
    assert seen.boxes.shape == (0, 4)
    assert seen.scores.shape == seen.labels.shape == (0,)


def test_roadnet_cell_decodes_by_its_centre_and_stride() -> None:
    raw = quiet(decoder())
    raw[0, 8 + 2, :4] = (1.0, 0.5, 2.0, 1.5)  # stride 8, row 1, column 2: centre (20, 12)
    raw[0, 8 + 2, 4 + 1] = 2.0
    seen = decode(raw, decoder(), 64, 32)
    np.testing.assert_allclose(seen.boxes, [[12.0, 8.0, 36.0, 24.0]])
    np.testing.assert_allclose(seen.scores, [1.0 / (1.0 + np.exp(-2.0))], rtol=1e-6)
    assert seen.labels.tolist() == [1]


def test_yolox_cell_decodes_by_offset_and_log_size() -> None:
    raw = quiet(decoder("yolox"))
    raw[0, 32 + 4 + 1] = (0.5, 0.25, np.log(2.0), 0.0, 0.8, 0.1, 0.2, 0.9)  # stride 16, (1, 1)
    seen = decode(raw, decoder("yolox"), 64, 32)
    np.testing.assert_allclose(seen.boxes, [[24 - 16, 20 - 8, 24 + 16, 20 + 8]], rtol=1e-6)
    np.testing.assert_allclose(seen.scores, [0.72], rtol=1e-6)
    assert seen.labels.tolist() == [2]


def test_fastestdet_cell_decodes_by_offset_and_share_of_the_input() -> None:
    raw = quiet(decoder("fastestdet"))
    assert raw.shape == (1, 5 + 3, 2, 4)
    raw[0, :, 1, 2] = (0.9, np.arctanh(0.5), np.arctanh(-0.25), 0.0, np.log(3.0), 0.1, 0.7, 0.2)
    seen = decode(raw, decoder("fastestdet"), 64, 32)
    # Half of 64 wide and three quarters of 32 high, about 2.5 and 0.75 cells of 16.
    np.testing.assert_allclose(seen.boxes, [[40 - 16, 12 - 12, 40 + 16, 12 + 12]], rtol=1e-5)
    np.testing.assert_allclose(seen.scores, [0.9**0.6 * 0.7**0.4], rtol=1e-5)
    assert seen.labels.tolist() == [1]


def test_a_share_below_nothing_is_unknown_not_clear() -> None:
    raw = quiet(decoder("fastestdet"))
    raw[0, 0, 0, 0] = -0.1
    with pytest.raises(ValueError, match="no numbers"):
        decode(raw, decoder("fastestdet"), 64, 32)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_an_output_that_cannot_be_right_is_unknown_not_clear(poison: float) -> None:
    raw = quiet(decoder())
    raw[0, 3, 4] = poison
    placement = input_placement(spec(width_px=64, height_px=32), 64, 32)
    seen = perceive(
        [raw], detector(), placement=placement, input_size=(64, 32), frame_size=(64, 32)
    )
    assert isinstance(seen, Unknown)
    assert "NaN or Inf" in seen.reason


def test_a_huge_log_size_is_unknown() -> None:
    raw = quiet(decoder("yolox"))
    raw[0, 0] = (0, 0, 1000.0, 0, 1.0, 1.0, 0, 0)
    placement = input_placement(spec(width_px=64, height_px=32), 64, 32)
    seen = perceive(
        [raw], detector("yolox"), placement=placement, input_size=(64, 32), frame_size=(64, 32)
    )
    assert isinstance(seen, Unknown)


def test_another_shape_is_unknown_and_names_both() -> None:
    placement = input_placement(spec(width_px=64, height_px=32), 64, 32)
    seen = perceive(
        [np.zeros((1, 40, 9), np.float32)],
        detector(),
        placement=placement,
        input_size=(64, 32),
        frame_size=(64, 32),
    )
    assert isinstance(seen, Unknown)
    assert "(1, 40, 9)" in seen.reason
    assert "(1, 40, 7)" in seen.reason


def test_boxes_come_back_in_frame_pixels() -> None:
    raw = quiet(decoder())
    raw[0, 0, :4] = 0.5
    raw[0, 0, 4] = 5.0
    placement = input_placement(spec(width_px=64, height_px=32), 128, 64)
    seen = perceive(
        [raw], detector(), placement=placement, input_size=(64, 32), frame_size=(128, 64)
    )
    assert isinstance(seen, Known)
    np.testing.assert_allclose(seen.detections.boxes, [[0.0, 0.0, 16.0, 16.0]])


def crowd(*, input_size: tuple[int, int], box: float) -> np.ndarray:
    """Output of the RoadNet decoder in which every cell of stride 8 and 16 says something, with
    boxes of `box` strides around each cell's centre."""
    raw = np.zeros(output_shape(decoder(), *input_size), np.float32)
    raw[..., :4] = box / 2.0
    raw[..., 4:] = np.random.default_rng(0).uniform(0.0, 4.0, raw[..., 4:].shape)
    return raw


@pytest.mark.parametrize("most", [100, MOST_DETECTIONS, 1000])
def test_a_frame_full_of_detections_takes_bounded_memory_and_says_what_it_left_out(
    most: int,
) -> None:
    size = (1280, 768)
    raw = crowd(input_size=size, box=0.9)  # nothing overlaps within a level
    tracemalloc.start()
    try:
        seen = decode(raw, decoder(max_detections=most), *size)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32e6  # a table of the overlaps of 1,000 boxes takes 41 MB, of 3,000 369
    assert len(seen) == most
    assert seen.left_out > 0
    assert seen.left_out <= raw.shape[1] - most


def test_what_may_be_kept_is_the_same_with_and_without_a_limit() -> None:
    raw = crowd(input_size=(128, 64), box=3.0)
    every = decode(raw, decoder(max_detections=160), 128, 64)
    assert every.left_out == 0
    few = decode(raw, decoder(max_detections=20), 128, 64)
    assert len(every) > len(few) == 20
    for whole, part in (
        (every.boxes, few.boxes),
        (every.scores, few.scores),
        (every.labels, few.labels),
    ):
        np.testing.assert_array_equal(whole[:20], part)
    # Those of its candidates that were still to come, and no less than what the limit cost.
    assert few.left_out >= len(every) - 20


def test_a_limit_that_cuts_a_frame_is_in_what_was_perceived() -> None:
    raw = crowd(input_size=(64, 32), box=0.9)
    made = decoder(max_detections=5)
    seen = perceive(
        [raw],
        NetworkSpec(made, None),
        placement=input_placement(spec(width_px=64, height_px=32), 64, 32),
        input_size=(64, 32),
        frame_size=(64, 32),
    )
    assert isinstance(seen, Known)
    assert len(seen.detections) == 5
    assert seen.detections.left_out > 0


BOXES = st.lists(
    st.tuples(*[st.floats(0, 100, width=32) for _ in range(4)]), min_size=1, max_size=12
).map(lambda rows: np.sort(np.array(rows, np.float32).reshape(-1, 2, 2), axis=1).reshape(-1, 4))


@given(BOXES)
def test_overlap_is_symmetric_bounded_and_one_with_itself(boxes: np.ndarray) -> None:
    overlap = iou_matrix(boxes, boxes)
    np.testing.assert_allclose(overlap, overlap.T, atol=1e-6)
    assert overlap.min() >= 0.0
    assert overlap.max() <= 1.0 + 1e-5
    solid = ((boxes[:, 2:] - boxes[:, :2]) > 1e-2).all(axis=1)
    np.testing.assert_allclose(np.diag(overlap)[solid], 1.0, atol=1e-3)


@given(BOXES, st.integers(0, 2**32 - 1))
def test_what_survives_suppression_does_not_overlap(boxes: np.ndarray, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, len(boxes))
    kept, left = non_maximum_suppression(boxes, labels, iou_threshold=0.5)
    assert left == 0
    assert kept[0] == 0
    overlap = iou_matrix(boxes[kept], boxes[kept])
    same = labels[kept][:, None] == labels[kept][None, :]
    np.fill_diagonal(same, False)
    assert not (same & (overlap > 0.5)).any()
    assert (np.diff(kept) > 0).all()


@given(BOXES, st.integers(0, 2**32 - 1))
def test_suppression_keeps_what_the_whole_table_of_overlaps_keeps(
    boxes: np.ndarray, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, len(boxes))
    rivals = (iou_matrix(boxes, boxes) > 0.5) & (labels[:, None] == labels[None, :])
    gone = np.zeros(len(boxes), bool)
    wanted = []
    for row in range(len(boxes)):
        if not gone[row]:
            wanted.append(row)
            gone |= rivals[row]
    kept, _ = non_maximum_suppression(boxes, labels, iou_threshold=0.5)
    assert kept.tolist() == wanted
