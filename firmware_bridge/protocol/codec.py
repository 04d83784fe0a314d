"""Converts messages to payload bytes and back, as brakepoint.dbc defines them.

Never clips or drops a value that the contract cannot carry: that is a `CodecError`. Only the
microcontroller clips, and it says so in its acknowledge.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import cantools
import cantools.database
from cantools.database.can import Database

from firmware_bridge.protocol.messages import (
    AS_OF_TICK_RANGE,
    CAMERA_AGE_UNKNOWN_MS,
    Acknowledge,
    AckResult,
    Action,
    Canary,
    Heartbeat,
    Hello,
    HostHello,
    McuHello,
    Message,
    Mode,
    Perception,
    Reason,
    SafetyCommand,
    Status,
    VehicleState,
)

PROTOCOL_VERSION = 2  # 2: messages carry the tick at which they were made
CONTRACT_FILE = Path(__file__).parent / "brakepoint.dbc"


class CodecError(ValueError):
    """A message or payload that the contract does not allow."""


Signals: TypeAlias = dict[str, int]


@cache
def contract() -> Database:
    """The parsed contract."""
    text = CONTRACT_FILE.read_text("utf-8")
    database = cantools.database.load_string(text, "dbc", strict=True)
    assert isinstance(database, Database)
    return database


def canonical_contract(database: Database) -> str:
    """The contract as text for hashing: one line a message and a signal, without comments."""
    lines = []
    for message in sorted(database.messages, key=lambda m: m.frame_id):
        lines.append(f"{message.frame_id} {message.name} {message.length} {message.senders}")
        for signal in sorted(message.signals, key=lambda s: s.start):
            choices = sorted((int(k), str(v)) for k, v in (signal.choices or {}).items())
            lines.append(
                f"  {signal.name} {signal.start}|{signal.length} {signal.byte_order}"
                f" signed={signal.is_signed} {signal.scale} {signal.offset}"
                f" [{signal.minimum}|{signal.maximum}] {signal.unit} {choices}"
            )
    return "\n".join(lines) + "\n"


def u24(text: str) -> int:
    """First three bytes of the sha256 of `text`, big-endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], "big")


@cache
def contract_hash() -> int:
    """The value of Hello's `contract_hash`: 24 bits of the canonical contract's sha256."""
    return u24(canonical_contract(contract()))


def message_id(kind: type[Message] | Message) -> int:
    """The contract's id of a message type."""
    kind = kind if isinstance(kind, type) else type(kind)
    return int(contract().get_message_by_name(kind.__name__).frame_id)


def encode(message: Message) -> tuple[int, bytes]:
    """Message id and payload. Raises CodecError for anything the contract cannot carry."""
    definition = contract().get_message_by_name(type(message).__name__)
    try:
        signals = _FIELDS[type(message).__name__][0](message)
        payload = definition.encode(signals, scaling=True, padding=False, strict=True)
    except (cantools.Error, ValueError, TypeError) as error:
        raise CodecError(f"{definition.name} cannot be sent: {error}") from error
    return int(definition.frame_id), bytes(payload)


def decode(frame_id: int, payload: bytes) -> Message:
    """The message in `payload`. Raises CodecError for unknown ids, sizes, values, padding bits."""
    try:
        definition = contract().get_message_by_frame_id(frame_id)
    except KeyError as error:
        raise CodecError(f"message id {frame_id} is not in the contract") from error
    if len(payload) != definition.length:
        raise CodecError(f"{definition.name} is {definition.length} bytes, got {len(payload)}")
    try:
        signals: Any = definition.decode(payload, decode_choices=False)
        # Encoding again proves that all values are in range and that padding bits are zero.
        if bytes(definition.encode(signals, strict=True)) != payload:
            raise CodecError(f"{definition.name} has bits set outside its signals")
        return _FIELDS[definition.name][1](signals)
    except (cantools.Error, ValueError) as error:
        if isinstance(error, CodecError):
            raise
        raise CodecError(f"{definition.name} breaks the contract: {error}") from error


def _centi(value: float) -> int:
    """m/s to cm/s, m/s2 to cm/s2: nearest. Refuses NaN and infinities, which have no integer."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number to act on")
    return round(value * 100)


def _from_hello(m: Hello) -> Signals:
    return {
        "version": operator.index(m.version),
        "boot_id": operator.index(m.boot_id),
        "contract_hash": operator.index(m.contract_hash),
        "limits_hash": operator.index(m.limits_hash),
    }


def _as_of(tick_ms: int | None) -> int:
    """The low 22 bits of the tick at which a message was made. Raises ValueError for None."""
    if tick_ms is None:
        raise ValueError("as_of_tick_ms is not set: the link sets it from the newest Status")
    return operator.index(tick_ms) % AS_OF_TICK_RANGE


def _from_command(m: SafetyCommand) -> Signals:
    return {
        "action": Action(m.action),
        "release": bool(m.release),
        "reason": Reason(m.reason),
        "speed_ceiling_cmps": _centi(m.speed_ceiling_mps),
        "deceleration_limit_cmps2": _centi(m.deceleration_limit_mps2),
        "valid_for_ms": operator.index(m.valid_for_ms),
        "as_of_tick_ms": _as_of(m.as_of_tick_ms),
    }


def _to_command(s: Signals) -> SafetyCommand:
    return SafetyCommand(
        action=Action(s["action"]),
        release=bool(s["release"]),
        speed_ceiling_mps=s["speed_ceiling_cmps"] / 100,
        deceleration_limit_mps2=s["deceleration_limit_cmps2"] / 100,
        valid_for_ms=s["valid_for_ms"],
        reason=Reason(s["reason"]),
        as_of_tick_ms=s["as_of_tick_ms"],
    )


def _from_heartbeat(m: Heartbeat) -> Signals:
    return {
        "loop_sequence": operator.index(m.loop_sequence) & 0xFFFF,
        "camera_age_ms": min(operator.index(m.camera_age_ms), CAMERA_AGE_UNKNOWN_MS),
        "perception": Perception(m.perception),
        "canary": Canary(m.canary),
        "mode": Mode(m.mode),
        "as_of_tick_ms": _as_of(m.as_of_tick_ms),
    }


def _to_heartbeat(s: Signals) -> Heartbeat:
    return Heartbeat(
        loop_sequence=s["loop_sequence"],
        perception=Perception(s["perception"]),
        camera_age_ms=s["camera_age_ms"],
        mode=Mode(s["mode"]),
        canary=Canary(s["canary"]),
        as_of_tick_ms=s["as_of_tick_ms"],
    )


def _from_vehicle(m: VehicleState) -> Signals:
    return {
        "speed_cmps": _centi(m.speed_mps) if m.speed_mps is not None else 0,
        "speed_valid": m.speed_mps is not None,
        "standstill": bool(m.standstill),
        "operator_request": bool(m.operator_request),
    }


def _to_vehicle(s: Signals) -> VehicleState:
    return VehicleState(
        speed_mps=s["speed_cmps"] / 100 if s["speed_valid"] else None,
        standstill=bool(s["standstill"]),
        operator_request=bool(s["operator_request"]),
    )


@cache
def fault_names() -> tuple[str, ...]:
    """Names of the microcontroller's fault bits, lowest bit first, without their prefix."""
    signals = sorted(contract().get_message_by_name("Status").signals, key=lambda s: s.start)
    return tuple(s.name.removeprefix("fault_") for s in signals if s.name.startswith("fault_"))


def _from_status(m: Status) -> Signals:
    unknown = set(m.faults) - set(fault_names())
    if unknown:
        raise ValueError(f"unknown faults {sorted(unknown)}")
    return {
        "effective_action": Action(m.effective_action),
        "stop_latched": bool(m.stop_latched),
        "applied_deceleration_cmps2": _centi(m.applied_deceleration_mps2),
        "applied_ceiling_cmps": _centi(m.applied_ceiling_mps),
        "tick_ms": operator.index(m.tick_ms),
        **{f"fault_{name}": name in m.faults for name in fault_names()},
    }


def _to_status(s: Signals) -> Status:
    return Status(
        effective_action=Action(s["effective_action"]),
        stop_latched=bool(s["stop_latched"]),
        applied_ceiling_mps=s["applied_ceiling_cmps"] / 100,
        applied_deceleration_mps2=s["applied_deceleration_cmps2"] / 100,
        faults=tuple(name for name in fault_names() if s[f"fault_{name}"]),
        tick_ms=s["tick_ms"],
    )


def _from_ack(m: Acknowledge) -> Signals:
    return {
        "command_counter": operator.index(m.command_counter),
        "result": AckResult(m.result),
        "effective_action": Action(m.effective_action),
        "tick_ms": operator.index(m.tick_ms),
    }


def _to_ack(s: Signals) -> Acknowledge:
    return Acknowledge(
        command_counter=s["command_counter"],
        result=AckResult(s["result"]),
        effective_action=Action(s["effective_action"]),
        tick_ms=s["tick_ms"],
    )


_FIELDS: dict[str, tuple[Callable[[Any], Signals], Callable[[Signals], Message]]] = {
    "HostHello": (_from_hello, lambda s: HostHello(**s)),
    "SafetyCommand": (_from_command, _to_command),
    "Heartbeat": (_from_heartbeat, _to_heartbeat),
    "McuHello": (_from_hello, lambda s: McuHello(**s)),
    "VehicleState": (_from_vehicle, _to_vehicle),
    "Status": (_from_status, _to_status),
    "Acknowledge": (_from_ack, _to_ack),
}
