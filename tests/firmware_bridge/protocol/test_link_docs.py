"""docs/link.md says what the contract and the compiled limits say."""

from __future__ import annotations

from pathlib import Path

from firmware_bridge.protocol.codec import contract
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.line_rate import line_load, minimum_baud
from firmware_bridge.protocol.messages import AS_OF_TICK_RANGE, Action
from firmware_bridge.protocol.stopping_distance import stopping_distance_m


def test_the_message_table_is_the_contract(root: Path) -> None:
    text = (root / "docs" / "link.md").read_text()
    for message in contract().messages:
        side = {"Host": "host", "Mcu": "microcontroller"}[message.senders[0]]
        assert f"| {message.frame_id} | {message.name} | {side} |" in text
    assert max(message.length for message in contract().messages) <= 8


def test_the_numbers_are_the_compiled_ones(root: Path) -> None:
    text = (root / "docs" / "link.md").read_text()
    for action in list(Action)[Action.CAP_SPEED :]:
        row = LIMITS.action[action]
        low, default, high, jerk = (
            value / 100
            for value in (
                row.deceleration_min_cmps2,
                row.deceleration_default_cmps2,
                row.deceleration_max_cmps2,
                row.jerk_cmps3,
            )
        )
        assert f"| {action.name} | {low} to {high} ({default}) | {jerk} |" in text
    slow = f"SLOW_DOWN to {LIMITS.slow_down_ceiling_cmps / 100:g} m/s |"
    assert f"at most {LIMITS.command_valid_max_ms} | {slow}" in text
    assert f"loop sequence has moved | {LIMITS.heartbeat_timeout_ms} | {slow}" in text
    assert f"| {LIMITS.frame_age_max_ms} since its capture | {slow}" in text
    assert f"| {LIMITS.escalation_ms} | COMFORT_STOP, latched |" in text
    assert f"newest frame younger than\n{LIMITS.frame_age_max_ms} ms" in text
    assert f"at most {LIMITS.standstill_cmps / 100} m/s" in text
    assert f"each at most {LIMITS.speed_ceiling_max_cmps / 100:g} m/s" in text
    assert LIMITS.healthy_heartbeats_to_release == 3
    assert f"are sent every {LIMITS.status_period_ms} ms" in text
    assert f"sends McuHello every {LIMITS.greeting_period_ms} ms" in text
    assert f"is shown for {LIMITS.refused_shown_ms} ms after the last frame" in text
    assert f"comes round every {AS_OF_TICK_RANGE / 60_000:.1f} minutes" in text


def test_the_stopping_distances_are_computed(root: Path) -> None:
    text = (root / "docs" / "link.md").read_text()
    comfort, emergency = LIMITS.action[Action.COMFORT_STOP], LIMITS.action[Action.EMERGENCY_STOP]
    for what, row, deceleration, delay_ms in (
        (
            "CAP_SPEED, SLOW_DOWN to 0, COMFORT_STOP, default",
            comfort,
            comfort.deceleration_default_cmps2,
            0,
        ),
        ("the same, hardest", comfort, comfort.deceleration_max_cmps2, 0),
        ("EMERGENCY_STOP, default", emergency, emergency.deceleration_default_cmps2, 0),
        ("EMERGENCY_STOP, hardest", emergency, emergency.deceleration_max_cmps2, 0),
        (
            "the host dies 300 ms before SLOW_DOWN and COMFORT_STOP",
            comfort,
            comfort.deceleration_default_cmps2,
            LIMITS.command_valid_max_ms,
        ),
    ):
        metres = [
            stopping_distance_m(
                kmh / 3.6,
                deceleration_mps2=deceleration / 100,
                jerk_mps3=row.jerk_cmps3 / 100,
                delay_s=delay_ms / 1000,
            )
            for kmh in (30, 50, 100)
        ]
        cells = " | ".join(f"{m:.1f}" for m in metres)
        assert f"| {what} | {deceleration / 100} | {cells} |" in text
    # Three actions share a row of the table, since they brake alike.
    for action in (Action.CAP_SPEED, Action.SLOW_DOWN):
        same = LIMITS.action[action]
        assert same.jerk_cmps3 == comfort.jerk_cmps3
        assert same.deceleration_default_cmps2 == comfort.deceleration_default_cmps2
        assert same.deceleration_max_cmps2 == comfort.deceleration_max_cmps2


def test_what_the_line_must_carry_is_computed(root: Path) -> None:
    text = (root / "docs" / "link.md").read_text()
    for turns in (20, 50, 100, 200):
        load = line_load(turns)
        row = f"{load.to_microcontroller:.0f} | {load.to_host:.0f} | {minimum_baud(turns)}"
        assert f"| {turns} | {row} |" in text
        assert minimum_baud(turns) > 9600
