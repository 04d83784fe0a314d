"""Holds the microcontroller's newest reports, and decides which of them become an event.

Status and VehicleState with the host's time of arrival go in; a `Change` for the timeline, or None,
comes out. No clock, no bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.protocol.messages import Status, VehicleState

_TICK_RANGE = 1 << 24


@dataclass(frozen=True)
class Change:
    """An event for the timeline; kinds and values are listed in docs/link.md."""

    kind: str
    values: Mapping[str, object]


class Reports:
    """The newest reports of one session, and the host's time when each arrived.

    `tick_ms` is the microcontroller's own clock, without wrap.
    """

    def __init__(self) -> None:
        self.vehicle: VehicleState | None = None
        self.vehicle_ns = 0
        self.status: Status | None = None
        self.status_ns = 0
        self.tick_ms: int | None = None

    def take_vehicle(self, vehicle: VehicleState, now_ns: int) -> None:
        """Store the vehicle's state, which arrived now."""
        self.vehicle, self.vehicle_ns = vehicle, now_ns

    def take_status(self, status: Status, now_ns: int) -> Change | None:
        """Store the status, which arrived now; return a change of the action or of the faults."""
        self.follow_tick(status.tick_ms)
        before, self.status, self.status_ns = self.status, status, now_ns
        if before is None or _applied(before) != _applied(status):
            return Change(
                "effective",
                {
                    "action": status.effective_action,
                    "latched": status.stop_latched,
                    "ceiling_mps": status.applied_ceiling_mps,
                    "deceleration_mps2": status.applied_deceleration_mps2,
                    "tick_ms": self.tick_ms,
                    "faults": status.faults,
                },
            )
        if before.faults != status.faults:
            return Change("faults", {"faults": status.faults, "tick_ms": self.tick_ms})
        return None

    def as_of_tick_ms(self, now_ns: int) -> int | None:
        """The microcontroller's tick at `now_ns`, never later than the true one.

        It is the newest Status's tick plus the time since that was read, without the time that the
        Status was on its way. None before the first Status.
        """
        if self.status is None:
            return None
        return self.status.tick_ms + (now_ns - self.status_ns) // 1_000_000

    def follow_tick(self, tick_ms: int) -> None:
        """Extend the 24 bits on the wire to a tick that does not wrap (after 4.66 hours)."""
        last = self.tick_ms
        self.tick_ms = tick_ms if last is None else last + (tick_ms - last) % _TICK_RANGE


def _applied(status: Status) -> tuple[object, ...]:
    return (
        status.effective_action,
        status.stop_latched,
        status.applied_ceiling_mps,
        status.applied_deceleration_mps2,
    )
