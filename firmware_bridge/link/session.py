"""One end of the link, without I/O: bytes and the time go in; bytes, facts and events come out.

It greets, checks contract and limits, numbers frames, refuses repeats and replays, follows every
command to its acknowledge and notices silence. It never opens, reads or writes a port, never asks a
clock, and never decides what to command.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_bridge.link.agreement import UNKNOWN_SESSION_FAULTS, disagreement, host_hello
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.facts import Ack, LinkEvent, LinkFacts
from firmware_bridge.link.log import LinkLog
from firmware_bridge.link.reports import Reports
from firmware_bridge.link.sender import Sender
from firmware_bridge.link.states import LinkInput, LinkState, next_state
from firmware_bridge.link.traffic import TrafficObserver
from firmware_bridge.protocol.codec import CodecError, decode, encode, message_id
from firmware_bridge.protocol.frame import Deframer, LinkFrame, counter_step
from firmware_bridge.protocol.messages import (
    Acknowledge,
    Heartbeat,
    McuHello,
    SafetyCommand,
    Status,
    VehicleState,
)

_MS = 1_000_000
_HELLOS_PER_SESSION = 10


class Link:
    """The host's end of one link.

    Args:
        boot_id: 0 to 255, different from that of the process before.
        times: deadlines.
        first_counter: 0 to 65535; the first frame has the next counter.
    """

    _agreed: bool
    _peer_counter: int | None
    _hello_due_ns: int
    _hellos: int
    _last_frame_ns: int
    _traffic: TrafficObserver
    _reports: Reports

    def __init__(self, boot_id: int, *, times: LinkTimes, first_counter: int = 0) -> None:
        self._times = times
        self._boot_id = boot_id
        self._log = LinkLog()
        self._sender = Sender(self._log, times, first_counter=first_counter)
        self._state = LinkState.DISCONNECTED
        self._refusal: str | None = None
        self._peer_boot_id: int | None = None
        self._last_ack: Ack | None = None
        self._opened_before = False
        self._deframer = Deframer()
        self._begin_session()

    @property
    def state(self) -> LinkState:
        """The state of the link."""
        return self._state

    def use_times(self, times: LinkTimes) -> None:
        """Use other deadlines from now on."""
        self._times = times
        self._sender.use_times(times)

    def opened(self, now_ns: int) -> None:
        """The port is open (again)."""
        if self._opened_before:
            self._log.count(reconnects=1)
        self._opened_before = True
        self._deframer = Deframer()
        self._transition(LinkInput.OPENED, now_ns, "")

    def lost(self, now_ns: int, why: str, how: LinkInput = LinkInput.LOST) -> None:
        """The port is gone, or nobody reads it. `why` is kept when it is the first failure."""
        self._transition(how, now_ns, why)

    def closed(self, now_ns: int) -> None:
        """This side has released the port on purpose."""
        self._transition(LinkInput.CLOSED, now_ns, "")

    def trouble(self, now_ns: int, why: str) -> None:
        """Log a failure that changes no state, such as another try to reopen the port."""
        self._log.fault(now_ns, why)

    def received(self, data: bytes, now_ns: int) -> None:
        """Bytes that came from the port at `now_ns`."""
        damaged_before = self._deframer.damaged
        frames = self._deframer.feed(data)
        damaged = self._deframer.damaged - damaged_before
        self._traffic.take(data, frames)
        # Before the greeting a half frame is no error: reading began in the middle of it.
        if damaged and self._agreed:
            self._log.count(crc_errors=damaged)
            text = self._traffic.text_among_frames()
            among = "" if text is None else f"; text among the frames: {text}"
            self._log.fault(now_ns, f"{damaged} damaged frame(s) from the microcontroller{among}")
        for frame in frames:
            self._dispatch(frame, now_ns)

    def wants_poll(self, now_ns: int) -> bool:
        """True when poll() would have bytes to write."""
        return self._state is LinkState.GREETING and now_ns >= self._hello_due_ns

    def poll(self, now_ns: int) -> bytes:
        """Check the deadlines; returns the bytes of a Hello to write, or b"". Call every 20 ms."""
        self._judge(now_ns)
        if not self.wants_poll(now_ns):
            return b""
        if self._hellos == _HELLOS_PER_SESSION:
            self._new_boot_id()
        self._hellos += 1
        self._hello_due_ns = now_ns + self._times.hello_period_ms * _MS
        return self._sender.hello(host_hello(self._boot_id))

    def command(
        self, command: SafetyCommand, heartbeat: Heartbeat, *, now_ns: int
    ) -> tuple[int, bytes] | None:
        """Counter of the command's frame and bytes to write: heartbeat, then command.

        None unless ESTABLISHED: the command was due and is late in time, like one that nobody
        acknowledges. Raises CodecError for values that the contract cannot carry.
        """
        self._judge(now_ns)
        tick_ms = self._reports.as_of_tick_ms(now_ns)
        if self._state is not LinkState.ESTABLISHED or tick_ms is None:
            encode(replace(heartbeat, as_of_tick_ms=0))
            encode(replace(command, as_of_tick_ms=0))
            self.unsent(now_ns)
            return None
        heartbeat = replace(heartbeat, as_of_tick_ms=tick_ms)
        command = replace(command, as_of_tick_ms=tick_ms)
        return self._sender.command(command, heartbeat, now_ns=now_ns)

    def unsent(self, now_ns: int) -> None:
        """A command was due now, and nothing of it was written."""
        self._sender.unsent(now_ns)

    def held_back(self, now_ns: int, why: str) -> None:
        """A command was due now, and was not written because the line backs up."""
        self._sender.held_back(now_ns, why)

    def written(self) -> None:
        """All bytes of the last command were written."""
        self._sender.written()

    def write_failed(self, counter: int, now_ns: int, why: str, *, begun: bool = True) -> None:
        """The command with `counter` was not written whole; `begun`: some bytes of it were."""
        self._sender.write_failed(counter, now_ns, why, begun=begun)

    def greeting_failed(self, now_ns: int, why: str, *, begun: bool) -> None:
        """A Hello was not written whole. Logged once a session, since the next one follows."""
        if begun:
            self._sender.hello_cut()
        if self._hellos == 1:
            self._log.fault(now_ns, f"the greeting: {why}")

    def events(self, after: int) -> tuple[LinkEvent, ...]:
        """Events newer than sequence number `after`, oldest first."""
        return self._log.events(after)

    def facts(self, now_ns: int) -> LinkFacts:
        """The facts at `now_ns`, after checking the deadlines."""
        self._judge(now_ns)
        reports, oldest_ns = self._reports, now_ns - self._times.report_max_age_ms * _MS
        vehicle = reports.vehicle if reports.vehicle_ns >= oldest_ns else None
        status = reports.status if reports.status_ns >= oldest_ns else None
        return LinkFacts(
            state=self._state,
            vehicle_speed_mps=vehicle.speed_mps if vehicle else None,
            vehicle_age_ms=(now_ns - reports.vehicle_ns) / _MS if reports.vehicle else None,
            standstill=vehicle.standstill if vehicle else None,
            operator_request=vehicle.operator_request if vehicle else None,
            effective_action=status.effective_action if status else None,
            effective_age_ms=(now_ns - reports.status_ns) / _MS if reports.status else None,
            stop_latched=status.stop_latched if status else None,
            applied_ceiling_mps=status.applied_ceiling_mps if status else None,
            applied_deceleration_mps2=status.applied_deceleration_mps2 if status else None,
            faults=status.faults if status else (),
            mcu_tick_ms=reports.tick_ms,
            last_ack=self._last_ack,
            unacknowledged_in_a_row=self._sender.ledger.late_in_a_row,
            counts=replace(self._log.counts, open=self._sender.ledger.open),
            first_fault=self._log.first_fault,
            refusal=self._refusal if self._state is LinkState.REFUSED else None,
            often_late=self._sender.ledger.often_late,
            traffic=self._traffic.finding() if self._state is LinkState.GREETING else None,
            stale=(status, vehicle) != (reports.status, reports.vehicle),
        )

    def _begin_session(self) -> None:
        """Forget the last session's agreement, counters and reports."""
        self._agreed = False
        self._peer_counter = None
        self._hello_due_ns = self._hellos = 0
        self._last_frame_ns = 0
        self._traffic = TrafficObserver()
        self._reports = Reports()

    def _transition(self, what: LinkInput, now_ns: int, why: str) -> None:
        before, self._state = self._state, next_state(self._state, what)
        if what not in (LinkInput.OPENED, LinkInput.AGREED, LinkInput.CLOSED):
            self._log.fault(now_ns, f"{what.value}: {why}")
        if what is LinkInput.DEAF:
            self._new_boot_id()
        if self._state in (LinkState.DISCONNECTED, LinkState.GREETING):
            self._begin_session()
        if self._state is LinkState.REFUSED:
            self._reports = Reports()
        if self._state is not before:
            self._log.note(now_ns, "state", state=self._state.name, because=why or what.value)

    def _new_boot_id(self) -> None:
        """Begin a new session for the other side, which then accepts any counter."""
        self._boot_id = (self._boot_id + 1) % 256
        self._hellos = 0

    def _dispatch(self, frame: LinkFrame, now_ns: int) -> None:
        is_hello = frame.message_id == message_id(McuHello)
        if not (is_hello or self._agreed):
            return
        try:
            message = decode(frame.message_id, frame.payload)
        except CodecError as error:
            self._log.count(contract_errors=1)
            self._log.fault(now_ns, str(error))
            return
        if isinstance(message, McuHello) and message.boot_id != self._peer_boot_id:
            if self._peer_boot_id is not None:
                self._log.count(reboots=1)
                self._transition(LinkInput.REBOOTED, now_ns, f"boot id {message.boot_id}")
            self._peer_boot_id = message.boot_id
            self._peer_counter = None
        if not self._is_new(frame, now_ns):
            return
        self._last_frame_ns = now_ns
        match message:
            case McuHello():
                self._take_hello(message, now_ns)
            case VehicleState():
                self._reports.take_vehicle(message, now_ns)
            case Status():
                self._take_status(message, now_ns)
            case Acknowledge():
                self._take_acknowledge(message, now_ns)
            case _:
                self._log.count(contract_errors=1)
                self._log.fault(now_ns, f"our own {type(message).__name__} came back: an echo?")

    def _is_new(self, frame: LinkFrame, now_ns: int) -> bool:
        if self._peer_counter is not None:
            step = counter_step(frame.counter, self._peer_counter)
            if step <= 0:
                self._log.count(counter_errors=1)
                kind = "repeated" if step == 0 else "replayed"
                self._log.fault(now_ns, f"{kind} frame with counter {frame.counter} refused")
                return False
            if step > 1:
                self._log.count(lost_frames=step - 1)
        self._peer_counter = frame.counter
        return True

    def _take_hello(self, hello: McuHello, now_ns: int) -> None:
        disagrees = disagreement(hello)
        self._agreed = disagrees is None
        if disagrees is not None:
            self._refusal = disagrees
            self._transition(LinkInput.DISAGREED, now_ns, disagrees)

    def _take_status(self, status: Status, now_ns: int) -> None:
        if forgotten := UNKNOWN_SESSION_FAULTS & set(status.faults):
            if self._state is LinkState.ESTABLISHED:
                self._transition(LinkInput.FORGOTTEN, now_ns, ", ".join(sorted(forgotten)))
            return
        if self._state is not LinkState.ESTABLISHED:
            self._sender.ledger.begin_session(now_ns)
        self._transition(LinkInput.AGREED, now_ns, "")
        if (event := self._reports.take_status(status, now_ns)) is not None:
            self._log.note(now_ns, event.kind, **event.values)

    def _take_acknowledge(self, ack: Acknowledge, now_ns: int) -> None:
        done = self._sender.acknowledged(ack, now_ns, before=self._last_ack)
        if done is None:
            return
        self._last_ack = done
        self._reports.follow_tick(ack.tick_ms)
        self._log.note(
            now_ns,
            "ack",
            counter=done.counter,
            result=done.result,
            action=done.effective_action,
            tick_ms=self._reports.tick_ms,
            round_trip_ns=done.round_trip_ns,
        )

    def _judge(self, now_ns: int) -> None:
        """Check the deadlines in the caller's thread, so that a blocked reader cannot hide them."""
        self._sender.judge(now_ns)
        if self._state is not LinkState.ESTABLISHED:
            return
        if now_ns - self._last_frame_ns > self._times.silence_ms * _MS:
            why = f"nothing heard for {self._times.silence_ms} ms"
            self._transition(LinkInput.SILENT, now_ns, why)
        elif self._sender.ledger.unanswered_for(now_ns) > self._times.deaf_ms * _MS:
            why = f"no command acknowledged for {self._times.deaf_ms} ms"
            self._transition(LinkInput.DEAF, now_ns, why)
