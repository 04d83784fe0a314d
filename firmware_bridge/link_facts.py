"""What the link knows, as values handed out: facts, acknowledgements, events, counts. No logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.codec import AckResult, Action
from firmware_bridge.link_states import LinkState


@dataclass(frozen=True, kw_only=True)
class Ack:
    """The last acknowledged command. Times on the host's monotonic clock."""

    counter: int
    sent_ns: int
    acknowledged_ns: int
    result: AckResult
    effective_action: Action

    @property
    def round_trip_ns(self) -> int:
        """From handing the command to the port until its acknowledge was read."""
        return self.acknowledged_ns - self.sent_ns


@dataclass(frozen=True, kw_only=True)
class LinkCounts:
    """Totals since the link was made."""

    commands_sent: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    crc_errors: int = 0
    counter_errors: int = 0
    contract_errors: int = 0
    lost_frames: int = 0
    reconnects: int = 0
    reboots: int = 0
    write_failures: int = 0


@dataclass(frozen=True, kw_only=True)
class LinkEvent:
    """One line of the timeline. `kind` and its values are listed in docs/link.md."""

    sequence: int
    mono_ns: int
    kind: str
    values: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class LinkFacts:
    """All that the decision loop needs, at one instant. None: never heard in this connection.

    Speeds m/s, decelerations m/s2 (positive brakes), ages in ms at the asked instant.
    `vehicle_speed_mps` is None also where the microcontroller's speed sensor is at fault.
    `mcu_tick_ms` grows without wrap from the microcontroller's boot. `first_fault` stays.
    """

    state: LinkState
    vehicle_speed_mps: float | None
    vehicle_age_ms: float | None
    standstill: bool | None
    operator_request: bool | None
    effective_action: Action | None
    effective_age_ms: float | None
    stop_latched: bool | None
    applied_ceiling_mps: float | None
    applied_deceleration_mps2: float | None
    faults: tuple[str, ...]
    mcu_tick_ms: int | None
    last_ack: Ack | None
    unacknowledged_in_a_row: int
    counts: LinkCounts
    first_fault: str | None
    refusal: str | None
