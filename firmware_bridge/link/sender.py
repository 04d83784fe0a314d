"""Numbers and frames what the host sends, and enters each command in the ledger and the log.

Messages go in; bytes for the port come out. session.py decides when something is due, driver.py
reports whether its bytes were written. No clock, no port.
"""

from __future__ import annotations

from firmware_bridge.link.command_ledger import WINDOW, CommandLedger
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.facts import Ack
from firmware_bridge.link.log import LinkLog
from firmware_bridge.protocol.codec import encode
from firmware_bridge.protocol.frame import COUNTER_RANGE, DELIMITER, LinkFrame, pack
from firmware_bridge.protocol.messages import (
    Acknowledge,
    Heartbeat,
    HostHello,
    Message,
    SafetyCommand,
)

_MS = 1_000_000

# Spoils a half frame in the receiver's buffer, also one of which only the delimiter is missing.
_SPOIL = b"\x01" + DELIMITER


class Sender:
    """Sends the frames of one host over all sessions.

    Args:
        log: receives counts, events and faults.
        times: deadlines.
        first_counter: 0 to 65535; the first frame has the next counter.
    """

    def __init__(self, log: LinkLog, times: LinkTimes, *, first_counter: int) -> None:
        self._log = log
        self._counter = first_counter
        self._half_frame = self._half_before = False
        self._backs_up = False
        self.ledger = CommandLedger(
            limit_ns=times.acknowledge_ms * _MS, late_share_max=times.late_share_max
        )

    def use_times(self, times: LinkTimes) -> None:
        """Use other deadlines from now on."""
        self.ledger.limit_ns = times.acknowledge_ms * _MS
        self.ledger.late_share_max = times.late_share_max

    def hello(self, hello: HostHello) -> bytes:
        """The greeting's bytes; they end any half frame in the other side's buffer."""
        lead = _SPOIL if self._half_frame else DELIMITER
        self._half_frame = False
        return lead + self._pack(hello)[1]

    def hello_cut(self) -> None:
        """Only a part of the last greeting was written."""
        self._half_frame = True

    def command(
        self, command: SafetyCommand, heartbeat: Heartbeat, *, now_ns: int
    ) -> tuple[int, bytes]:
        """Counter of the command's frame and bytes to write: heartbeat, then command."""
        beat = self._pack(heartbeat)[1]
        counter, data = self._pack(command)
        self.ledger.sent(counter, now_ns)
        self._log.count(commands_sent=1)
        self._half_before, self._half_frame = self._half_frame, False
        return counter, (_SPOIL if self._half_before else b"") + beat + data

    def unsent(self, now_ns: int) -> None:
        """A command was due now, and nothing of it was written."""
        self.ledger.unsent(now_ns)
        self._log.count(unsent=1)

    def held_back(self, now_ns: int, why: str) -> None:
        """A command was due now, and was not written because the line backs up."""
        self.unsent(now_ns)
        self._log.count(held_back=1)
        if not self._backs_up:
            self._log.fault(now_ns, f"the line backs up, so no command is written: {why}")
        self._backs_up = True

    def written(self) -> None:
        """All bytes of the last command were written."""
        self._backs_up = False

    def write_failed(self, counter: int, now_ns: int, why: str, *, begun: bool) -> None:
        """The command with `counter` was not written whole; `begun`: some bytes of it were."""
        self.ledger.send_failed(counter)
        self._half_frame = begun or self._half_before
        self._log.count(commands_sent=-1, unsent=1, write_failures=1)
        self._log.fault(now_ns, why)

    def acknowledged(self, ack: Acknowledge, now_ns: int, *, before: Ack | None) -> Ack | None:
        """Count a finished round trip; None when no command waits for it. `before`: the last."""
        answered = self.ledger.acknowledged(ack, now_ns)
        if answered is None:
            return None
        done = answered.ack
        self._log.count(
            acknowledged=1, unacknowledged=-answered.was_late, refused=not answered.in_force
        )
        if not answered.in_force and (before is None or before.result is not done.result):
            self._log.fault(now_ns, f"command {done.counter} answered with {done.result.name}")
        return done

    def judge(self, now_ns: int) -> None:
        """Count and log the commands whose time has passed."""
        ledger = self.ledger
        often_late = ledger.often_late
        for command in ledger.newly_late(now_ns):
            if command.counter is None:
                continue
            self._log.count(late=1, unacknowledged=not command.answered)
            self._log.note(
                now_ns, "unacknowledged", counter=command.counter, sent_ns=command.sent_ns
            )
            if command.begins_row and not often_late:
                limit_ms = ledger.limit_ns // _MS
                text = f"command {command.counter} not acknowledged in {limit_ms} ms"
                self._log.fault(now_ns, text)
        if ledger.often_late and not often_late:
            share = f"{100 * ledger.late_share:.0f} % of the last {WINDOW} commands"
            self._log.fault(now_ns, f"{share} were not acknowledged in time")

    def _pack(self, message: Message) -> tuple[int, bytes]:
        identity, payload = encode(message)
        self._counter = (self._counter + 1) % COUNTER_RANGE
        frame = LinkFrame(message_id=identity, counter=self._counter, payload=payload)
        return self._counter, pack(frame)
