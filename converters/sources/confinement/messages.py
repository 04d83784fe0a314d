"""Sends and receives the messages between a confined process and its parent: a line of JSON, then
arrays and bytes.

Both sides bound what they read, since a file's code may have taken over the other end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.contract.json_text import parse_json

LARGEST_LINE = 64 << 20
LARGEST_PART = (1 << 31) - 1
LARGEST_WHOLE = 1 << 33
KINDS = frozenset({"float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8"})
KINDS |= {"bool"}
"""Accepted dtypes of arrays."""


class ProtocolError(Exception):
    """The other end is gone, or sent something that is not a message."""


@dataclass(frozen=True)
class Message:
    """JSON values, with bytes (`parts`) and arrays in order."""

    values: Mapping[str, Any]
    parts: Sequence[bytes] = ()
    arrays: Sequence[NDArray[Any]] = field(default=())


def send(stream: BinaryIO, message: Message) -> None:
    """Writes one message. Raises OSError where the other end is closed."""
    arrays = [np.ascontiguousarray(one).reshape(one.shape) for one in message.arrays]
    head = {
        "values": message.values,
        "parts": [len(part) for part in message.parts],
        "arrays": [{"dtype": one.dtype.name, "shape": list(one.shape)} for one in arrays],
    }
    stream.write(json.dumps(head).encode() + b"\n")
    for part in (*message.parts, *(one.tobytes() for one in arrays)):
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO) -> Message:
    """Reads one message. Raises ProtocolError."""
    line = stream.readline(LARGEST_LINE)
    if not line.endswith(b"\n"):
        raise ProtocolError("it ended without an answer")
    try:
        head = parse_json(line)
        sizes = [_size(one) for one in head["parts"]]
        shapes = [_shape(one) for one in head["arrays"]]
        values = dict(head["values"])
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError(f"no message: {error}") from error
    lengths = [int(np.dtype(kind).itemsize) * _count(shape) for kind, shape in shapes]
    if sum((*sizes, *lengths)) > LARGEST_WHOLE or max((0, *sizes, *lengths)) > LARGEST_PART:
        raise ProtocolError("a message of more than 2 GB")
    parts = [_exactly(stream, size) for size in sizes]
    arrays = [
        np.frombuffer(_exactly(stream, length), np.dtype(kind)).reshape(shape)
        for (kind, shape), length in zip(shapes, lengths, strict=True)
    ]
    return Message(values, parts, arrays)


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a size of {value}")
    return value


def _shape(value: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    if value["dtype"] not in KINDS or len(value["shape"]) > 32:
        raise ValueError(f"an array of {value['dtype']}")
    return value["dtype"], tuple(map(_size, value["shape"]))


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise ProtocolError("it ended within an answer")
    return found
