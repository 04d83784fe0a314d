"""A mailbox of one between two threads: the newest wins.

Never queues: old pictures are worth less than no picture.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One writer, one reader. Closing lets the reader take what is left and then end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> None:
        """Leaves `item`, replacing one that was not taken. Ignored after close."""
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
        """Nothing more will come; wakes the reader."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """True once it is closed and empty."""
        with self._changed:
            return self._closed and self._item is None
