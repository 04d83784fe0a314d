"""The policy: zones, rules over time, arbitration, fallbacks, release. All of it pure."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies.policy_road import (
    MOVING,
    MS,
    PERSON,
    POLICY,
    SETTINGS,
    SIGN,
    VEHICLE,
    Road,
    driving,
    said,
    track,
)
from tiny_road import tiny_mission

from edge.contract.mission.sections.policy import Policy
from edge.perception.values import Classification
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.policy.fault_counter import FaultCounter, FaultTime
from edge.runtime.policy.policy import decide
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.policy.zones import inside, standing_point
from edge.runtime.tracking.track import Track
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Perception, Reason


class TestZones:
    TRIANGLE = ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))

    @pytest.mark.parametrize("point", [(0.5, 0.4), (0.2, 0.2), (0.5, 0.2), (0.5, 0.8), (0.35, 0.5)])
    def test_inside_and_edge(self, point: tuple[float, float]) -> None:
        assert inside(point, self.TRIANGLE)

    @pytest.mark.parametrize(
        "point", [(0.5, 0.19), (0.34, 0.5), (0.9, 0.2), (0.1, 0.2), (0.5, 0.81)]
    )
    def test_outside(self, point: tuple[float, float]) -> None:
        assert not inside(point, self.TRIANGLE)

    def test_a_notch_is_outside(self) -> None:
        notched = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.4), (0.0, 1.0))
        assert not inside((0.5, 0.8), notched)
        assert inside((0.1, 0.8), notched)

    @given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
    def test_a_rectangle_is_what_its_sides_say(self, x: float, y: float) -> None:
        rectangle = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.5), (0.25, 0.5))
        margin = min(abs(x - 0.25), abs(x - 0.75), abs(y - 0.25), abs(y - 0.5))
        if margin > 1e-5:
            assert inside((x, y), rectangle) == (0.25 < x < 0.75 and 0.25 < y < 0.5)

    def test_an_object_stands_at_the_middle_of_its_lower_edge(self) -> None:
        assert standing_point(track(0, x=0.3, bottom=0.7), 100, 100) == pytest.approx((0.3, 0.7))


class TestRules:
    @pytest.mark.requirement("R-RUN-12")
    def test_fires_at_k_of_n_and_not_before(self) -> None:
        road = driving()
        assert road.frame(PERSON).command.action is Action.NONE
        assert road.frame().command.action is Action.NONE
        assert road.frame(PERSON).command.action is Action.NONE
        decision = road.frame(PERSON)
        assert decision.command.action is Action.COMFORT_STOP
        assert decision.command.reason is Reason.POLICY_RULE
        assert decision.winner is not None
        assert decision.winner.name == "pedestrian"
        assert decision.command.deceleration_limit_mps2 == 2.0

    def test_too_rare_to_confirm_never_fires(self) -> None:
        road = driving()
        for _ in range(10):
            road.frames(2)
            assert road.frame(PERSON).command.action is Action.NONE

    @pytest.mark.parametrize(
        "harmless",
        [
            track(0, x=0.05),
            track(0, bottom=0.4),
            track(0, score=0.3),
            replace(PERSON, missed_frames=1),
            track(1, score=0.4),
        ],
        ids=["beside", "far", "unsure", "predicted only", "other rule"],
    )
    def test_only_what_matches_all_of_when_counts(self, harmless: Track) -> None:
        assert driving().frames(6, harmless).command.action is Action.NONE

    def test_height_is_a_share_of_the_frame(self) -> None:
        low = replace(VEHICLE, box=(40.0, 81.0, 60.0, 100.0))
        assert driving().frames(4, low).command.action is Action.NONE
        assert driving().frames(4, VEHICLE).command.action is Action.CAP_SPEED

    def test_time_to_contact_is_a_limit_that_what_does_not_close_in_never_reaches(self) -> None:
        policy = POLICY.model_dump()
        policy["rules"][2]["when"]["time_to_contact_max_s"] = 2.5
        for seconds, action in (
            (math.inf, Action.NONE),
            (2.6, Action.NONE),
            (2.5, Action.CAP_SPEED),
        ):
            road = driving(replace(SETTINGS, policy=Policy.model_validate(policy)))
            closing = replace(VEHICLE, time_to_contact_s=seconds)
            assert road.frames(4, closing).command.action is action

    def test_count_needs_that_many_at_once(self) -> None:
        road = driving()
        assert road.frame(PERSON, PERSON).command.action is Action.NONE
        assert road.frame(PERSON, PERSON, PERSON).command.action is Action.EMERGENCY_STOP

    @pytest.mark.requirement("R-RUN-13")
    def test_when_gone_clears_after_hold_and_an_empty_window(self) -> None:
        road = driving()
        assert road.frames(2, VEHICLE).command.speed_ceiling_mps == 4.0
        held = [road.frame().command.action for _ in range(7)]  # 280 ms of 300
        assert set(held) == {Action.CAP_SPEED}
        assert road.frame().command.action is Action.NONE

    @pytest.mark.requirement("R-RUN-13")
    def test_standstill_clears_only_at_standstill(self) -> None:
        road = driving()
        road.frames(3, PERSON)
        assert road.frames(50).command.action is Action.COMFORT_STOP
        decision = road.frame(standstill=True)
        assert decision.command.action is Action.NONE
        assert decision.command.release

    @pytest.mark.requirement("R-RUN-13")
    def test_operator_clears_only_with_both(self) -> None:
        road = driving()
        road.frame(PERSON, PERSON, PERSON)
        assert road.frames(9, operator_request=True).command.action is Action.EMERGENCY_STOP
        assert road.frames(9, standstill=True).command.action is Action.EMERGENCY_STOP
        decision = road.frame(standstill=True, operator_request=True)
        assert decision.command.action is Action.NONE
        assert decision.command.release

    @pytest.mark.requirement("R-RUN-13")
    def test_never_stays(self) -> None:
        road = driving()
        road.frame(SIGN)
        decision = road.frames(100, standstill=True, operator_request=True)
        assert decision.command.action is Action.NOTIFY

    @pytest.mark.requirement("R-RUN-16")
    def test_unknown_frames_neither_confirm_nor_clear(self) -> None:
        road = driving()
        road.frames(2, PERSON)
        road.frames(3, known=False)
        assert road.frame(PERSON).command.action is Action.COMFORT_STOP
        road = driving()
        road.frames(2, VEHICLE)
        road.frames(4, known=False)
        assert "vehicle" in {d.name for d in road.frames(4, known=False).demands}

    def test_the_most_severe_wins_with_the_lowest_ceiling_and_the_hardest_braking(self) -> None:
        road = driving()
        road.frames(3, VEHICLE)
        decision = road.wait(220)  # stale: SLOW_DOWN to 5 m/s at 1.0, while the rule still says 4
        assert decision.command.action is Action.SLOW_DOWN
        assert decision.command.speed_ceiling_mps == 4.0
        assert decision.command.deceleration_limit_mps2 == 1.5


WET_ROAD = {
    "name": "wet road",
    "why": "braking takes longer",
    "when": {"scene": "wet", "confidence": 0.6},
    "confirm": {"k": 3, "of": 5},
    "action": "CAP_SPEED",
    "speed_ceiling_mps": 9.0,
    "deceleration_mps2": 1.0,
    "clear": "when_gone",
    "hold_ms": 200,
}


class TestScenes:
    """Rules that ask what the whole frame is like."""

    @pytest.fixture
    def road(self) -> Road:
        policy = POLICY.model_dump()
        policy["rules"] = [*policy["rules"], WET_ROAD]
        road = Road(settings=replace(SETTINGS, policy=Policy.model_validate(policy)))
        road.scenes(5, said("dry"), standstill=True)
        return road

    def test_a_wet_road_lowers_the_ceiling_once_confirmed(self, road: Road) -> None:
        assert road.scenes(2, said("wet")).command.action is Action.NONE
        decision = road.scene(said("wet"))
        assert decision.command.action is Action.CAP_SPEED
        assert decision.command.speed_ceiling_mps == 9.0
        assert decision.matched == ("wet road",)

    def test_the_lower_of_two_ceilings_holds(self, road: Road) -> None:
        road.scenes(3, said("wet"))
        assert road.scenes(2, said("wet"), tracks=(VEHICLE,)).command.speed_ceiling_mps == 4.0

    @pytest.mark.parametrize(
        "quiet", [said("dry"), said("wet", 0.59), said(None, 0.4)], ids=["dry", "unsure", "unknown"]
    )
    def test_what_is_not_surely_wet_caps_nothing(self, road: Road, quiet: Classification) -> None:
        assert road.scenes(20, quiet).command.action is Action.NONE

    def test_a_dry_road_clears_it(self, road: Road) -> None:
        road.scenes(3, said("wet"))
        assert road.scenes(4, said("dry")).command.action is Action.CAP_SPEED
        assert road.scenes(3, said("dry")).command.action is Action.NONE

    @pytest.mark.requirement("R-RUN-16")
    def test_doubt_does_not_clear_it(self, road: Road) -> None:
        road.scenes(3, said("wet"))
        assert road.scenes(100, said(None, 0.3)).command.action is Action.CAP_SPEED
        assert road.frames(50).command.action is Action.CAP_SPEED  # a frame without the head

    def test_a_classifiers_label_is_a_scene_too(self) -> None:
        rule = WET_ROAD | {"when": {"scene": "vehicle", "confidence": 0.6}}
        policy = Policy.model_validate(POLICY.model_dump() | {"rules": [rule]})
        road = Road(settings=replace(SETTINGS, policy=policy))
        road.scenes(5, said("sign", head="classes"), standstill=True)
        seen = (said("vehicle", head="classes"), said(None, 0.3))
        assert road.scenes(3, *seen).command.action is Action.CAP_SPEED
        gone = (said("pedestrian", head="classes"), said(None, 0.3))
        assert road.scenes(9, *gone).command.action is Action.NONE


class TestFallbacks:
    @pytest.mark.requirement("R-RUN-21")
    def test_a_loop_that_has_seen_nothing_stops(self) -> None:
        decision = Road().wait(20, standstill=True)
        assert decision.command.action is Action.COMFORT_STOP
        assert decision.command.reason is Reason.STARTING
        assert decision.perception is Perception.UNKNOWN
        assert not decision.command.release

    def test_the_start_ends_at_standstill_once_the_road_was_looked_at(self) -> None:
        road = Road()
        assert road.frame(known=False, standstill=True).command.action is Action.COMFORT_STOP
        assert road.frames(9, standstill=False).command.action is Action.COMFORT_STOP
        decision = road.frame(standstill=True)
        assert decision.command.action is Action.NONE
        assert decision.command.release

    @pytest.mark.requirement("R-RUN-1", "R-RUN-2", "R-RUN-3")
    @pytest.mark.parametrize(
        ("age_ms", "action", "verdict"),
        [
            (79, Action.NONE, Perception.KNOWN),
            (80, Action.NONE, Perception.UNKNOWN),
            (199, Action.NONE, Perception.UNKNOWN),
            (200, Action.SLOW_DOWN, Perception.UNKNOWN),
            (399, Action.SLOW_DOWN, Perception.UNKNOWN),
            (400, Action.COMFORT_STOP, Perception.UNKNOWN),
        ],
    )
    def test_age_of_perception(self, age_ms: int, action: Action, verdict: Perception) -> None:
        road = driving()
        road.now_ns += age_ms * MS
        decision = road.turn()
        assert decision.command.action is action
        assert decision.perception is verdict

    @pytest.mark.requirement("R-RUN-4")
    def test_a_short_staleness_does_not_flap(self) -> None:
        road = driving()
        assert road.wait(240).command.action is Action.SLOW_DOWN
        assert road.frame().command.action is Action.SLOW_DOWN
        assert road.frames(8).command.action is Action.NONE

    @pytest.mark.requirement("R-RUN-5")
    def test_unknown_every_other_frame_still_fires(self) -> None:
        road = driving()
        actions = []
        for _ in range(10):
            road.frame(known=False)
            actions.append(road.frame().command.action)
        assert actions[0] is Action.NONE
        assert actions[-1] is Action.SLOW_DOWN

    @pytest.mark.requirement("R-RUN-7")
    def test_camera_gone_stops_and_the_stop_outlives_it(self) -> None:
        road = driving()
        decision = road.frame(camera_gone=True)
        assert decision.command.action is Action.COMFORT_STOP
        assert decision.command.reason is Reason.CAMERA_LOST
        assert road.frames(20).command.action is Action.COMFORT_STOP
        assert road.frame(standstill=True).command.action is Action.NONE

    def test_before_anything_was_perceived_that_is_what_a_stop_is_for(self) -> None:
        road = Road()
        assert road.turn(camera_gone=True).command.reason is Reason.CAMERA_LOST
        decision = road.turn()
        assert decision.command.reason is Reason.STARTING
        assert decision.waiting
        assert not road.frame().waiting

    @pytest.mark.requirement("R-RUN-21")
    def test_a_stop_that_is_held_says_what_demanded_it_last(self) -> None:
        road = driving()
        road.frame(camera_gone=True)
        assert road.frame().command.reason is Reason.CAMERA_LOST
        road.frame(inference_hung=True)
        assert road.frame().command.reason is Reason.HEALTH

    @pytest.mark.requirement("R-RUN-8")
    def test_a_hung_network_stops(self) -> None:
        decision = driving().frame(inference_hung=True)
        assert decision.command.action is Action.COMFORT_STOP
        assert decision.command.reason is Reason.HEALTH

    def test_the_end_stops(self) -> None:
        decision = driving().frame(ending=True)
        assert decision.command.action is Action.COMFORT_STOP
        assert decision.command.reason is Reason.SHUTDOWN

    @pytest.mark.requirement("R-RUN-6")
    def test_sustained_lateness_slows_and_a_moment_does_not(self) -> None:
        road = driving()
        assert road.frames(24, late_share=0.21).command.action is Action.NONE
        assert road.frame(late_share=0.2).command.action is Action.NONE
        assert road.frames(2, late_share=0.21).command.action is Action.SLOW_DOWN
        assert road.frames(50, late_share=0.0).command.action is Action.SLOW_DOWN
        assert road.frames(60, late_share=0.0).command.action is Action.NONE

    @pytest.mark.parametrize(
        ("unacknowledged", "action"),
        [
            (4, Action.CAP_SPEED),
            (5, Action.SLOW_DOWN),
            (10, Action.COMFORT_STOP),
            (500, Action.COMFORT_STOP),
        ],
    )
    def test_an_unacknowledged_command_escalates_step_by_step_up_to_the_comfort_stop(
        self, unacknowledged: int, action: Action
    ) -> None:
        road = driving()
        road.frames(2, VEHICLE)
        decision = road.frame(VEHICLE, unacknowledged_in_a_row=unacknowledged)
        assert decision.command.action is action
        assert decision.command.speed_ceiling_mps in (4.0, 0.0)

    def test_an_emergency_stop_is_never_weakened_by_escalation(self) -> None:
        road = driving()
        decision = road.frame(PERSON, PERSON, PERSON, unacknowledged_in_a_row=500)
        assert decision.command.action is Action.EMERGENCY_STOP


SITUATIONS = st.fixed_dictionaries(
    {
        "gap_ms": st.sampled_from([5, 20, 40, 90, 250, 450]),
        "tracks": st.sampled_from(
            [None, (), (PERSON,), (VEHICLE,), (SIGN, VEHICLE), (PERSON, PERSON, PERSON)]
        ),
        "known": st.booleans(),
        "facts": st.fixed_dictionaries(
            {
                "camera_gone": st.booleans(),
                "inference_hung": st.booleans(),
                "late_share": st.sampled_from([None, 0.1, 0.9]),
                "unacknowledged_in_a_row": st.sampled_from([0, 0, 4, 6, 40]),
                "standstill": st.sampled_from([None, False, True]),
                "operator_request": st.booleans(),
            }
        ),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(SITUATIONS, max_size=40))
def test_whatever_happens_a_stop_is_left_only_at_standstill_on_a_perceived_road(
    story: list[dict[str, Any]],
) -> None:
    road, before = Road(), Action.COMFORT_STOP
    for step in story:
        road.now_ns += step["gap_ms"] * MS
        seen = None
        if step["tracks"] is not None:
            tracks = step["tracks"] if step["known"] else ()
            seen = FrameFacts(road.now_ns, step["known"], tracks, (100, 100))
        decision = road.turn(frame=seen, **step["facts"])
        command, standing = decision.command, step["facts"]["standstill"] is True
        if before >= Action.COMFORT_STOP > command.action:
            assert standing
            assert decision.perception is Perception.KNOWN
        if command.release:
            assert standing
            assert command.action < Action.COMFORT_STOP
        # The command is exactly as severe as the gravest demand, and no looser than any of them.
        assert command.action == max((d.action for d in decision.demands), default=Action.NONE)
        ceilings = [
            d.speed_ceiling_mps for d in decision.demands if d.speed_ceiling_mps is not None
        ]
        assert command.speed_ceiling_mps <= min(ceilings, default=60.0)
        before = command.action


@settings(max_examples=100, deadline=None)
@given(
    st.lists(SITUATIONS, max_size=15),
    st.sampled_from(["camera_gone", "inference_hung", "ending"]),
)
def test_one_more_fault_never_makes_the_command_milder(
    story: list[dict[str, Any]], fault: str
) -> None:
    road = Road()
    for step in story:
        road.now_ns += step["gap_ms"] * MS
        road.turn(**step["facts"])
    facts = replace(road.facts, **(story[-1]["facts"] if story else {}))
    _, without = decide(SETTINGS, facts, road.state, road.now_ns)
    _, with_it = decide(SETTINGS, replace(facts, **{fault: True}), road.state, road.now_ns)
    assert with_it.command.action >= without.command.action


def test_a_vehicle_that_moves_when_the_daemon_starts_is_stopped_first() -> None:
    road = Road()
    assert road.frames(50).command.action is Action.COMFORT_STOP
    assert road.frame(standstill=True).command.release


def test_the_same_facts_give_the_same_decision() -> None:
    road = driving()
    road.frames(2, PERSON)
    facts = replace(MOVING, frame=FrameFacts(road.now_ns, True, (PERSON,), (100, 100)))
    first = decide(SETTINGS, facts, road.state, road.now_ns)
    assert decide(SETTINGS, facts, road.state, road.now_ns) == first


@pytest.mark.requirement("R-RUN-5", "R-RUN-6")
def test_a_fault_counter_fires_on_a_flapping_fault_and_recovers_at_a_quarter() -> None:
    counter = FaultCounter(3.0)
    for _ in range(4):
        counter = counter.after(bad=True).after(bad=False)
    assert counter.active
    counter = FaultCounter(3.0, 3.0, True)
    for _ in range(11):
        counter = counter.after(bad=False)
    assert counter.active
    assert not counter.after(bad=False).active


@pytest.mark.requirement("R-RUN-5", "R-RUN-6")
def test_a_fault_counter_never_rises_above_its_limit() -> None:
    """A night of failures is recovered from as fast as a moment of them."""
    counter = FaultCounter(3.0)
    for _ in range(1000):
        counter = counter.after(bad=True)
    assert counter.level == 3.0
    for _ in range(12):
        counter = counter.after(bad=False)
    assert not counter.active


@pytest.mark.requirement("R-RUN-4")
def test_a_fault_time_stays_four_times_as_long_as_the_fault_was_there() -> None:
    assert FaultTime(1000).after(7, bad=True).active
    time = FaultTime(1000).after(0, bad=False).after(100, bad=True)
    assert time.active
    assert time.after(499, bad=False).active
    assert not time.after(500, bad=False).active


@pytest.mark.requirement("R-RUN-4")
def test_a_fault_time_counts_no_more_than_its_limit() -> None:
    time = FaultTime(1000).after(0, bad=True).after(1_000_000, bad=True)
    assert time.after(1_003_999, bad=False).active
    assert not time.after(1_004_000, bad=False).active


@pytest.mark.requirement("R-RUN-1", "R-RUN-2", "R-RUN-3")
def test_ages_come_from_the_mission_and_never_below_what_its_budget_needs(root: Path) -> None:
    mission = tiny_mission(root)  # 25 frames a second, 100 ms end to end
    limits = PolicySettings.of(mission, fps=25.0)
    assert limits.slow_down_after_ns == 200 * MS
    assert limits.comfort_stop_after_ns == 400 * MS
    assert limits.unknown_after_ns == 140 * MS
    assert PolicySettings.of(mission, fps=5.0).unknown_after_ns == 400 * MS
    assert PolicySettings.of(mission, fps=100.0).slow_down_after_ns == 200 * MS


@pytest.mark.requirement("R-RUN-1", "R-RUN-2", "R-RUN-3")
@pytest.mark.parametrize("source_fps", [0.01, 1.0, 4.9, 25.0])
@pytest.mark.parametrize("camera_fps", [2.1, 4.0, 25.0])
def test_no_rate_of_mission_or_source_makes_a_frame_young(
    root: Path, source_fps: float, camera_fps: float
) -> None:
    """A slip of the unit, a time-lapse, `fps = true`: one frame was believed for 22 s."""
    mission = tiny_mission(root, camera={"fps": camera_fps})
    ages = PolicySettings.of(mission, fps=source_fps)
    assert ages.unknown_after_ns <= 500 * MS
    assert ages.slow_down_after_ns <= 1000 * MS
    assert ages.comfort_stop_after_ns <= 2000 * MS
    assert ages.unknown_after_ns <= ages.slow_down_after_ns < ages.comfort_stop_after_ns
    road = driving(ages)
    road.now_ns += 2000 * MS
    assert road.turn().command.action is Action.COMFORT_STOP


def test_a_long_budget_delays_unknown_and_never_beyond_half_a_second(root: Path) -> None:
    budget = {"infer_ms": 300.0, "end_to_end_ms": 400.0}
    mission = tiny_mission(root, camera={"fps": 20.0}, budget=budget)
    assert PolicySettings.of(mission, fps=20.0).unknown_after_ns == 250 * MS  # SLOW_DOWN's age
    mission = tiny_mission(root, camera={"fps": 8.0}, budget=budget)
    assert PolicySettings.of(mission, fps=8.0).unknown_after_ns == 500 * MS


GRAVER = {"camera_gone": True, "standstill": False}


@pytest.mark.requirement("R-RUN-19")
def test_a_graver_demand_never_brakes_softer_than_a_milder_one_that_holds() -> None:
    road = driving()
    assert road.frames(3, VEHICLE).command.deceleration_limit_mps2 == 1.5  # CAP_SPEED
    decision = road.frame(VEHICLE, **GRAVER)  # the fallback's stop asks for 1.0
    assert decision.command.action is Action.COMFORT_STOP
    assert decision.command.deceleration_limit_mps2 == 1.5
    assert decision.command.reason is Reason.CAMERA_LOST


@pytest.mark.requirement("R-RUN-19")
@pytest.mark.parametrize("first", [True, False])
def test_of_equally_severe_demands_the_hardest_braking_counts(*, first: bool) -> None:
    policy = POLICY.model_dump()
    soft = policy["rules"][0] | {"name": "soft", "deceleration_mps2": 0.8}
    policy["rules"] = [soft, policy["rules"][0]] if first else [policy["rules"][0], soft]
    road = driving(replace(SETTINGS, policy=Policy.model_validate(policy)))
    assert road.frames(3, PERSON).command.deceleration_limit_mps2 == 2.0
    assert road.frame(PERSON, camera_gone=True).command.deceleration_limit_mps2 == 2.0


@pytest.mark.requirement("R-RUN-19")
def test_braking_is_clipped_to_what_the_action_can_do() -> None:
    policy = POLICY.model_dump()
    policy["rules"] = [rule | {"deceleration_mps2": 9.0} for rule in policy["rules"]]
    road = driving(replace(SETTINGS, policy=Policy.model_validate(policy)))
    highest = LIMITS.action[Action.CAP_SPEED].deceleration_max_cmps2 / 100.0
    assert road.frames(3, VEHICLE).command.deceleration_limit_mps2 == highest
    road = driving(replace(SETTINGS, policy=Policy.model_validate(policy)))
    assert road.frames(3, SIGN).command.deceleration_limit_mps2 == 0.0  # NOTIFY brakes nothing
    stale = road.wait(220)  # SLOW_DOWN with the fallback's 1.0, whatever stands beside NOTIFY
    assert stale.command.deceleration_limit_mps2 == 1.0


@pytest.mark.requirement("R-RUN-18")
def test_the_ceiling_of_a_stop_is_0_and_the_lowest_of_all_below_it() -> None:
    road = driving()
    assert road.frames(3, VEHICLE).command.speed_ceiling_mps == 4.0
    assert road.frames(3, VEHICLE, PERSON).command.speed_ceiling_mps == 0.0
    assert driving().frame(PERSON, PERSON, PERSON).command.speed_ceiling_mps == 0.0
    assert driving().frame().command.speed_ceiling_mps == 60.0


@pytest.mark.requirement("R-RUN-13")
def test_a_rule_does_not_clear_while_perception_is_unknown() -> None:
    """The frames that it was told by are too old by now to say that the road is clear."""
    road = driving()
    road.frames(3, VEHICLE)
    road.frames(3)
    assert "vehicle" in {d.name for d in road.frame().demands}  # within its hold of 300 ms
    decision = road.wait(180)  # the hold is over, and the newest frame is 180 ms old
    assert decision.perception is Perception.UNKNOWN
    assert "vehicle" in {d.name for d in decision.demands}
    assert "vehicle" in {d.name for d in road.frames(2).demands}
    assert "vehicle" not in {d.name for d in road.frame().demands}


@pytest.mark.requirement("R-RUN-12", "R-RUN-25")
def test_a_rule_looks_at_a_track_under_both_its_names() -> None:
    """A vehicle by its last frames, and this frame calls it a person; and the other way round."""
    for both in (replace(VEHICLE, label_now=0), replace(PERSON, label_now=1)):
        decision = driving().frames(3, both)
        assert {"pedestrian", "vehicle"} <= {d.name for d in decision.demands}
        assert decision.command.action is Action.COMFORT_STOP
    assert driving().frames(3, replace(VEHICLE, label_now=2)).matched == ("vehicle", "sign")


@pytest.mark.parametrize(
    ("rate_hz", "within_ms", "commands"), [(50, 100, 5), (50, 90, 5), (20, 10, 1), (20, 60, 2)]
)
def test_an_acknowledge_time_is_as_many_commands_as_are_sent_in_it(
    rate_hz: float, within_ms: int, commands: int, root: Path
) -> None:
    link = {"rate_hz": rate_hz, "acknowledge_within_ms": within_ms}
    mission = tiny_mission(root, link=link)
    assert PolicySettings.of(mission, fps=25.0).commands_a_step == commands
