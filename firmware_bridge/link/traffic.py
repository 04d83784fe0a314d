"""Recognises what comes from a port on which no microcontroller greets: an echo, text, noise.

Bytes and the frames found in them go in; a finding in words, with its remedy, comes out. Keeps the
last half kilobyte. No clock, no port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmware_bridge.protocol.codec import message_id
from firmware_bridge.protocol.frame import LinkFrame
from firmware_bridge.protocol.messages import Heartbeat, HostHello, SafetyCommand

_KEPT = 512
_SHOWN = 60
_TEXT_SHARE = 0.95
_SLOW_SHARE = 0.8

_OURS = frozenset(message_id(kind) for kind in (HostHello, SafetyCommand, Heartbeat))

# A receiver that samples much faster than the sender sends reads each bit many times over: each of
# its bytes holds one change of level at most.
_ONE_EDGE = frozenset({0x00, 0x80, 0xC0, 0xE0, 0xF0, 0xF8, 0xFC, 0xFE, 0xFF})

_NMEA = re.compile(rb"[$!][A-Z]{2}[A-Z0-9]{3},[^\r\n*]*\*[0-9A-F]{2}")

# In frames a run of so many printable bytes occurs about once in 100,000 bytes.
_TEXT_RUN = re.compile(rb"[ -~]{12,}")

OUR_PORT = "name the microcontroller's own port: ls /dev/serial/by-id"


@dataclass(frozen=True)
class TrafficFinding:
    """What the traffic looks like, in words, and what to do about it."""

    what: str
    remedy: str


SILENCE = TrafficFinding(
    "silence: not one byte", "check cable, power and baud rate, and that this is its port"
)


class TrafficObserver:
    """Observes the bytes since the port was opened, or since the last session ended."""

    def __init__(self) -> None:
        self._bytes = 0
        self._last = bytearray()
        self._ours = 0
        self._ids: set[int] = set()

    def take(self, data: bytes, frames: list[LinkFrame]) -> None:
        """Take in bytes as they arrived, and the undamaged frames that they completed."""
        self._bytes += len(data)
        self._last += data
        del self._last[:-_KEPT]
        ids = [frame.message_id for frame in frames]
        self._ours += sum(identity in _OURS for identity in ids)
        self._ids |= set(ids) - _OURS

    def finding(self) -> TrafficFinding:
        """What the traffic looks like; the surest sign decides."""
        if self._bytes == 0:
            return SILENCE
        if self._ids:
            return TrafficFinding(
                "a microcontroller that reports and does not answer our greeting",
                "check the wire towards the microcontroller (our TX to its RX), and that it was"
                " flashed with the firmware of this version of brakepoint",
            )
        if self._ours:
            return TrafficFinding(
                f"an echo: {self._ours} frame(s) of our own came back",
                "RX and TX are joined, or a modem or console echoes; check the wiring, or "
                + OUR_PORT,
            )
        if (line := self.text()) is not None:
            if _NMEA.search(self._last):
                return TrafficFinding(
                    f"NMEA text, as receivers of satellite positions send it at 4800 or 9600 baud:"
                    f" {line}",
                    "this is the port of such a receiver; " + OUR_PORT,
                )
            return TrafficFinding(
                f"lines of text: {line}",
                "a console or another device; switch its messages off, or " + OUR_PORT,
            )
        what = f"{self._bytes} bytes and no whole frame among them"
        slow = sum(byte in _ONE_EDGE for byte in self._last)
        if slow >= _SLOW_SHARE * len(self._last):
            what += ", as from a sender at a far lower baud rate"
        return TrafficFinding(
            what,
            "set link.baud to the rate that the firmware was built for, or " + OUR_PORT,
        )

    def text(self) -> str | None:
        """The last whole line, quoted, where nearly all of it is printable text; None elsewhere."""
        printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in self._last)
        if not self._last or printable < _TEXT_SHARE * len(self._last):
            return None
        lines = [line for line in bytes(self._last).splitlines() if line.strip()]
        # The last one may still be coming in; the first may have lost its beginning.
        line = lines[-2] if len(lines) > 2 else lines[-1] if lines else b""
        return repr(line[:_SHOWN].decode("ascii", "replace"))

    def text_among_frames(self) -> str | None:
        """The last run of printable text that no frame holds, quoted; None where there is none."""
        runs = _TEXT_RUN.findall(self._last)
        return repr(runs[-1][:_SHOWN].decode("ascii")) if runs else None
