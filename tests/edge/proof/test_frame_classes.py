"""Frames that stand for all: they match at exactly a rule's numbers, and few others with it."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import PERSON, VEHICLE, mission_with, rule, settings_of, write_mission

from edge.contract.mission.loading import load_mission
from edge.contract.mission.sections.policy import Policy, When
from edge.proof.frames.frame_class import SIZE_PX, FrameName
from edge.proof.frames.frame_classes import FrameClasses, scenes_of
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.policy.rule_matching import matches
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.track import Track

EXAMPLES = ("roadnet", "signs", "yolox_nano", "efficientnet_lite0")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_rule_of_the_examples_has_frames_that_match_miss_and_do_not_tell(
    root: Path, name: str
) -> None:
    mission = load_mission(root / "examples" / name / "mission.toml")
    _, classes = settings_of(mission)
    assert classes.clear is not None
    assert set(classes.clear.verdicts) == {False}
    for at, one in enumerate(mission.policy.rules):
        frames = classes.of[one.name]
        assert {frame.verdicts[at] for frame in frames.least} == {True}
        assert frames.less
        assert True not in {frame.verdicts[at] for frame in frames.less}
        assert frames.unclear.verdicts[at] is None
        for frame in (*frames.least, *frames.less, frames.unclear):
            assert classes.named(frame.names[0]) == frame
    assert classes.named(FrameName("match", "no such rule")) is None


def test_each_condition_has_a_frame_that_just_misses_it(tmp_path: Path) -> None:
    _, classes = settings_of(
        mission_with(tmp_path, rule("both", f"{PERSON}, count = 2"), rule("v", VEHICLE))
    )
    missed = {frame.names[0].kind for frame in classes.of["both"].less}
    assert missed == {"missed_frames", "confidence", "height_min", "label", "zone", "count"}
    assert "time_to_contact_max_s" in {frame.names[0].kind for frame in classes.of["v"].less}


def test_every_condition_that_a_rule_may_have_is_just_missed_by_some_frame(root: Path) -> None:
    """A new condition needs its frame in edge/proof/frames/frame_classes.py."""
    objects = {
        "label": "car",
        "confidence": 0.5,
        "zone": "ahead",
        "height_min": 0.1,
        "count": 2,
        "time_to_contact_max_s": 2.0,
        "distance_max_m": 12.0,
    }
    kinds: set[str] = set()
    for when in (objects, AREA, {"scene": "wet", "confidence": 0.5}):
        classes = FrameClasses(settings_with(when), {"condition": ("dry", "wet")})
        frames = classes.of["one"]
        assert {frame.verdicts for frame in frames.least} == {(True,)}
        assert {frame.verdicts for frame in frames.less} == {(False,)}
        assert frames.unclear.verdicts == (None,)
        kinds |= {frame.names[0].kind for frame in frames.less}
    assert kinds - {"missed_frames"} == When.model_fields.keys()


def test_overlapping_zones_give_a_least_frame_for_each_smallest_set(tmp_path: Path) -> None:
    path = write_mission(
        tmp_path,
        rule("left", 'label = "vehicle", confidence = 0.5, zone = "left"'),
        rule("right", 'label = "vehicle", confidence = 0.5, zone = "right"'),
        rule("both", 'label = "vehicle", confidence = 0.5, zone = "wide"'),
    )
    zones = (
        "[policy.zones]\nleft = [[0.0, 0.0], [0.6, 0.0], [0.6, 1.0], [0.0, 1.0]]\n"
        "right = [[0.4, 0.0], [1.0, 0.0], [1.0, 1.0], [0.4, 1.0]]\n"
        "wide = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]\n"
    )
    path.write_text(path.read_text().replace("[policy.zones]", zones))
    _, classes = settings_of(load_mission(path))
    assert [frame.verdicts for frame in classes.of["left"].least] == [(True, False, False)]
    assert {frame.verdicts for frame in classes.of["both"].least} == {
        (True, False, True),
        (False, True, True),
    }


AREA = {"label": "car", "confidence": 0.5, "zone": "ahead", "share_min": 0.25}


def settings_with(when: dict[str, Any]) -> PolicySettings:
    """One rule on a network with two labels, whatever kind of network it needs."""
    policy = Policy.model_validate(
        {
            "zones": {"ahead": [[0.2, 0.5], [0.8, 0.5], [0.8, 1.0], [0.2, 1.0]]},
            "rules": [
                {
                    "name": "one",
                    "why": "for a test",
                    "when": when,
                    "confirm": {"k": 1, "of": 1},
                    "action": "NOTIFY",
                    "clear": "when_gone",
                }
            ],
            "fallbacks": {"speed_ceiling_mps": 5.0, "deceleration_mps2": 1.0},
        }
    )
    return PolicySettings(
        labels=("road", "car"),
        policy=policy,
        unknown_after_ns=1,
        slow_down_after_ns=2,
        comfort_stop_after_ns=3,
        commands_a_step=1,
        valid_for_ms=250,
    )


def test_the_share_of_an_area_is_met_to_the_cell() -> None:
    """A quarter of the zone's cells of a label map is enough, and one cell fewer is not."""
    classes = FrameClasses(settings_with(AREA), {})
    (least,), (less,) = classes.of["one"].least, classes.of["one"].less
    cars = []
    for one in (least, less):
        assert one.frame.areas is not None
        cars.append(int((one.frame.areas.labels == 1).sum()))
    assert cars[0] == cars[1] + 1 > 100


def test_no_frame_is_clear_where_every_scene_matches(tmp_path: Path) -> None:
    some = [
        rule(name, f'scene = "{name}", confidence = 0.0') for name in ("dry", "wet", "snow", "fog")
    ]
    _, classes = settings_of(mission_with(tmp_path, *some))
    assert classes.clear is None


def _random_track(dice: random.Random, labels: int) -> Track:
    x, y = dice.random() * SIZE_PX, dice.random() * SIZE_PX
    height = dice.random() * y
    ttc = dice.choice((math.inf, dice.uniform(0.1, 5.0)))
    hits = dice.choice((1, 100))
    return Track(
        id=1,
        box=(x - 5.0, y - height, x + 5.0, y),
        score=dice.random(),
        label=dice.randrange(labels),
        age_frames=hits,
        hits=hits,
        missed_frames=dice.choice((0, 0, 0, 1)),
        first_ns=0,
        last_ns=10**9,
        time_to_contact_s=ttc,
        contact_from="boxes",
        label_now=dice.choice((None, dice.randrange(labels))),
    )


def test_whatever_matches_with_a_least_frame_matches_with_every_other(root: Path) -> None:
    """Of random frames: where a rule matches, so do all that match in one of its least frames."""
    mission = load_mission(root / "examples" / "roadnet" / "mission.toml")
    settings = PolicySettings.of(mission, fps=mission.camera.fps)
    classes = FrameClasses(settings, scenes_of(mission))
    dice = random.Random(5)
    compared = 0
    for _ in range(3000):
        tracks = tuple(_random_track(dice, 3) for _ in range(dice.randrange(1, 4)))
        frame = FrameFacts(0, True, tracks, (SIZE_PX, SIZE_PX))
        found = [
            matches(one.when, frame, labels=settings.labels, zones=mission.policy.zones)
            for one in mission.policy.rules
        ]
        for at, one in enumerate(mission.policy.rules):
            if found[at]:
                compared += 1
                least = classes.of[one.name].least
                assert any(
                    all(found[place] for place, verdict in enumerate(frame.verdicts) if verdict)
                    for frame in least
                )
    assert compared > 100
