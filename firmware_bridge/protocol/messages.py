"""The messages of brakepoint.dbc as enumerations and frozen dataclasses, in SI units."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

CAMERA_AGE_UNKNOWN_MS = 0xFFFF
AS_OF_TICK_RANGE = 1 << 22  # as_of_tick_ms wraps after so many milliseconds: 69.9 minutes


class Action(enum.IntEnum):
    """Safety actions in order of severity: later means worse."""

    NONE = 0
    NOTIFY = 1
    CAP_SPEED = 2
    SLOW_DOWN = 3
    COMFORT_STOP = 4
    EMERGENCY_STOP = 5


class Reason(enum.IntEnum):
    """Why the host sends a command; the microcontroller only records it."""

    CLEAR = 0
    POLICY_RULE = 1
    PERCEPTION_UNKNOWN = 2
    CAMERA_LOST = 3
    LATE = 4
    HEALTH = 5
    UNACKNOWLEDGED = 6
    OPERATOR = 7
    STARTING = 8
    SHUTDOWN = 9


class Perception(enum.IntEnum):
    """Whether the host knows what is on the road. UNKNOWN never means clear."""

    UNKNOWN = 0
    KNOWN = 1


class Canary(enum.IntEnum):
    """Verdict of the golden-frame check."""

    NOT_RUN = 0
    PASSED = 1
    FAILED = 2


class Mode(enum.IntEnum):
    """Mode of the on-device loop."""

    STARTING = 0
    NORMAL = 1
    DEGRADED = 2
    SAFE = 3
    STOPPED = 4


class AckResult(enum.IntEnum):
    """The microcontroller's answer to a command.

    RELEASE_REFUSED_*: the command stands, but the latched stop holds. REFUSED_STALE: it was too
    old, or its tick lies in the future; a stop in it is latched all the same.
    """

    ACCEPTED = 0
    CLIPPED = 1
    RELEASE_REFUSED_MOVING = 2
    RELEASE_REFUSED_UNHEALTHY = 3
    REFUSED_NO_GREETING = 4
    REFUSED_MISMATCH = 5
    REFUSED_INVALID = 6
    REFUSED_STALE = 7


@dataclass(frozen=True, kw_only=True)
class Hello:
    """One side's introduction; HostHello and McuHello differ only in their id."""

    version: int
    boot_id: int
    contract_hash: int
    limits_hash: int


@dataclass(frozen=True, kw_only=True)
class HostHello(Hello):
    """Sent by the host."""


@dataclass(frozen=True, kw_only=True)
class McuHello(Hello):
    """Sent by the microcontroller."""


@dataclass(frozen=True, kw_only=True)
class SafetyCommand:
    """What the vehicle must do. Speeds 0 to 100 m/s, deceleration 0 to 10 m/s2 (positive brakes).

    `valid_for_ms` is 1 to 1000; the microcontroller clips it to its compiled limit (300).
    `release` permits the release of a latched stop to this action; where a rule requires the
    operator, set it only after the operator asked. Numbers travel in steps of 1 cm/s and 1 cm/s2.
    `as_of_tick_ms` is the microcontroller's tick when this was made (any size: the low 22 bits
    travel). The link sets it; a command without one cannot be encoded.
    """

    action: Action
    release: bool
    speed_ceiling_mps: float
    deceleration_limit_mps2: float
    valid_for_ms: int
    reason: Reason
    as_of_tick_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """A turn of the decision loop.

    `loop_sequence` grows by one each turn (any size: the low 16 bits travel). `camera_age_ms` above
    65534 travels as 65535, which means 65535 or older, or no frame at all. `as_of_tick_ms` as in
    SafetyCommand.
    """

    loop_sequence: int
    perception: Perception
    camera_age_ms: int
    mode: Mode
    canary: Canary
    as_of_tick_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class VehicleState:
    """What the microcontroller measures. `speed_mps` is None where its sensor is at fault."""

    speed_mps: float | None
    standstill: bool
    operator_request: bool


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the microcontroller applies. `tick_ms` is its clock, low 24 bits."""

    effective_action: Action
    stop_latched: bool
    applied_ceiling_mps: float
    applied_deceleration_mps2: float
    faults: tuple[str, ...]
    tick_ms: int


@dataclass(frozen=True, kw_only=True)
class Acknowledge:
    """The answer to the SafetyCommand whose frame carried `command_counter`."""

    command_counter: int
    result: AckResult
    effective_action: Action
    tick_ms: int


Message: TypeAlias = (
    HostHello | SafetyCommand | Heartbeat | McuHello | VehicleState | Status | Acknowledge
)
