"""Reads and writes TensorRT's calibration cache: text to scales and back, byte for byte.

First line `TRT-<number>-EntropyCalibration2` (the header that DLA wants too); then a line a tensor,
`name: xxxxxxxx`, the big-endian hex of the float32 scale amax / 127. Names hold colons, so a line
is split at its last `: `. A cache with another release's number makes the device calibrate again.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from edge.engine.releases import Release
from firmware_bridge.errors import NotTrusted, UsageError

ALGORITHM = "EntropyCalibration2"
INT8_LEVELS = 127
"""Steps of signed INT8 above zero: scale = amax / 127, zero-point 0."""
HEADER = re.compile(rf"TRT-(\d{{4,6}})-{ALGORITHM}")
LINE = re.compile(r"(.+): ([0-9a-f]{8})", re.DOTALL)


@dataclass(frozen=True)
class CalibrationCache:
    """Scales by tensor name, float32 each, for one release.

    Raises:
        UsageError: a scale is not finite and above 0, or a name does not fit on a line.
    """

    release: Release
    scales: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, scale in self.scales.items():
            if not name or "\n" in name:
                raise _cannot_write(f"the tensor name {name!r}", "a name of one line")
            if not (math.isfinite(scale) and scale > 0.0 and _rounded(scale) == scale):
                raise _cannot_write(f"scale {scale} of '{name}'", "a float32, finite and above 0")

    def amax(self, name: str) -> float:
        """The magnitude that INT8 covers in a tensor."""
        return self.scales[name] * INT8_LEVELS


def cache_number(release: Release) -> int:
    """The number in a header: 8.6.1 -> 8601, 10.3.0 -> 100300."""
    thousands = 1_000 if release.major < 10 else 10_000
    return release.major * thousands + release.minor * 100 + release.patch


def cache_release(number: int) -> Release:
    """The release of a header's number."""
    major, rest = divmod(number, 10_000 if number >= 100_000 else 1_000)
    return Release(major, *divmod(rest, 100))


def write_cache(cache: CalibrationCache) -> bytes:
    """The bytes of a cache's file, tensors in their order."""
    lines = [f"TRT-{cache_number(cache.release)}-{ALGORITHM}"]
    lines += [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in cache.scales.items()]
    return ("\n".join(lines) + "\n").encode()


def read_cache(data: bytes) -> CalibrationCache:
    """The cache in a file: `write_cache` of it gives the same bytes.

    Raises:
        NotTrusted: another header, an invalid line, a scale that is not finite and above 0, or a
            tensor named twice.
    """
    try:
        head, *lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise _not_a_cache("UTF-8 text", str(error)) from error
    header = HEADER.fullmatch(head)
    if header is None:
        raise _not_a_cache(f"a first line TRT-<number>-{ALGORITHM}", repr(head[:80]))
    release = cache_release(int(header[1]))
    if str(cache_number(release)) != header[1]:
        raise _not_a_cache("the number of a release", header[1])
    if not lines or lines.pop():
        raise _not_a_cache("a line end after every line", repr(data[-20:]))
    scales: dict[str, float] = {}
    for row, line in enumerate(lines, start=2):
        found = LINE.fullmatch(line)
        if found is None:
            raise _not_a_cache("NAME: and eight hex digits", f"line {row}: {line[:80]!r}")
        name, scale = found[1], struct.unpack(">f", bytes.fromhex(found[2]))[0]
        if name in scales:
            raise _not_a_cache("each tensor once", f"line {row}: '{name}' again")
        if not (math.isfinite(scale) and scale > 0.0):
            raise _not_a_cache("a scale, finite and above 0", f"line {row}: {scale}")
        scales[name] = scale
    return CalibrationCache(release, scales)


def check_release(cache: CalibrationCache, release: Release) -> None:
    """Refuses a cache that `release` would not take.

    Raises:
        NotTrusted: it was written for another release.
    """
    if cache.release != release:
        raise NotTrusted(
            "the calibration cache is for another TensorRT",
            expected=f"TRT-{cache_number(release)}-{ALGORITHM}, for {release}",
            found=f"TRT-{cache_number(cache.release)}-{ALGORITHM}, for {cache.release}",
            remedy=f"use calibration-{release}.cache of the conversion: with this one the device "
            "would calibrate again, on nothing",
        )


def _rounded(value: float) -> float:
    try:
        rounded: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return math.inf
    return rounded


def _cannot_write(found: str, expected: str) -> UsageError:
    return UsageError(
        "a calibration cache cannot hold this",
        expected=expected,
        found=found,
        remedy="calibrate again; a range of 0 or of infinity is no range",
    )


def _not_a_cache(expected: str, found: str) -> NotTrusted:
    return NotTrusted(
        "this is not a calibration cache",
        expected=expected,
        found=found,
        remedy="write it again: brakepoint convert MISSION --out DIR",
    )
