"""What the microcontroller's core must do, one case a function: run by the core tests, the coverage
gate and the mutation gate alike. Every time here is the microcontroller's own tick, so it is exact.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from cobs import cobs
from core_registry import case
from mcu_probe import COMMAND, HELLO, Mcu

from firmware_bridge.protocol.codec import PROTOCOL_VERSION, contract_hash
from firmware_bridge.protocol.limits import LIMITS, limits_hash
from firmware_bridge.protocol.messages import (
    Acknowledge,
    AckResult,
    Action,
    Canary,
    McuHello,
    Perception,
    Status,
    VehicleState,
)


@case
@pytest.mark.requirement("R-LINK-1")
def boots_with_a_comfort_stop_that_time_does_not_end(mcu: Mcu) -> None:
    before_any_update = mcu.probe.ask("outputs").split()[:5]
    jerk = LIMITS.action[Action.COMFORT_STOP].jerk_cmps3
    assert before_any_update == ["4", "1", "0", "100", str(jerk)]
    first = mcu.update()
    assert (first.action, first.latched, first.ceiling_cmps) == (Action.COMFORT_STOP, True, 0)
    assert first.deceleration_cmps2 == 100
    assert first.jerk_cmps3 == LIMITS.action[Action.COMFORT_STOP].jerk_cmps3
    assert first.faults == {
        "no_greeting",
        "command_timeout",
        "heartbeat_timeout",
        "perception_timeout",
        "heartbeat_unhealthy",
    }
    assert mcu.update(after_ms=60_000).action is Action.COMFORT_STOP


@case
@pytest.mark.requirement("R-LINK-6")
def greets_until_it_is_greeted(mcu: Mcu) -> None:
    first = mcu.update()
    assert first.only(McuHello) == McuHello(
        version=PROTOCOL_VERSION,
        boot_id=9,
        contract_hash=contract_hash(),
        limits_hash=limits_hash(),
    )
    assert first.counters == (1, 2, 3)
    assert not mcu.update(after_ms=99).all(McuHello)
    assert mcu.update(after_ms=1).all(McuHello)
    assert not mcu.update(after_ms=99).all(McuHello)
    answered = mcu.update(mcu.hello())
    assert answered.only(McuHello).boot_id == 9
    assert "no_greeting" not in answered.faults
    assert not mcu.update(after_ms=1000).all(McuHello)


@case
@pytest.mark.requirement("R-LINK-31")
def reports_every_20_ms_and_at_once_when_the_action_changes(mcu: Mcu) -> None:
    assert mcu.update().all(Status)
    assert not mcu.update(after_ms=19).sent
    assert [type(m) for m in mcu.update(after_ms=1).sent] == [VehicleState, Status]
    mcu.release()
    mcu.update(after_ms=20)
    answer = mcu.update(mcu.command(Action.CAP_SPEED), after_ms=1)
    assert [type(m) for m in answer.sent] == [Acknowledge, VehicleState, Status]
    assert answer.only(Status).effective_action is Action.CAP_SPEED
    assert not mcu.update(mcu.command(Action.CAP_SPEED), after_ms=1).all(Status)


@case
def reports_what_it_measures(mcu: Mcu) -> None:
    assert mcu.update().only(VehicleState) == VehicleState(
        speed_mps=0.0, standstill=True, operator_request=False
    )
    mcu.speed_cmps, mcu.operator = 1234, True
    assert mcu.update(after_ms=20).only(VehicleState) == VehicleState(
        speed_mps=12.34, standstill=False, operator_request=True
    )
    mcu.speed_cmps = 10
    assert mcu.update(after_ms=20).only(VehicleState).standstill
    mcu.speed_cmps = 11
    assert not mcu.update(after_ms=20).only(VehicleState).standstill
    mcu.speed_valid = False
    unknown = mcu.update(after_ms=20).only(VehicleState)
    assert unknown.speed_mps is None
    assert not unknown.standstill


@case
def the_tick_starts_at_boot_and_travels_in_24_bits(mcu: Mcu) -> None:
    mcu.probe.boot(5_000, 9)
    mcu.now_ms = 5_000
    assert mcu.update().only(Status).tick_ms == 0
    assert mcu.update(after_ms=70).only(Status).tick_ms == 70
    mcu.now_ms = 5_000 + 2**24 + 3
    assert mcu.update().only(Status).tick_ms == 3
    assert mcu.ack(mcu.command(), after_ms=4).tick_ms == 7


@case
@pytest.mark.requirement("R-LINK-28", "R-LINK-30")
def is_released_at_standstill_by_three_healthy_heartbeats_and_permission(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    permission = {"release": True, "valid_for_ms": 300}
    for _ in range(2):
        answer = mcu.update(mcu.beat(), mcu.command(**permission), after_ms=20)
        assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
        assert answer.only(Acknowledge).effective_action is Action.COMFORT_STOP
    answer = mcu.update(mcu.beat(), mcu.command(**permission), after_ms=20)
    assert answer.only(Acknowledge).result is AckResult.ACCEPTED
    assert answer.only(Acknowledge).effective_action is Action.NONE
    assert (answer.action, answer.latched, answer.faults) == (Action.NONE, False, frozenset())
    assert answer.ceiling_cmps == 6000
    assert answer.deceleration_cmps2 == 0
    assert mcu.status().stop_latched is False


@case
@pytest.mark.requirement("R-LINK-28")
def is_not_released_without_permission(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    answer = mcu.update(mcu.beat(), mcu.beat(), mcu.beat(), mcu.command())
    assert answer.action is Action.COMFORT_STOP
    assert answer.only(Acknowledge).result is AckResult.ACCEPTED
    assert mcu.update(mcu.command(release=True)).action is Action.NONE


@case
@pytest.mark.requirement("R-LINK-29")
def is_not_released_while_it_moves_or_does_not_know_its_speed(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    beats = [mcu.beat() for _ in range(3)]
    mcu.speed_cmps = 11
    answer = mcu.update(*beats, mcu.command(release=True))
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_MOVING
    assert (answer.action, answer.standstill) == (Action.COMFORT_STOP, False)
    mcu.speed_cmps, mcu.speed_valid = 0, False
    answer = mcu.update(mcu.command(release=True))
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_MOVING
    assert answer.action is Action.COMFORT_STOP
    mcu.speed_cmps, mcu.speed_valid = 10, True
    assert mcu.update(mcu.command(release=True)).action is Action.NONE


@case
@pytest.mark.requirement("R-LINK-30")
def an_unhealthy_heartbeat_keeps_the_link_alive_but_releases_nothing(mcu: Mcu) -> None:
    for unhealthy in (
        {"perception": Perception.UNKNOWN},
        {"canary": Canary.FAILED},
        {"camera_age_ms": 1000},
        {"camera_age_ms": 701, "age_ms": 299},
    ):
        mcu.boot()
        mcu.update(mcu.hello())
        # Two healthy ones before it are forgotten, too.
        beats = [mcu.beat(), mcu.beat(), mcu.beat(**unhealthy)]
        answer = mcu.update(*beats, mcu.command(release=True))
        assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
        assert answer.action is Action.COMFORT_STOP
        assert answer.faults == {"perception_timeout", "heartbeat_unhealthy"}
        answer = mcu.update(mcu.beat(), mcu.beat(), mcu.command(release=True))
        assert answer.action is Action.COMFORT_STOP
        assert answer.faults == {"perception_timeout"}
        answer = mcu.update(
            mcu.beat(camera_age_ms=999, canary=Canary.NOT_RUN), mcu.command(release=True)
        )
        assert not answer.faults
        assert answer.action is Action.NONE


@case
@pytest.mark.requirement("R-LINK-7", "R-LINK-30")
def heartbeats_from_before_a_pause_or_another_host_release_nothing(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    mcu.update(mcu.beat(), mcu.beat(), mcu.beat())
    answer = mcu.update(mcu.command(release=True), after_ms=300)
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
    answer = mcu.update(mcu.beat(), mcu.command(release=True))
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
    mcu.update(mcu.beat(), mcu.beat())
    answer = mcu.update(mcu.hello(boot_id=2), mcu.command(release=True))
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY
    # Greeting again in the same session forgets nothing.
    mcu.update(mcu.beat(), mcu.beat(), mcu.beat())
    assert mcu.update(mcu.hello(boot_id=2), mcu.command(release=True)).action is Action.NONE


@case
@pytest.mark.requirement("R-LINK-16")
def a_decision_loop_that_stands_still_is_no_heartbeat(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(mcu.beat(loop_sequence=77), mcu.command(valid_for_ms=300))
    mcu.update(mcu.beat(loop_sequence=77), mcu.command(valid_for_ms=300), after_ms=299)
    answer = mcu.update(mcu.beat(loop_sequence=77), after_ms=1)
    assert answer.action is Action.SLOW_DOWN
    assert "heartbeat_timeout" in answer.faults
    # A new host may begin with any turn, also with the same one.
    mcu.update(mcu.hello(boot_id=2))
    answer = mcu.update(mcu.beat(loop_sequence=77))
    assert "heartbeat_timeout" not in answer.faults


@case
@pytest.mark.requirement("R-LINK-2", "R-LINK-15")
def a_command_lives_as_long_as_it_says(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(mcu.beat(), mcu.command(Action.NOTIFY, valid_for_ms=120))
    alive = mcu.update(mcu.beat(), after_ms=119)
    assert (alive.action, alive.faults) == (Action.NOTIFY, frozenset())
    expired = mcu.update(mcu.beat(), after_ms=1)
    assert expired.action is Action.SLOW_DOWN
    assert expired.faults == {"command_timeout"}
    assert (expired.ceiling_cmps, expired.deceleration_cmps2) == (500, 100)
    assert expired.jerk_cmps3 == 60
    assert not expired.latched


@case
@pytest.mark.requirement("R-LINK-2")
def no_command_lives_longer_than_300_ms(mcu: Mcu) -> None:
    mcu.release()
    ack = mcu.ack(mcu.command(valid_for_ms=301))
    assert ack.result is AckResult.CLIPPED
    assert mcu.ack(mcu.command(valid_for_ms=300)).result is AckResult.ACCEPTED
    assert mcu.ack(mcu.command(valid_for_ms=1000)).result is AckResult.CLIPPED
    assert mcu.update(mcu.beat(), after_ms=299).action is Action.NONE
    assert mcu.update(mcu.beat(), after_ms=1).action is Action.SLOW_DOWN


@case
@pytest.mark.requirement("R-LINK-16")
def a_missing_heartbeat_slows_down_after_300_ms(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(mcu.command(valid_for_ms=300), after_ms=200)
    assert mcu.update(after_ms=99).action is Action.NONE
    late = mcu.update(after_ms=1)
    assert late.action is Action.SLOW_DOWN
    assert late.faults == {"heartbeat_timeout"}


@case
@pytest.mark.requirement("R-LINK-3")
def slow_down_that_lasts_one_second_becomes_a_latched_stop(mcu: Mcu) -> None:
    mcu.release()
    mcu.speed_cmps = 2000
    assert mcu.update(after_ms=300).action is Action.SLOW_DOWN
    assert mcu.update(after_ms=999).action is Action.SLOW_DOWN
    stopped = mcu.update(after_ms=1)
    assert (stopped.action, stopped.latched) == (Action.COMFORT_STOP, True)
    assert (stopped.ceiling_cmps, stopped.deceleration_cmps2) == (0, 100)
    # The host coming back does not end it while the vehicle moves.
    back = mcu.update(mcu.beat(), mcu.beat(), mcu.beat(), mcu.command(release=True))
    assert back.action is Action.COMFORT_STOP
    mcu.speed_cmps = 0
    assert mcu.update(mcu.command(), after_ms=10).action is Action.COMFORT_STOP
    assert mcu.update(mcu.command(release=True)).action is Action.NONE


@case
@pytest.mark.requirement("R-LINK-19")
def slow_down_by_timer_ends_with_a_fresh_command_and_healthy_heartbeats(mcu: Mcu) -> None:
    mcu.release()
    mcu.speed_cmps = 2000
    assert mcu.update(after_ms=300).action is Action.SLOW_DOWN
    assert mcu.update(mcu.beat(), mcu.beat(), mcu.beat(), after_ms=100).action is Action.SLOW_DOWN
    beat, command = mcu.beat(), mcu.command(Action.CAP_SPEED, valid_for_ms=300)
    answer = mcu.update(beat, command, after_ms=100)
    assert answer.action is Action.CAP_SPEED
    # The next one has its own full second.
    assert mcu.update(mcu.beat(), after_ms=299).action is Action.CAP_SPEED
    assert mcu.update(after_ms=1).action is Action.SLOW_DOWN
    assert mcu.update(after_ms=999).action is Action.SLOW_DOWN
    assert mcu.update(after_ms=1).action is Action.COMFORT_STOP


@case
@pytest.mark.requirement("R-LINK-19")
def slow_down_by_timer_does_not_end_with_blind_heartbeats(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(after_ms=300)
    for _ in range(9):
        blind = mcu.beat(perception=Perception.UNKNOWN)
        answer = mcu.update(blind, mcu.command(), after_ms=100)
        assert answer.action is Action.SLOW_DOWN
    assert mcu.update(mcu.command(), after_ms=100).action is Action.COMFORT_STOP


@case
@pytest.mark.requirement("R-LINK-25")
def a_commanded_stop_is_latched(mcu: Mcu) -> None:
    for stop in (Action.COMFORT_STOP, Action.EMERGENCY_STOP):
        mcu.boot()
        mcu.release()
        answer = mcu.update(mcu.command(stop, deceleration_limit_mps2=2.0 if stop == 4 else 5.0))
        assert (answer.action, answer.latched, answer.ceiling_cmps) == (stop, True, 0)
        held = mcu.update(mcu.beat(), mcu.command(Action.SLOW_DOWN))
        assert held.action is stop
        assert held.only(Acknowledge).effective_action is stop
        # The stop keeps the braking it was commanded with.
        assert held.deceleration_cmps2 == (200 if stop == 4 else 500)
        released = mcu.update(mcu.command(Action.SLOW_DOWN, release=True))
        assert (released.action, released.latched) == (Action.SLOW_DOWN, False)


@case
def an_emergency_stop_may_be_released_to_a_comfort_stop_only_as_far(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(mcu.command(Action.EMERGENCY_STOP, deceleration_limit_mps2=3.0))
    answer = mcu.update(mcu.command(Action.COMFORT_STOP))
    assert answer.action is Action.EMERGENCY_STOP
    answer = mcu.update(mcu.command(Action.COMFORT_STOP, release=True))
    assert (answer.action, answer.latched) == (Action.COMFORT_STOP, True)
    assert mcu.update(mcu.command()).action is Action.COMFORT_STOP
    assert mcu.update(mcu.command(release=True)).action is Action.NONE


@case
def permission_means_nothing_for_the_same_stop(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(mcu.command(Action.COMFORT_STOP))
    mcu.speed_cmps = 500
    answer = mcu.update(mcu.command(Action.COMFORT_STOP, release=True))
    assert answer.only(Acknowledge).result is AckResult.ACCEPTED
    assert answer.latched


@case
@pytest.mark.requirement("R-LINK-24")
def clips_every_number_that_the_action_uses(mcu: Mcu) -> None:
    mcu.release()
    for action in list(Action)[Action.CAP_SPEED :]:
        limits = LIMITS.action[action]
        low, high = limits.deceleration_min_cmps2, limits.deceleration_max_cmps2
        for asked, applied in ((low - 1, low), (low, low), (high, high), (high + 1, high)):
            mcu.boot()
            mcu.release()
            answer = mcu.update(mcu.command(action, deceleration_limit_mps2=asked / 100))
            assert answer.deceleration_cmps2 == applied
            assert answer.action is action
            expected = AckResult.ACCEPTED if asked == applied else AckResult.CLIPPED
            assert answer.only(Acknowledge).result is expected
            assert answer.jerk_cmps3 == limits.jerk_cmps3
    mcu.boot()
    mcu.release()
    for action in (Action.CAP_SPEED, Action.SLOW_DOWN):
        answer = mcu.update(mcu.command(action, speed_ceiling_mps=60.0))
        assert answer.only(Acknowledge).result is AckResult.ACCEPTED
        answer = mcu.update(mcu.command(action, speed_ceiling_mps=60.01))
        assert answer.ceiling_cmps == 6000
        assert answer.only(Acknowledge).result is AckResult.CLIPPED
        assert mcu.update(mcu.command(action, speed_ceiling_mps=3.0)).ceiling_cmps == 300


@case
def ignores_numbers_that_the_action_does_not_use(mcu: Mcu) -> None:
    mcu.release()
    for action in (Action.NONE, Action.NOTIFY):
        wild = mcu.command(action, speed_ceiling_mps=0.0, deceleration_limit_mps2=10.0)
        answer = mcu.update(wild)
        assert answer.only(Acknowledge).result is AckResult.ACCEPTED
        assert (answer.ceiling_cmps, answer.deceleration_cmps2) == (6000, 0)
    answer = mcu.update(mcu.command(Action.COMFORT_STOP, speed_ceiling_mps=100.0))
    assert answer.only(Acknowledge).result is AckResult.ACCEPTED
    assert answer.ceiling_cmps == 0


@case
@pytest.mark.requirement("R-LINK-20", "R-LINK-27")
def applies_the_most_severe_action_and_the_lowest_ceiling(mcu: Mcu) -> None:
    mcu.release()
    cap = mcu.command(Action.CAP_SPEED, speed_ceiling_mps=3.0, deceleration_limit_mps2=2.0)
    answer = mcu.update(cap)
    assert (answer.action, answer.ceiling_cmps) == (Action.CAP_SPEED, 300)
    # Timer SLOW_DOWN (5 m/s) over an expired cap at 3 m/s: the graver action, the lower ceiling.
    answer = mcu.update(after_ms=300)
    assert (answer.action, answer.ceiling_cmps) == (Action.SLOW_DOWN, 300)
    assert answer.deceleration_cmps2 == 200
    mcu.boot()
    mcu.release()
    slow = mcu.command(Action.SLOW_DOWN, speed_ceiling_mps=8.0, deceleration_limit_mps2=2.0)
    assert mcu.update(slow).ceiling_cmps == 800
    # Both say SLOW_DOWN: the harder braking and the lower ceiling.
    answer = mcu.update(after_ms=300)
    assert (answer.action, answer.ceiling_cmps) == (Action.SLOW_DOWN, 500)
    assert answer.deceleration_cmps2 == 200
    mcu.boot()
    mcu.release()
    mcu.update(mcu.command(Action.EMERGENCY_STOP, deceleration_limit_mps2=6.0))
    answer = mcu.update(after_ms=2000)
    assert mcu.update(after_ms=1000).action is Action.EMERGENCY_STOP
    assert answer.deceleration_cmps2 == 600


@case
@pytest.mark.requirement("R-LINK-26")
def a_failed_speed_sensor_is_a_stop(mcu: Mcu) -> None:
    mcu.release()
    mcu.speed_valid = False
    answer = mcu.update(mcu.beat(), mcu.command())
    assert (answer.action, answer.latched) == (Action.COMFORT_STOP, True)
    assert answer.faults == {"speed_sensor"}
    mcu.speed_valid = True
    answer = mcu.update(mcu.beat(), mcu.command())
    assert (answer.action, answer.faults) == (Action.COMFORT_STOP, frozenset())
    assert mcu.update(mcu.command(release=True)).action is Action.NONE


@case
@pytest.mark.requirement("R-LINK-4")
def refuses_commands_before_the_greeting(mcu: Mcu) -> None:
    beats = [mcu.beat() for _ in range(3)]
    answer = mcu.update(*beats, mcu.command(Action.EMERGENCY_STOP))
    assert answer.only(Acknowledge).result is AckResult.REFUSED_NO_GREETING
    assert answer.only(Acknowledge).command_counter == 4
    assert answer.action is Action.COMFORT_STOP
    assert {"no_greeting", "command_timeout", "heartbeat_timeout"} <= answer.faults
    # Heartbeats before the greeting do not count towards a release.
    answer = mcu.update(mcu.hello(), mcu.command(release=True))
    assert answer.only(Acknowledge).result is AckResult.RELEASE_REFUSED_UNHEALTHY


@case
@pytest.mark.requirement("R-LINK-5")
def refuses_commands_of_another_contract(mcu: Mcu) -> None:
    for wrong, faults in (
        ({"contract_hash": contract_hash() ^ 1}, {"contract_mismatch"}),
        ({"version": PROTOCOL_VERSION + 1}, {"contract_mismatch"}),
        ({"limits_hash": limits_hash() ^ 1}, {"limits_mismatch"}),
        ({"version": 0, "limits_hash": 0}, {"contract_mismatch", "limits_mismatch"}),
    ):
        mcu.boot()
        mcu.release()
        answer = mcu.update(mcu.hello(**wrong))
        assert answer.only(McuHello).contract_hash == contract_hash()
        assert answer.faults == faults
        beats = [mcu.beat() for _ in range(3)]
        answer = mcu.update(*beats, mcu.command(Action.NOTIFY))
        assert answer.only(Acknowledge).result is AckResult.REFUSED_MISMATCH
        assert answer.action is Action.NONE
        # Nothing that it refuses keeps it from slowing down in time.
        answer = mcu.update(mcu.beat(), mcu.command(), after_ms=300)
        assert answer.action is Action.SLOW_DOWN
        assert faults | {"command_timeout", "heartbeat_timeout"} <= answer.faults
        answer = mcu.update(mcu.hello())
        assert not {"contract_mismatch", "limits_mismatch"} & answer.faults


@case
@pytest.mark.requirement("R-LINK-9", "R-LINK-10")
def refuses_what_the_contract_does_not_allow(mcu: Mcu) -> None:
    mcu.release()
    good = Action.CAP_SPEED | 1 << 4 | 1000 << 8 | 100 << 22 | 200 << 32
    for first_bit, bits, wrong in (
        (0, 3, 6),
        (0, 3, 7),
        (4, 4, 10),
        (8, 14, 10_001),
        (22, 10, 1001),
        (32, 10, 0),
        (32, 10, 1001),
    ):
        payload = good & ~((1 << bits) - 1 << first_bit) | wrong << first_bit
        answer = mcu.update(mcu.raw(17, payload.to_bytes(8, "little")))
        assert answer.only(Acknowledge).result is AckResult.REFUSED_INVALID
        assert answer.action is Action.NONE
    wrong_at_last = (good | 1001 << 32).to_bytes(8, "little")
    answer = mcu.update(mcu.beat(), mcu.raw(17, wrong_at_last), after_ms=299)
    assert answer.only(Acknowledge).result is AckResult.REFUSED_INVALID
    assert mcu.update(after_ms=1).faults == {"command_timeout"}
    good |= mcu.tick_ms << 42
    assert mcu.ack(mcu.raw(17, good.to_bytes(8, "little"))).result is AckResult.ACCEPTED
    # A heartbeat out of contract: canary 3, mode 5.
    for state in (0b0000_0111, 0b0101_0011):
        mcu.loop_sequence += 1
        as_of = mcu.tick_ms.to_bytes(3, "little")
        answer = mcu.update(mcu.raw(18, bytes([mcu.loop_sequence, 0, 0, 0, state]) + as_of))
        assert "frame_refused" in answer.faults


@case
@pytest.mark.requirement("R-LINK-9")
def refuses_foreign_and_misshapen_frames(mcu: Mcu) -> None:
    mcu.release()
    own_status = (34, bytes(8))
    for identity, payload in (
        own_status,
        (99, b""),
        (16, bytes(7)),
        (17, bytes(7)),
        (18, bytes(5)),
        (18, bytes(7)),
    ):
        mcu.update(after_ms=1000)
        assert "frame_refused" not in mcu.update().faults
        answer = mcu.update(mcu.raw(identity, payload))
        assert "frame_refused" in answer.faults
        assert not answer.all(Acknowledge)


@case
@pytest.mark.requirement("R-LINK-9", "R-LINK-34")
def shows_a_damaged_frame_for_one_second(mcu: Mcu) -> None:
    mcu.update(mcu.hello())
    whole = mcu.wire(mcu.command(Action.EMERGENCY_STOP))
    pointer_past_the_end = b"\xff\x01\x02\0"
    too_long = bytes(range(1, 200)) + b"\0"
    too_short = b"\x03\x01\x02\0"
    body = bytes([17, 7, 50, 0, *bytes(8)])
    length_lies = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    body = bytes([17, 9, 50, 0, *bytes(9)])
    payload_too_long = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    body = bytes([18, 5, 50, 0, *bytes(6)])
    heartbeat_length_lies = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    flipped = bytes([whole[0], whole[1] ^ 0x40]) + whole[2:]
    crc_flipped = whole[:-2] + bytes([whole[-2] ^ 0x01]) + whole[-1:]
    for damaged in (
        pointer_past_the_end,
        too_long,
        too_short,
        length_lies,
        heartbeat_length_lies,
        whole[:-1] + b"\x01\0",
        payload_too_long,
        flipped,
        crc_flipped,
        whole[:-4] + b"\0",
        whole[4:],
    ):
        assert "frame_refused" in mcu.update(damaged).faults
        assert "frame_refused" in mcu.update(after_ms=999).faults
        answer = mcu.update(after_ms=1)
        assert "frame_refused" not in answer.faults
        assert answer.action is Action.COMFORT_STOP
    assert mcu.update(whole).action is Action.EMERGENCY_STOP


@case
@pytest.mark.requirement("R-LINK-32")
def takes_frames_in_any_pieces(mcu: Mcu) -> None:
    stream = mcu.wire(b"\0\0", mcu.hello(), b"\0", mcu.command(Action.EMERGENCY_STOP))
    seen: list[Acknowledge] = []
    for byte in stream:
        answer = mcu.update(bytes([byte]))
        assert "frame_refused" not in answer.faults
        seen += answer.all(Acknowledge)
    assert [ack.command_counter for ack in seen] == [2]
    many = [mcu.command(Action.EMERGENCY_STOP) for _ in range(50)]
    acks = mcu.update(*many).all(Acknowledge)
    assert [ack.command_counter for ack in acks] == list(range(3, 53))


@case
@pytest.mark.requirement("R-LINK-8")
def refuses_repeats_and_replays_and_takes_the_wrap(mcu: Mcu) -> None:
    mcu.counter = 65_530
    mcu.release()
    first = mcu.command()
    assert mcu.update(first).all(Acknowledge)
    repeated = mcu.update(first)
    assert not repeated.all(Acknowledge)
    assert "frame_refused" in repeated.faults
    for _ in range(8):  # over 65535
        assert mcu.update(mcu.command()).all(Acknowledge)
    assert mcu.counter < 10
    assert not mcu.update(first).all(Acknowledge)
    beat = mcu.beat()
    mcu.update(beat)
    at = mcu.counter
    stop = replace(COMMAND, action=Action.EMERGENCY_STOP)
    assert not mcu.update(mcu.frame(stop, counter=(at - 1) % 65536)).all(Acknowledge)
    assert not mcu.update(mcu.frame(stop, counter=(at + 0x8000) % 65536)).all(Acknowledge)
    assert mcu.update(mcu.frame(stop, counter=(at + 0x7FFF) % 65536)).all(Acknowledge)


@case
@pytest.mark.requirement("R-LINK-8")
def a_replayed_heartbeat_feeds_nothing(mcu: Mcu) -> None:
    mcu.release()
    beat = mcu.beat()
    mcu.update(beat, mcu.command(valid_for_ms=300))
    mcu.update(beat, mcu.command(valid_for_ms=300), after_ms=299)
    assert mcu.update(beat, after_ms=1).faults == {"heartbeat_timeout", "frame_refused"}


@case
@pytest.mark.requirement("R-LINK-7")
def a_host_that_reboots_starts_a_new_count(mcu: Mcu) -> None:
    mcu.counter = 500
    mcu.release()
    old_hello = mcu.frame(HELLO, counter=400)
    refused = mcu.update(old_hello)
    assert not refused.all(McuHello)
    assert "frame_refused" in refused.faults
    mcu.counter = 3
    assert not mcu.update(mcu.command()).all(Acknowledge)
    assert mcu.update(mcu.hello(boot_id=2)).all(McuHello)
    assert mcu.update(mcu.command()).all(Acknowledge)


@case
def sends_nothing_that_does_not_fit(mcu: Mcu) -> None:
    mcu.capacity = 0
    assert mcu.update().tx == b""
    mcu.update(after_ms=20)
    mcu.capacity = 18
    answer = mcu.update(mcu.hello(), after_ms=20)
    assert [type(m) for m in answer.sent] == [McuHello]
    # What was dropped is seen as a gap in the counter.
    assert answer.counters[0] > 4
    mcu.capacity = len(mcu.update(mcu.command(), after_ms=1).tx)
    assert mcu.capacity > 10
    assert mcu.update(mcu.command(), after_ms=1).all(Acknowledge)
    mcu.capacity -= 1
    assert not mcu.update(mcu.command(), after_ms=1).all(Acknowledge)


@case
def ages_survive_the_wrap_of_the_tick(mcu: Mcu) -> None:
    mcu.now_ms = 2**32 - 100
    mcu.boot()
    mcu.release()
    assert mcu.update(mcu.beat(), after_ms=150).action is Action.NONE
    assert mcu.update(mcu.beat(), after_ms=149).action is Action.NONE
    assert mcu.update(mcu.beat(), after_ms=1).action is Action.SLOW_DOWN
    assert mcu.status().tick_ms == 320


@case
def what_has_expired_stays_expired_however_long(mcu: Mcu) -> None:
    mcu.release()
    mcu.update(mcu.beat(), mcu.command(valid_for_ms=300))
    assert mcu.update(after_ms=300).action is Action.SLOW_DOWN
    mcu.update(after_ms=1000)
    mcu.speed_cmps = 0
    for _ in range(5):  # once around the 32 bits, landing where the ages look young again
        answer = mcu.update(after_ms=2**32 // 4)
        assert answer.action is Action.COMFORT_STOP
        assert {"command_timeout", "heartbeat_timeout"} <= answer.faults
    young = mcu.update(after_ms=2**32 - 5 * (2**32 // 4) % 2**32 - 1300)
    assert {"command_timeout", "heartbeat_timeout"} <= young.faults
