"""A mailbox of one, and the outbox to slow consumers."""

from __future__ import annotations

import threading
import time

import pytest

from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.recording.outbox import Outbox


def test_newest_wins() -> None:
    box: Mailbox[int] = Mailbox()
    for item in (1, 2, 3):
        box.put(item)
    assert box.take(0.0) == 3
    assert box.take(0.0) is None


def test_what_was_put_before_closing_is_still_taken() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(7)
    box.close()
    box.put(8)
    assert not box.finished
    assert box.take(1.0) == 7
    assert box.finished
    began = time.monotonic()
    assert box.take(5.0) is None
    assert time.monotonic() - began < 4.0


def test_closing_wakes_a_waiting_reader() -> None:
    box: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    reader = threading.Thread(target=lambda: taken.append(box.take(30.0)))
    reader.start()
    box.close()
    reader.join(10.0)
    assert taken == [None]


def test_items_come_in_order_and_the_last_is_never_lost() -> None:
    box: Mailbox[int] = Mailbox()
    taken: list[int] = []

    def read() -> None:
        while not box.finished:
            item = box.take(0.1)
            if item is not None:
                taken.append(item)

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(2000):
        box.put(item)
    box.close()
    reader.join(10.0)
    assert taken == sorted(set(taken))
    assert taken[-1] == 1999


def test_a_slow_consumer_never_holds_up_the_writer() -> None:
    release = threading.Event()
    got: list[int] = []

    def consume(value: int) -> None:
        release.wait(10.0)
        got.append(value)

    outbox: Outbox[int] = Outbox(consume, capacity=4, name="slow")
    for value in range(100):
        outbox.put(value)
    assert outbox.left_out >= 95
    release.set()
    outbox.close(timeout_s=10.0)
    assert got == sorted(got)
    assert len(got) + outbox.left_out == 100


def test_a_consumers_failure_comes_out_of_close() -> None:
    def consume(value: int) -> None:
        raise OSError("disk full")

    outbox: Outbox[int] = Outbox(consume, capacity=4, name="failing")
    outbox.put(1)
    with pytest.raises(OSError, match="disk full"):
        outbox.close(timeout_s=10.0)
