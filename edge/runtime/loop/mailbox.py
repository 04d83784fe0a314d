"""A mailbox between two threads that holds one item: a newer one replaces it.

Never queues: an old picture is worth less than none.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One writer, one reader. After close, the reader can still take the last item."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> None:
        """Puts `item` in place of one that was not taken. Does nothing after close."""
        with self._changed:
            if self._closed:
                return
            self._item = item
            self._changed.notify()

    def take(self, timeout_s: float) -> T | None:
        """The item, or None when none came in time or the mailbox is finished."""
        with self._changed:
            if self._item is None and not self._closed:
                self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Accepts no more items and wakes the reader."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """True once it is closed and empty."""
        with self._changed:
            return self._closed and self._item is None
