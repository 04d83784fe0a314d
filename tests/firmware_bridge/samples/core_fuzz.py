"""Random lives of the microcontroller: frames, times, vehicles and call patterns, run by the
compiled core and by core_model.py, and compared byte for byte.

A life is one boot and some hundred updates, all from one seed. What it is made of leans towards
edges: ages and pauses of a limit less one, exactly, and plus one; the instants at which the model
says that a timer runs out; counters and ticks about to wrap; frames cut in the middle, repeated,
damaged; silence; many frames in one update.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core_model import CoreModel, Vehicle, message_id, payload

from firmware_bridge.protocol.codec import PROTOCOL_VERSION, contract_hash
from firmware_bridge.protocol.frame import LinkFrame, pack
from firmware_bridge.protocol.limits import LIMITS, limits_hash
from firmware_bridge.protocol.messages import Action

UPDATES_A_LIFE = 250
_EDGES = sorted({at + off for at in (200, 300, 700, 1000, 1300) for off in (-1, 0, 1)})
_STARTS = (0, 1, 2**22 - 700, 2**24 - 500, 2**31 - 900, 2**32 - 1500)
_LONG = (2**22 - 300, 2**22, 2**22 + 1, 2**24, 2**31)


@dataclass(frozen=True)
class Call:
    """One update as it is handed to both: unwrapped time, vehicle, bytes, room for the answer."""

    now_ms: int
    vehicle: Vehicle
    rx: bytes
    capacity: int

    def line(self) -> str:
        """The probe's command."""
        v = self.vehicle
        return (
            f"update {self.now_ms % 2**32} {v.speed_cmps} {v.speed_valid:d} {v.operator:d}"
            f" {self.capacity} {self.rx.hex() or '-'}"
        )


@dataclass(frozen=True)
class Life:
    """A boot and what follows, and what the model says to each of its lines."""

    seed: int
    boot_ms: int
    calls: tuple[Call, ...]
    expected: tuple[str, ...]

    def lines(self) -> list[str]:
        """The probe's commands."""
        begin = [f"boot {self.boot_ms % 2**32} 9", "outputs"]
        return begin + [call.line() for call in self.calls]


class _Host:
    """A host with moods: now proper, now blind, silent, late, wild or broken."""

    def __init__(self, dice: random.Random, boot_ms: int) -> None:
        self.dice = dice
        self.boot_ms = boot_ms
        self.now_ms = boot_ms
        self.counter = dice.choice((0, 65_500, 32_700))
        self.sequence = dice.choice((0, 65_530))
        self.boot_id = 1
        self.mood = "proper"
        self.kept: list[bytes] = []

    def frame(self, message: str, **values: int) -> bytes:
        dice = self.dice
        self.counter = (self.counter + 1) % 65536
        counter = self.counter
        if self.mood == "wild" and dice.random() < 0.2:
            counter = (counter + dice.choice((-1, -2, 0x7FFF, 0x8000, 0x8001))) % 65536
        body = payload(message, **values)
        identity = message_id(message)
        if self.mood == "wild" and dice.random() < 0.1:
            identity = dice.choice((16, 17, 18, 32, 34, 99))
        if self.mood == "wild" and dice.random() < 0.1:
            body = body[: dice.randrange(9)]
        wire = pack(LinkFrame(message_id=identity, counter=counter, payload=body))
        if self.mood == "wild" and dice.random() < 0.15:
            at = dice.randrange(len(wire))
            wire = wire[:at] + bytes([wire[at] ^ 1 << dice.randrange(8)]) + wire[at + 1 :]
        if dice.random() < 0.02:
            self.kept.append(wire)
        return wire

    def as_of(self) -> int:
        dice = self.dice
        age_ms = dice.randrange(0, 40)
        if self.mood in ("late", "wild") and dice.random() < 0.6:
            age_ms = dice.choice((*_EDGES, -1, -5, 2**21, 2**22 - 1, 2**22 + 5, 5000))
        elif dice.random() < 0.05:
            age_ms = dice.choice(_EDGES[:6])
        return self.now_ms - self.boot_ms - age_ms

    def hello(self) -> bytes:
        dice = self.dice
        wrong = self.mood == "wild" and dice.random() < 0.5
        if dice.random() < 0.4:
            self.boot_id = dice.randrange(4)
            self.counter = dice.randrange(65536)
        return self.frame(
            "HostHello",
            version=PROTOCOL_VERSION ^ (wrong and dice.random() < 0.4),
            boot_id=self.boot_id,
            contract_hash=contract_hash() ^ (wrong and dice.random() < 0.4),
            limits_hash=limits_hash() ^ (wrong and dice.random() < 0.4),
        )

    def beat(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.97:
            self.sequence = (self.sequence + 1) % 65536
        blind = self.mood == "blind" and dice.random() < 0.9
        camera_age_ms = dice.randrange(0, 200)
        if ((blind or self.mood == "wild") and dice.random() < 0.4) or dice.random() < 0.03:
            camera_age_ms = dice.choice((*_EDGES, 990, 65535))
        return self.frame(
            "Heartbeat",
            loop_sequence=self.sequence,
            camera_age_ms=camera_age_ms,
            perception=not (blind and dice.random() < 0.7),
            canary=dice.choice((0, 1, 2)) if blind else dice.choice((0, 1)),
            mode=dice.randrange(8) if self.mood == "wild" else 1,
            as_of_tick_ms=self.as_of(),
        )

    def command(self) -> bytes:
        dice = self.dice
        action = Action.NONE
        if dice.random() < 0.25:
            action = Action(dice.choice((1, 2, 2, 2, 3, 3, 3, 3)))
        if dice.random() < 0.01:
            action = dice.choice((Action.COMFORT_STOP, Action.EMERGENCY_STOP))
        row = LIMITS.action[action]
        braking = (row.deceleration_min_cmps2, row.deceleration_max_cmps2)
        wild = self.mood == "wild"
        return self.frame(
            "SafetyCommand",
            action=dice.randrange(8) if wild and dice.random() < 0.2 else action,
            release=dice.random() < 0.5,
            reason=dice.randrange(16) if wild else 1,
            speed_ceiling_cmps=dice.choice((0, 300, 500, 501, 1000, 6000, 6001, 10000, 10001)),
            deceleration_limit_cmps2=dice.choice(
                (0, 100, 150, 200, 1000, braking[0] - 1 & 1023, *braking, braking[1] + 1)
            ),
            valid_for_ms=dice.choice((1, 50, 120, 200, 250, 299, 300, 301, 1000))
            if not wild
            else dice.randrange(1024),
            as_of_tick_ms=self.as_of(),
        )

    def turn(self) -> bytes:
        """What it sends in one turn of its loop."""
        dice = self.dice
        if self.mood == "silent":
            return b""
        if self.mood == "wild" and dice.random() < 0.3:
            return dice.randbytes(dice.randrange(30)) + b"\0" * dice.randrange(2)
        if self.kept and dice.random() < 0.03:
            return dice.choice(self.kept)
        parts = [self.beat(), self.command()]
        if dice.random() < 0.15:
            parts = [self.beat(), self.beat(), self.beat(), *parts, self.command()]
        if dice.random() < 0.05:
            parts.insert(0, self.hello())
        if dice.random() < 0.1:
            dice.shuffle(parts)
        if dice.random() < 0.1:
            parts.pop()
        return b"".join(parts)


def _step_ms(dice: random.Random, model: CoreModel, now_ms: int) -> int:
    """How long until the next update: mostly a tick of a loop, now and then to an edge."""
    chance = dice.random()
    if chance < 0.002:
        return dice.choice(_LONG)
    if chance < 0.05:
        return dice.choice((*_EDGES, 95, 99, 100, 101, 4000))
    if chance < 0.2:
        ahead = [at - now_ms for at in model.instants() if at > now_ms]
        if ahead:
            return max(0, dice.choice(ahead) + dice.choice((-1, 0, 0, 1)))
    return dice.choice((0, 1, 5, 10, 20, 20, 50))


def life(seed: int) -> Life:
    """The life of that seed."""
    dice = random.Random(seed)
    boot_ms = dice.choice(_STARTS) + dice.randrange(3)
    host, model = _Host(dice, boot_ms), CoreModel(boot_ms, 9)
    stream = host.hello() if dice.random() < 0.8 else b""
    speed, calls, expected = 0, [], ["ok", model.outputs()]
    for _ in range(UPDATES_A_LIFE):
        if dice.random() < 0.06:
            host.mood = dice.choice(("proper",) * 8 + ("blind", "silent", "late", "wild"))
        host.now_ms += _step_ms(dice, model, host.now_ms)
        if dice.random() < 0.6:
            stream += host.turn()
        if dice.random() < 0.05:
            speed = dice.choice((0, 0, 0, 0, 9, 10, 10, 11, 1400))
        cut = dice.randrange(len(stream) + 1) if dice.random() < 0.1 else len(stream)
        vehicle = Vehicle(speed, dice.random() > 0.01, dice.random() < 0.1)
        capacity = dice.randrange(120) if dice.random() < 0.05 else 4096
        call = Call(host.now_ms, vehicle, stream[:cut], capacity)
        calls.append(call)
        expected.append(model.update(call.now_ms, call.vehicle, call.rx, call.capacity))
        stream = stream[cut:]
    return Life(seed, boot_ms, tuple(calls), tuple(expected))


def measured(program: Path, lives: list[Life], *, timeout_s: float = 600.0) -> list[str]:
    """What the compiled core says to each line of each life; a crash ends the list."""
    text = "\n".join(line for a_life in lives for line in a_life.lines()) + "\n"
    done = subprocess.run(
        [str(program)], input=text, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return lines if done.returncode == 0 else [*lines, f"died: {done.stderr[-2000:]}"]


def disagreement(program: Path, lives: list[Life], *, timeout_s: float = 600.0) -> str | None:
    """The first call to which model and core answer differently, in words; None where none is."""
    answers = measured(program, lives, timeout_s=timeout_s)
    at = 0
    for a_life in lives:
        for number, (said, expected) in enumerate(zip(answers[at:], a_life.expected, strict=False)):
            if said != expected:
                call = a_life.lines()[number]
                return (
                    f"seed {a_life.seed}, line {number}: {call}\n"
                    f"  the core says  {said}\n  docs/link.md   {expected}"
                )
        at += len(a_life.expected)
    if len(answers) != at:
        return f"the core answered {len(answers)} of {at} lines: {answers[-1:]}"
    return None
