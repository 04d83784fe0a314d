"""Every command on its way to an acknowledge: which are late, and how long each round trip took.

No clock, no bytes; link.py says what was sent and what came back.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.codec import Acknowledge
from firmware_bridge.link_facts import Ack

_FORGET_NS = 2_000_000_000


@dataclass
class _Sent:
    sent_ns: int
    late: bool = False


class CommandLedger:
    """Commands sent and not yet acknowledged, of one session. Bounded: two seconds of them."""

    def __init__(self) -> None:
        self._open: dict[int, _Sent] = {}
        self._answered_ns = 0
        self.late_in_a_row = 0

    def sent(self, counter: int, now_ns: int) -> None:
        """A command went out in the frame of that counter."""
        self._open[counter] = _Sent(now_ns)

    def not_sent(self, counter: int) -> None:
        """It did not, after all."""
        self._open.pop(counter, None)

    def acknowledged(self, ack: Acknowledge, now_ns: int) -> Ack | None:
        """The finished round trip, or None when nobody waits for this acknowledge."""
        sent = self._open.pop(ack.command_counter, None)
        if sent is None:
            return None
        self._answered_ns = now_ns
        self.late_in_a_row = 0
        return Ack(
            counter=ack.command_counter,
            sent_ns=sent.sent_ns,
            acknowledged_ns=now_ns,
            result=ack.result,
            effective_action=ack.effective_action,
        )

    def newly_late(self, now_ns: int, *, limit_ns: int) -> list[tuple[int, int]]:
        """(counter, sent_ns) of commands that have just passed `limit_ns` unacknowledged.

        A late one still counts when its acknowledge comes within two seconds.
        """
        late = []
        for counter, sent in list(self._open.items()):
            age_ns = now_ns - sent.sent_ns
            if age_ns > limit_ns and not sent.late:
                sent.late = True
                self.late_in_a_row += 1
                late.append((counter, sent.sent_ns))
            if age_ns > _FORGET_NS:
                del self._open[counter]
        return late

    def unanswered_for(self, now_ns: int) -> int:
        """Nanoseconds since which commands have been going out and nothing has come back."""
        if not self._open:
            return 0
        oldest_ns = min(sent.sent_ns for sent in self._open.values())
        return now_ns - max(oldest_ns, self._answered_ns)
