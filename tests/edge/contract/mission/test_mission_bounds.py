"""Every number, text and list of the mission has bounds, and impossible values are refused."""

from __future__ import annotations

import itertools
import math
import os
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from edge.contract.mission.loading import LARGEST_FILE, MissionInvalid, load_mission
from edge.contract.mission.schema import Mission
from edge.contract.mission.template import mission_template
from edge.contract.mission.zone_shapes import shape_mistake
from edge.runtime.policy.zones import inside
from firmware_bridge.errors import Missing, Refusal, UsageError

TEMPLATE = mission_template()


def schema_nodes(node: Any, at: str, definitions: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value of the schema with its dotted key, those of unions and of lists included."""
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    for branch in node.get("anyOf", ()):
        yield from schema_nodes(branch, at, definitions)
    for name, child in node.get("properties", {}).items():
        yield from schema_nodes(child, f"{at}.{name}", definitions)
    for child in (*node.get("prefixItems", ()), node.get("items", False)):
        if child:
            yield from schema_nodes(child, f"{at}[]", definitions)
    for key in ("additionalProperties", "propertyNames"):
        if isinstance(node.get(key), dict):
            yield from schema_nodes(node[key], f"{at}.*", definitions)
    if "type" in node and "enum" not in node and "const" not in node:
        yield at.lstrip("."), node


SCHEMA = Mission.model_json_schema()
NODES = list(schema_nodes(SCHEMA, "", SCHEMA["$defs"]))


def unbounded(node: dict[str, Any]) -> str | None:
    """What a value of the schema lacks, or None."""
    kind = node["type"]
    if kind in ("number", "integer"):
        low = "minimum" in node or "exclusiveMinimum" in node
        return None if low and ("maximum" in node or "exclusiveMaximum" in node) else "bounds"
    if kind == "string":
        return None if "maxLength" in node or node.get("format") == "path" else "a length"
    if kind == "array":
        return None if "maxItems" in node else "a length"
    if kind == "object":
        closed = node.get("additionalProperties") is False
        return None if closed or "maxProperties" in node else "a length"
    return None if kind in ("boolean", "null") else f"a rule for {kind}"


def test_every_value_of_the_mission_has_bounds() -> None:
    assert len(NODES) > 120
    assert {"camera.fps", "target.threads", "policy.zones.*[][]"} <= {key for key, _ in NODES}
    lacking = {key: what for key, node in NODES if (what := unbounded(node)) is not None}
    assert not lacking


class Loose(BaseModel):
    rate: float
    name: str
    rows: tuple[int, ...]
    zones: dict[str, float]


def test_the_walk_finds_what_has_no_bounds() -> None:
    schema = Loose.model_json_schema()
    lacking = {key for key, node in schema_nodes(schema, "", {}) if unbounded(node)}
    assert lacking == {"", "rate", "name", "rows", "rows[]", "zones", "zones.*"}


def number_fields(kind: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Every number and flag of a section with its type and bounds."""
    if typing.get_origin(kind) is Annotated:
        base, *rules = typing.get_args(kind)
        if base in (int, float, bool):
            yield at, kind
            return
        del rules
        yield from number_fields(base, at)
        return
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            whole = field.annotation
            for rule in field.metadata:
                whole = Annotated[whole, rule]
            yield from number_fields(whole, f"{at}.{name}".lstrip("."))
        return
    if kind in (int, float, bool):
        yield at, kind
    for part in typing.get_args(kind) if not isinstance(kind, type) or kind is dict else ():
        if part is not Ellipsis and not isinstance(part, str):
            yield from number_fields(part, at)
    if isinstance(kind, types.GenericAlias):
        for part in typing.get_args(kind):
            if part is not Ellipsis:
                yield from number_fields(part, f"{at}[]")


NUMBERS = dict(number_fields(Mission, ""))


def test_no_number_is_one_that_no_one_can_mean() -> None:
    kinds = ("number", "integer", "boolean")
    named = {
        key.replace("[]", "").replace(".*", "") for key, node in NODES if node["type"] in kinds
    }
    assert {key.replace("[]", "") for key in NUMBERS} == named
    accepted = []
    for key, kind in NUMBERS.items():
        judge = TypeAdapter(kind)
        flag = typing.get_args(kind)[0] is bool if typing.get_args(kind) else kind is bool
        wrong: tuple[object, ...] = (math.nan, math.inf, -math.inf, "1", 10**400, -(10**400))
        for value in (*wrong, 1 if flag else True):
            try:
                judge.validate_python(value)
            except ValidationError:
                continue
            accepted.append((key, value))
    assert not accepted


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = TEMPLATE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "mission.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("fps = 25", "fps = true", "camera.fps"),
        ("fps = 25", "fps = 0.01", "camera.fps"),
        ("fps = 25", 'fps = "25"', "camera.fps"),
        ("fps = 25", f"fps = {'9' * 400}", "camera.fps"),
        ("fps = 25", f"fps = 0x{'f' * 5000}", "camera.fps"),
        ("threads = 2", "threads = 100000", "target.threads"),
        ("infer_ms = 40", "infer_ms = inf", "budget.infer_ms"),
        ("std = [64.0,", "std = [0.0,", "model.preprocess.std[0]"),
        ("std = [64.0,", "std = [inf,", "model.preprocess.std[0]"),
        ("max_detections = 100", "max_detections = 1000000000", "model.decode.max_detections"),
        ("k = 3, of = 5", "k = 3, of = 5000000", "policy.rules[0].confirm.of"),
        ("seed = 0", "seed = -1", "data.seed"),
        ('"vehicle close ahead"', '"\\u001b[31mred"', "policy.rules[1].name"),
        ('"vehicle close ahead"', '"\\u202eright to left"', "policy.rules[1].name"),
        ('"pedestrian",', f'"{"p" * 1000}",', "model.labels[0]"),
        ('weights = "weights.pt"', 'weights = "a\\u0000b"', "model.weights"),
        ('weights = "weights.pt"', f'weights = "{"a/" * 3000}"', "model.weights"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(
    old: str, new: str, key: str, tmp_path: Path
) -> None:
    with pytest.raises(MissionInvalid) as refused:
        load_mission(written(tmp_path, (old, new)))
    assert key in dict(refused.value.mistakes)
    assert len(str(refused.value)) < 2000


def test_a_key_with_several_kinds_of_value_is_named_as_it_stands_in_the_file(
    tmp_path: Path,
) -> None:
    with pytest.raises(MissionInvalid) as refused:
        load_mission(
            written(tmp_path), ["gates.infer_p99_max_ms=inf", "gates.macs_int8_min={int8 = 2.0}"]
        )
    keys = {key for key, _ in refused.value.mistakes}
    assert keys == {"gates.infer_p99_max_ms", "gates.macs_int8_min", "gates.macs_int8_min.int8"}


@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * 100_000,
        f"a = {'9' * 5000}",
        "a = 2024-99-99",
    ],
)
def test_toml_that_breaks_its_reader_is_one_message(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mission.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match="is not TOML"):
        load_mission(path)
    with pytest.raises(Refusal):
        load_mission(written(tmp_path), [content])


def test_a_mission_is_a_small_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    os.truncate(path, LARGEST_FILE + 1)
    with pytest.raises(Missing, match="more than 4,194,304 bytes"):
        load_mission(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Missing, match="a device or a pipe"):
        load_mission(tmp_path / "pipe")


def test_thousands_of_mistakes_are_told_in_one_page(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(f"{path.read_text()}\n" + "".join(f"[more{row}]\n" for row in range(5000)))
    with pytest.raises(MissionInvalid, match="5000 mistakes") as refused:
        load_mission(path)
    assert str(refused.value).count("unknown key") == 50
    assert "4950 more" in str(refused.value)


def test_a_mark_before_the_text_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(f"\ufeff{TEMPLATE}", newline="\r\n")
    (tmp_path / "labels.txt").write_text("\ufeffpedestrian\nvehicle\n")
    mission = load_mission(path, ["model.labels=" + str(tmp_path / "labels.txt")])
    assert mission.model.labels[0] == "pedestrian"


ZONES = {
    "crossing": [(0.06, 0.52), (0.94, 1.0), (0.94, 0.52), (0.06, 1.0)],
    "crossing at a corner": [(0, 0), (0.5, 0.5), (1, 1), (1, 0), (0.5, 0.5), (0, 1)],
    "a star": [(0.5, 0.0), (0.8, 0.9), (0.0, 0.3), (1.0, 0.3), (0.2, 0.9)],
    "around twice": [(0, 0), (1, 0), (1, 1), (0, 1)] * 2,
    "one line": [(0.1, 0.9), (0.5, 0.9), (0.9, 0.9)],
    "there and back": [(0.1, 0.1), (0.9, 0.7), (0.1, 0.1), (0.9, 0.7)],
    "one point": [(0.5, 0.9)] * 3,
    "two points": [(0.5, 0.9), (0.6, 0.9), (0.5, 0.9)],
    "a hair": [(0.0, 0.5), (1.0, 0.5), (1.0, 0.50001)],
}
GOOD_ZONES = {
    "corridor": [(0.44, 0.52), (0.56, 0.52), (0.94, 1.0), (0.06, 1.0)],
    "the other way round": [(0.06, 1.0), (0.94, 1.0), (0.56, 0.52), (0.44, 0.52)],
    "closed": [(0.44, 0.52), (0.56, 0.52), (0.94, 1.0), (0.06, 1.0), (0.44, 0.52)],
    "a corner twice": [(0.44, 0.52), (0.44, 0.52), (0.56, 0.52), (0.94, 1.0), (0.06, 1.0)],
    "hollow": [(0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1)],
    "a corner on an edge": [(0, 0), (0.5, 0), (1, 0), (1, 1), (0, 1)],
    "small and far": [(0.49, 0.5), (0.51, 0.5), (0.51, 0.51), (0.49, 0.51)],
    "with a hole": [
        *[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)],
        *[(0.4, 0.4), (0.4, 0.6), (0.6, 0.6), (0.6, 0.4), (0.4, 0.4)],
    ],
}


@pytest.mark.parametrize("name", ZONES)
def test_a_zone_that_encloses_no_area_or_crosses_itself_is_refused(
    name: str, tmp_path: Path
) -> None:
    corners = [[float(x), float(y)] for x, y in ZONES[name]]
    with pytest.raises(MissionInvalid) as refused:
        load_mission(written(tmp_path), [f"policy.zones.corridor={corners}"])
    assert "policy.zones.corridor" in dict(refused.value.mistakes)


@pytest.mark.parametrize("name", GOOD_ZONES)
def test_a_zone_that_can_be_meant_is_taken(name: str, tmp_path: Path) -> None:
    assert shape_mistake(GOOD_ZONES[name]) is None
    corners = [[float(x), float(y)] for x, y in GOOD_ZONES[name]]
    rules = 'policy.rules=[{name="a",why="b",when={label="vehicle",confidence=0.5,zone="corridor"},'
    rules += 'confirm={k=1,of=1},action="NOTIFY",clear="when_gone"}]'
    load_mission(written(tmp_path), [f"policy.zones.corridor={corners}", rules])


@given(st.permutations(GOOD_ZONES["corridor"]))
def test_of_all_orders_of_four_corners_only_those_around_the_zone_pass(
    corners: list[tuple[float, float]],
) -> None:
    """A frame's middle that stands in the zone stands in it whatever order passes."""
    if shape_mistake(corners) is None:
        grid = itertools.product((0.1, 0.3, 0.5, 0.7, 0.9), (0.55, 0.75, 0.95))
        for point in grid:
            assert inside(point, corners) == inside(point, GOOD_ZONES["corridor"])
    else:
        assert "crosses itself" in (shape_mistake(corners) or "")
