"""Clips with chosen times, counts and sizes of frames, which an encoder would correct: a small
Matroska muxer for JPEG frames, and edits of OpenCV's files.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 64


RAW_H264 = (
    "AAAAAWf0AAqRloQmhAAAAwAEAAADAMg8SJqAAAAAAWjODxkgAAABZYiEOiRQABGz5PJ5PXr169evXr169evgAAAA"
    "AUGaIDK8VFADFADFADFADFADFADFADFADFADFADFADFADFADFADFADFAD/////4n4n4n5/n+f5/n+f5/n+f5/n+f"
    "4AAAAAFBmkAyvFRQACEUAAhFAAIRQACEUAAhFAAIRQACEUAAhFAAIRQACEUAAhFAAIRQACEUAAhFAAIRQACH////"
    "/ifififn+f5/n+f5/n+f5/n+f5/gAAAAAUGaYDK8VFADFADFADFADFADFADFADFADFADFADFADFADFADFADFADFA"
    "D/////4n4n4n5/n+f5/n+f5/n+f5/n+f4AAAAAFBmoAyvFRQAxQAxQAxQAxQAxQAxQAxQAxQAxQAxQAxQAxQAxQA"
    "xQAxQA/////+J+J+J+f5/n+f5/n+f5/n+f5/n+A="
)
"""Pictures 0 to 4 as a bare H.264 stream, in base64 (libx264, baseline): no container, no times, no
count. OpenCV has no encoder for it."""


def numbered(number: int, *, side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    """A picture whose brightness tells its number (0 to 43)."""
    return np.full((side_px, side_px, 3), 5 * number + 20, np.uint8)


def number_of(image: NDArray[np.uint8]) -> int:
    """The number of a picture that `numbered` drew, after it was coded."""
    return round((float(image.mean()) - 18.5) / 5)


def _element(kind: bytes, body: bytes, *, unknown_size: bool = False) -> bytes:
    size = b"\x01" + b"\xff" * 7 if unknown_size else struct.pack(">Q", len(body) | 1 << 56)
    return kind + size + body


def _number(kind: bytes, value: int) -> bytes:
    return _element(kind, value.to_bytes(8, "big"))


def write_mkv(
    path: Path,
    times_ms: Sequence[int],
    *,
    duration_ms: float | None = None,
    live: bool = False,
    images: Sequence[NDArray[np.uint8]] = (),
) -> Path:
    """A Matroska file (RFC 9559) with frame n at times_ms[n]; `live`: its size is not known."""
    images = images or [numbered(number) for number in range(len(times_ms))]
    height, width = images[0].shape[:2]
    doc = _number(b"\x42\x86", 1) + _number(b"\x42\xf7", 1) + _number(b"\x42\xf2", 4)
    doc += _number(b"\x42\xf3", 8) + _element(b"\x42\x82", b"matroska")
    doc += _number(b"\x42\x87", 4) + _number(b"\x42\x85", 2)
    info = _number(b"\x2a\xd7\xb1", 1_000_000)
    info += _element(b"\x4d\x80", b"test") + _element(b"\x57\x41", b"test")
    if duration_ms is not None:
        info += _element(b"\x44\x89", struct.pack(">d", duration_ms))
    size = _number(b"\xb0", width) + _number(b"\xba", height)
    track = _number(b"\xd7", 1) + _number(b"\x73\xc5", 1) + _number(b"\x83", 1)
    track += _element(b"\x86", b"V_MJPEG") + _element(b"\xe0", size)
    track += _number(b"\x23\xe3\x83", 40_000_000)  # declares 25 frames a second, whatever comes
    clusters = b""
    for image, at_ms in zip(images, times_ms, strict=True):
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        block = _element(b"\xa3", b"\x81\0\0\x80" + jpeg)
        clusters += _element(b"\x1f\x43\xb6\x75", _number(b"\xe7", at_ms) + block)
    segment = _element(b"\x15\x49\xa9\x66", info)
    segment += _element(b"\x16\x54\xae\x6b", _element(b"\xae", track)) + clusters
    whole = _element(b"\x1a\x45\xdf\xa3", doc)
    path.write_bytes(whole + _element(b"\x18\x53\x80\x67", segment, unknown_size=live))
    return path


def write_mp4(path: Path, durations_ms: Sequence[int]) -> Path:
    """An MP4 of OpenCV's whose frame n is shown for durations_ms[n]."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (SIDE_PX, SIDE_PX))
    for number in range(len(durations_ms)):
        writer.write(numbered(number))
    writer.release()
    data = path.read_bytes()
    at = data.index(b"moov") - 4
    assert at > data.index(b"mdat"), "samples must not move"
    path.write_bytes(data[:at] + _retimed(data[at:], durations_ms))
    return path


def _retimed(boxes: bytes, durations_ms: Sequence[int]) -> bytes:
    """The boxes of a movie with 1 ms as time scale and these durations (ISO/IEC 14496-12)."""
    out, at, total = b"", 0, sum(durations_ms)
    while at < len(boxes):
        size, kind = struct.unpack(">I4s", boxes[at : at + 8])
        body = boxes[at + 8 : at + size]
        at += size
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            body = _retimed(body, durations_ms)
        elif kind == b"stts":
            rows = b"".join(struct.pack(">II", 1, one) for one in durations_ms)
            body = struct.pack(">II", 0, len(durations_ms)) + rows
        elif kind in (b"mvhd", b"mdhd"):
            body = body[:12] + struct.pack(">II", 1000, total) + body[20:]
        elif kind == b"tkhd":
            body = body[:20] + struct.pack(">I", total) + body[24:]
        elif kind == b"edts":
            continue
        out += struct.pack(">I4s", len(body) + 8, kind) + body
    return out


def write_avi(path: Path, frames: int, *, header_frames: int | None = None) -> Path:
    """An AVI of OpenCV's at 25 frames a second, whose header counts another number of frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"XVID"), 25.0, (SIDE_PX, SIDE_PX))
    for number in range(frames):
        writer.write(numbered(number))
    writer.release()
    if header_frames is not None:
        data = bytearray(path.read_bytes())
        stream = data.index(b"strh") + 8
        data[stream + 32 : stream + 36] = struct.pack("<I", header_frames)
        main = data.index(b"avih") + 8
        data[main + 16 : main + 20] = struct.pack("<I", header_frames)
        path.write_bytes(bytes(data))
    return path


def write_h264(path: Path) -> Path:
    """The five frames of RAW_H264."""
    path.write_bytes(base64.b64decode(RAW_H264))
    return path


def raw_stream(avi: Path, path: Path) -> Path:
    """The bare MPEG-4 stream of such an AVI: no container, no times, no count."""
    data = avi.read_bytes()
    at, end, frames = data.index(b"movi") + 4, data.index(b"idx1"), b""
    while at < end:
        kind, size = struct.unpack("<4sI", data[at : at + 8])
        if kind == b"00dc":
            frames += data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    path.write_bytes(frames)
    return path
