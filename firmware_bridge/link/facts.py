"""Values that the link gives to its caller: facts, acknowledgements, counts, events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.link.states import LinkState
from firmware_bridge.link.traffic import TrafficFinding
from firmware_bridge.protocol.messages import AckResult, Action


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
        """Time from giving the command to the port until its acknowledge was read."""
        return self.acknowledged_ns - self.sent_ns


@dataclass(frozen=True, kw_only=True)
class LinkCounts:
    """Totals since the link was created; `open` is the present number.

    commands_sent = acknowledged + unacknowledged + open, at any instant. A command goes from
    `open` to `unacknowledged` when its time has passed, and from there to `acknowledged` when its
    acknowledge does come, within two seconds. `late` commands were not acknowledged in time,
    whatever came after; the microcontroller answered `refused` commands and does not apply them;
    `unsent` commands were due and not sent, because there was no session, the line backed up
    (`held_back`) or a write failed.
    """

    commands_sent: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    open: int = 0
    late: int = 0
    refused: int = 0
    unsent: int = 0
    held_back: int = 0
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
    """All that the decision loop needs to know of the link at one instant of the caller's clock.

    None: not reported in this session, or older than `LinkTimes.report_max_age_ms`. Speeds m/s,
    decelerations m/s2 (positive brakes), ages in ms at that instant.
    `vehicle_speed_mps` is None also where the microcontroller's speed sensor is at fault.
    `mcu_tick_ms` grows without wrap from the microcontroller's boot. `first_fault` stays.
    `unacknowledged_in_a_row`: late commands since the newest one acknowledged in time, over all
    sessions since; `often_late`: too many of the last 50 were late. `stale`: there is a session,
    but the last report is too old. `traffic`: what comes from the port while there is no session.
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
    often_late: bool = False
    traffic: TrafficFinding | None = None
    stale: bool = False

    @property
    def up(self) -> bool:
        """Whether commands travel and the microcontroller's reports are fresh."""
        return self.state is LinkState.ESTABLISHED and not self.stale
