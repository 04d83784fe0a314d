"""Every pixel format becomes the picture that was encoded, with padded rows too; none is a view."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.perception.pictures.header import UnreadablePicture
from edge.perception.pixel_formats import to_bgr
from edge.runtime.sources.v4l2.buffer_formats import BUFFER_FORMATS, Layout, read_buffer

WIDTH, HEIGHT = 48, 32
Picture = NDArray[np.uint8]


def picture() -> Picture:
    """Four coloured fields, each even in size, so that shared colours lose nothing."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:16, :24], image[:16, 24:] = (200, 60, 30), (30, 60, 200)
    image[16:, :24], image[16:, 24:] = (90, 90, 90), (40, 180, 40)
    return image


def yuv(image: Picture) -> NDArray[np.float64]:
    """BT.601 with limited range (ITU-R BT.601-7, 2.5.3), by its own formula."""
    blue, green, red = (image[..., at].astype(np.float64) / 255.0 for at in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack(
        [
            16.0 + 219.0 * luma,
            128.0 + 224.0 * (blue - luma) / 1.772,
            128.0 + 224.0 * (red - luma) / 1.402,
        ],
        axis=-1,
    )


def packed(image: Picture, luma_at: int) -> Picture:
    values = np.round(yuv(image)).astype(np.uint8)
    pairs = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    pairs[..., luma_at] = values[..., 0]
    pairs[:, 0::2, 1 - luma_at], pairs[:, 1::2, 1 - luma_at] = values[:, ::2, 1], values[:, ::2, 2]
    return pairs.reshape(HEIGHT, -1)


def half_planes(image: Picture, first: int) -> Picture:
    values = np.round(yuv(image)).astype(np.uint8)
    colours = values[::2, ::2, [first, 3 - first]].reshape(HEIGHT // 2, WIDTH)
    return np.concatenate([values[..., 0], colours])


def jpeg(image: Picture, options: tuple[int, ...] = (cv2.IMWRITE_JPEG_QUALITY, 100)) -> Picture:
    return np.asarray(cv2.imencode(".jpg", image, options)[1], np.uint8)


ENCODERS: dict[str, Callable[[Picture], Picture]] = {
    "BGR3": lambda image: image.reshape(HEIGHT, -1),
    "RGB3": lambda image: image[..., ::-1].reshape(HEIGHT, -1),
    "NV12": lambda image: half_planes(image, 1),
    "NV21": lambda image: half_planes(image, 2),
    "YUYV": lambda image: packed(image, 0),
    "UYVY": lambda image: packed(image, 1),
    "GREY": lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
    "MJPG": jpeg,
    "JPEG": jpeg,
}
COMPRESSED = ("MJPG", "JPEG")
AS_THEY_ARE = {"NV12": "nv12", "YUYV": "yuyv"}


def test_there_is_an_encoder_for_every_format() -> None:
    assert ENCODERS.keys() == BUFFER_FORMATS.keys()


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("code", ENCODERS)
def test_a_buffer_becomes_the_picture(code: str, padding: int) -> None:
    if code in COMPRESSED:
        data, stride = np.append(ENCODERS[code](picture()), np.zeros(padding, np.uint8)), 0
    else:
        rows = np.pad(ENCODERS[code](picture()), ((0, 0), (0, padding)))
        data, stride = rows.reshape(-1), rows.shape[1]
    given = read_buffer(data, Layout(code, WIDTH, HEIGHT, stride))
    assert given.pixel_format == AS_THEY_ARE.get(code, "bgr")
    image = to_bgr(given)
    assert (image.shape, image.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert image.flags.c_contiguous
    wanted = picture().astype(int)
    if code == "GREY":
        wanted = np.repeat(ENCODERS[code](picture())[..., None].astype(int), 3, axis=2)
    off = np.abs(image.astype(int) - wanted)
    if code in COMPRESSED:  # colours are blurred where fields meet
        assert off.mean() < 4.0
    else:
        assert off.max() <= (0 if code in ("BGR3", "RGB3", "GREY") else 3)
    data[:] = 0  # the driver fills the buffer again
    assert np.array_equal(to_bgr(given), image)


@pytest.mark.parametrize("code", [code for code in ENCODERS if code not in COMPRESSED])
def test_a_buffer_with_too_few_bytes_is_refused(code: str) -> None:
    rows = ENCODERS[code](picture())
    data = rows.reshape(-1)[:-1]
    with pytest.raises(UnreadablePicture, match=f"{data.size} of {data.size + 1} bytes"):
        read_buffer(data, Layout(code, WIDTH, HEIGHT, rows.shape[1]))


@pytest.mark.parametrize("code", COMPRESSED)
def test_a_damaged_jpeg_is_refused(code: str) -> None:
    data = jpeg(picture())
    with pytest.raises(UnreadablePicture):
        read_buffer(data[: data.size // 2], Layout(code, WIDTH, HEIGHT, 0))


def test_a_jpeg_without_its_huffman_tables_is_read() -> None:
    """As USB cameras send them, since the tables are always the same."""
    data = jpeg(picture(), ()).tobytes()
    kept, at = bytearray(data[:2]), 2
    while data[at + 1] != 0xDA:  # segment by segment up to the picture's data
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xC4:
            kept += data[at : at + length]
        at += length
    bare = np.frombuffer(bytes(kept) + data[at:], np.uint8)
    assert bare.size < len(data) - 400
    layout = Layout("MJPG", WIDTH, HEIGHT, 0)
    whole = read_buffer(np.frombuffer(data, np.uint8), layout)
    assert np.array_equal(read_buffer(bare, layout).data, whole.data)
