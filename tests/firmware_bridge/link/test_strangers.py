"""Ports without a microcontroller, or with one that does not answer: the refusal says what is
there.
"""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from test_traffic import GPS, STATUS, framed

from firmware_bridge.errors import DeviceFault
from firmware_bridge.link.driver import LinkDriver


@dataclass
class Line:
    """A pseudo terminal, with something at its other end that `answers`."""

    answer: Callable[[bytes], bytes]
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self.slave = slave
        os.set_blocking(self.master, False)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.ended.wait(0.01):
            try:
                data = os.read(self.master, 4096)
            except BlockingIOError:
                data = b""
            if out := self.answer(data):
                os.write(self.master, out)

    def close(self) -> None:
        self.ended.set()
        self.thread.join()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def line() -> Iterator[Callable[[Callable[[bytes], bytes]], str]]:
    lines: list[Line] = []

    def make(answer: Callable[[bytes], bytes]) -> str:
        lines.append(Line(answer))
        return lines[-1].path

    yield make
    for one in lines:
        one.close()


@pytest.mark.requirement("R-LINK-49")
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda _: GPS, "NMEA text"),
        (lambda data: data, "an echo"),
        (lambda _: b"booting...\r\n", "lines of text: 'booting...'"),
        (lambda _: b"", "silence: not one byte"),
        (lambda _: framed(STATUS), "a microcontroller that reports"),
        (lambda _: b"\xa7\x31\x00\x99" * 5, "bytes and no whole frame"),
    ],
)
def test_a_port_that_is_not_the_microcontrollers_is_refused_with_what_it_says(
    line: Callable[[Callable[[bytes], bytes]], str], answer: Callable[[bytes], bytes], found: str
) -> None:
    with (
        LinkDriver(line(answer)) as driver,
        pytest.raises(DeviceFault, match="no microcontroller answered") as refused,
    ):
        driver.wait_established(0.5)
    assert found in refused.value.found
    assert refused.value.remedy
