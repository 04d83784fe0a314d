"""Doubts about figures (too flattering, too noisy) are reported beside them."""

from __future__ import annotations

from dataclasses import replace

from calibration.dataset.records.record import Box, Entry
from calibration.evaluation.data.doubts import doubts_of

CAR, BUS = Box("car", 0, 0, 9, 9), Box("bus", 0, 0, 9, 9)


def entry(name: str, group: str, part: str | None, box: Box = CAR) -> Entry:
    return Entry(name, name, group, boxes=(box,), split=part)


def test_drives_and_pictures_that_other_parts_have_too() -> None:
    fitted = [entry("a", "1", "train"), entry("b", "2", "train")]
    judged = [entry("c", "2", "test"), entry("d", "3", "test"), entry("e", "e", "test")]
    digests = {"a": "x", "b": "y", "c": "z", "d": "x", "e": "w"}
    assert doubts_of([*fitted, *judged], judged, digests) == (
        "drives or tracks that other parts have too: 1",
        "pictures that other parts have too: 1",
    )
    assert doubts_of([*fitted, *judged], judged, {})[1:] == ()
    apart = [replace(one, group=f"test {one.group}") for one in judged]
    assert doubts_of([*fitted, *apart], apart, {**digests, "d": "v"}) == ()


def test_pictures_that_are_there_twice_with_other_labels() -> None:
    judged = [entry("a", "a", None), entry("b", "b", None, BUS), entry("c", "c", None)]
    assert doubts_of(judged, judged, {"a": "x", "b": "x", "c": "y"}) == (
        "pictures that are there more than once, with other labels: 1",
    )
    assert doubts_of(judged, judged, {"a": "x", "b": "y", "c": "x"}) == ()
