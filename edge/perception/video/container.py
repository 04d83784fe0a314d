"""Reads from a video file's container whether its end is missing, and how long the track lasts.

A path goes in; `ContainerFacts` come out. Reads a few headers (ISO base media, Matroska, RIFF);
never decodes. Other containers (MPEG-TS, raw streams, live recordings) state no length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_ISO_FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_MAX_BOXES = 4096
"""Boxes read on one level, at most; a damaged file could hold millions of empty ones."""


@dataclass(frozen=True)
class ContainerFacts:
    """Attributes:
    cut: the file is shorter than its container states.
    video_s: length of the video track in seconds, by the index of its frames (ISO base media); None
        for other containers, which state the length of the longest track, or a guess.
    times_by_count: the container holds no times: frame n is at n periods (AVI).
    """

    cut: bool = False
    video_s: float | None = None
    times_by_count: bool = False


def container_facts(path: Path) -> ContainerFacts:
    """The facts of one file; the defaults where its container is none of the three."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[4:8] in _ISO_FIRST:
            return _iso(stream, size)
        if head[:4] == b"RIFF":
            # An AVI over 1 GiB goes on in further RIFF chunks: only the first one is compared.
            stated = struct.unpack("<I", head[4:8])[0]
            return ContainerFacts(cut=size < stated + 8, times_by_count=True)
        if head[:4] == b"\x1aE\xdf\xa3":
            return ContainerFacts(cut=_matroska_cut(stream, size))
    return ContainerFacts()


def _boxes(stream: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of content, stated end) of the boxes in a range (ISO/IEC 14496-12, 4.2)."""
    for _ in range(_MAX_BOXES):
        stream.seek(at)
        head = stream.read(16)
        if at + 8 > end or len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        content = at + 8
        if length == 1 and len(head) == 16:
            length, content = struct.unpack(">Q", head[8:])[0], at + 16
        stated = end if length == 0 else at + length
        if stated < content:
            return
        yield kind, content, stated
        at = stated


def _iso(stream: BinaryIO, size: int) -> ContainerFacts:
    cut, video_s = False, None
    for kind, start, stated in _boxes(stream, 0, size):
        cut = cut or stated > size
        if kind == b"moov":
            video_s = _video_track_s(stream, start, min(stated, size))
    return ContainerFacts(cut, video_s)


def _video_track_s(stream: BinaryIO, start: int, end: int) -> float | None:
    """Duration in the header of the first video track, edits included; None where it is 0."""
    scale, seconds = 0, None
    for kind, at, stated in _boxes(stream, start, end):
        if kind == b"mvhd":
            stream.seek(at)
            body = stream.read(32)
            long = body[:1] == b"\x01"
            scale = struct.unpack(">I", body[20:24] if long else body[12:16])[0]
        elif kind == b"trak" and seconds is None and scale:
            ticks = _track_ticks(stream, at, min(stated, end))
            seconds = ticks / scale if ticks else None
    return seconds


def _track_ticks(stream: BinaryIO, start: int, end: int) -> int | None:
    """The duration of a video track in the movie's time scale; None for other tracks."""
    ticks, is_video = 0, False
    for kind, at, stated in _boxes(stream, start, end):
        stream.seek(at)
        if kind == b"tkhd":
            body = stream.read(36)
            if body[:1] == b"\x01" and len(body) == 36:
                ticks = struct.unpack(">Q", body[28:36])[0]
            elif len(body) >= 24:
                ticks = struct.unpack(">I", body[20:24])[0]
        elif kind == b"mdia":
            for inner, inner_at, _ in _boxes(stream, at, min(stated, end)):
                if inner == b"hdlr":
                    stream.seek(inner_at + 8)
                    is_video = stream.read(4) == b"vide"
    return ticks if is_video else None


def _matroska_cut(stream: BinaryIO, size: int) -> bool:
    """Whether the segment's stated end lies beyond the file's (RFC 8794, 4 to 6)."""
    stream.seek(4)
    header = _vint(stream)
    if header is None:
        return False
    stream.seek(header, 1)
    if stream.read(4) != b"\x18S\x80g":
        return False
    segment = _vint(stream)
    return segment is not None and stream.tell() + segment > size


def _vint(stream: BinaryIO) -> int | None:
    """A variable-size integer; None for the value "unknown", which live recordings have."""
    first = stream.read(1)
    if not first or first == b"\0":
        return None
    length = 9 - first[0].bit_length()
    rest = stream.read(length - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> length)]) + rest, "big")
    unknown = (1 << (7 * length)) - 1
    return None if value == unknown or len(rest) < length - 1 else value
