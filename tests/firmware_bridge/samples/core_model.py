"""What docs/link.md says that the microcontroller does, as a model that predicts every byte.

Written from the document, not from the C: time is one number that never wraps, so that nothing
needs a flag to stay expired, and every rule is asked anew from what was received. Only the contract
(bit positions, enumerations, ranges) and the compiled limits are read from where they are defined.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.protocol.codec import PROTOCOL_VERSION, contract, contract_hash, fault_names
from firmware_bridge.protocol.frame import Deframer, LinkFrame, pack
from firmware_bridge.protocol.limits import LIMITS, limits_hash
from firmware_bridge.protocol.messages import AS_OF_TICK_RANGE, AckResult, Action, Canary

_ID = {message.name: message.frame_id for message in contract().messages}
_SIZE = {message.frame_id: message.length for message in contract().messages}
_SIGNALS = {
    message.name: {s.name: (s.start, (1 << s.length) - 1) for s in message.signals}
    for message in contract().messages
}
_RANGES = {
    message.frame_id: [
        (s.start, (1 << s.length) - 1, int(s.minimum or 0), int(s.maximum or 0))
        for s in message.signals
        if (s.maximum is not None and s.maximum < (1 << s.length) - 1) or (s.minimum or 0) > 0
    ]
    for message in contract().messages
}
_FAULT_BIT = {name: 1 << bit for bit, name in enumerate(fault_names())}
_SLOW_DOWN = LIMITS.action[Action.SLOW_DOWN].deceleration_default_cmps2
_COMFORT = LIMITS.action[Action.COMFORT_STOP].deceleration_default_cmps2


def payload(message: str, **values: int) -> bytes:
    """The bytes of a message of the contract, whatever the values: ranges are not looked at."""
    bits = 0
    for name, (start, mask) in _SIGNALS[message].items():
        bits |= (values.pop(name) & mask) << start
    assert not values, f"{message} has no {sorted(values)}"
    return bits.to_bytes(_SIZE[_ID[message]], "little")


def message_id(message: str) -> int:
    """The id of a message of the contract, by name."""
    return _ID[message]


@dataclass(frozen=True)
class Vehicle:
    """What the sensors say in an update."""

    speed_cmps: int
    speed_valid: bool
    operator: bool

    @property
    def stands(self) -> bool:
        return self.speed_valid and self.speed_cmps <= LIMITS.standstill_cmps


@dataclass(frozen=True)
class Demand:
    """An action with its ceiling and braking."""

    action: int
    ceiling_cmps: int
    deceleration_cmps2: int


@dataclass(frozen=True)
class Command:
    """The last command that was not refused."""

    made_ms: int
    valid_for_ms: int
    demand: Demand


class CoreModel:
    """One boot of the microcontroller."""

    def __init__(self, now_ms: int, boot_id: int) -> None:
        self.boot_ms = now_ms
        self.boot_id = boot_id
        self.settled_ms = now_ms
        self.deframer = Deframer()
        self.damaged = 0
        self.sent = 0
        self.host: tuple[int, int] | None = None  # boot id and last counter of the session
        self.mismatch: frozenset[str] = frozenset()
        self.command: Command | None = None
        self.loop_sequence: int | None = None
        self.beat_ms: int | None = None
        self.beat_healthy = False
        self.healthy_ms: list[int] = []  # when the last healthy ones in a row were made
        self.frame_ms: int | None = None  # when the newest frame vouched for was taken
        self.slow_since_ms: int | None = now_ms
        self.latched: tuple[int, int] | None = (Action.COMFORT_STOP, _COMFORT)
        self.refused_ms: int | None = None
        self.stale_ms: int | None = None
        self.greeting_ms: int | None = None
        self.status_ms: int | None = None
        self.action: int = Action.COMFORT_STOP
        self.tx = b""
        self.capacity = 0
        self.now_ms = now_ms
        self.vehicle = Vehicle(65535, speed_valid=True, operator=False)  # taken to move

    def outputs(self) -> str:
        """What the probe says that the vehicle must do, and what is shown, without any bytes."""
        return f"{self._outputs(self._apply())} -"

    def update(self, now_ms: int, vehicle: Vehicle, rx: bytes, capacity: int) -> str:
        """What the probe answers: applied, latched, braking, faults, and all bytes sent."""
        self.now_ms, self.vehicle, self.capacity, self.tx = now_ms, vehicle, capacity, b""
        before = self.action
        self._let_timers_run_out()
        self._apply()
        for frame in self._frames(rx):
            if frame is None or not self._take(frame):
                self.refused_ms = now_ms
        applied = self._apply()
        if self.host is None and (
            self.greeting_ms is None or now_ms - self.greeting_ms >= LIMITS.greeting_period_ms
        ):
            self._send_hello()
        if (
            self.status_ms is None
            or applied.action != before
            or now_ms - self.status_ms >= LIMITS.status_period_ms
        ):
            self._send_state(applied)
        self.action = applied.action
        return f"{self._outputs(applied)} {self.tx.hex() or '-'}"

    def _outputs(self, applied: Demand) -> str:
        jerk = LIMITS.action[applied.action].jerk_cmps3
        return (
            f"{applied.action} {self.latched is not None:d} {applied.ceiling_cmps}"
            f" {applied.deceleration_cmps2} {jerk} {self.vehicle.stands:d} {self._faults()}"
        )

    # Time

    def instants(self) -> list[int]:
        """When something will change by itself, as far as is known."""
        ends = [
            *self._deadlines(),
            *(made + LIMITS.heartbeat_timeout_ms for made in self.healthy_ms),
        ]
        if self.slow_since_ms is not None:
            ends.append(self.slow_since_ms + LIMITS.escalation_ms)
        for since_ms, period_ms in (
            (self.refused_ms, LIMITS.refused_shown_ms),
            (self.stale_ms, LIMITS.refused_shown_ms),
            (self.status_ms, LIMITS.status_period_ms),
            (self.greeting_ms, LIMITS.greeting_period_ms),
        ):
            if since_ms is not None:
                ends.append(since_ms + period_ms)
        return ends

    def _deadlines(self) -> list[int]:
        """When each thing that must be renewed runs out; what never was has run out at boot."""
        command, boot = self.command, self.boot_ms
        return [
            command.made_ms + command.valid_for_ms if command else boot,
            self.beat_ms + LIMITS.heartbeat_timeout_ms if self.beat_ms is not None else boot,
            self.frame_ms + LIMITS.frame_age_max_ms if self.frame_ms is not None else boot,
        ]

    def _let_timers_run_out(self) -> None:
        if self.slow_since_ms is None:
            first = min(self._deadlines())
            if first <= self.now_ms:
                self.slow_since_ms = first
        if (
            self.slow_since_ms is not None
            and self.slow_since_ms + LIMITS.escalation_ms <= self.now_ms
        ):
            self._latch(Action.COMFORT_STOP, _COMFORT)

    def _is_vouched_for(self) -> bool:
        young = all(self.now_ms - made < LIMITS.heartbeat_timeout_ms for made in self.healthy_ms)
        return (
            young
            and len(self.healthy_ms) == LIMITS.healthy_heartbeats_to_release
            and self._deadlines()[2] > self.now_ms
        )

    def _end_slow(self) -> None:
        if self._deadlines()[0] > self.now_ms and self._is_vouched_for():
            self.slow_since_ms = None

    def _age(self, as_of: int) -> int:
        return (self.now_ms - self.boot_ms - as_of) % AS_OF_TICK_RANGE

    # What is applied

    def _latch(self, action: int, deceleration: int) -> None:
        if action >= Action.COMFORT_STOP:
            old = self.latched or (0, 0)
            self.latched = (max(old[0], action), max(old[1], deceleration))

    def _apply(self) -> Demand:
        if not self.vehicle.speed_valid:
            self._latch(Action.COMFORT_STOP, _COMFORT)
        demands = [Demand(Action.NONE, LIMITS.speed_ceiling_max_cmps, 0)]
        if self.command is not None:
            demands.append(self.command.demand)
        if self.slow_since_ms is not None:
            demands.append(Demand(Action.SLOW_DOWN, LIMITS.slow_down_ceiling_cmps, _SLOW_DOWN))
        if self.latched is not None:
            demands.append(Demand(self.latched[0], 0, self.latched[1]))
        applied = Demand(
            max(d.action for d in demands),
            min(d.ceiling_cmps for d in demands),
            max(d.deceleration_cmps2 for d in demands),
        )
        if self.latched is not None:
            self.latched = (self.latched[0], applied.deceleration_cmps2)
        return applied

    def _shown(self, since_ms: int | None) -> bool:
        return since_ms is not None and self.now_ms - since_ms < LIMITS.refused_shown_ms

    def _faults(self) -> int:
        ran_out = [deadline <= self.now_ms for deadline in self._deadlines()]
        shown = {
            "no_greeting": self.host is None,
            "contract_mismatch": "contract_mismatch" in self.mismatch,
            "limits_mismatch": "limits_mismatch" in self.mismatch,
            "command_timeout": ran_out[0],
            "heartbeat_timeout": ran_out[1],
            "perception_timeout": ran_out[2],
            "heartbeat_unhealthy": not self.beat_healthy,
            "message_stale": self._shown(self.stale_ms),
            "frame_refused": self._shown(self.refused_ms),
            "speed_sensor": not self.vehicle.speed_valid,
        }
        return sum(_FAULT_BIT[name] for name, there in shown.items() if there)

    # What arrives

    def _frames(self, rx: bytes) -> list[LinkFrame | None]:
        """Whole frames in order, None for a damaged one."""
        found: list[LinkFrame | None] = []
        for piece in rx.split(b"\0")[:-1]:
            frames = self.deframer.feed(piece + b"\0")
            found += frames
            if self.deframer.damaged > self.damaged:
                self.damaged = self.deframer.damaged
                found.append(None)
        self.deframer.feed(rx.rsplit(b"\0", 1)[-1])
        return found

    def _take(self, frame: LinkFrame) -> bool:
        if len(frame.payload) != _SIZE.get(frame.message_id):
            return False
        bits = int.from_bytes(frame.payload, "little")
        ahead = self.host is None or 1 <= (frame.counter - self.host[1]) % 65536 < 32768
        if frame.message_id == _ID["HostHello"]:
            return self._take_hello(bits, frame.counter, ahead=ahead)
        in_contract = all(
            low <= (bits >> start & mask) <= high
            for start, mask, low, high in _RANGES[frame.message_id]
        )
        if not ahead:
            return False
        if frame.message_id == _ID["SafetyCommand"]:
            self._count(frame.counter)
            result = self._take_command(bits) if in_contract else self._refusal()
            self._acknowledge(frame.counter, result)
            return True
        if frame.message_id == _ID["Heartbeat"] and in_contract:
            self._count(frame.counter)
            if self._refusal() is AckResult.REFUSED_INVALID:
                self._take_heartbeat(bits)
            return True
        return False

    def _count(self, counter: int) -> None:
        if self.host is not None:
            self.host = (self.host[0], counter)

    def _take_hello(self, bits: int, counter: int, *, ahead: bool) -> bool:
        def value(name: str) -> int:
            start, mask = _SIGNALS["HostHello"][name]
            return bits >> start & mask

        another = self.host is None or value("boot_id") != self.host[0]
        if not another and not ahead:
            return False
        if another:
            self.healthy_ms, self.loop_sequence = [], None
        self.host = (value("boot_id"), counter)
        agreed = (PROTOCOL_VERSION, contract_hash())
        self.mismatch = frozenset(
            ["contract_mismatch"] * ((value("version"), value("contract_hash")) != agreed)
            + ["limits_mismatch"] * (value("limits_hash") != limits_hash())
        )
        self._send_hello()
        return True

    def _refusal(self) -> AckResult:
        """Why nothing of this host counts; REFUSED_INVALID where only its numbers are wrong."""
        if self.host is None:
            return AckResult.REFUSED_NO_GREETING
        return AckResult.REFUSED_MISMATCH if self.mismatch else AckResult.REFUSED_INVALID

    def _take_command(self, bits: int) -> AckResult:
        def value(name: str) -> int:
            start, mask = _SIGNALS["SafetyCommand"][name]
            return bits >> start & mask

        if self._refusal() is not AckResult.REFUSED_INVALID:
            return self._refusal()
        action = Action(value("action"))
        asked = (
            value("speed_ceiling_cmps"),
            value("deceleration_limit_cmps2"),
            value("valid_for_ms"),
        )
        row = LIMITS.action[action]
        braking = min(max(asked[1], row.deceleration_min_cmps2), row.deceleration_max_cmps2)
        if action >= Action.COMFORT_STOP:
            granted, demand = (asked[0], braking), Demand(action, 0, braking)
        elif action >= Action.CAP_SPEED:
            ceiling = min(asked[0], LIMITS.speed_ceiling_max_cmps)
            granted, demand = (ceiling, braking), Demand(action, ceiling, braking)
        else:
            granted, demand = asked[:2], Demand(action, LIMITS.speed_ceiling_max_cmps, 0)
        valid_ms = min(asked[2], LIMITS.command_valid_max_ms)
        age_ms = self._age(value("as_of_tick_ms"))
        if age_ms >= valid_ms:
            self.stale_ms = self.now_ms
            self._latch(action, braking)
            return AckResult.REFUSED_STALE
        result = AckResult.ACCEPTED if (*granted, valid_ms) == asked else AckResult.CLIPPED
        if value("release") and self.latched is not None and action < self.latched[0]:
            if not self.vehicle.stands:
                result = AckResult.RELEASE_REFUSED_MOVING
            elif not self._is_vouched_for():
                result = AckResult.RELEASE_REFUSED_UNHEALTHY
            else:
                self.latched = None
        self._latch(action, braking)
        self.command = Command(self.now_ms - age_ms, valid_ms, demand)
        self._end_slow()
        return result

    def _take_heartbeat(self, bits: int) -> None:
        def value(name: str) -> int:
            start, mask = _SIGNALS["Heartbeat"][name]
            return bits >> start & mask

        age_ms = self._age(value("as_of_tick_ms"))
        if age_ms >= LIMITS.heartbeat_timeout_ms:
            self.stale_ms = self.now_ms
            return
        if value("loop_sequence") == self.loop_sequence:
            return
        self.loop_sequence = value("loop_sequence")
        self.beat_ms = self.now_ms - age_ms
        frame_age_ms = age_ms + value("camera_age_ms")
        self.beat_healthy = (
            value("perception") == 1
            and value("canary") != Canary.FAILED
            and frame_age_ms < LIMITS.frame_age_max_ms
        )
        if not self.beat_healthy:
            self.healthy_ms = []
            return
        most = LIMITS.healthy_heartbeats_to_release
        self.healthy_ms = [*self.healthy_ms, self.beat_ms][-most:]
        young = all(self.now_ms - made < LIMITS.heartbeat_timeout_ms for made in self.healthy_ms)
        if len(self.healthy_ms) == most and young:
            self.frame_ms = self.now_ms - frame_age_ms
        self._end_slow()

    # What is sent

    @property
    def _tick(self) -> int:
        return (self.now_ms - self.boot_ms) % 2**32

    def _send(self, message: str, **values: int) -> None:
        self.sent = (self.sent + 1) % 65536
        frame = LinkFrame(
            message_id=_ID[message], counter=self.sent, payload=payload(message, **values)
        )
        wire = pack(frame)
        if len(self.tx) + len(wire) <= self.capacity:
            self.tx += wire

    def _send_hello(self) -> None:
        self.greeting_ms = self.now_ms
        self._send(
            "McuHello",
            version=PROTOCOL_VERSION,
            boot_id=self.boot_id,
            contract_hash=contract_hash(),
            limits_hash=limits_hash(),
        )

    def _acknowledge(self, counter: int, result: AckResult) -> None:
        self._send(
            "Acknowledge",
            command_counter=counter,
            result=result,
            effective_action=self._apply().action,
            tick_ms=self._tick,
        )

    def _send_state(self, applied: Demand) -> None:
        vehicle, faults = self.vehicle, self._faults()
        self.status_ms = self.now_ms
        self._send(
            "VehicleState",
            speed_cmps=vehicle.speed_cmps if vehicle.speed_valid else 0,
            speed_valid=vehicle.speed_valid,
            standstill=vehicle.stands,
            operator_request=vehicle.operator,
        )
        self._send(
            "Status",
            effective_action=applied.action,
            stop_latched=self.latched is not None,
            applied_deceleration_cmps2=applied.deceleration_cmps2,
            applied_ceiling_cmps=applied.ceiling_cmps,
            tick_ms=self._tick,
            **{f"fault_{name}": bool(faults & bit) for name, bit in _FAULT_BIT.items()},
        )
