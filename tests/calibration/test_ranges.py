"""`ranges.json`: the same bytes for the same contents, read back whole, refused when stale."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from road import SPEC

from calibration.ranges import SCHEMA, Range, Ranges, preprocess_digest, read_ranges
from edge.contract.artifact import write_json
from firmware_bridge.errors import Missing, NotTrusted

ONE = Range(amax=1.5, low=-0.5, high=1.5, lowest=-0.5, highest=2.0, values=10)
MODEL = "a" * 64


def ranges(**tensors: Range) -> Ranges:
    return Ranges(
        tensors=tensors,
        model=MODEL,
        data="b" * 64,
        preprocess=preprocess_digest(SPEC),
        method="percentile",
        percentile=99.99,
        frames=("a.jpg", "b.jpg"),
    )


def test_the_order_of_tensors_does_not_matter(tmp_path: Path) -> None:
    other = replace(ONE, amax=2.0)
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_json(one, SCHEMA, ranges(x=ONE, a=other).to_json())
    write_json(two, SCHEMA, ranges(a=other, x=ONE).to_json())
    assert one.read_bytes() == two.read_bytes()
    assert list(json.loads(one.read_bytes())["tensors"]) == ["a", "x"]


def test_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    write_json(path, SCHEMA, ranges(x=ONE).to_json())
    assert read_ranges(path, model=MODEL) == ranges(x=ONE)


def test_another_models_ranges_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    write_json(path, SCHEMA, ranges(x=ONE).to_json())
    with pytest.raises(NotTrusted, match="belongs to another model") as refused:
        read_ranges(path, model="c" * 64)
    assert "c" * 64 in refused.value.expected
    assert MODEL in refused.value.found


@pytest.mark.parametrize(
    "damage",
    [
        {"taken_from": {}},
        {"tensors": {"x": {"amax": 1.0}}},
        {"tensors": {"x": {"other": 1.0}}},
        {"tensors": []},
        {"method": "max"},
    ],
)
def test_a_file_that_is_not_whole_is_refused(damage: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    write_json(path, SCHEMA, ranges(x=ONE).to_json() | damage)
    with pytest.raises(NotTrusted, match="is not whole"):
        read_ranges(path, model=MODEL)


def test_missing_and_of_another_schema(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    with pytest.raises(Missing, match="cannot read"):
        read_ranges(path, model=MODEL)
    write_json(path, "brakepoint.ranges/0", ranges(x=ONE).to_json())
    with pytest.raises(NotTrusted, match="another schema"):
        read_ranges(path, model=MODEL)


@pytest.mark.parametrize("change", [{"mean": (0.0, 0.0, 0.0)}, {"color": "rgb"}, {"width_px": 16}])
def test_another_preprocess_has_another_digest(change: dict[str, Any]) -> None:
    assert preprocess_digest(replace(SPEC, **change)) != preprocess_digest(SPEC)
