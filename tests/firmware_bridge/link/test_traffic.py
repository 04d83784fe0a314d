"""Bytes from a port without a microcontroller are recognised, with a remedy."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mcu_probe import BEAT, COMMAND

from firmware_bridge.link.traffic import SILENCE, TrafficObserver
from firmware_bridge.protocol.codec import contract_hash, encode
from firmware_bridge.protocol.frame import Deframer, LinkFrame, pack
from firmware_bridge.protocol.limits import limits_hash
from firmware_bridge.protocol.messages import Action, HostHello, Status

GPS = b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"


def heard_of(*pieces: bytes) -> tuple[str, str]:
    observer, deframer = TrafficObserver(), Deframer()
    for data in pieces:
        observer.take(data, deframer.feed(data))
    return observer.finding().what, observer.finding().remedy


def framed(message: object, counter: int = 1) -> bytes:
    identity, payload = encode(message)  # type: ignore[arg-type]
    return pack(LinkFrame(message_id=identity, counter=counter, payload=payload))


STATUS = Status(
    effective_action=Action.COMFORT_STOP,
    stop_latched=True,
    applied_ceiling_mps=0.0,
    applied_deceleration_mps2=1.0,
    faults=("no_greeting",),
    tick_ms=20,
)


def test_nothing_is_silence() -> None:
    assert heard_of() == (SILENCE.what, SILENCE.remedy)


def test_a_satellite_receiver_is_named_with_its_line() -> None:
    what, remedy = heard_of(GPS[30:], GPS, GPS, GPS[:20])
    assert what.startswith("NMEA text")
    assert "4800" in what
    assert "'$GPRMC,123519,A," in what
    assert "ls /dev/serial/by-id" in remedy


def test_other_text_is_shown_and_cannot_move_the_terminal() -> None:
    what, _ = heard_of(b"ot ok\r\n", b"[ 12.345] loop ok, adc=512\r\n" * 3, b"\x1b[")
    assert what == "lines of text: '[ 12.345] loop ok, adc=512'"
    what, _ = heard_of(b"login: " * 50, b"\x1b[2J")
    assert "\x1b" not in what
    assert len(what) < 100


def test_our_own_frames_are_an_echo() -> None:
    hello = HostHello(
        version=1, boot_id=1, contract_hash=contract_hash(), limits_hash=limits_hash()
    )
    what, remedy = heard_of(
        b"\0" + framed(hello),
        framed(replace(BEAT, as_of_tick_ms=1), 2),
        framed(replace(COMMAND, as_of_tick_ms=1), 3),
    )
    assert what == "an echo: 3 frame(s) of our own came back"
    assert "RX and TX" in remedy


def test_a_microcontroller_that_does_not_hear_us_is_known_by_its_reports() -> None:
    what, remedy = heard_of(b"\xff\xfe" + framed(STATUS), framed(STATUS, 2))
    assert what == "a microcontroller that reports and does not answer our greeting"
    assert "our TX" in remedy


def test_bytes_that_are_no_frames_are_counted_and_the_rate_is_suspected() -> None:
    what, remedy = heard_of(random.Random(1).randbytes(3000))
    assert what == "3000 bytes and no whole frame among them"
    assert "link.baud" in remedy


def sampled(data: bytes, *, factor: int) -> bytes:
    """What a receiver at `factor` times the sender's rate takes the bytes for."""
    line = [1] * 3 * factor
    for byte in data:
        for bit in (0, *(byte >> n & 1 for n in range(8)), 1):
            line += [bit] * factor
    line += [1] * 20
    taken, at = bytearray(), 0
    while at < len(line) - 10:
        if line[at]:  # idle, until a start bit
            at += 1
            continue
        taken.append(sum(line[at + 1 + n] << n for n in range(8)))
        at += 9
        while at < len(line) and not line[at]:  # no stop bit: a break, until the line is idle
            at += 1
    return bytes(taken)


@pytest.mark.parametrize("factor", [12, 24])
def test_a_sender_at_a_far_lower_rate_is_told_from_noise(factor: int) -> None:
    what, _ = heard_of(sampled(GPS * 3, factor=factor))
    assert what.endswith("as from a sender at a far lower baud rate")


def test_text_among_frames_is_found() -> None:
    observer = TrafficObserver()
    observer.take(framed(STATUS), [])
    assert observer.text_among_frames() is None
    observer.take(b"[ 12.345] loop ok\r\n" + framed(STATUS), [])
    assert observer.text_among_frames() == "'[ 12.345] loop ok'"


@pytest.mark.parametrize("byte", [0x00, 0x80, 0xC0, 0xE0, 0xF0, 0xF8, 0xFC, 0xFE, 0xFF])
def test_every_byte_with_one_edge_speaks_for_a_lower_rate(byte: int) -> None:
    what, _ = heard_of(bytes([byte] * 4 + [0xA7]))
    assert what.endswith("a far lower baud rate")
    what, _ = heard_of(bytes([byte] * 3 + [0xA7]))
    assert what == "4 bytes and no whole frame among them"


def test_what_was_said_long_ago_is_forgotten() -> None:
    assert (
        heard_of(GPS, b"\xa7" * 500)[0] == f"{len(GPS) + 500} bytes and no whole frame among them"
    )
    noise = b"\xa7" * 512
    observer = TrafficObserver()
    observer.take(b"0123456789ab" + noise, [])
    assert observer.text_among_frames() is None


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"booting", "booting"),
        (b"of the first\r\nsecond\r\n", "second"),
        (b"of the first\r\nsecond\r\nthi", "second"),
        (b"1\r\n2\r\n3\r\n4\r\n5\r\nnot who", "5"),
        (b"\r\n\r\n\r\n", ""),
        (b"ab\tc " * 40, ("ab\\tc " * 12)),
        (b"a" * 18 + b"\x7f", None),
        (b"a" * 19 + b"\x7f", "a" * 19 + "\\x7f"),
    ],
)
def test_the_last_line_that_is_surely_whole_is_shown(data: bytes, line: str | None) -> None:
    what, _ = heard_of(data)
    assert what == (
        f"lines of text: '{line}'" if line is not None else "19 bytes and no whole frame among them"
    )
