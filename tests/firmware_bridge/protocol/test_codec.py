"""The contract: valid values round-trip unchanged, others are refused, C and Python agree."""

from __future__ import annotations

import enum
import math
from dataclasses import fields, replace
from importlib.metadata import version
from itertools import pairwise
from typing import Any, get_args

import cantools.database
import pytest
from cantools.database.can import Database
from hypothesis import given
from hypothesis import strategies as st
from mcu_probe import BEAT, COMMAND

from firmware_bridge.protocol import generate
from firmware_bridge.protocol.codec import (
    CONTRACT_FILE,
    CodecError,
    canonical_contract,
    contract,
    contract_hash,
    decode,
    encode,
    fault_names,
    message_id,
)
from firmware_bridge.protocol.limits import LIMITS, ActionLimits, canonical_limits, limits_hash
from firmware_bridge.protocol.messages import (
    Acknowledge,
    AckResult,
    Action,
    Canary,
    Heartbeat,
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

CENTI = st.integers(0, 10_000).map(lambda n: n / 100)
BRAKING = st.integers(0, 1000).map(lambda n: n / 100)
U8, U16, U22, U24 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 22, 24))
HELLO = {"version": U8, "boot_id": U8, "contract_hash": U24, "limits_hash": U24}
FIELDS: dict[type[Message], dict[str, st.SearchStrategy[Any]]] = {
    HostHello: HELLO,
    McuHello: HELLO,
    SafetyCommand: {
        "speed_ceiling_mps": CENTI,
        "deceleration_limit_mps2": BRAKING,
        "valid_for_ms": st.integers(1, 1000),
        "as_of_tick_ms": U22,
    },
    Heartbeat: {"loop_sequence": U16, "camera_age_ms": U16, "as_of_tick_ms": U22},
    VehicleState: {"speed_mps": st.none() | st.integers(0, 65535).map(lambda n: n / 100)},
    Status: {
        "applied_ceiling_mps": CENTI,
        "applied_deceleration_mps2": BRAKING,
        "faults": st.sets(st.sampled_from(fault_names())).map(
            lambda some: tuple(name for name in fault_names() if name in some)
        ),
        "tick_ms": U24,
    },
    Acknowledge: {"command_counter": U16, "tick_ms": U24},
}
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    [st.builds(kind, **drawn) for kind, drawn in FIELDS.items()]
)


def test_every_message_of_the_contract_has_a_value_that_travels() -> None:
    of_contract = {message.name for message in contract().messages}
    assert {kind.__name__ for kind in get_args(Message)} == of_contract
    assert {kind.__name__ for kind in FIELDS} == of_contract


@given(MESSAGES)
def test_every_message_travels_unchanged(message: Message) -> None:
    identity, payload = encode(message)
    assert identity == message_id(message)
    assert len(payload) <= 8
    assert decode(identity, payload) == message


@given(st.sampled_from([message_id(kind) for kind in FIELDS]), st.binary(max_size=9))
def test_any_payload_is_a_message_or_refused(identity: int, payload: bytes) -> None:
    try:
        message = decode(identity, payload)
    except CodecError:
        return
    assert encode(message) == (identity, payload)


@pytest.mark.parametrize(
    "wrong",
    [
        {"valid_for_ms": 0},
        {"valid_for_ms": 1001},
        {"valid_for_ms": 2.5},
        {"speed_ceiling_mps": -0.01},
        {"speed_ceiling_mps": 100.01},
        {"speed_ceiling_mps": math.nan},
        {"speed_ceiling_mps": math.inf},
        {"deceleration_limit_mps2": 10.01},
        {"deceleration_limit_mps2": -1.0},
        {"action": 6},
        {"reason": 10},
        {"as_of_tick_ms": None},
    ],
)
def test_a_command_out_of_contract_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(CodecError, match="SafetyCommand cannot be sent"):
        encode(replace(replace(COMMAND, as_of_tick_ms=0), **wrong))  # type: ignore[arg-type]


def test_unknown_things_are_errors() -> None:
    with pytest.raises(CodecError, match="id 99 is not in the contract"):
        decode(99, b"")
    with pytest.raises(CodecError, match="SafetyCommand is 8 bytes, got 7"):
        decode(17, bytes(7))
    with pytest.raises(CodecError, match="bits set outside"):
        decode(message_id(VehicleState), b"\0\0\xff")
    with pytest.raises(CodecError, match="unknown faults"):
        encode(
            Status(
                effective_action=Action.NONE,
                stop_latched=False,
                applied_ceiling_mps=0,
                applied_deceleration_mps2=0,
                faults=("flat_tyre",),
                tick_ms=0,
            )
        )


def test_long_counts_and_ages_are_folded_as_documented() -> None:
    beat = replace(BEAT, loop_sequence=65536 + 7, camera_age_ms=10**9, as_of_tick_ms=2**22 + 5)
    sent = decode(*encode(beat))
    assert sent == replace(BEAT, loop_sequence=7, camera_age_ms=65535, as_of_tick_ms=5)


@pytest.mark.parametrize(
    ("message", "signal", "enumeration"),
    [
        ("SafetyCommand", "action", Action),
        ("SafetyCommand", "reason", Reason),
        ("Heartbeat", "perception", Perception),
        ("Heartbeat", "canary", Canary),
        ("Heartbeat", "mode", Mode),
        ("Status", "effective_action", Action),
        ("Acknowledge", "effective_action", Action),
        ("Acknowledge", "result", AckResult),
    ],
)
def test_enumerations_are_the_contracts(
    message: str, signal: str, enumeration: type[enum.IntEnum]
) -> None:
    choices = contract().get_message_by_name(message).get_signal_by_name(signal).choices
    assert choices is not None
    assert {str(v): int(k) for k, v in choices.items()} == {e.name: e.value for e in enumeration}


def test_only_what_matters_changes_the_contract_hash() -> None:
    text = CONTRACT_FILE.read_text()

    def canonical(changed: str) -> str:
        database = cantools.database.load_string(changed, "dbc")
        assert isinstance(database, Database)
        return canonical_contract(database)

    assert canonical(text.replace("Opens a session", "Starts a session")) == canonical(text)
    assert canonical(text.replace('1 "NOTIFY"', '1 "TELL"')) != canonical(text)
    assert canonical(text.replace("[1|1000]", "[1|900]")) != canonical(text)
    assert 0 <= contract_hash() < 2**24


def test_every_limit_changes_the_limits_hash() -> None:
    assert limits_hash(replace(LIMITS, escalation_ms=1001)) != limits_hash()
    harder = replace(LIMITS.action[Action.COMFORT_STOP], jerk_cmps3=61)
    changed = replace(LIMITS, action=(*LIMITS.action[:4], harder, LIMITS.action[5]))
    assert limits_hash(changed) != limits_hash()
    assert "COMFORT_STOP.jerk_cmps3=60\n" in canonical_limits()


def test_limits_fit_the_contract() -> None:
    for braking in LIMITS.action:
        low, high = braking.deceleration_min_cmps2, braking.deceleration_max_cmps2
        assert 0 <= low <= braking.deceleration_default_cmps2 <= high <= 1000
    assert LIMITS.speed_ceiling_max_cmps <= 10_000
    assert LIMITS.command_valid_max_ms <= 300


@pytest.mark.requirement("R-LINK-21")
def test_no_graver_action_has_softer_braking_than_a_milder_one() -> None:
    for milder, graver in pairwise(LIMITS.action):
        for field in fields(ActionLimits):
            assert getattr(graver, field.name) >= getattr(milder, field.name), field.name


@pytest.mark.parametrize("name", ["contract.h", "limits.h"])
def test_generated_headers_are_fresh(name: str) -> None:
    text = {"contract.h": generate.contract_header, "limits.h": generate.limits_header}[name]()
    assert (generate.GENERATED / name).read_text() == text, (
        "python -m firmware_bridge.protocol.generate"
    )


def test_generated_codec_is_fresh() -> None:
    if version("cantools").split(".")[0] != generate.CANTOOLS_MAJOR:
        pytest.skip(f"checked in as cantools {generate.CANTOOLS_MAJOR} writes it")
    for name, text in generate.c_codec().items():
        checked_in = (generate.GENERATED / name).read_text()
        assert checked_in == text, generate.__name__
