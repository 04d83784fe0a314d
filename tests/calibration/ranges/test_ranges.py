"""`ranges.json`: equal contents give equal bytes, reading restores all, stale files are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from road import SPEC

from calibration.ranges.ranges import SCHEMA, Range, Ranges, differences, read_ranges
from edge.cli import main
from edge.contract.artifact import write_json
from edge.contract.mission.digest import preprocess_digest
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


def test_differences_name_every_range_that_moved_the_most_first() -> None:
    one = ranges(a=ONE, b=ONE, c=ONE, d=ONE)
    other = ranges(a=ONE, b=replace(ONE, amax=1.6), c=replace(ONE, amax=0.3), e=ONE)
    rows = differences(one, other)
    assert [row.tensor for row in rows] == ["d", "e", "c", "b"]
    assert [row.change for row in rows[:2]] == [None, None]
    assert rows[2].change == pytest.approx(-0.8)
    assert differences(one, one) == []


def test_diff_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    write_json(paths[0], SCHEMA, ranges(x=ONE).to_json())
    write_json(paths[1], SCHEMA, replace(ranges(x=replace(ONE, amax=3.0)), method="max").to_json())
    with pytest.raises(SystemExit) as ended:
        main(["ranges", "diff", *map(str, paths), "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["taken_from"] == {"method": ["percentile", "max"]}
    assert told["tensors"] == [{"tensor": "x", "one": 1.5, "other": 3.0, "change": 1.0}]
    with pytest.raises(SystemExit) as ended:
        main(["ranges", "diff", str(paths[0]), str(tmp_path / "none.json")])
    assert ended.value.code == 3
