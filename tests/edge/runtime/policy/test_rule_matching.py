"""One frame's verdict on a rule, at the exact limits: match, no match, or inconclusive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from policies.policy_road import said, track

from edge.contract.mission.sections.policy import When
from edge.perception.values import Classification, LabelMap
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.policy.rule_matching import matches
from edge.runtime.tracking.track import Track

LABELS = ("pedestrian", "vehicle")
ZONES = {"left": ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))}


def tells(
    when: dict[str, Any],
    *tracks: Track,
    scene: tuple[Classification, ...] = (),
    areas: LabelMap | None = None,
) -> bool | None:
    seen = FrameFacts(1, True, tracks, (100, 100), scene, areas)
    return matches(When.model_validate(when), seen, labels=LABELS, zones=ZONES)


def covered(sure: int, unsure: int = 0, *, columns: tuple[int, ...] = tuple(range(10))) -> LabelMap:
    """In each of these columns so many tenths surely of pedestrians, and so many not surely of
    vehicles; the rest surely is."""
    labels, shares = np.ones((10, 10), np.uint8), np.full((10, 10), 0.75, np.float32)
    for column in columns:
        labels[:sure, column] = 0
        shares[sure : sure + unsure, column] = 0.25
    middles = np.arange(5, 100, 10, dtype=np.float32)
    return LabelMap(labels, shares, middles, middles, (100, 100))


PERSON = {"label": "pedestrian", "confidence": 0.5}

FLIPS: dict[str, tuple[dict[str, Any], Any, Any, dict[str, Any]]] = {
    "label": (PERSON, "pedestrian", "vehicle", {"found": track(0)}),
    "scene": ({"confidence": 0.5}, "wet", "dry", {"scene": (said("wet"),)}),
    "confidence": (PERSON, 0.5, 0.51, {"found": track(0, score=0.5)}),
    "zone": (PERSON, None, "left", {"found": track(0, x=0.8)}),
    "height_min": (PERSON, 0.3, 0.31, {"found": track(0, bottom=0.75)}),
    "count": (PERSON, 1, 2, {"found": track(0)}),
    "time_to_contact_max_s": (PERSON, 2.0, 1.9, {"found": track(0, time_to_contact_s=2.0)}),
    "distance_max_m": (PERSON, 12.0, 11.9, {"found": track(0, near_m=12.0)}),
    "share_min": (PERSON, 0.5, 0.51, {"areas": covered(5)}),
}
"""Condition of a rule -> the rest of the rule, a value that a frame meets, one that it does not,
and the frame."""


@pytest.mark.parametrize("name", FLIPS)
def test_every_condition_decides(name: str) -> None:
    rest, met, unmet, frame = FLIPS[name]
    shown = {key: value for key, value in frame.items() if key != "found"}
    found = [frame["found"]] if "found" in frame else []
    assert tells(rest | {name: met}, *found, **shown) is True
    assert tells(rest | {name: unmet}, *found, **shown) is False


def test_there_is_a_frame_for_every_condition_and_a_page_names_it(root: Path) -> None:
    assert FLIPS.keys() == When.model_fields.keys()
    pages = "".join(page.read_text() for page in (root / "docs").glob("*.md"))
    assert [name for name in FLIPS if f"`{name}" not in pages] == []


@pytest.mark.parametrize(
    ("more", "found", "expected"),
    [
        ({}, track(0, score=0.5), True),
        ({}, track(0, score=0.49), False),
        ({"height_min": 0.25}, track(0, bottom=0.75), True),  # 30 pixels of 100
        ({"height_min": 0.30}, track(0, bottom=0.75), True),
        ({"height_min": 0.31}, track(0, bottom=0.75), False),
        ({"zone": "left"}, track(0, x=0.5), True),
        ({"zone": "left"}, track(0, x=0.51), False),
        ({"count": 2}, track(0), False),
    ],
)
def test_an_object_at_a_limit_counts(more: dict[str, Any], found: Track, *, expected: bool) -> None:
    assert tells(PERSON | more, found) is expected


WET = {"scene": "wet", "confidence": 0.6}


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        ((said("wet", 0.6),), True),
        ((said("wet", 0.59),), False),
        ((said("dry"),), False),
        ((said(None),), None),
        ((), None),
        # A classifier beside it says what its own labels are, and nothing of the condition.
        ((said("vehicle", head="classes"), said("wet")), True),
        ((said("vehicle", head="classes"),), None),
    ],
)
def test_a_scene_is_what_its_own_head_says(
    scene: tuple[Classification, ...], expected: bool | None
) -> None:
    assert tells(WET, scene=scene) is expected


AREA = {"label": "pedestrian", "confidence": 0.5, "share_min": 0.5}


@pytest.mark.requirement("R-RUN-16")
@pytest.mark.parametrize(
    ("areas", "more", "expected"),
    [
        (covered(5), {}, True),
        (covered(4), {}, False),
        (covered(4, 1), {}, None),
        (covered(3, 1), {}, False),
        (covered(5), {"confidence": 0.75}, True),
        (covered(5), {"confidence": 0.76}, None),
        (covered(10, columns=(0, 1, 2)), {}, False),
        (covered(10, columns=(0, 1, 2)), {"zone": "left"}, True),
        (None, {}, None),
    ],
)
def test_an_area_at_its_limit_counts_and_one_that_may_reach_it_is_not_told(
    areas: LabelMap | None, more: dict[str, Any], expected: bool | None
) -> None:
    assert tells(AREA | more, areas=areas) is expected


NEAR = PERSON | {"distance_max_m": 12.0}
FAST = NEAR | {"time_to_contact_max_s": 2.0}


@pytest.mark.requirement("R-RUN-16", "R-RUN-151")
@pytest.mark.parametrize(
    ("when", "found", "expected"),
    [
        (NEAR, (track(0, near_m=0.0),), True),
        (NEAR, (track(0),), None),
        (NEAR, (track(1),), False),
        (NEAR, (track(0), track(0, near_m=12.0)), True),
        (NEAR | {"count": 2}, (track(0), track(0, near_m=12.0)), None),
        (NEAR | {"count": 2}, (track(0), track(0, near_m=13.0)), False),
        # One of two open questions answered with no settles it.
        (FAST, (track(0, near_m=13.0),), False),
        (FAST, (track(0, near_m=12.0),), None),
        (FAST, (track(0, time_to_contact_s=3.0),), False),
        (FAST, (track(0, time_to_contact_s=2.0),), None),
        (FAST, (track(0, time_to_contact_s=2.0, near_m=12.0),), True),
    ],
)
def test_an_object_without_a_distance_may_be_near(
    when: dict[str, Any], found: tuple[Track, ...], expected: bool | None
) -> None:
    assert tells(when, *found) is expected
