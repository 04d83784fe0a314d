"""Pictures in cameras' formats: what is one, and what a frame makes of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.perception.pixel_formats import Picture, PixelFormat, check_size
from edge.perception.values import Frame
from firmware_bridge.errors import UsageError


def test_a_frame_converts_the_cameras_format_once_and_a_bgr_picture_not_at_all() -> None:
    data = np.random.default_rng(0).integers(0, 256, (72, 64), np.uint8)
    frame = Frame(Picture(data, "nv12"), 0, "driver", 0)
    assert frame.size_px == (64, 48)
    np.testing.assert_array_equal(frame.image, cv2.cvtColor(data, cv2.COLOR_YUV2BGR_NV12))
    assert frame.image is frame.image
    image = np.zeros((48, 64, 3), np.uint8)
    assert Frame(Picture(image), 0, "driver", 0).image is image


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    [("nv12", (3, 2)), ("nv12", (2, 3)), ("yuyv", (3, 2)), ("bgr", (0, 4)), ("yuyv", (2, 0))],
)
def test_a_size_that_a_format_does_not_have_is_refused(
    pixel_format: PixelFormat, size: tuple[int, int]
) -> None:
    with pytest.raises(UsageError, match=f"no {pixel_format} picture is"):
        check_size(pixel_format, *size)


@pytest.mark.parametrize(
    ("pixel_format", "data"),
    [
        ("bgr", np.zeros((4, 4), np.uint8)),
        ("bgr", np.zeros((4, 4, 4), np.uint8)),
        ("bgr", np.zeros((4, 4, 3), np.float32)),
        ("bgr", np.zeros((4, 8, 3), np.uint8)[:, ::2]),
        ("bgr", np.zeros((4, 4, 3), np.uint8)[:, :, ::-1]),
        ("bgr", np.zeros((4, 4, 3), np.uint8)[::-1]),
        ("nv12", np.zeros((4, 4), np.uint8)),
        ("nv12", np.zeros((6, 4, 1), np.uint8)),
        ("nv12", np.zeros((3, 3), np.uint8)),
        ("yuyv", np.zeros((4, 8), np.uint8)),
        ("yuyv", np.zeros((4, 3, 2), np.uint8)),
    ],
)
def test_an_array_that_is_no_picture_of_its_format_is_refused(
    pixel_format: PixelFormat, data: np.ndarray
) -> None:
    with pytest.raises(UsageError, match=f"{pixel_format} picture"):
        Picture(data, pixel_format)
