"""Records the link's events, totals and first failure in bounded memory. No clock, no I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from firmware_bridge.link.facts import LinkCounts, LinkEvent

EVENTS_MAX = 4096


class LinkLog:
    """The last 4096 events, the totals and the first failure of one link."""

    def __init__(self) -> None:
        self._events: deque[LinkEvent] = deque(maxlen=EVENTS_MAX)
        self._sequence = 0
        self.counts = LinkCounts()
        self.first_fault: str | None = None

    def note(self, now_ns: int, kind: str, **values: object) -> None:
        """Append one event."""
        self._sequence += 1
        self._events.append(
            LinkEvent(sequence=self._sequence, mono_ns=now_ns, kind=kind, values=values)
        )

    def fault(self, now_ns: int, text: str) -> None:
        """Append a failure; `first_fault` keeps the first one."""
        self.note(now_ns, "fault", text=text)
        if self.first_fault is None:
            self.first_fault = text

    def count(self, **more: int) -> None:
        """Add to the named totals."""
        totals = {name: getattr(self.counts, name) + value for name, value in more.items()}
        self.counts = replace(self.counts, **totals)

    def events(self, after: int) -> tuple[LinkEvent, ...]:
        """Events whose sequence is greater than `after`, oldest first."""
        newer = []
        for event in reversed(self._events):
            if event.sequence <= after:
                break
            newer.append(event)
        return tuple(reversed(newer))
