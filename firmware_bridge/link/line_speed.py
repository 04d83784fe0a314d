"""Reads the rate at which a serial device works, in baud, from its driver."""

from __future__ import annotations

import contextlib
import fcntl
import struct
import termios

BAUD = 115200
BAUD_TOLERANCE = 0.02
"""A receiver still samples a byte's last bit correctly while both rates differ by less than 4 %."""

# struct termios2 of asm-generic/termbits.h: four flags, line, 19 control characters, both speeds.
# The same on x86 and ARM; it holds rates as numbers, also those that have no name.
_TCGETS2 = 0x802C542A
_TERMIOS2 = struct.Struct("@4IB19s2I")


def line_speed(descriptor: int) -> tuple[int, int]:
    """The device's (input, output) rate in baud. Raises OSError, termios.error."""
    with contextlib.suppress(OSError):
        answer = fcntl.ioctl(descriptor, _TCGETS2, bytes(_TERMIOS2.size))
        *_, incoming, outgoing = _TERMIOS2.unpack(answer)
        return incoming or outgoing, outgoing
    # Elsewhere rates have names only: B115200.
    names = [name for name in dir(termios) if name[:1] == "B" and name[1:].isdigit()]
    rates = {getattr(termios, name): int(name[1:]) for name in names}
    incoming, outgoing = termios.tcgetattr(descriptor)[4:6]
    return rates.get(incoming, 0), rates.get(outgoing, 0)
