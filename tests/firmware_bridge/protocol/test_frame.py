"""Frames: valid ones arrive however the stream is cut, damaged ones never do."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.protocol.frame import Deframer, LinkFrame, counter_step, pack

FRAMES = st.builds(
    LinkFrame,
    message_id=st.integers(0, 255),
    counter=st.integers(0, 65535),
    payload=st.binary(max_size=8),
)


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 200), max_size=8))
def test_frames_survive_any_cutting(frames: list[LinkFrame], cuts: list[int]) -> None:
    stream = b"".join(map(pack, frames))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    deframer = Deframer()
    seen = [f for a, b in itertools.pairwise(edges) for f in deframer.feed(stream[a:b])]
    assert seen == frames
    assert deframer.damaged == 0


@given(FRAMES)
def test_a_frame_has_one_zero_at_its_end(frame: LinkFrame) -> None:
    wire = pack(frame)
    assert wire.index(0) == len(wire) - 1 <= 17


def test_the_envelope_is_as_documented() -> None:
    body = bytes([17, 3, 0x34, 0x12]) + b"abc"
    wire = pack(LinkFrame(message_id=17, counter=0x1234, payload=b"abc"))
    assert cobs.decode(wire[:-1]) == body + zlib.crc32(body).to_bytes(4, "little")
    with pytest.raises(ValueError, match="at most 8"):
        pack(LinkFrame(message_id=17, counter=0, payload=bytes(9)))


@given(st.lists(st.binary(max_size=100), max_size=20), FRAMES)
def test_noise_never_keeps_the_next_frame_away(noise: list[bytes], frame: LinkFrame) -> None:
    deframer = Deframer()
    for data in noise:
        deframer.feed(data)
    assert deframer.feed(b"\0" + pack(frame))[-1] == frame


def test_a_stream_without_delimiters_is_one_damaged_frame() -> None:
    deframer = Deframer()
    for _ in range(1000):
        assert deframer.feed(b"\xaa" * 1000) == []
    frame = LinkFrame(message_id=1, counter=2, payload=b"x")
    assert deframer.feed(b"\0" + pack(frame)) == [frame]
    assert deframer.damaged == 1


def test_no_damaged_frame_is_believed() -> None:
    """20,000 streams with flipped, lost, doubled and inserted bytes: nothing foreign comes out."""
    dice = random.Random(20_000)
    for trial in range(20_000):
        sent = [
            LinkFrame(
                message_id=dice.randrange(256),
                counter=dice.randrange(65536),
                payload=dice.randbytes(dice.randrange(9)),
            )
            for _ in range(2)
        ]
        stream = bytearray(b"".join(map(pack, sent)))
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(stream))
            match trial % 4:
                case 0:
                    stream[at] ^= 1 << dice.randrange(8)
                case 1:
                    del stream[at]
                case 2:
                    stream.insert(at, stream[at])
                case 3:
                    stream[at:at] = dice.randbytes(3)
        for frame in Deframer().feed(bytes(stream)):
            assert frame in sent


@given(st.integers(0, 65535), st.integers(0, 32767))
def test_counters_go_round(last: int, step: int) -> None:
    assert counter_step((last + step) % 65536, last) == step
    assert counter_step((last - step) % 65536, last) == -step
