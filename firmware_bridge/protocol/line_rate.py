"""Computes the bytes a second that the link needs each way, and the slowest line that carries them.

The decision loop's rate goes in; bytes a second and baud come out. On a slower line commands queue
and grow old until the microcontroller refuses them, slows down and stops: safe, but better refused
before the run. No I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_bridge.protocol.codec import contract
from firmware_bridge.protocol.frame import ENVELOPE
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import (
    Acknowledge,
    Heartbeat,
    Message,
    SafetyCommand,
    Status,
    VehicleState,
)

BITS_PER_BYTE = 10
"""Start bit, eight bits, stop bit."""

HEADROOM = 1.25
"""Reserve for Hellos, immediate reports when the action changes, and delays of USB bridges."""


@dataclass(frozen=True, kw_only=True)
class LineLoad:
    """Bytes a second on the wire."""

    to_microcontroller: float
    to_host: float


def wire_bytes(kind: type[Message]) -> int:
    """Bytes of one message on the wire: payload, envelope, stuffing and delimiter."""
    return int(contract().get_message_by_name(kind.__name__).length) + ENVELOPE


def line_load(turns_per_s: float) -> LineLoad:
    """Bytes a second on the link when the decision loop makes `turns_per_s` turns a second.

    A turn is a heartbeat and a command; each command is acknowledged, and the microcontroller
    reports its state in its own period.
    """
    reports_per_s = 1000 / LIMITS.status_period_ms
    return LineLoad(
        to_microcontroller=turns_per_s * (wire_bytes(Heartbeat) + wire_bytes(SafetyCommand)),
        to_host=turns_per_s * wire_bytes(Acknowledge)
        + reports_per_s * (wire_bytes(VehicleState) + wire_bytes(Status)),
    )


def minimum_baud(turns_per_s: float) -> int:
    """The slowest line, in baud, that carries the busier way with headroom."""
    load = line_load(turns_per_s)
    busier = max(load.to_microcontroller, load.to_host)
    return math.ceil(busier * BITS_PER_BYTE * HEADROOM)
