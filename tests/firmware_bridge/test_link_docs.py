"""docs/link.md says what the contract and the compiled limits say."""

from __future__ import annotations

from pathlib import Path

from firmware_bridge.codec import Action, contract
from firmware_bridge.limits import LIMITS


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
    assert f"at most {LIMITS.command_valid_max_ms} | SLOW_DOWN" in text
    assert f"| heartbeat timeout | {LIMITS.heartbeat_timeout_ms} | SLOW_DOWN" in text
    assert f"| {LIMITS.escalation_ms} | COMFORT_STOP, latched |" in text
    assert f"to {LIMITS.slow_down_ceiling_cmps / 100:g} m/s |" in text
    assert f"camera age at most {LIMITS.camera_age_max_ms} ms" in text
    assert f"at most {LIMITS.standstill_cmps / 100} m/s" in text
    assert LIMITS.healthy_heartbeats_to_release == 3
    assert f"every {LIMITS.status_period_ms}, and at once" in text
