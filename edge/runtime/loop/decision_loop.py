"""The decision loop: gathers facts, decides, sends command and heartbeat.

In: results of inference, facts of capture and link, a clock. Out: a command and a heartbeat on the
link, and a `Turn` for listeners. Each new result wakes it, and without one it turns at the link's
rate. Only this loop sends heartbeats. Never waits for anything but the next result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge.perception.values import Known
from edge.runtime.clock import Clock
from edge.runtime.loop.capture import CameraState, CaptureFacts
from edge.runtime.loop.inference import Result
from edge.runtime.loop.latency_budget import END_TO_END, TO_ACKNOWLEDGE, Budgets
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.policy.facts import Decision, Facts, FrameFacts
from edge.runtime.policy.modes import next_mode, situation
from edge.runtime.policy.policy import PolicyState, decide, initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.driver import SentCommand
from firmware_bridge.link.facts import LinkEvent, LinkFacts
from firmware_bridge.protocol.messages import (
    CAMERA_AGE_UNKNOWN_MS,
    Canary,
    Heartbeat,
    Mode,
    SafetyCommand,
)

# Without a new result the loop turns a little before its period is over. On the period itself such
# a turn would meet the next result wherever the camera's period is a multiple of it, as 40 ms is
# of 20, and hold it up.
_IDLE_SHARE = 0.9

# Commands whose acknowledge is awaited for the latency histogram; two seconds at 50 a second.
_AWAITED = 128


class Link(Protocol):
    """What the loop needs of `firmware_bridge.link.driver.LinkDriver`."""

    def send(self, command: SafetyCommand, heartbeat: Heartbeat) -> SentCommand | None:
        """Writes both; None where they were not written."""
        ...

    def facts(self, now_ns: int) -> LinkFacts:
        """The state of the link now; never blocks."""
        ...

    def use_times(self, times: LinkTimes) -> None:
        """Sets the times by which a command counts as late."""
        ...

    def events(self, after: int = 0) -> tuple[LinkEvent, ...]:
        """The link's events since event number `after`."""
        ...


class InferenceStatus(Protocol):
    """What the loop needs of the inference thread."""

    def busy_ms(self, now_ns: int) -> float:
        """How long the network has been working on the present frame."""
        ...

    @property
    def hung_after_ms(self) -> float:
        """From how long on the network counts as hung."""
        ...

    @property
    def lost(self) -> str | None:
        """Why the device is lost; None as long as it is not."""
        ...


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn, for its listeners.

    `result` is None in a turn without a new frame. `end_to_end_ms`: from that frame's capture until
    the command's bytes were written; None without a new frame or where nothing was written.
    `stage_ms`: durations of that frame's stages, decide and send among them; empty without one.
    """

    now_ns: int
    result: Result | None
    camera: CaptureFacts
    facts: Facts
    link: LinkFacts
    state: PolicyState
    decision: Decision
    mode: Mode
    sent: SentCommand | None
    end_to_end_ms: float | None
    stage_ms: Mapping[str, float]
    link_events: tuple[LinkEvent, ...]


class DecisionLoop:
    """The state from turn to turn: policy state, mode, loop sequence, open commands."""

    def __init__(
        self,
        settings: PolicySettings,
        budgets: Budgets,
        *,
        link: Link,
        camera: Callable[[], CaptureFacts],
        inference: InferenceStatus,
        clock: Clock,
        on_turn: Callable[[Turn], None],
    ) -> None:
        self._settings = settings
        self._budgets = budgets
        self._link = link
        self._camera = camera
        self._inference = inference
        self._clock = clock
        self._on_turn = on_turn
        self._state = initial(settings)
        self._mode = Mode.STARTING
        self._sequence = 0
        self._last_event = max((e.sequence for e in link.events()), default=0)
        self._captured_of: dict[int, int] = {}

    def run(
        self,
        results: Mailbox[Result],
        *,
        period_s: float,
        should_end: Callable[[], bool],
        when_idle: Callable[[], None],
    ) -> str:
        """Turns until the results are finished, the network hangs, its device is lost or
        `should_end` is true.

        Args:
            results: the inference thread's mailbox.
            period_s: longest time between two turns.
            should_end: asked before every turn.
            when_idle: called after each turn without a new result, for housekeeping.

        Returns:
            Why it ended: "source ended", "inference hung", "device lost" or "asked to".
        """
        self.turn(None)  # commands and heartbeats begin before the first frame is through
        while not should_end():
            result = results.take(_IDLE_SHARE * period_s)
            if self._inference.lost is not None:  # read first: it also finishes the results
                self.turn(result)
                return "device lost"
            if result is None and results.finished:
                return "source ended"
            self.turn(result)
            if result is None:
                when_idle()
            # A stop is commanded from hung_after_ms on; at twice that the run ends.
            if self._inference.busy_ms(self._clock()) > 2.0 * self._inference.hung_after_ms:
                return "inference hung"
        return "asked to"

    def end(self, *, within_s: float) -> bool:
        """Commands the final stop until one is acknowledged; False where none is in time."""
        deadline_ns = self._clock() + round(within_s * 1e9)
        pause: Mailbox[Result] = Mailbox()
        first: int | None = None
        while self._clock() < deadline_ns:
            turn = self.turn(None, ending=True)
            if first is None and turn.sent is not None:
                first = turn.sent.counter
            acknowledged = {e.values["counter"] for e in turn.link_events if e.kind == "ack"}
            if first is not None and first in acknowledged:
                return True
            pause.take(0.01)
        return False

    def turn(self, result: Result | None, *, ending: bool = False) -> Turn:
        """Runs one turn: facts, decision, command and heartbeat, new events of the link."""
        began_ns = self._clock()
        camera, link = self._camera(), self._link.facts(began_ns)
        facts = self._facts(result, camera, link, began_ns, ending=ending)
        self._state, decision = decide(self._settings, facts, self._state, began_ns)
        self._mode = next_mode(self._mode, situation(facts, decision))
        self._sequence += 1
        heartbeat = Heartbeat(
            loop_sequence=self._sequence,
            perception=decision.perception,
            camera_age_ms=_age_ms(camera.newest_ns, began_ns),
            mode=self._mode,
            canary=Canary.NOT_RUN,
        )
        decided_ns = self._clock()
        sent = self._link.send(decision.command, heartbeat)
        end_to_end_ms = None
        stage_ms: dict[str, float] = {}
        if result is not None:
            stage_ms = {**result.stage_ms, "decide": (decided_ns - began_ns) / 1e6}
            if sent is not None:
                stage_ms["send"] = (sent.written_ns - decided_ns) / 1e6
            end_to_end_ms = self._measure(result, sent, stage_ms)
        turn = Turn(
            now_ns=began_ns,
            result=result,
            camera=camera,
            facts=facts,
            link=link,
            state=self._state,
            decision=decision,
            mode=self._mode,
            sent=sent,
            end_to_end_ms=end_to_end_ms,
            stage_ms=stage_ms,
            link_events=self._new_events(),
        )
        self._on_turn(turn)
        return turn

    def _facts(
        self,
        result: Result | None,
        camera: CaptureFacts,
        link: LinkFacts,
        now_ns: int,
        *,
        ending: bool,
    ) -> Facts:
        return Facts(
            frame=None if result is None else _frame_facts(result),
            camera_gone=camera.camera is CameraState.GONE,
            inference_hung=self._inference.lost is not None
            or self._inference.busy_ms(now_ns) > self._inference.hung_after_ms,
            late_share=self._budgets.window.share,
            unacknowledged_in_a_row=link.unacknowledged_in_a_row,
            standstill=link.standstill,
            operator_request=link.operator_request,
            effective_action=link.effective_action,
            link_up=link.up,
            ending=ending,
            commands_often_late=link.often_late,
        )

    def _measure(
        self, result: Result, sent: SentCommand | None, stage_ms: Mapping[str, float]
    ) -> float | None:
        """Measures the stages and the whole; returns the end-to-end time in ms."""
        for stage, value_ms in stage_ms.items():
            self._budgets.add(stage, value_ms)
        if sent is None:
            return None
        captured_ns = result.frame.captured_ns
        end_to_end_ms = (sent.written_ns - captured_ns) / 1e6
        self._budgets.add(END_TO_END, end_to_end_ms)
        self._captured_of[sent.counter] = captured_ns
        if len(self._captured_of) > _AWAITED:
            del self._captured_of[next(iter(self._captured_of))]
        return end_to_end_ms

    def _new_events(self) -> tuple[LinkEvent, ...]:
        """The link's new events; measures the time to acknowledge of commands with a new frame."""
        events = self._link.events(self._last_event)
        for event in events:
            self._last_event = event.sequence
            if event.kind == "ack":
                counter = event.values["counter"]
                assert isinstance(counter, int)
                captured_ns = self._captured_of.pop(counter, None)
                if captured_ns is not None:
                    self._budgets.add(TO_ACKNOWLEDGE, (event.mono_ns - captured_ns) / 1e6)
        return events


def _frame_facts(result: Result) -> FrameFacts:
    known = result.perception if isinstance(result.perception, Known) else None
    return FrameFacts(
        captured_ns=result.frame.captured_ns,
        known=known is not None,
        tracks=result.tracks,
        frame_size=result.frame.size_px,
        scene=() if known is None else known.scene,
        areas=None if known is None else known.areas,
        left_out=0 if known is None else known.detections.left_out,
    )


def _age_ms(newest_ns: int | None, now_ns: int) -> int:
    """Age of the newest frame for the heartbeat, whole milliseconds, never negative."""
    if newest_ns is None:
        return CAMERA_AGE_UNKNOWN_MS
    return max(0, min((now_ns - newest_ns) // 1_000_000, CAMERA_AGE_UNKNOWN_MS))
