"""How late rules act: the terms, the distances, and the speeds up to which a stop comes in time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.mission.template import mission_template
from edge.runtime.reaction.avoidance import (
    HIGHEST_KMH,
    KMH,
    R152_KMH,
    RuleReaction,
    avoided_kmh,
    reactions,
)
from edge.runtime.reaction.braking import FRICTION, braking_on
from edge.runtime.reaction.terms import terms_of
from edge.runtime.reaction.trigger import LEAST_HEIGHT_M, Trigger, Triggers
from firmware_bridge.protocol.messages import Action

GEOMETRY: dict[str, Any] = {
    "width_px": 640,
    "height_px": 384,
    "fx_px": 576.0,
    "fy_px": 576.0,
    "cx_px": 320.0,
    "cy_px": 192.0,
    "height_m": 1.3,
    "pitch_deg": 1.9,
    "to_bumper_m": 1.5,
    "height_error_m": 0.02,
    "pitch_error_deg": 0.3,
    "foot_error_px": 1.5,
    "foot_error_share": 0.03,
}


def mission_with(folder: Path, *, geometry: bool = True, **rule: Any) -> Mission:
    """The template with its first rule changed, and its other rules left out."""
    path = folder / "mission.toml"
    path.write_text(mission_template())
    raw = load_mission(path).model_dump()
    first = raw["policy"]["rules"][0]
    when = rule.pop("when", None)
    raw["policy"]["rules"] = [{**first, **rule, "when": first["when"] if when is None else when}]
    raw["camera"]["geometry"] = GEOMETRY if geometry else None
    return Mission.model_validate(raw)


def only(mission: Mission) -> RuleReaction:
    (found,) = reactions(mission)
    return found


PERSON = {"label": "pedestrian", "confidence": 0.6}


@pytest.mark.requirement("R-RUN-154")
def test_the_terms_are_those_of_the_mission_and_add_up(tmp_path: Path) -> None:
    mission = mission_with(tmp_path, when=PERSON)
    terms = {term.name: term.seconds for term in terms_of(mission, mission.policy.rules[0])}
    assert terms["wait for the next frame"] == terms["exposure"] == pytest.approx(0.04)
    assert terms["confirm"] == pytest.approx(4 * 0.04)  # the last of five frames
    assert terms["capture to command"] == pytest.approx(0.1)
    assert terms["one command lost"] == pytest.approx(0.02)
    assert terms["microcontroller"] == pytest.approx(0.01)
    assert terms["the vehicle's brakes"] == 0.0
    assert only(mission).delay_s == pytest.approx(sum(terms.values()))


@pytest.mark.requirement("R-RUN-154")
@pytest.mark.parametrize(
    ("change", "longer"),
    [
        ({"camera": {"fps": 10}}, True),
        ({"budget": {"end_to_end_ms": 200.0}}, True),
        ({"link": {"rate_hz": 25.0}}, True),
        ({"link": {"baud": 921_600}}, False),
        ({"policy": {"brake_delay_ms": 300.0}}, True),
    ],
)
def test_every_slower_part_makes_every_rule_later(
    change: dict[str, dict[str, Any]], *, longer: bool, tmp_path: Path
) -> None:
    mission = mission_with(tmp_path, when=PERSON | {"distance_max_m": 25.0})
    raw = mission.model_dump()
    for section, values in change.items():
        raw[section] |= values
    before, after = only(mission), only(Mission.model_validate(raw))
    assert (after.delay_s > before.delay_s) is longer
    assert after.acts_m is not None
    assert before.acts_m is not None
    assert (after.acts_m < before.acts_m) is longer


@pytest.mark.requirement("R-RUN-155")
def test_below_the_speed_it_names_every_stop_ends_before_contact(tmp_path: Path) -> None:
    """Braking integrated in small steps, apart from the formula."""
    found = only(mission_with(tmp_path, when=PERSON | {"distance_max_m": 25.0}))
    for road in found.roads.values():
        assert road.avoids_kmh is not None
        for kmh, in_time in ((road.avoids_kmh - 0.2, True), (road.avoids_kmh + 0.3, False)):
            speed, driven, braking, step = kmh / KMH, kmh / KMH * found.delay_s, 0.0, 1e-4
            while speed > 0.0:
                full = road.braking.deceleration_mps2
                braking = min(braking + road.braking.jerk_mps3 * step, full)
                driven += speed * step
                speed -= braking * step
            assert (driven <= 25.0) is in_time
    assert found.roads["wet"].avoids_kmh < found.roads["dry"].avoids_kmh  # type: ignore[operator]


def test_a_stop_in_time_agrees_with_the_rule_of_thumb() -> None:
    """v <= 2 a (TTC - latency), where the jerk is no matter."""
    triggers = Triggers((Trigger(0.0, 2.5, "time_to_contact_max_s"),), ())
    braking = braking_on("dry", Action.EMERGENCY_STOP, 6.0)
    rise_s = braking.deceleration_mps2 / braking.jerk_mps3 / 2.0
    expected = 2.0 * braking.deceleration_mps2 * (2.5 - 0.5 - rise_s) * KMH
    assert avoided_kmh(triggers, braking, 0.5) == pytest.approx(expected, rel=0.01)


def test_grip_bounds_what_brakes_give() -> None:
    for road, share in FRICTION.items():
        for action in (Action.COMFORT_STOP, Action.EMERGENCY_STOP):
            assert braking_on(road, action, 10.0).deceleration_mps2 <= share * 9.81
    assert braking_on("dry", Action.EMERGENCY_STOP, 0.0).deceleration_mps2 == 5.0


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"when": PERSON | {"distance_max_m": 4.0}}, "UN R152 asks for 30 km/h, dry: this is less"),
        ({"when": PERSON}, "no condition on distance"),
        ({"when": PERSON, "deceleration_mps2": 6.0}, "for UN R157 an emergency manoeuvre"),
        (
            {"when": PERSON, "action": "COMFORT_STOP", "deceleration_mps2": 2.0},
            "brakes with 2 m/s2: UN R152 asks for 5 at least",
        ),
        (
            {"when": PERSON, "action": "SLOW_DOWN", "speed_ceiling_mps": 3.0},
            "avoids no contact by itself",
        ),
        (
            {"when": {"label": "traffic sign", "confidence": 0.5, "height_min": 0.1}},
            "the height of 'traffic sign' is not known",
        ),
    ],
)
def test_what_a_rule_does_not_reach_is_said(
    rule: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert any(words in remark for remark in only(mission_with(tmp_path, **rule)).remarks)


@pytest.mark.requirement("R-RUN-155")
def test_without_a_geometry_no_distance_is_made_up(tmp_path: Path) -> None:
    when = PERSON | {"height_min": 0.1, "zone": "corridor"}
    without = only(mission_with(tmp_path, geometry=False, when=when))
    assert (without.matches_m, without.acts_m) == (None, None)
    assert {road.avoids_kmh for road in without.roads.values()} == {None}
    assert without.roads["dry"].needs_m is not None
    known = only(mission_with(tmp_path, when=when))
    assert known.matches_m is not None


def test_the_nearest_condition_counts(tmp_path: Path) -> None:
    far = only(mission_with(tmp_path, when=PERSON | {"distance_max_m": 200.0}))
    both = only(mission_with(tmp_path, when=PERSON | {"distance_max_m": 200.0, "height_min": 0.5}))
    assert far.matches_m == 200.0
    assert both.matches_m == pytest.approx(576.0 * 1.15 / (0.5 * 384) - 1.5)
    assert LEAST_HEIGHT_M.keys() == R152_KMH.keys()


def shown_as(mission: Path, *options: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policy", "reaction", str(mission), *options])
    assert not ended.value.code


@pytest.mark.parametrize("example", ["roadnet", "yolox_nano"])
def test_the_verb_shows_every_rule_of_the_examples(
    example: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mission = root / "examples" / example / "mission.toml"
    shown_as(mission, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "brakepoint.policy-reaction/1"
    rules = [rule for rule in load_mission(mission).policy.rules if rule.action != "NOTIFY"]
    assert [row["rule"] for row in document["rules"]] == [rule.name for rule in rules]
    for row in document["rules"]:
        assert row["delay_s"] == pytest.approx(sum(t["seconds"] for t in row["terms"]), abs=1e-3)
    shown_as(mission)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("UN R152", "UN R157", "confirm", "budget.end_to_end_ms"))


def test_a_rule_that_always_stops_in_time_says_so() -> None:
    triggers = Triggers((Trigger(math.inf, 0.0, "far"),), ())
    assert avoided_kmh(triggers, braking_on("dry", Action.EMERGENCY_STOP, 8.0), 0.3) == HIGHEST_KMH
