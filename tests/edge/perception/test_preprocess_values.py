"""Every value of the network's input, against the definition written the plain way."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.perception.preprocess import (
    Preprocessor,
    PreprocessSpec,
    fit_image,
    input_placement,
    normalise,
    preprocess,
)

FITS = list(itertools.product(("letterbox", "stretch"), ("top_left", "center"), ("bgr", "rgb")))
SCALES = [
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((127.5, 127.5, 127.5), (64.0, 64.0, 64.0)),
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ((0.0, 5.0, 0.0), (255.0, 1.0, 0.1)),
]


def plain(image: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """The definition: resize, copy onto a padded canvas, reorder, subtract, divide."""
    height, width = image.shape[:2]
    placement = input_placement(spec, width, height)
    inner_w = min(spec.width_px, max(1, round(width * placement.scale_x)))
    inner_h = min(spec.height_px, max(1, round(height * placement.scale_y)))
    canvas = np.full((spec.height_px, spec.width_px, 3), spec.pad_value, np.uint8)
    top, left = int(placement.offset_y_px), int(placement.offset_x_px)
    resized = cv2.resize(image, (inner_w, inner_h), interpolation=cv2.INTER_LINEAR)
    canvas[top : top + inner_h, left : left + inner_w] = resized
    ordered = canvas[:, :, ::-1] if spec.color == "rgb" else canvas
    planes = np.ascontiguousarray(ordered.transpose(2, 0, 1), dtype=np.float32)
    planes -= np.asarray(spec.mean, np.float32)[:, None, None]
    planes /= np.asarray(spec.std, np.float32)[:, None, None]
    return planes[np.newaxis, ...]


def assert_as_defined(image: np.ndarray, spec: PreprocessSpec) -> None:
    wanted = plain(image, spec)
    found, placement = preprocess(image, spec)
    np.testing.assert_array_equal(found, wanted)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    fitted, fitted_placement = fit_image(image, spec)
    assert fitted_placement == placement
    np.testing.assert_array_equal(normalise(fitted, spec), wanted)


SIDES = st.tuples(st.integers(1, 130), st.integers(1, 130))


@settings(max_examples=60)
@given(SIDES, SIDES, st.sampled_from(FITS), st.sampled_from(SCALES), st.integers(0, 255))
def test_any_picture_in_any_fit_has_the_defined_values(
    size: tuple[int, int],
    input_size: tuple[int, int],
    fit: tuple[str, str, str],
    scale: tuple[tuple[float, float, float], tuple[float, float, float]],
    pad_value: int,
) -> None:
    image = np.random.default_rng(size).integers(0, 256, (*size, 3), dtype=np.uint8)
    way, anchor, color = fit
    assert_as_defined(image, PreprocessSpec(*input_size, way, anchor, pad_value, color, *scale))  # type: ignore[arg-type] # test shorthand


@pytest.mark.parametrize(("fit", "anchor", "color"), FITS)
def test_real_pictures_have_the_defined_values(
    fit: str, anchor: str, color: str, shared_data: Path
) -> None:
    paths = sorted((shared_data / "fog_traffic" / "images").iterdir())[:2]
    assert len(paths) == 2
    for path, scale in itertools.product(paths, SCALES):
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        assert_as_defined(image, PreprocessSpec(416, 416, fit, anchor, 114, color, *scale))  # type: ignore[arg-type] # test shorthand


def test_frames_of_several_sizes_follow_one_another_into_the_same_memory() -> None:
    spec = PreprocessSpec(64, 48, "letterbox", "center", 114, "rgb", *SCALES[1])
    tensor = np.full((1, 3, 48, 64), np.nan, np.float32)
    preprocessor = Preprocessor(spec)
    random = np.random.default_rng(0)
    for width, height in ((96, 54), (20, 80), (64, 48), (96, 54), (3, 2)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        placement = preprocessor.write(image, tensor)
        assert placement == input_placement(spec, width, height)
        np.testing.assert_array_equal(tensor, plain(image, spec))


def test_a_picture_cut_out_of_a_larger_one_or_mirrored_is_read_by_its_indices() -> None:
    spec = PreprocessSpec(32, 32, "letterbox", "center", 0, "bgr", *SCALES[2])
    large = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    for image in (large[10:50, 20:70], large[:, ::-1], large[::2, ::3]):
        np.testing.assert_array_equal(preprocess(image, spec)[0], plain(image.copy(), spec))
    mirrored = large[:32, 31::-1]
    same_size = replace(spec, fit="stretch")
    np.testing.assert_array_equal(normalise(mirrored, spec), plain(mirrored.copy(), same_size))
