"""The calibration cache: byte for byte there and back, and every broken file refused."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.calibration_cache import (
    CalibrationCache,
    cache_number,
    cache_release,
    check_release,
    read_cache,
    write_cache,
)
from edge.engine.releases import Release, parse_release
from firmware_bridge.errors import NotTrusted, UsageError

PATCHES = st.integers(0, 99)
RELEASES = st.one_of(
    st.builds(Release, st.just(8), st.integers(0, 9), PATCHES),
    st.builds(Release, st.integers(10, 12), st.integers(0, 99), PATCHES),
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=40)
SCALES = st.integers(1, 0x7F7FFFFF).map(
    lambda bits: struct.unpack(">f", bits.to_bytes(4, "big"))[0]
)
CACHES = st.builds(CalibrationCache, RELEASES, st.dictionaries(NAMES, SCALES, max_size=8))


@given(CACHES)
def test_what_is_written_is_read_again_byte_for_byte(cache: CalibrationCache) -> None:
    data = write_cache(cache)
    found = read_cache(data)
    assert found == cache
    assert list(found.scales) == list(cache.scales), "in the same order"
    assert write_cache(found) == data


@given(RELEASES)
def test_every_release_has_a_number_of_its_own(release: Release) -> None:
    assert cache_release(cache_number(release)) == release


@pytest.mark.parametrize(
    ("release", "header"),
    [
        ("8.6.1", b"TRT-8601-EntropyCalibration2"),
        ("10.3.0", b"TRT-100300-EntropyCalibration2"),
        ("10.13.2", b"TRT-101302-EntropyCalibration2"),
    ],
)
def test_the_header_and_the_hex_of_a_release(release: str, header: bytes) -> None:
    cache = CalibrationCache(parse_release(release), {"input_1:0": 0.125, "a: b": 1.0})
    text = header + b"\ninput_1:0: 3e000000\na: b: 3f800000\n"
    assert write_cache(cache) == text
    assert read_cache(text) == cache
    assert read_cache(text).amax("a: b") == 127.0


@given(CACHES, st.data())
def test_a_file_cut_short_is_refused_or_holds_fewer_tensors(
    cache: CalibrationCache, data: st.DataObject
) -> None:
    whole = write_cache(cache)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        found = read_cache(cut)
    except NotTrusted:
        return
    assert len(found.scales) < len(cache.scales), "cut at a line's end"


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(NotTrusted):
        assert write_cache(read_cache(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TRT-8601-EntropyCalibration2",
        "TRT-8601-MinMaxCalibration\na: 3e000000\n",
        "TRT-99999-EntropyCalibration2\n",
        "TRT-8601-EntropyCalibration2\na: 3e00000\n",
        "TRT-8601-EntropyCalibration2\na: 3E000000\n",
        "TRT-8601-EntropyCalibration2\na 3e000000\n",
        "TRT-8601-EntropyCalibration2\na: 3e000000",
        "TRT-8601-EntropyCalibration2\na: 3e000000\n\n",
        "TRT-8601-EntropyCalibration2\na: 3e000000\na: 3e000000\n",
        "TRT-8601-EntropyCalibration2\na: 00000000\n",
        "TRT-8601-EntropyCalibration2\na: 7f800000\n",
        "TRT-8601-EntropyCalibration2\na: 7fc00000\n",
        "TRT-8601-EntropyCalibration2\na: be000000\n",
    ],
)
def test_a_broken_file_is_refused(text: str) -> None:
    with pytest.raises(NotTrusted):
        read_cache(text.encode())


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan, 0.1, 1e300])
def test_a_scale_that_float32_does_not_hold_is_not_written(scale: float) -> None:
    with pytest.raises(UsageError):
        CalibrationCache(Release(10, 3, 0), {"a": scale})


@pytest.mark.parametrize("name", ["", "two\nlines"])
def test_a_name_that_does_not_fit_is_not_written(name: str) -> None:
    with pytest.raises(UsageError):
        CalibrationCache(Release(10, 3, 0), {name: 1.0})


def test_the_cache_of_another_release_is_refused_with_both() -> None:
    cache = CalibrationCache(Release(8, 6, 1), {"a": 1.0})
    check_release(cache, Release(8, 6, 1))
    with pytest.raises(NotTrusted) as caught:
        check_release(cache, Release(10, 3, 0))
    assert "8.6.1" in str(caught.value)
    assert "10.3.0" in str(caught.value)


def test_the_least_float32_is_a_scale() -> None:
    least = struct.unpack(">f", bytes.fromhex("00000001"))[0]
    cache = CalibrationCache(Release(8, 6, 1), {"a": least})
    assert read_cache(write_cache(cache)) == cache
