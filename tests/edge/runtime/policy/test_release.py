"""No stop is released before every rule has looked at the road for its whole confirm window, in a
row and without a gap; and on a clear road it is released then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from policies.policy_road import (
    MS,
    PERIOD,
    PERSON,
    POLICY,
    SETTINGS,
    STANDING,
    VEHICLE,
    Road,
    driving,
    said,
)

from edge.contract.mission.sections.policy import Policy
from edge.perception.values import LabelMap
from edge.runtime.policy.facts import Decision, FrameFacts
from edge.runtime.policy.rule_state import RuleState
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.track import Track
from firmware_bridge.protocol.messages import Action, Perception

STOP = {
    "name": "stop",
    "why": "it cannot be passed",
    "confirm": {"k": 3, "of": 5},
    "action": "EMERGENCY_STOP",
    "deceleration_mps2": 5.0,
    "clear": "standstill",
}
CAP = STOP | {"action": "CAP_SPEED", "speed_ceiling_mps": 4.0, "deceleration_mps2": 1.0}
PEDESTRIAN = {"label": "pedestrian", "confidence": 0.4}


def mission(*rules: dict[str, Any]) -> PolicySettings:
    """A mission of these rules alone, named by their place."""
    named = [rule | {"name": f"rule {at}"} for at, rule in enumerate(rules)]
    policy = Policy.model_validate(POLICY.model_dump() | {"rules": named})
    return replace(SETTINGS, policy=policy)


def standing(*rules: dict[str, Any]) -> Road:
    """The vehicle stands, and the loop has just started."""
    return Road(facts=STANDING, settings=mission(*rules))


def released(decision: Decision) -> bool:
    return decision.command.release or decision.command.action < Action.COMFORT_STOP


def frames_until_released(road: Road, look: Callable[[], Decision], *, most: int = 60) -> int:
    """How many frames it took, the one that releases included."""
    for count in range(1, most):
        if released(look()):
            return count
    return most


@pytest.mark.requirement("R-RUN-22")
@pytest.mark.parametrize(("k", "of"), [(1, 1), (1, 5), (3, 5), (5, 5), (2, 9), (20, 25)])
def test_a_person_who_is_there_from_the_first_frame_on_is_never_released_onto(
    k: int, of: int
) -> None:
    road = standing(STOP | {"when": PEDESTRIAN, "confirm": {"k": k, "of": of}})
    for _ in range(3 * of):
        decision = road.frame(PERSON)
        assert not released(decision)
        assert not released(road.turn())
    assert decision.command.action is Action.EMERGENCY_STOP


@pytest.mark.requirement("R-RUN-22")
@pytest.mark.parametrize("of", [1, 2, 5, 25])
def test_a_clear_road_is_released_with_the_last_frame_of_the_longest_window(of: int) -> None:
    road = standing(
        STOP | {"when": PEDESTRIAN, "confirm": {"k": 1, "of": of}},
        CAP | {"when": PEDESTRIAN, "confirm": {"k": 1, "of": 1}},
    )
    assert frames_until_released(road, road.frame) == of
    assert road.frame().command.release


def test_fewer_objects_than_a_rule_counts_are_a_clear_road_to_it() -> None:
    """Also where they are new: only a rule on time to contact has to wait for what they do."""
    road = standing(STOP | {"when": PEDESTRIAN | {"count": 3}})
    assert frames_until_released(road, lambda: road.frame(PERSON, PERSON)) == 5


@pytest.mark.requirement("R-RUN-22")
def test_a_rule_that_only_caps_the_speed_is_waited_for_too() -> None:
    road = standing(CAP | {"when": PEDESTRIAN, "confirm": {"k": 4, "of": 7}})
    actions = [road.frame(PERSON).command.action for _ in range(7)]
    assert actions == [Action.COMFORT_STOP] * 6 + [Action.CAP_SPEED]


@pytest.mark.requirement("R-RUN-22")
def test_a_person_who_comes_with_the_last_frames_of_the_window_is_not_released_onto() -> None:
    """Whole the window is, but two of three matches are in it: the next frame would confirm."""
    road = standing(STOP | {"when": PEDESTRIAN})
    road.frames(3)
    assert not released(road.frame(PERSON))
    assert not released(road.frame(PERSON))
    assert road.frame(PERSON).command.action is Action.EMERGENCY_STOP


def unknown_frame(road: Road) -> None:
    road.frame(known=False)


def camera_lost(road: Road) -> None:
    road.turn(camera_gone=True)


def camera_lost_with_a_frame_on_its_way(road: Road) -> None:
    road.frame(camera_gone=True)


def long_gap(road: Road) -> None:
    road.now_ns += SETTINGS.unknown_after_ns - PERIOD  # the next frame comes a period later


def frame_of_the_future(road: Road) -> None:
    road.now_ns += PERIOD
    road.turn(frame=FrameFacts(road.now_ns + 1, True, (), (100, 100)))


def frame_of_the_past(road: Road) -> None:
    road.turn(frame=FrameFacts(road.now_ns - 1, True, (), (100, 100)))


GAPS = [
    unknown_frame,
    camera_lost,
    camera_lost_with_a_frame_on_its_way,
    long_gap,
    frame_of_the_future,
    frame_of_the_past,
]


@pytest.mark.requirement("R-RUN-10", "R-RUN-14", "R-RUN-22")
@pytest.mark.parametrize("gap", GAPS)
def test_after_a_gap_in_perception_the_whole_window_is_looked_at_again(
    gap: Callable[[Road], None],
) -> None:
    road = standing(STOP | {"when": PEDESTRIAN})
    road.frames(4)
    gap(road)
    assert frames_until_released(road, road.frame) == 5
    # The microcontroller may have stopped by itself: permission is not kept over a gap either.
    gap(road)
    assert [road.frame().command.release for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.requirement("R-RUN-14")
def test_frames_just_closer_than_a_gap_are_in_a_row() -> None:
    road = standing(STOP | {"when": PEDESTRIAN})
    for _ in range(4):
        road.frame()
        road.now_ns += SETTINGS.unknown_after_ns - PERIOD - 1
    assert released(road.frame())


@pytest.mark.requirement("R-RUN-13", "R-RUN-14")
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("clear", ["when_gone", "standstill", "operator"])
def test_a_rule_clears_only_on_a_whole_window_after_the_gap(
    clear: str, gap: Callable[[Road], None]
) -> None:
    road = standing(CAP | {"when": PEDESTRIAN, "clear": clear})
    road.facts = replace(STANDING, operator_request=True)
    road.frames(5, PERSON)
    road.frames(4)
    gap(road)
    named = [{d.name for d in road.frame().demands} for _ in range(5)]
    assert ["rule 0" in names for names in named] == [True] * 4 + [False]


@pytest.mark.requirement("R-RUN-12")
def test_frames_from_before_a_gap_still_confirm() -> None:
    road = driving(mission(STOP | {"when": PEDESTRIAN}))
    road.frames(2, PERSON)
    road.wait(90, camera_gone=True)
    assert road.frame(PERSON).command.action is Action.EMERGENCY_STOP


@pytest.mark.requirement("R-RUN-11")
def test_frames_of_one_moment_are_one_frame() -> None:
    road = standing(STOP | {"when": PEDESTRIAN})
    for _ in range(30):  # three frames within 2 microseconds, ten times
        road.now_ns += 1_000 if _ % 3 else PERIOD
        decision = road.turn(frame=FrameFacts(road.now_ns, True, (), (100, 100)))
        assert released(decision) == (_ >= 12)
    road = driving(mission(STOP | {"when": PEDESTRIAN}))
    for after_ns in (PERIOD, 1_000, 1_000, 1_000):
        road.now_ns += after_ns
        assert not road.turn(frame=FrameFacts(road.now_ns, True, (PERSON,), (100, 100))).winner
    # What only the second picture of a moment shows is seen all the same.
    road.frame(PERSON)
    road.frame()
    road.now_ns += 1_000
    decision = road.turn(frame=FrameFacts(road.now_ns, True, (PERSON,), (100, 100)))
    assert decision.command.action is Action.EMERGENCY_STOP


@pytest.mark.requirement("R-RUN-11")
def test_a_match_in_a_moment_that_began_with_a_doubt_takes_no_earlier_match_away() -> None:
    road = driving(mission(STOP | {"when": PEDESTRIAN}))
    road.frames(2, PERSON)
    road.now_ns += PERIOD
    road.turn(frame=FrameFacts(road.now_ns, True, (), (100, 100), left_out=1))
    for _ in range(2):  # one moment, however often it matches
        road.now_ns += 1_000
        decision = road.turn(frame=FrameFacts(road.now_ns, True, (PERSON,), (100, 100)))
        assert decision.command.action is Action.EMERGENCY_STOP
    road = driving(mission(STOP | {"when": PEDESTRIAN}))
    road.frame(PERSON)
    road.now_ns += PERIOD
    road.turn(frame=FrameFacts(road.now_ns, True, (), (100, 100), left_out=1))
    for _ in range(4):
        road.now_ns += 1_000
        assert not road.turn(frame=FrameFacts(road.now_ns, True, (PERSON,), (100, 100))).winner


def scene(label: str | None) -> Callable[[Road], Decision]:
    return lambda road: road.scene(said(label))


def area(share: float, sure: bool) -> Callable[[Road], Decision]:
    """Half the frame of the label, and how sure of it the network is."""

    def look(road: Road) -> Decision:
        road.now_ns += PERIOD
        labels = np.ones((10, 10), np.uint8)
        labels[: round(10 * share)] = 0
        shares = np.full((10, 10), 0.9 if sure else 0.3, np.float32)
        middles = np.arange(5, 100, 10, dtype=np.float32)
        seen_areas = LabelMap(labels, shares, middles, middles, (100, 100))
        return road.turn(frame=FrameFacts(road.now_ns, True, (), (100, 100), areas=seen_areas))

    return look


def followed(frames: int, milliseconds: int) -> Track:
    """A vehicle whose time to contact nobody can tell yet, or that does not come closer."""
    return replace(VEHICLE, hits=frames, first_ns=9000 * MS, last_ns=(9000 + milliseconds) * MS)


def crowd(road: Road) -> Decision:
    road.now_ns += PERIOD
    return road.turn(frame=FrameFacts(road.now_ns, True, (VEHICLE,), (100, 100), left_out=1))


CLOSING = {"label": "vehicle", "confidence": 0.4, "time_to_contact_max_s": 2.0}
AREA = {"label": "pedestrian", "confidence": 0.5, "share_min": 0.4}
DOUBTS = {
    "a scene without a name": ({"scene": "wet", "confidence": 0.5}, scene(None), scene("dry")),
    "no head that says": ({"scene": "wet", "confidence": 0.5}, lambda r: r.frame(), scene("dry")),
    "an area nobody is sure of": (AREA, area(0.5, sure=False), area(0.0, sure=True)),
    "detections left out": (PEDESTRIAN, crowd, lambda road: road.frame(VEHICLE)),
    "followed for 4 frames": (
        CLOSING,
        lambda road: road.frame(followed(4, 300)),
        lambda road: road.frame(followed(5, 300)),
    ),
    "followed for 299 ms": (
        CLOSING,
        lambda road: road.frame(followed(9, 299)),
        lambda road: road.frame(replace(followed(1, 0), time_to_contact_s=2.1)),
    ),
    "one of two followed": (
        CLOSING | {"count": 2},
        lambda road: road.frame(
            replace(VEHICLE, time_to_contact_s=1.0, hits=9), followed(2, 80), followed(9, 900)
        ),
        lambda road: road.frame(replace(VEHICLE, time_to_contact_s=1.0), followed(9, 900)),
    ),
}


@pytest.mark.requirement("R-RUN-13", "R-RUN-16", "R-RUN-22")
@pytest.mark.parametrize("name", DOUBTS)
def test_frames_that_do_not_tell_what_a_rule_asks_release_nothing(name: str) -> None:
    when, doubt, clear = DOUBTS[name]
    road = standing(STOP | {"when": when})
    assert all(not released(doubt(road)) for _ in range(20))
    for _ in range(4):
        assert not released(clear(road))
    assert not released(doubt(road))  # and the window begins anew
    assert frames_until_released(road, lambda: clear(road)) == 5


@pytest.mark.requirement("R-RUN-13")
@pytest.mark.parametrize("name", DOUBTS)
def test_frames_that_do_not_tell_neither_confirm_nor_clear(name: str) -> None:
    when, doubt, clear = DOUBTS[name]
    road = driving(mission(CAP | {"when": PEDESTRIAN}))
    rule = CAP | {"when": when, "clear": "when_gone", "confirm": {"k": 1, "of": 5}}
    road.settings = mission(rule)
    assert all(doubt(road).command.action is Action.NONE for _ in range(20))
    fired = RuleState(
        window=(True,), active=True, last_match_ns=road.now_ns, conclusive_since_gap=1
    )
    road.state = replace(road.state, rules=(fired,))
    assert all(doubt(road).command.action is Action.CAP_SPEED for _ in range(20))
    for _ in range(4):
        assert clear(road).command.action is Action.CAP_SPEED
    assert clear(road).command.action is Action.NONE


@pytest.mark.requirement("R-RUN-23")
@pytest.mark.parametrize("name", DOUBTS)
def test_of_a_rule_that_does_not_stop_the_vehicle_only_frames_that_tell_count(name: str) -> None:
    when, doubt, clear = DOUBTS[name]
    road = standing(CAP | {"when": when, "clear": "when_gone"})
    for _ in range(4):
        assert all(not released(doubt(road)) for _ in range(9))
        assert not released(clear(road))
    assert not released(doubt(road))
    assert released(clear(road))


@pytest.mark.requirement("R-RUN-23")
def test_a_rule_that_only_notifies_holds_up_nobody_for_a_scene_without_a_name() -> None:
    notify = STOP | {"action": "NOTIFY", "deceleration_mps2": None}
    road = standing(notify | {"when": {"scene": "wet", "confidence": 0.5}})
    assert frames_until_released(road, lambda: road.scene(said(None))) == 5
    road.scenes(5, said("wet"))
    assert road.scenes(50, said(None)).command.action is Action.NOTIFY


def test_the_decision_names_the_rules_that_are_waited_for() -> None:
    road = standing(STOP | {"when": PEDESTRIAN}, CAP | {"when": {"scene": "wet", "confidence": 1}})
    assert road.frame().unsure == ("rule 0", "rule 1")
    assert road.frames(9).unsure == ("rule 1",)


@pytest.mark.requirement("R-RUN-21")
def test_a_stop_keeps_the_hardest_braking_that_any_stop_asked_for() -> None:
    """The vehicle has not stopped yet, and why it must is no reason to brake softer on the way."""
    hard = STOP | {"when": PEDESTRIAN, "action": "COMFORT_STOP", "deceleration_mps2": 1.9}
    road = driving(mission(hard))
    road.frames(5, PERSON, standstill=False)
    road.frames(9, standstill=True, camera_gone=True)  # the rule clears, the stop is held
    road.frames(5, camera_gone=True)
    decision = road.wait(450, standstill=False)
    assert decision.command.action is Action.COMFORT_STOP
    assert decision.command.deceleration_limit_mps2 == 1.9
    assert len({(d.kind, d.name) for d in decision.demands}) == len(decision.demands)


@pytest.mark.requirement("R-RUN-10", "R-RUN-20")
@pytest.mark.parametrize("first_known", [True, False])
@pytest.mark.parametrize("back_ns", [1, 200_000, 2 * MS, 200 * MS])
def test_a_frame_from_before_an_unknown_one_is_no_news_either(
    first_known: bool, back_ns: int
) -> None:
    road = driving(mission(STOP | {"when": PEDESTRIAN}))
    road.frame(known=first_known)
    captured_ns, road.now_ns = road.now_ns - back_ns, road.now_ns + 1_000
    decision = road.turn(frame=FrameFacts(captured_ns, True, (), (100, 100)))
    assert decision.perception is Perception.UNKNOWN
    assert road.frame().perception is Perception.KNOWN


@pytest.mark.requirement("R-RUN-10")
def test_a_time_ahead_of_the_clock_makes_no_later_frame_old() -> None:
    road = driving(mission(STOP | {"when": PEDESTRIAN}))
    ahead = FrameFacts(road.now_ns + 10_000 * MS, True, (), (100, 100))
    assert road.turn(frame=ahead).perception is Perception.UNKNOWN
    assert road.frame().perception is Perception.KNOWN
