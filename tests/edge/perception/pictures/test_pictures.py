"""The one reader of pictures: damage that decoders hide, orientation, bit depths, extreme sizes."""

from __future__ import annotations

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.perception.pictures.decode import MAX_PIXELS, decode_image, read_picture
from edge.perception.pictures.files import SUFFIXES
from edge.perception.pictures.header import UnreadablePicture, header_of


def scene() -> NDArray[np.uint8]:
    """A picture (48, 80, 3) with a bright square near its stored top left corner."""
    rng = np.random.default_rng(7)
    image = np.asarray(cv2.GaussianBlur(rng.integers(0, 255, (48, 80, 3), np.uint8), (9, 9), 0))
    image = (image // 2 + 20).astype(np.uint8)
    image[4:16, 4:16] = 250
    return image


def coded(suffix: str, image: NDArray[np.generic] | None = None) -> bytes:
    return cv2.imencode(suffix, scene() if image is None else image)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(orientation: int, *, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, 8)
    entry = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return head + struct.pack(order + "H", 1) + entry + struct.pack(order + "I", 0)


def turned_file(suffix: str, orientation: int, *, order: str = "<") -> bytes:
    whole, tags = coded(suffix), exif(orientation, order=order)
    if suffix == ".jpg":
        body = b"Exif\0\0" + tags
        return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + whole[2:]
    if suffix == ".png":
        return whole[:33] + chunk(b"eXIf", tags) + whole[33:]
    if suffix == ".tif":
        at = struct.unpack("<I", whole[4:8])[0]
        (count,) = struct.unpack("<H", whole[at : at + 2])
        rows = [whole[at + 2 + 12 * row : at + 14 + 12 * row] for row in range(count)]
        rows = [row for row in rows if row[:2] != struct.pack("<H", 274)]
        rows = sorted([*rows, tags[10:22]], key=lambda row: struct.unpack("<H", row[:2])[0])
        directory = struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
        return whole[:4] + struct.pack("<I", len(whole)) + whole[8:] + directory
    frame = whole[12:]
    size = struct.pack("<II", 79, 47)
    extended = b"VP8X" + struct.pack("<IB", 10, 8) + b"\0\0\0" + size[:3] + size[4:7]
    tail = b"EXIF" + struct.pack("<I", len(tags)) + tags + b"\0" * (len(tags) % 2)
    body = b"WEBP" + extended + frame + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


class TestDamage:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_a_file_that_is_cut_short(self, suffix: str, share: float) -> None:
        whole = coded(suffix)
        with pytest.raises(UnreadablePicture):
            decode_image(whole[: int(len(whole) * share)])

    @pytest.mark.parametrize("length", [64, 300, 900])
    @pytest.mark.parametrize("place", [0.4, 0.6, 0.8])
    def test_a_hole_in_a_jpeg_is_told_by_the_decoders_own_warning(
        self, length: int, place: float, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """OpenCV paints what is missing and reports success; the end of the file is there."""
        image = cv2.resize(scene(), (320, 192), interpolation=cv2.INTER_NEAREST)
        whole = bytearray(coded(".jpg", image))
        start = int(len(whole) * place)
        whole[start : start + length] = bytes(length)
        assert whole.endswith(b"\xff\xd9")
        assert cv2.imdecode(np.frombuffer(whole, np.uint8), 1) is not None
        capfd.readouterr()
        with pytest.raises(UnreadablePicture, match="damaged: "):
            decode_image(bytes(whole))
        assert capfd.readouterr().err == ""

    def test_half_a_jpeg_with_an_end_put_to_it(self) -> None:
        whole = coded(".jpg")
        with pytest.raises(UnreadablePicture, match="damaged"):
            decode_image(whole[: len(whole) // 2] + bytes(len(whole) // 2 - 2) + b"\xff\xd9")

    def test_a_png_whose_checksum_does_not_hold(self) -> None:
        whole = bytearray(coded(".png"))
        whole[len(whole) // 2] ^= 1
        with pytest.raises(UnreadablePicture, match="checksum"):
            decode_image(bytes(whole))

    @pytest.mark.parametrize("padding", [b"\0\0\0", b"\xff\xff", bytes(16)])
    def test_what_cameras_pad_a_jpeg_with_is_no_damage(self, padding: bytes) -> None:
        whole = coded(".jpg")
        expected = decode_image(whole)
        assert (decode_image(whole[:-2] + padding + whole[-2:]) == expected).all()
        assert (decode_image(whole + padding) == expected).all()

    @pytest.mark.parametrize("data", [b"", b"text" * 99, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
    def test_what_is_no_picture(self, data: bytes) -> None:
        with pytest.raises(UnreadablePicture):
            decode_image(data)


class TestOrientation:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    @pytest.mark.parametrize(
        ("orientation", "corner"),
        [
            (1, "top left"),
            (2, "top right"),
            (3, "bottom right"),
            (4, "bottom left"),
            (5, "top left"),
            (6, "top right"),
            (7, "bottom right"),
            (8, "bottom left"),
        ],
    )
    def test_every_format_is_turned_as_exif_says(
        self, suffix: str, orientation: int, corner: str
    ) -> None:
        for order in "<" if suffix == ".tif" else "<>":
            picture = read_picture(turned_file(suffix, orientation, order=order))
            assert picture.orientation == orientation
            assert picture.image.shape == ((80, 48, 3) if orientation > 4 else (48, 80, 3))
            luma = picture.image.mean(axis=2)
            height, width = luma.shape
            row, column = (int(axis.mean()) for axis in np.nonzero(luma > 220))
            vertical = "top" if row < height / 2 else "bottom"
            assert f"{vertical} {'left' if column < width / 2 else 'right'}" == corner

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_an_orientation_out_of_range_turns_nothing(self, orientation: int) -> None:
        picture = read_picture(turned_file(".jpg", orientation))
        assert (picture.orientation, picture.image.shape) == (1, (48, 80, 3))


class TestDepth:
    @pytest.mark.parametrize("bits", [10, 12, 14, 16])
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_sixteen_bit_samples_that_use_fewer_bits(self, suffix: str, bits: int) -> None:
        image = scene()
        picture = read_picture(coded(suffix, image.astype(np.uint16) << (bits - 8)))
        assert picture.bits == bits
        assert (picture.image == image).all()

    def test_a_png_that_says_how_many_bits_are_used_is_believed(self) -> None:
        dark = (scene().astype(np.uint16) << 4) // 16  # a 12-bit camera at night
        whole = coded(".png", dark)
        picture = read_picture(whole[:33] + chunk(b"sBIT", b"\x0c\x0c\x0c") + whole[33:])
        assert picture.bits == 12
        assert (picture.image == (dark >> 4)).all()

    def test_grey_and_alpha_become_three_channels(self) -> None:
        grey = scene()[:, :, 0]
        expected = np.repeat(grey[:, :, None], 3, axis=2)
        assert (decode_image(coded(".png", grey)) == expected).all()
        assert (decode_image(coded(".png", grey.astype(np.uint16) * 257)) == expected).all()
        clear = np.dstack([scene(), np.zeros((48, 80), np.uint8)])
        assert (decode_image(coded(".png", clear)) == scene()).all()


def bomb(suffix: str, side_px: int) -> bytes:
    """A small file that claims side_px x side_px pixels."""
    if suffix == ".png":
        header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
        rows = zlib.compress(bytes(100_000), 9)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", rows)
            + chunk(b"IEND", b"")
        )
    whole = bytearray(coded(suffix))
    if suffix == ".jpg":
        at = whole.index(b"\xff\xc0") + 5
        whole[at : at + 4] = struct.pack(">HH", side_px, side_px)
    elif suffix == ".bmp":
        whole[18:26] = struct.pack("<ii", side_px, -side_px)
    elif suffix == ".ppm":
        return f"P6\n{side_px} {side_px}\n255\n".encode() + bytes(1000)
    elif suffix == ".webp":
        extended = b"VP8X" + struct.pack("<II", 10, 0) + b"\xfe\x3f\0" * 2
        whole[4:8] = struct.pack("<I", len(whole) + 10)
        whole[12:12] = extended
    else:
        at = struct.unpack("<I", whole[4:8])[0] + 2
        for row in range(struct.unpack("<H", whole[at - 2 : at])[0]):
            entry = at + 12 * row
            if struct.unpack("<H", whole[entry : entry + 2])[0] in (256, 257):
                whole[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side_px)
    return bytes(whole)


@pytest.mark.requirement("R-RUN-69")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".ppm", ".webp", ".tif"])
def test_a_file_that_claims_absurd_sizes_is_refused_by_its_header(suffix: str) -> None:
    data = bomb(suffix, 16_000)
    assert len(data) < 100_000
    assert header_of(data).width_px * header_of(data).height_px > MAX_PIXELS
    with pytest.raises(UnreadablePicture, match=rf"\d+ x \d+ pixels, over the {MAX_PIXELS}"):
        decode_image(data)


def test_damaged_headers_are_refused_and_never_crash() -> None:
    random = np.random.default_rng(3)
    for suffix in SUFFIXES:
        whole = coded(suffix)
        for _ in range(60):
            data = bytearray(whole[: random.integers(4, len(whole))])
            for _ in range(4):
                data[random.integers(0, min(len(data), 120))] = random.integers(0, 256)
            with contextlib.suppress(UnreadablePicture):
                decode_image(bytes(data))
