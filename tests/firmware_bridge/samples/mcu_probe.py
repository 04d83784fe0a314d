"""The compiled core in a process with simulated time, and a host that talks to it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from firmware_bridge.protocol.codec import (
    PROTOCOL_VERSION,
    contract_hash,
    decode,
    encode,
    fault_names,
)
from firmware_bridge.protocol.frame import Deframer, LinkFrame, pack
from firmware_bridge.protocol.limits import limits_hash
from firmware_bridge.protocol.messages import (
    Acknowledge,
    Action,
    Canary,
    Heartbeat,
    HostHello,
    Message,
    Mode,
    Perception,
    Reason,
    SafetyCommand,
    Status,
)

M = TypeVar("M")

HELLO = HostHello(
    version=PROTOCOL_VERSION,
    boot_id=1,
    contract_hash=contract_hash(),
    limits_hash=limits_hash(),
)
BEAT = Heartbeat(
    loop_sequence=0,
    perception=Perception.KNOWN,
    camera_age_ms=50,
    mode=Mode.NORMAL,
    canary=Canary.PASSED,
)
COMMAND = SafetyCommand(
    action=Action.NONE,
    release=False,
    speed_ceiling_mps=10.0,
    deceleration_limit_mps2=1.0,
    valid_for_ms=200,
    reason=Reason.CLEAR,
)


@dataclass(frozen=True)
class Answer:
    """What one update applied and sent."""

    action: Action
    latched: bool
    ceiling_cmps: int
    deceleration_cmps2: int
    jerk_cmps3: int
    standstill: bool
    faults: frozenset[str]
    sent: tuple[Message, ...]
    counters: tuple[int, ...]
    tx: bytes

    def only(self, kind: type[M]) -> M:
        """The one message of that kind."""
        (message,) = [m for m in self.sent if isinstance(m, kind)]
        return message

    def all(self, kind: type[M]) -> list[M]:
        return [m for m in self.sent if isinstance(m, kind)]


@dataclass(frozen=True)
class Frame:
    """A numbered message, on its way: stamped when it is handed over, unless it says as of when."""

    message: Message
    counter: int
    age_ms: int = 0

    def wire(self, tick_ms: int) -> bytes:
        """Its bytes, made `age_ms` before that tick."""
        message = self.message
        if isinstance(message, (Heartbeat, SafetyCommand)) and message.as_of_tick_ms is None:
            message = replace(message, as_of_tick_ms=tick_ms - self.age_ms)
        identity, payload = encode(message)
        return pack(LinkFrame(message_id=identity, counter=self.counter, payload=payload))


class Probe:
    """The probe process; any sanitizer report or crash fails the test that caused it."""

    def __init__(self, program: Path, *, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_error: object) -> None:
        _, complaints = self._process.communicate(timeout=900)
        assert self._process.returncode == 0, complaints

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the probe died of: {line[:200]}"
        return answer.strip()

    def boot(self, now_ms: int, boot_id: int) -> None:
        assert self.ask(f"boot {now_ms % 2**32} {boot_id}") == "ok"

    def update(
        self,
        now_ms: int,
        rx: bytes,
        *,
        speed_cmps: int,
        speed_valid: bool,
        operator: bool,
        capacity: int,
    ) -> Answer:
        words = self.ask(
            f"update {now_ms % 2**32} {speed_cmps} {speed_valid:d} {operator:d} {capacity}"
            f" {rx.hex() or '-'}"
        ).split()
        numbers = [int(word) for word in words[:7]]
        tx = b"" if words[7] == "-" else bytes.fromhex(words[7])
        deframer = Deframer()
        frames = deframer.feed(tx)
        assert deframer.damaged == 0
        return Answer(
            action=Action(numbers[0]),
            latched=bool(numbers[1]),
            ceiling_cmps=numbers[2],
            deceleration_cmps2=numbers[3],
            jerk_cmps3=numbers[4],
            standstill=bool(numbers[5]),
            faults=frozenset(n for bit, n in enumerate(fault_names()) if numbers[6] >> bit & 1),
            sent=tuple(decode(f.message_id, f.payload) for f in frames),
            counters=tuple(f.counter for f in frames),
            tx=tx,
        )


class Mcu:
    """A microcontroller on the probe and a host that greets and numbers its frames properly."""

    def __init__(self, probe: Probe, *, now_ms: int = 0, boot_id: int = 9) -> None:
        self.probe = probe
        self.now_ms = now_ms
        self.speed_cmps = 0
        self.speed_valid = True
        self.operator = False
        self.capacity = 4096
        self.counter = 0
        self.loop_sequence = 0
        self.boot(boot_id)

    def boot(self, boot_id: int = 9) -> None:
        """Reboot now: the tick starts at 0."""
        self.boot_ms = self.now_ms
        self.probe.boot(self.now_ms, boot_id)

    @property
    def tick_ms(self) -> int:
        """Milliseconds since it booted."""
        return self.now_ms - self.boot_ms

    def wire(self, *rx: bytes | Frame) -> bytes:
        """The bytes of frames that are made now."""
        return b"".join(r.wire(self.tick_ms) if isinstance(r, Frame) else r for r in rx)

    def update(self, *rx: bytes | Frame, after_ms: int = 0) -> Answer:
        """Let time pass, then let the frames be made and arrive."""
        self.now_ms += after_ms
        return self.probe.update(
            self.now_ms,
            self.wire(*rx),
            speed_cmps=self.speed_cmps,
            speed_valid=self.speed_valid,
            operator=self.operator,
            capacity=self.capacity,
        )

    def frame(self, message: Message, *, counter: int | None = None, age_ms: int = 0) -> Frame:
        """The message in the next frame, or in one with that counter."""
        if counter is None:
            self.counter = counter = (self.counter + 1) % 65536
        return Frame(message, counter, age_ms)

    def raw(self, identity: int, payload: bytes) -> bytes:
        """Any payload under any id, in the next frame."""
        self.counter = (self.counter + 1) % 65536
        return pack(LinkFrame(message_id=identity, counter=self.counter, payload=payload))

    def hello(self, **changes: Any) -> Frame:
        return self.frame(replace(HELLO, **changes))

    def beat(self, *, age_ms: int = 0, **changes: Any) -> Frame:
        """The next turn of the decision loop, unless told which."""
        if "loop_sequence" not in changes:
            self.loop_sequence += 1
            changes["loop_sequence"] = self.loop_sequence
        return self.frame(replace(BEAT, **changes), age_ms=age_ms)

    def command(self, action: Action = Action.NONE, *, age_ms: int = 0, **changes: Any) -> Frame:
        return self.frame(replace(COMMAND, action=action, **changes), age_ms=age_ms)

    def release(self) -> Answer:
        """From boot to NONE: greet, three healthy heartbeats, permission."""
        self.update(self.hello())
        return self.update(
            self.beat(), self.beat(), self.beat(), self.command(release=True, valid_for_ms=300)
        )

    def ack(self, *rx: bytes | Frame, after_ms: int = 0) -> Acknowledge:
        return self.update(*rx, after_ms=after_ms).only(Acknowledge)

    def status(self) -> Status:
        """The next periodic status."""
        return self.update(after_ms=20).only(Status)
