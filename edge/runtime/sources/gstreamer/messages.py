"""What the process of a pipeline sends: a header of fixed size, then its bytes.

A picture goes as it lies in memory; all else as JSON. Imports nothing that takes time to load.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

READY, PLAYING, PICTURE, FAILED, ENDED = range(1, 6)
"""GStreamer is loaded (JSON: `recipe`, which one is played); the pipeline plays (JSON: `live`); a
picture; an error (JSON: that of `library.GStreamerError`); the stream has ended."""

NO_TIME = -1

_LAYOUT = struct.Struct("<IIIIIIq")
SIZE = _LAYOUT.size
BYTES_MAX = 3 * 2**26
"""Of a picture: 2^26 pixels, as of every other source."""


class BadMessage(Exception):
    """The bytes are no message of the process."""


@dataclass(frozen=True)
class Header:
    """What precedes the bytes of a message.

    Attributes:
        kind: one of READY to ENDED.
        length: number of bytes that follow.
        width, height: of a picture, in pixels.
        rate: frames a second, numerator and denominator; 0/1 where it is not known.
        time_ns: capture time on the monotonic clock, or NO_TIME.
    """

    kind: int
    length: int
    width: int = 0
    height: int = 0
    rate: tuple[int, int] = (0, 1)
    time_ns: int = NO_TIME

    def pack(self) -> bytes:
        """SIZE bytes."""
        return _LAYOUT.pack(
            self.kind, self.length, self.width, self.height, *self.rate, self.time_ns
        )

    @staticmethod
    def unpack(data: bytes | bytearray) -> Header:
        """Raises BadMessage where these are no header."""
        kind, length, width, height, above, below, time_ns = _LAYOUT.unpack(data)
        if not (READY <= kind <= ENDED and length <= BYTES_MAX and below > 0):
            raise BadMessage("not a message of a pipeline's process")
        return Header(kind, length, width, height, (above, below), time_ns)
