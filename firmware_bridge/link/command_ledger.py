"""Follows every command to its acknowledge: which were late, how many in a row, and what share.

Counters, times and acknowledges come from session.py and sender.py; round trips and late commands
go back. No clock, no bytes. Times are nanoseconds on the host's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from firmware_bridge.link.facts import Ack
from firmware_bridge.protocol.messages import Acknowledge, AckResult

WINDOW = 50
"""The share of late commands is that among so many last ones: a second at 50 a second."""

IN_FORCE = frozenset(
    {
        AckResult.ACCEPTED,
        AckResult.CLIPPED,
        AckResult.RELEASE_REFUSED_MOVING,
        AckResult.RELEASE_REFUSED_UNHEALTHY,
    }
)
"""Results of a command that stands. A refused command counts like an unanswered one."""

_FORGET_NS = 2_000_000_000


@dataclass
class _Command:
    """One command. `counter` is None where it was not sent whole."""

    counter: int | None
    sent_ns: int
    answered: bool = False
    late: bool = False


@dataclass(frozen=True)
class LateCommand:
    """A command whose time has passed.

    `counter` is None where it was not sent; `answered`: it was refused in time; `begins_row`: the
    command before it was in time.
    """

    counter: int | None
    sent_ns: int
    answered: bool
    begins_row: bool


@dataclass(frozen=True)
class RoundTrip:
    """A finished round trip. `was_late`: its command was reported as late before."""

    ack: Ack
    was_late: bool
    in_force: bool


class CommandLedger:
    """The commands of one link over all its sessions; holds those of the last two seconds.

    Each command has one outcome. In time: its acknowledge came within the limit and says that the
    command stands. Late: everything else, as soon as the limit has passed, also where the command
    was not sent. Only a command in time ends a row of late ones.

    Args:
        limit_ns: the longest round trip that is in time.
        late_share_max: 0 to 1; above it `often_late` becomes true.
    """

    def __init__(self, *, limit_ns: int, late_share_max: float) -> None:
        self.limit_ns = limit_ns
        self.late_share_max = late_share_max
        self._waiting: dict[int, _Command] = {}  # by their place in the order of all commands
        self._placed = 0
        self._newest_in_time = 0
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._session_ns = 0
        self._answered_ns = 0
        self.late_in_a_row = 0
        self.often_late = False

    @property
    def open(self) -> int:
        """How many commands were sent, are not answered and still have time."""
        return sum(
            not (command.late or command.answered or command.counter is None)
            for command in self._waiting.values()
        )

    @property
    def late_share(self) -> float:
        """Late commands among the last 50, divided by 50 also while there were fewer."""
        return sum(self._outcomes) / WINDOW

    def begin_session(self, now_ns: int) -> None:
        """A session begins now: `unanswered_for` ignores commands from before it."""
        self._session_ns = now_ns

    def sent(self, counter: int, now_ns: int) -> None:
        """Enter a command that goes out in the frame with `counter`."""
        self._placed += 1
        self._waiting[self._placed] = _Command(counter, now_ns)

    def unsent(self, now_ns: int) -> None:
        """Enter a command that was due and cannot go out: no session, or a line that backs up."""
        self._placed += 1
        self._waiting[self._placed] = _Command(None, now_ns)

    def send_failed(self, counter: int) -> None:
        """Correct the entry of a command that was not written whole after all."""
        if (place := self._place_of(counter)) is not None:
            self._waiting[place].counter = None

    def acknowledged(self, ack: Acknowledge, now_ns: int) -> RoundTrip | None:
        """The finished round trip, or None when no command waits for this acknowledge."""
        place = self._place_of(ack.command_counter)
        if place is None:
            return None
        command = self._waiting[place]
        self._answered_ns = now_ns
        in_force = ack.result in IN_FORCE
        was_late, command.answered = command.late, True
        if not was_late and in_force and now_ns - command.sent_ns <= self.limit_ns:
            del self._waiting[place]
            self._newest_in_time = max(self._newest_in_time, place)
            self.late_in_a_row = 0
            self._outcome(late=False)
        return RoundTrip(
            Ack(
                counter=ack.command_counter,
                sent_ns=command.sent_ns,
                acknowledged_ns=now_ns,
                result=ack.result,
                effective_action=ack.effective_action,
            ),
            was_late=was_late,
            in_force=in_force,
        )

    def newly_late(self, now_ns: int) -> list[LateCommand]:
        """Commands whose time has just passed, in their order.

        A late one still finishes its round trip when its acknowledge comes within two seconds.
        """
        passed = []
        for place, command in list(self._waiting.items()):
            age_ns = now_ns - command.sent_ns
            if age_ns > self.limit_ns and not command.late:
                command.late = True
                # A command older than the newest one in time belongs to no row.
                in_row = place > self._newest_in_time
                self.late_in_a_row += in_row
                self._outcome(late=True)
                begins = in_row and self.late_in_a_row == 1
                passed.append(
                    LateCommand(command.counter, command.sent_ns, command.answered, begins)
                )
            if age_ns > _FORGET_NS:
                del self._waiting[place]
        return passed

    def unanswered_for(self, now_ns: int) -> int:
        """Nanoseconds since which commands of this session go out and nothing comes back."""
        for command in self._waiting.values():  # oldest first
            waits = not command.answered and command.counter is not None
            if waits and command.sent_ns >= self._session_ns:
                return now_ns - max(command.sent_ns, self._answered_ns)
        return 0

    def _place_of(self, counter: int) -> int | None:
        for place, command in self._waiting.items():
            if command.counter == counter and not command.answered:
                return place
        return None

    def _outcome(self, *, late: bool) -> None:
        self._outcomes.append(late)
        # Hysteresis: it ends at half the share at which it begins.
        limit = self.late_share_max / 2 if self.often_late else self.late_share_max
        self.often_late = self.late_share > limit
