"""The age of messages: both ends on one simulated clock, with a line that delays bytes."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import select
import subprocess
import sys
import threading
import time
import tty
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from checkout import samples
from mcu_probe import BEAT, COMMAND, Answer, Mcu, Probe

from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.link.reports import Reports
from firmware_bridge.link.session import Link, LinkTimes
from firmware_bridge.protocol.codec import decode
from firmware_bridge.protocol.frame import Deframer
from firmware_bridge.protocol.line_rate import minimum_baud
from firmware_bridge.protocol.messages import Action, Heartbeat, SafetyCommand, Status

MS = 1_000_000
TURN_MS = 20


class Line:
    """One way of a line: a delay for every byte, and a rate behind a buffer of 4096 bytes."""

    def __init__(self, *, bytes_per_s: float, delay_ms: int = 0) -> None:
        self._bytes_per_ms = bytes_per_s / 1000
        self._delay_ms = delay_ms
        self._waiting: deque[tuple[int, int]] = deque()
        self._credit = 0.0

    def write(self, data: bytes, now_ms: int) -> None:
        room = 4096 - len(self._waiting)
        self._waiting.extend((now_ms + self._delay_ms, byte) for byte in data[:room])

    def read(self, now_ms: int) -> bytes:
        """What arrives in this millisecond."""
        self._credit = min(self._credit + self._bytes_per_ms, self._bytes_per_ms + 1)
        arrived = bytearray()
        while self._waiting and self._waiting[0][0] <= now_ms and self._credit >= 1:
            arrived.append(self._waiting.popleft()[1])
            self._credit -= 1
        return bytes(arrived)


class Road:
    """A host that commands NONE every 20 ms, a line each way, and the core, called every 5 ms."""

    def __init__(self, probe: Probe, *, down: Line, up: Line) -> None:
        self.mcu = Mcu(probe)
        self.link = Link(1, times=LinkTimes())
        self.link.opened(0)
        self.down, self.up = down, up
        self.alive = True
        self.turns = 0
        self.answer: Answer | None = None
        self.actions: list[tuple[int, Action]] = []
        self.ahead_ms: list[int] = []
        self.faults: set[str] = set()
        self._deframer = Deframer()

    def run(self, milliseconds: int) -> None:
        arrived = b""
        for _ in range(milliseconds):
            self.mcu.now_ms += 1
            now_ms = self.mcu.now_ms
            arrived += self.down.read(now_ms)
            if now_ms % 5 == 0:
                self.answer = self.mcu.update(arrived)
                arrived = b""
                self.up.write(self.answer.tx, now_ms)
                self.actions.append((now_ms, self.answer.action))
                self.faults |= self.answer.faults
            heard = self.up.read(now_ms)
            if not self.alive:
                continue
            if heard:
                self.link.received(heard, now_ms * MS)
            data = self.link.poll(now_ms * MS)
            if now_ms % TURN_MS == 0:
                self.turns += 1
                beat = replace(BEAT, loop_sequence=self.turns)
                packed = self.link.command(
                    replace(COMMAND, release=True, valid_for_ms=250), beat, now_ns=now_ms * MS
                )
                data += packed[1] if packed else b""
            self.down.write(data, now_ms)
            for frame in self._deframer.feed(data):
                message = decode(frame.message_id, frame.payload)
                if isinstance(message, (Heartbeat, SafetyCommand)):
                    assert message.as_of_tick_ms is not None
                    self.ahead_ms.append(message.as_of_tick_ms - self.mcu.tick_ms)

    def first(self, action: Action, after_ms: int) -> int:
        """Milliseconds from `after_ms` until at least that action was applied for good."""
        milder = [at for at, applied in self.actions if applied < action]
        return max(milder, default=0) + 5 - after_ms


@pytest.mark.requirement("R-LINK-14")
def test_the_hosts_tick_is_never_ahead_and_lags_by_the_way_up_only(probe: Probe) -> None:
    dice = random.Random(14)
    for _ in range(6):
        up_ms = dice.randrange(0, 80)
        road = Road(
            probe,
            down=Line(bytes_per_s=11_520, delay_ms=dice.randrange(0, 80)),
            up=Line(bytes_per_s=11_520, delay_ms=up_ms),
        )
        road.run(2_000)
        assert road.ahead_ms
        assert max(road.ahead_ms) <= 0
        assert min(road.ahead_ms) >= -(up_ms + 10)
        assert road.answer is not None
        assert road.answer.action is Action.NONE
        assert "message_stale" not in road.answer.faults


@pytest.mark.requirement("R-LINK-14")
def test_the_hosts_tick_begins_at_what_was_read_and_counts_whole_milliseconds_only() -> None:
    reports = Reports()
    status = Status(
        effective_action=Action.NONE,
        stop_latched=False,
        applied_ceiling_mps=60.0,
        applied_deceleration_mps2=0.0,
        faults=(),
        tick_ms=700,
    )
    reports.take_status(status, 5 * MS)
    for after_ns, tick_ms in ((0, 700), (MS - 1, 700), (MS, 701), (2 * MS - 1, 701)):
        assert reports.as_of_tick_ms(5 * MS + after_ns) == tick_ms


@pytest.mark.requirement("R-LINK-2", "R-LINK-15", "R-LINK-16")
@pytest.mark.parametrize(
    ("bytes_per_s", "delay_ms"),
    [(1e6, 0), (11_520, 0), (960, 0), (960, 150), (480, 0), (11_520, 2_000), (11_520, 200)],
)
def test_a_dead_host_is_not_obeyed_however_much_the_line_holds_back(
    probe: Probe, bytes_per_s: float, delay_ms: int
) -> None:
    """The line turns slow only once the vehicle drives, as a bridge does that loses its signal."""
    road = Road(probe, down=Line(bytes_per_s=1e6), up=Line(bytes_per_s=1e6))
    road.run(500)
    assert road.answer is not None
    assert road.answer.action is Action.NONE
    road.mcu.speed_cmps = 1000
    road.down = Line(bytes_per_s=bytes_per_s, delay_ms=delay_ms)
    road.run(5_000)
    road.alive = False
    died_ms = road.mcu.now_ms
    road.run(8_000)
    assert road.first(Action.SLOW_DOWN, died_ms) <= 300
    assert road.first(Action.COMFORT_STOP, died_ms) <= 1_300
    assert road.answer.latched


def test_a_line_of_9600_baud_is_noticed_while_the_host_lives(probe: Probe) -> None:
    assert minimum_baud(1000 / TURN_MS) > 9_600
    road = Road(probe, down=Line(bytes_per_s=1e6), up=Line(bytes_per_s=1e6))
    road.run(500)
    road.mcu.speed_cmps = 1000
    road.down = Line(bytes_per_s=960)
    road.run(4_000)
    assert road.answer is not None
    assert road.answer.action >= Action.COMFORT_STOP
    assert road.answer.latched
    assert "message_stale" in road.faults


def test_the_slowest_line_that_is_said_to_be_enough_is(probe: Probe) -> None:
    baud = minimum_baud(1000 / TURN_MS)
    road = Road(probe, down=Line(bytes_per_s=baud / 10), up=Line(bytes_per_s=baud / 10))
    road.run(6_000)
    assert road.answer is not None
    assert road.answer.action is Action.NONE
    drove_from = next(at for at, action in road.actions if action is Action.NONE)
    assert all(action is Action.NONE for at, action in road.actions if at >= drove_from)


class Bridge:
    """A pty in front of the firmware's; from `hold()` on, every byte to it comes 600 ms late."""

    def __init__(self, firmware: str) -> None:
        self._near, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._near, False)  # a killed host reads no more: what is full is full
        self._far = os.open(firmware, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.path = os.ttyname(self._slave)
        self._delay_s = 0.0
        self._stopping = False
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Bridge:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping = True
        self._thread.join()
        for descriptor in (self._near, self._slave, self._far):
            os.close(descriptor)

    def hold(self) -> None:
        self._delay_s = 0.6

    @property
    def empty(self) -> bool:
        return not self._waiting

    def _run(self) -> None:
        while not self._stopping:
            ready, _, _ = select.select([self._near, self._far], [], [], 0.002)
            if self._near in ready:
                due_s = time.monotonic() + self._delay_s
                self._waiting.append((due_s, os.read(self._near, 4096)))
            if self._far in ready:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._near, os.read(self._far, 4096))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                os.write(self._far, self._waiting.popleft()[1])


HOST = """
import pathlib, sys, time
from dataclasses import replace
sys.path[:0] = sys.argv[2:]
from mcu_probe import BEAT, COMMAND
from firmware_bridge.link.driver import LinkDriver
with LinkDriver(sys.argv[1]) as driver:
    driver.wait_established(20)
    for turn in range(100_000):
        driver.send(replace(COMMAND, release=True), replace(BEAT, loop_sequence=turn))
        time.sleep(0.02)
"""


@pytest.mark.requirement("R-LINK-2", "R-LINK-11", "R-LINK-13")
def test_what_a_killed_host_left_in_the_line_moves_nothing(
    firmware: HostFirmware, root: Path
) -> None:
    """Real processes: emulator, driver behind a line that begins to hold back, SIGKILL."""
    with Bridge(firmware.port) as bridge:
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, bridge.path, str(samples("firmware_bridge"))], cwd=root
        )
        try:
            firmware.wait_for(lambda r: r.action is Action.NONE, timeout_s=40)
            firmware.control("speed 10.0")
            firmware.wait_for(lambda r: r.speed_mps == 10.0, timeout_s=10)
            held = firmware.report()
            bridge.hold()
            time.sleep(0.55)
        finally:
            host.kill()
            host.wait()
        assert not bridge.empty, "the line holds nothing, so there is nothing to see"
        firmware.wait_for(lambda r: "message_stale" in r.faults, timeout_s=10)
        stopped = firmware.wait_for(
            lambda r: r.action is Action.COMFORT_STOP and r.speed_mps > 1, timeout_s=10
        )
        assert stopped.latched
        # What was on its way arrives 600 ms later, when SLOW_DOWN has begun; it ends nothing.
        later = [r.action for r in firmware.records() if r.tick_ms > held.tick_ms + 500]
        assert min(later) >= Action.SLOW_DOWN
