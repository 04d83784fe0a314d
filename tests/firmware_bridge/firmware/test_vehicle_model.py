"""The vehicle model obeys ceilings, braking and jerk limits, and never moves without a command."""

from __future__ import annotations

from itertools import pairwise

import pytest
from mcu_probe import Probe

from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action
from firmware_bridge.protocol.stopping_distance import stopping_distance_m


def drive(
    probe: Probe,
    *,
    speed: int,
    action: Action,
    ceiling: int = 6000,
    deceleration: int = 0,
    cruise: int = -1,
    seconds: int = 30,
    step_ms: int = 5,
) -> list[int]:
    """Speeds in cm/s after each step."""
    jerk = LIMITS.action[action].jerk_cmps3
    steps = seconds * 1000 // step_ms
    line = f"vehicle {speed} {cruise} {action:d} {ceiling} {deceleration} {jerk} {step_ms} {steps}"
    return [int(word) for word in probe.ask(line).split()]


def steepest(speeds: list[int], *, step_ms: int = 5, over: int = 40) -> float:
    """Largest mean deceleration over 200 ms, cm/s2."""
    drops = [a - b for a, b in zip(speeds, speeds[over:], strict=False)]
    return max(drops) / (over * step_ms / 1000)


@pytest.mark.parametrize(
    ("action", "deceleration", "stops_between_s"),
    [
        # v/a + a/(2 jerk): 20 + 0.8 s, 10 + 1.7 s, 4 + 0.2 s, 2.5 + 0.3 s
        (Action.COMFORT_STOP, 100, (20.5, 21.5)),
        (Action.COMFORT_STOP, 200, (11.0, 12.0)),
        (Action.EMERGENCY_STOP, 500, (4.0, 4.5)),
        (Action.EMERGENCY_STOP, 800, (2.6, 3.1)),
    ],
)
def test_a_stop_stops_as_hard_as_it_may_and_stays(
    probe: Probe, action: Action, deceleration: int, stops_between_s: tuple[float, float]
) -> None:
    speeds = drive(probe, speed=2000, action=action, ceiling=0, deceleration=deceleration)
    stopped_s = speeds.index(0) * 0.005
    assert stops_between_s[0] < stopped_s < stops_between_s[1]
    assert set(speeds[speeds.index(0) :]) == {0}
    assert steepest(speeds) <= deceleration + 6
    # Jerk: after 0.4 s it brakes no harder than that allows.
    assert steepest(speeds[:80]) <= 0.4 * LIMITS.action[action].jerk_cmps3 + 6


@pytest.mark.requirement("R-LINK-23")
@pytest.mark.parametrize("deceleration", [500, 800])
@pytest.mark.parametrize("kmh", [5, 30, 50, 100])
def test_an_emergency_stop_stops_within_the_documented_distance(
    probe: Probe, kmh: int, deceleration: int
) -> None:
    row = LIMITS.action[Action.EMERGENCY_STOP]
    assert row.deceleration_min_cmps2 >= 500
    assert row.deceleration_max_cmps2 <= 0.6 * row.jerk_cmps3
    speeds = drive(
        probe,
        speed=round(kmh / 0.036),
        action=Action.EMERGENCY_STOP,
        ceiling=0,
        deceleration=deceleration,
    )
    expected_m = stopping_distance_m(
        kmh / 3.6, deceleration_mps2=deceleration / 100, jerk_mps3=row.jerk_cmps3 / 100
    )
    # The model's step of 5 ms begins to brake one step early or late.
    assert sum(speeds) * 0.005 / 100 == pytest.approx(expected_m, abs=kmh / 3.6 * 0.01)


@pytest.mark.parametrize("action", [Action.CAP_SPEED, Action.SLOW_DOWN])
def test_a_ceiling_is_reached_and_kept(probe: Probe, action: Action) -> None:
    speeds = drive(probe, speed=2000, action=action, ceiling=800, deceleration=100)
    assert all(b <= a for a, b in pairwise(speeds))
    assert 790 <= speeds[-1] <= 801
    assert steepest(speeds) <= 106


def test_below_the_ceiling_nothing_happens(probe: Probe) -> None:
    speeds = drive(probe, speed=700, action=Action.CAP_SPEED, ceiling=800, deceleration=100)
    assert set(speeds) == {700}


def test_it_holds_its_speed_when_nobody_asks(probe: Probe) -> None:
    assert set(drive(probe, speed=1500, action=Action.NONE, seconds=5)) == {1500}
    assert set(drive(probe, speed=0, action=Action.NONE, seconds=5)) == {0}


def test_the_driver_gets_gentle_acceleration_up_to_the_ceiling(probe: Probe) -> None:
    speeds = drive(probe, speed=0, cruise=1000, action=Action.NONE)
    assert 990 <= speeds[-1] <= 1000
    assert max(b - a for a, b in pairwise(speeds)) <= 1
    capped = drive(
        probe, speed=0, cruise=1000, action=Action.CAP_SPEED, ceiling=600, deceleration=100
    )
    assert 590 <= capped[-1] <= 600
    assert max(capped) <= 605
    slower = drive(probe, speed=1000, cruise=400, action=Action.NONE)
    assert 395 <= slower[-1] <= 410


def test_a_stop_cancels_what_the_driver_asked_for(probe: Probe) -> None:
    speeds = drive(
        probe, speed=0, cruise=1000, action=Action.COMFORT_STOP, ceiling=0, deceleration=100
    )
    assert set(speeds) == {0}
