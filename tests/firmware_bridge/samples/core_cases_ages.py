"""Cases of the core about age, timers and braking: old messages, late updates, blind heartbeats, a
graver action that must not brake softer. Every time is the microcontroller's own tick.
"""

from __future__ import annotations

import pytest
from core_registry import case
from mcu_probe import Mcu

from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Acknowledge, AckResult, Action, Canary, Perception

PERMISSION = {"release": True, "valid_for_ms": 300}
BLIND = (
    {"perception": Perception.UNKNOWN},
    {"canary": Canary.FAILED},
    {"camera_age_ms": 65535},
    {"camera_age_ms": 1000},
)


@case
@pytest.mark.requirement("R-LINK-2", "R-LINK-15")
def a_command_lives_from_when_it_was_made(mcu: Mcu) -> None:
    mcu.release()
    beat, cap = mcu.beat(), mcu.command(Action.CAP_SPEED, valid_for_ms=200, age_ms=199)
    answer = mcu.update(beat, cap)
    assert answer.only(Acknowledge).result is AckResult.ACCEPTED
    assert answer.action is Action.CAP_SPEED
    expired = mcu.update(mcu.beat(), after_ms=1)
    assert (expired.action, expired.faults) == (Action.SLOW_DOWN, {"command_timeout"})


@case
@pytest.mark.requirement("R-LINK-11", "R-LINK-35")
def an_old_command_is_refused_and_feeds_nothing(mcu: Mcu) -> None:
    mcu.release()
    for age_ms in (200, 300, 5_000, 2_000_000):
        beat, old = mcu.beat(), mcu.command(Action.NOTIFY, valid_for_ms=200, age_ms=age_ms)
        answer = mcu.update(beat, old)
        assert answer.only(Acknowledge).result is AckResult.REFUSED_STALE
        assert (answer.action, answer.faults) == (Action.NONE, {"message_stale"})
    # Nothing of what says that it lives longer than any command may.
    answer = mcu.update(mcu.command(Action.NOTIFY, valid_for_ms=1000, age_ms=300))
    assert answer.only(Acknowledge).result is AckResult.REFUSED_STALE
    late = mcu.update(mcu.beat(), mcu.command(valid_for_ms=300, age_ms=301), after_ms=300)
    assert late.action is Action.SLOW_DOWN
    assert late.faults == {"command_timeout", "message_stale"}
    assert "message_stale" in mcu.update(after_ms=999).faults
    assert "message_stale" not in mcu.update(after_ms=1).faults


@case
@pytest.mark.requirement("R-LINK-11", "R-LINK-13")
def a_command_of_a_tick_that_is_not_yet_is_refused(mcu: Mcu) -> None:
    mcu.release()
    for ahead_ms in (1, 300, 100_000, 2**21):
        answer = mcu.update(mcu.beat(), mcu.command(Action.NOTIFY, age_ms=-ahead_ms))
        assert answer.only(Acknowledge).result is AckResult.REFUSED_STALE
        assert answer.action is Action.NONE
        mcu.update(mcu.command(Action.NONE))
    # Nor do heartbeats of such a tick keep the vehicle going.
    mcu.update(mcu.beat(age_ms=-1), mcu.command(valid_for_ms=300), after_ms=299)
    answer = mcu.update(mcu.beat(age_ms=-1), after_ms=1)
    assert answer.action is Action.SLOW_DOWN
    assert answer.faults == {"heartbeat_timeout", "message_stale"}


@case
@pytest.mark.requirement("R-LINK-11")
def messages_of_an_earlier_boot_are_refused(mcu: Mcu) -> None:
    mcu.now_ms = 50_000
    mcu.boot()
    mcu.update(mcu.hello(), after_ms=10_000)
    hello = mcu.hello()
    before = mcu.wire(*(mcu.beat() for _ in range(3)), mcu.command(**PERMISSION))
    mcu.boot()
    answer = mcu.update(hello, before, after_ms=50)
    assert answer.only(Acknowledge).result is AckResult.REFUSED_STALE
    assert answer.action is Action.COMFORT_STOP
    assert {"heartbeat_timeout", "message_stale"} <= answer.faults


@case
@pytest.mark.requirement("R-LINK-12")
def a_stop_is_latched_however_old(mcu: Mcu) -> None:
    for stop in (Action.COMFORT_STOP, Action.EMERGENCY_STOP):
        for age_ms in (300, 10_000, -7):
            mcu.boot()
            mcu.release()
            answer = mcu.update(mcu.command(stop, deceleration_limit_mps2=5.5, age_ms=age_ms))
            assert answer.only(Acknowledge).result is AckResult.REFUSED_STALE
            assert answer.only(Acknowledge).effective_action is stop
            assert (answer.action, answer.latched, answer.ceiling_cmps) == (stop, True, 0)
            assert answer.deceleration_cmps2 == (200 if stop == 4 else 550)
    # It feeds no timer: the command before it still runs out in its own time.
    mcu.boot()
    mcu.release()
    mcu.update(mcu.command(Action.EMERGENCY_STOP, age_ms=300), after_ms=299)
    assert "command_timeout" not in mcu.update(mcu.beat()).faults
    assert "command_timeout" in mcu.update(mcu.beat(), after_ms=1).faults


@case
@pytest.mark.requirement("R-LINK-13", "R-LINK-16")
def heartbeats_count_from_when_they_were_made(mcu: Mcu) -> None:
    mcu.release()
    answer = mcu.update(mcu.beat(age_ms=299), mcu.command(valid_for_ms=300))
    assert answer.action is Action.NONE
    answer = mcu.update(after_ms=1)
    assert (answer.action, answer.faults) == (Action.SLOW_DOWN, {"heartbeat_timeout"})
    mcu.boot()
    mcu.release()
    mcu.update(mcu.command(valid_for_ms=300), after_ms=200)
    answer = mcu.update(mcu.beat(age_ms=300), after_ms=99)
    assert (answer.action, answer.faults) == (Action.NONE, {"message_stale"})
    assert mcu.update(after_ms=1).action is Action.SLOW_DOWN


@case
@pytest.mark.requirement("R-LINK-30")
def heartbeats_older_than_300_ms_release_nothing(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    mcu.update(mcu.beat())
    mcu.update(mcu.beat(), after_ms=299)
    mcu.update(mcu.beat(), after_ms=299)
    answer = mcu.update(mcu.command(**PERMISSION), after_ms=299)
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
    assert (answer.action, answer.latched) == (Action.COMFORT_STOP, True)
    # Three of them within 300 ms do, and one of the three that is 300 ms old spoils it again.
    for oldest_ms, result in (
        (299, AckResult.ACCEPTED),
        (300, AckResult.RELEASE_REFUSED_UNHEALTHY),
    ):
        mcu.boot()
        mcu.update(mcu.hello())
        mcu.update(mcu.beat())
        mcu.update(mcu.beat(), mcu.beat(), after_ms=100)
        answer = mcu.update(mcu.command(**PERMISSION), after_ms=oldest_ms - 100)
        assert answer.only(Acknowledge).result is result
    # Also where the old one is in the middle, since the host's word on its age goes up and down.
    mcu.boot()
    mcu.update(mcu.hello())
    mcu.update(mcu.beat(), mcu.beat(age_ms=200), mcu.beat(), after_ms=1000)
    answer = mcu.update(mcu.command(**PERMISSION), after_ms=100)
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
    # Healthy ones that arrived old do not count either.
    mcu.boot()
    mcu.update(mcu.hello(), after_ms=1000)
    old = [mcu.beat(age_ms=299) for _ in range(3)]
    mcu.update(*old)
    answer = mcu.update(mcu.command(**PERMISSION), after_ms=1)
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY


@case
@pytest.mark.requirement("R-LINK-3", "R-LINK-18")
def a_timer_that_ran_out_before_a_late_update_is_not_forgotten(mcu: Mcu) -> None:
    for gap_ms, action in (
        (300, Action.SLOW_DOWN),
        (309, Action.SLOW_DOWN),
        (1299, Action.SLOW_DOWN),
        (1300, Action.COMFORT_STOP),
        (2500, Action.COMFORT_STOP),
    ):
        mcu.boot()
        mcu.release()
        mcu.speed_cmps = 1400
        answer = mcu.update(mcu.beat(), mcu.command(), after_ms=gap_ms)
        assert answer.action is action
        assert answer.latched is (action is Action.COMFORT_STOP)
        # The second until the stop counts from when the timer ran out, not from this update.
        if action is Action.SLOW_DOWN:
            blind = mcu.beat(perception=Perception.UNKNOWN)
            answer = mcu.update(blind, mcu.command(), after_ms=1299 - gap_ms)
            assert answer.action is Action.SLOW_DOWN
            blind = mcu.beat(perception=Perception.UNKNOWN)
            assert mcu.update(blind, mcu.command(), after_ms=1).action is Action.COMFORT_STOP
        mcu.speed_cmps = 0


@case
@pytest.mark.requirement("R-LINK-18")
def of_several_timers_the_first_to_run_out_counts(mcu: Mcu) -> None:
    for ages, first_ms in (
        ({"beat": 0, "frame": 50, "valid": 120}, 120),
        ({"beat": 130, "frame": 50, "valid": 290}, 170),
        ({"beat": 0, "frame": 905, "valid": 290}, 95),
    ):
        mcu.boot()
        mcu.update(mcu.hello(), after_ms=1000)
        beats = [mcu.beat(age_ms=ages["beat"], camera_age_ms=ages["frame"]) for _ in range(3)]
        command = mcu.command(release=True, valid_for_ms=ages["valid"])
        assert mcu.update(*beats, command).action is Action.NONE
        # One update, long after: the stop is due a second after the first of the three.
        assert mcu.update(after_ms=first_ms + 999).action is Action.SLOW_DOWN
        assert mcu.update(after_ms=1).action is Action.COMFORT_STOP


@case
@pytest.mark.requirement("R-LINK-3", "R-LINK-17")
def blind_heartbeats_slow_down_and_stop_whatever_is_commanded(mcu: Mcu) -> None:
    for blind in BLIND:
        for action in (Action.NONE, Action.CAP_SPEED):
            mcu.boot()
            mcu.release()  # by heartbeats whose frame is 50 ms old
            mcu.speed_cmps = 1400
            seen = []
            for _ in range(100):
                answer = mcu.update(mcu.beat(**blind), mcu.command(action), after_ms=20)
                seen.append(answer.action)
            assert answer.faults == {"perception_timeout", "heartbeat_unhealthy"}
            assert seen[:47] == [action] * 47
            assert seen[47:97] == [Action.SLOW_DOWN] * 50  # from 960 ms on
            assert seen[97:] == [Action.COMFORT_STOP] * 3
            assert answer.latched
            mcu.speed_cmps = 0


@case
@pytest.mark.requirement("R-LINK-17")
def perception_runs_out_1000_ms_after_the_frame_was_taken(mcu: Mcu) -> None:
    mcu.release()
    beats = [mcu.beat(camera_age_ms=600, age_ms=100) for _ in range(3)]
    assert mcu.update(*beats, mcu.command(), after_ms=150).action is Action.NONE
    blind = mcu.beat(perception=Perception.UNKNOWN)
    mcu.update(blind, mcu.command(valid_for_ms=300), after_ms=190)
    assert mcu.update(after_ms=109).action is Action.NONE
    answer = mcu.update(after_ms=1)
    assert answer.action is Action.SLOW_DOWN
    assert answer.faults == {"perception_timeout", "heartbeat_unhealthy"}


@case
@pytest.mark.requirement("R-LINK-17")
def two_healthy_heartbeats_among_blind_ones_do_not_keep_it_going(mcu: Mcu) -> None:
    mcu.release()
    actions = []
    for turn in range(60):
        what = {"perception": Perception.UNKNOWN} if turn % 3 == 0 else {}
        actions.append(mcu.update(mcu.beat(**what), mcu.command(), after_ms=40).action)
    assert actions[22] is Action.NONE
    assert actions[23] is Action.SLOW_DOWN
    assert actions[-1] is Action.COMFORT_STOP


@case
@pytest.mark.requirement("R-LINK-30")
def a_release_wants_a_frame_that_is_still_fresh(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    mcu.update(*(mcu.beat(camera_age_ms=900) for _ in range(3)))
    answer = mcu.update(mcu.command(**PERMISSION), after_ms=100)
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
    assert answer.action is Action.COMFORT_STOP


@case
@pytest.mark.requirement("R-LINK-21")
def a_graver_action_never_brakes_softer_than_a_milder_one_that_holds(mcu: Mcu) -> None:
    mcu.release()
    mcu.speed_cmps = 1400
    beat = mcu.beat()
    slow = mcu.command(Action.SLOW_DOWN, speed_ceiling_mps=0.0, deceleration_limit_mps2=2.0)
    before = mcu.update(beat, slow)
    assert (before.action, before.deceleration_cmps2) == (Action.SLOW_DOWN, 200)
    for after_ms, action in ((200, Action.SLOW_DOWN), (1000, Action.COMFORT_STOP)):
        answer = mcu.update(after_ms=after_ms)  # the host has died
        assert (answer.action, answer.deceleration_cmps2) == (action, 200)
        assert answer.jerk_cmps3 >= before.jerk_cmps3
    mcu.boot()
    mcu.speed_cmps = 0
    mcu.release()
    cap = mcu.command(Action.CAP_SPEED, speed_ceiling_mps=1.0, deceleration_limit_mps2=2.0)
    mcu.update(cap)
    mcu.speed_valid = False
    answer = mcu.update(mcu.beat())
    assert (answer.action, answer.deceleration_cmps2) == (Action.COMFORT_STOP, 200)


@case
@pytest.mark.requirement("R-LINK-18", "R-LINK-21", "R-LINK-22")
def a_stop_that_began_before_a_late_update_keeps_the_braking_it_began_with(mcu: Mcu) -> None:
    for times_ms in ((200, 1000), (1200,)):  # called in time, and late
        mcu.boot()
        mcu.release()
        mcu.speed_cmps = 1400
        slow = mcu.command(Action.SLOW_DOWN, speed_ceiling_mps=0.0, deceleration_limit_mps2=2.0)
        mcu.update(slow)
        for after_ms in times_ms[:-1]:
            mcu.update(after_ms=after_ms)
        answer = mcu.update(mcu.beat(), mcu.command(Action.NONE), after_ms=times_ms[-1])
        assert (answer.action, answer.deceleration_cmps2) == (Action.COMFORT_STOP, 200)
        mcu.speed_cmps = 0


@case
@pytest.mark.requirement("R-LINK-22")
def a_latched_stop_never_lets_up(mcu: Mcu) -> None:
    mcu.release()
    mcu.speed_cmps = 1400
    mcu.update(mcu.command(Action.COMFORT_STOP, deceleration_limit_mps2=0.5))
    harder = mcu.command(Action.SLOW_DOWN, speed_ceiling_mps=3.0, deceleration_limit_mps2=1.7)
    assert mcu.update(harder).deceleration_cmps2 == 170
    softer = mcu.command(Action.COMFORT_STOP, deceleration_limit_mps2=0.5)
    for command in (softer, mcu.command(Action.NONE), mcu.command(Action.CAP_SPEED)):
        answer = mcu.update(command)
        assert (answer.action, answer.latched) == (Action.COMFORT_STOP, True)
        assert (answer.ceiling_cmps, answer.deceleration_cmps2) == (0, 170)


@case
@pytest.mark.requirement("R-LINK-23", "R-LINK-25")
def an_emergency_stop_is_one(mcu: Mcu) -> None:
    mcu.release()
    answer = mcu.update(mcu.command(Action.EMERGENCY_STOP, deceleration_limit_mps2=0.0))
    assert answer.only(Acknowledge).result is AckResult.CLIPPED
    assert answer.deceleration_cmps2 >= 500
    assert answer.ceiling_cmps == 0
    # UN R13-H: the prescribed braking within 0.6 s.
    assert LIMITS.action[Action.EMERGENCY_STOP].deceleration_max_cmps2 <= 0.6 * answer.jerk_cmps3


@case
def ages_survive_the_wrap_of_22_and_32_bits(mcu: Mcu) -> None:
    for start in (2**22 - 100, 2**23 - 150, 2**32 - 120):
        mcu.boot()
        mcu.now_ms += start
        mcu.update(mcu.hello())
        beats = [mcu.beat(age_ms=90 - 30 * n) for n in range(3)]
        answer = mcu.update(*beats, mcu.command(**PERMISSION, age_ms=80))
        assert answer.only(Acknowledge).result is AckResult.ACCEPTED
        assert mcu.update(mcu.beat(age_ms=130), after_ms=150).action is Action.NONE
        command = mcu.command(Action.NOTIFY, valid_for_ms=200, age_ms=150)
        assert mcu.update(command, after_ms=30).action is Action.NOTIFY
        assert mcu.update(after_ms=49).action is Action.NOTIFY
        assert mcu.update(after_ms=1).action is Action.SLOW_DOWN
        old = mcu.update(mcu.command(age_ms=300), mcu.beat(age_ms=300))
        assert old.only(Acknowledge).result is AckResult.REFUSED_STALE
        mcu.now_ms -= start + 230


@case
@pytest.mark.requirement("R-LINK-16")
def a_repeated_turn_of_the_loop_does_not_renew_the_frame(mcu: Mcu) -> None:
    mcu.release()
    for _ in range(14):
        answer = mcu.update(mcu.beat(loop_sequence=3), mcu.command(), after_ms=20)
    assert answer.action is Action.NONE
    assert mcu.update(mcu.beat(loop_sequence=3), after_ms=20).action is Action.SLOW_DOWN
