"""Failing lines and readers: what the loop is told, and that it goes on."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from mcu_probe import BEAT, COMMAND

from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.errors import DeviceFault
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.driver import LinkDriver, SentCommand
from firmware_bridge.link.facts import LinkFacts
from firmware_bridge.link.ports import SerialPort, memory_pair
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.messages import Action

RELEASE = replace(COMMAND, release=True, valid_for_ms=300)


class Bridge(SerialPort):
    """The firmware's port with a line in between that a test can make late, deaf, full or broken.

    What is written goes out `delay_s` later, and what comes is read `delay_s` later.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, baud=115200, read_timeout_ms=5, write_timeout_ms=20)
        self.delay_s = 0.0
        self.full: str | None = None
        self.broken: Callable[[], None] = lambda: None
        self._there: deque[tuple[float, bytes]] = deque()
        self._back: deque[tuple[float, bytes]] = deque()

    def read(self) -> bytes:
        self.broken()
        now_s = time.monotonic()
        while self._there and self._there[0][0] <= now_s:
            super().write(self._there.popleft()[1])
        if data := super().read():
            self._back.append((time.monotonic() + self.delay_s, data))
        come = b""
        while self._back and self._back[0][0] <= time.monotonic():
            come += self._back.popleft()[1]
        return come

    def write(self, data: bytes) -> None:
        if self.delay_s:
            self._there.append((time.monotonic() + self.delay_s, data))
        else:
            super().write(data)

    def backs_up(self) -> str | None:
        return self.full or super().backs_up()


@dataclass
class Bench:
    """Driver, bridge and firmware, with a loop of 50 Hz in the caller's thread."""

    driver: LinkDriver
    bridge: Bridge
    turn: int = 0
    sent: list[SentCommand] = field(default_factory=list)

    def send(self) -> LinkFacts:
        self.turn += 1
        sent = self.driver.send(RELEASE, replace(BEAT, loop_sequence=self.turn))
        if sent is not None:
            self.sent.append(sent)
        time.sleep(0.02)
        return self.driver.facts(time.monotonic_ns())

    def until(self, wanted: Callable[[LinkFacts], bool], *, timeout_s: float = 15.0) -> LinkFacts:
        deadline_s = time.monotonic() + timeout_s
        while not wanted(facts := self.send()):
            assert time.monotonic() < deadline_s, f"it did not come to that: {facts}"
        return facts


@pytest.fixture
def bench(firmware: HostFirmware) -> Iterator[Bench]:
    bridge = Bridge(firmware.port)
    # Half a second, so that a busy machine is not late by itself.
    driver = LinkDriver(lambda: bridge, times=LinkTimes(acknowledge_ms=500))
    with driver:
        driver.wait_established(10)
        bench = Bench(driver, bridge)
        bench.until(lambda facts: facts.effective_action is Action.NONE)
        yield bench


def settled(bench: Bench) -> LinkFacts:
    """The facts when every command that was sent has been answered or given up."""
    deadline_s = time.monotonic() + 10.0
    while (facts := bench.driver.facts(time.monotonic_ns())).counts.open:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return facts


@pytest.mark.requirement("R-LINK-45")
def test_what_was_written_is_counted_as_sent_however_long_the_writer_was_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write

    def away(descriptor: int, data: bytes) -> int:
        written = real_write(descriptor, data)
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.03)
        return written

    monkeypatch.setattr(os, "write", away)
    sent_before = len(bench.sent)
    for _ in range(20):
        bench.send()
    monkeypatch.undo()
    assert len(bench.sent) - sent_before == 20
    counts = settled(bench).counts
    assert counts.commands_sent == len(bench.sent) == counts.acknowledged
    assert counts.write_failures == counts.unsent == 0


@pytest.mark.requirement("R-LINK-40")
def test_a_slow_line_is_late_though_every_command_is_acknowledged(bench: Bench) -> None:
    """300 ms each way: nothing is lost, everything is late."""
    bench.bridge.delay_s = 0.3
    facts = bench.until(lambda facts: facts.unacknowledged_in_a_row >= 40)
    assert facts.state is LinkState.ESTABLISHED
    assert facts.often_late
    assert facts.last_ack is not None
    assert facts.last_ack.round_trip_ns > 500_000_000
    acknowledged = facts.counts.acknowledged
    facts = bench.until(lambda facts: facts.counts.acknowledged > acknowledged + 20)
    assert facts.unacknowledged_in_a_row > 40
    bench.bridge.delay_s = 0.0
    facts = bench.until(lambda facts: facts.unacknowledged_in_a_row == 0)
    counts = facts.counts
    assert counts.commands_sent == counts.acknowledged + counts.unacknowledged + counts.open


@pytest.mark.requirement("R-LINK-46")
def test_a_line_that_backs_up_gets_no_further_commands(bench: Bench) -> None:
    bench.bridge.full = "400 bytes wait to be sent"
    sent = len(bench.sent)
    facts = bench.until(lambda facts: facts.unacknowledged_in_a_row >= 10)
    assert len(bench.sent) == sent
    assert facts.counts.held_back >= 10
    assert "backs up, so no command is written: 400 bytes" in str(
        [e.values for e in bench.driver.events()]
    )
    bench.bridge.full = None
    bench.until(lambda facts: facts.unacknowledged_in_a_row == 0)
    counts = settled(bench).counts
    assert counts.commands_sent == len(bench.sent)
    assert counts.commands_sent + counts.unsent == bench.turn


@pytest.mark.requirement("R-LINK-44")
def test_a_reader_that_dies_is_told_with_its_reason_and_the_microcontroller_stops(
    bench: Bench, firmware: HostFirmware
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    bench.bridge.broken = broken
    facts = bench.until(lambda facts: facts.state is LinkState.DISCONNECTED)
    assert not facts.up
    assert facts.standstill is None
    assert facts.first_fault is not None
    assert "the thread that reads the port died: ZeroDivisionError: a bug" in facts.first_fault
    assert "test_trouble.py:" in facts.first_fault
    assert bench.driver.send(RELEASE, BEAT) is None
    firmware.wait_for(lambda r: r.action is Action.COMFORT_STOP and r.tick_ms > 500, timeout_s=10)
    bench.until(lambda facts: facts.unacknowledged_in_a_row >= 10)


def test_a_reader_that_never_comes_back_is_silence_to_whoever_asks(bench: Bench) -> None:
    """The port keeps its reader for ever; nobody but the loop is left to see it."""
    released = threading.Event()
    bench.bridge.broken = lambda: (released.wait(20), None)[1]
    facts = bench.until(lambda facts: facts.state is LinkState.GREETING)
    assert facts.standstill is facts.effective_action is None
    assert any("fell silent" in str(e.values) for e in bench.driver.events())
    begun_s = time.monotonic()
    bench.driver.close()
    assert time.monotonic() - begun_s < 15
    released.set()


def test_a_reader_that_dies_before_the_greeting_is_the_reason_given() -> None:
    class Broken:
        def read(self) -> bytes:
            raise KeyError("no such register")

        def write(self, data: bytes) -> None: ...

        def close(self) -> None: ...

    with (
        LinkDriver(Broken) as driver,
        pytest.raises(DeviceFault, match="nobody reads the port") as refused,
    ):
        driver.wait_established(60)
    assert "KeyError: 'no such register'" in refused.value.found


def test_commands_that_cannot_go_out_at_all_are_late(bench: Bench) -> None:
    """Unplugged, with nothing to reopen: the row grows by the clock of the loop."""
    near, far = memory_pair(read_timeout_ms=10)
    with LinkDriver(lambda: near) as driver:
        lonely = Bench(driver, bench.bridge)
        far.close()
        facts = lonely.until(lambda facts: facts.unacknowledged_in_a_row >= 10)
        assert facts.counts.unsent >= 10
        assert facts.counts.commands_sent == 0
