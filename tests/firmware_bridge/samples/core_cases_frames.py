"""Cases of the core about frames alone, whatever they carry: C and Python cut a stream alike."""

from __future__ import annotations

import random
import zlib

import pytest
from cobs import cobs
from core_registry import case
from mcu_probe import Mcu

from firmware_bridge.protocol.frame import Deframer, LinkFrame, pack
from firmware_bridge.protocol.messages import Acknowledge, McuHello, Status


def _as_the_probe_says(stream: bytes) -> list[str]:
    """Frames and damaged ones in their order, cut by the Python side."""
    deframer = Deframer()
    said: list[str] = []
    for byte in stream:
        frames = deframer.feed(bytes([byte]))
        said += [f"{f.message_id}:{f.counter}:{f.payload.hex()}" for f in frames]
        if deframer.damaged > said.count("damaged"):
            said.append("damaged")
    return said


def _damaged(wire: bytes, dice: random.Random) -> bytes:
    """Cut short, flipped, stretched, begun late, or with a length that lies under a right CRC."""
    at = dice.randrange(len(wire))
    flipped = wire[:at] + bytes([wire[at] ^ 1 << dice.randrange(8)]) + wire[at + 1 :]
    longer = wire[:at] + dice.randbytes(dice.randrange(20)) + wire[at:]
    body = bytearray(cobs.decode(wire[:-1])[:-4])
    body[1] = (body[1] + dice.choice((-1, 1, 2))) % 256
    lying: bytes = cobs.encode(bytes(body) + zlib.crc32(body).to_bytes(4, "little"))
    short = cobs.encode(dice.choice((b"", b"\0", bytes(body[: dice.randrange(1, 8)]))))
    return dice.choice(
        (wire[:at] + b"\0", flipped, longer, wire[at:], lying + b"\0", short + b"\0")
    )


@case
@pytest.mark.requirement("R-LINK-36")
def answers_128_bytes_with_256_at_most(mcu: Mcu) -> None:
    """Hellos make the most of 128 bytes: each is answered by as many, and half of one waits."""
    mcu.capacity = 256
    hellos = mcu.wire(*(mcu.hello(boot_id=number) for number in range(8)))
    mcu.boot()
    assert not mcu.update(hellos[:16]).all(Acknowledge)
    answer = mcu.update(hellos[16:144], after_ms=100)
    assert len(answer.all(McuHello)) == 8
    assert len(answer.all(Status)) == 1
    mcu.boot()
    commands = mcu.wire(mcu.hello(), *(mcu.command() for _ in range(7)))
    mcu.update(commands[:16])
    assert len(mcu.update(commands[16:144], after_ms=100).all(Acknowledge)) == 7


@case
@pytest.mark.requirement("R-LINK-9")
def cuts_any_stream_as_the_host_does(mcu: Mcu) -> None:
    dice = random.Random(9)
    for _ in range(600):
        stream = b""
        for _ in range(dice.randrange(1, 6)):
            payload = dice.choice((dice.randbytes(8), bytes(8), b"\1" * 8))[: dice.randrange(9)]
            wire = pack(LinkFrame(message_id=17, counter=dice.randrange(65536), payload=payload))
            stream += _damaged(wire, dice) if dice.random() < 0.5 else wire
        assert mcu.probe.ask(f"deframe {stream.hex()}").split() == _as_the_probe_says(stream)
