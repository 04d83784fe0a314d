"""One run, from the first frame to its report.

In: the mission, an open source, a loaded inference thread and an established link. Out: a
`RunReport`. Captures and decides until the source ends or the run is ended, commands the final
stop, and gathers what was measured.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from edge.backends.abandoned import abandon
from edge.contract.mission.schema import Mission
from edge.runtime.clock import Clock
from edge.runtime.health.frame_health import FrameHealth
from edge.runtime.loop.capture import CameraState, Capture, CapturedFrame, StampCount
from edge.runtime.loop.decision_loop import DecisionLoop, Link, Turn
from edge.runtime.loop.garbage_collection import QuietCollector
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.latency_budget import Budgets, DeviceTimes
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.recording.annotated_video import AnnotatedVideo
from edge.runtime.recording.events import RunEvent
from edge.runtime.recording.fault_log import FaultLog
from edge.runtime.recording.outbox import Outbox
from edge.runtime.recording.run_log import RunLog
from edge.runtime.recording.run_report import (
    FrameCounts,
    Housekeeping,
    ModelRun,
    Recording,
    RunReport,
)
from edge.runtime.recording.run_verdicts import budget_missed, never_released, too_far_apart
from edge.runtime.sources.source import Source
from firmware_bridge.errors import Refusal
from firmware_bridge.link.facts import LinkCounts
from firmware_bridge.link.states import LinkState

_EVENTS_QUEUED = 1024
_THREADS_END_WITHIN_S = 2.0


class Run:
    """The parts of one run, from the first frame to the report."""

    def __init__(
        self,
        mission: Mission,
        source: Source,
        *,
        inference: Inference,
        health: FrameHealth,
        link: Link,
        video: AnnotatedVideo | None,
        on_event: Callable[[RunEvent], None],
        on_turn: Callable[[Turn], None] | None = None,
        clock: Clock,
    ) -> None:
        self._mission = mission
        self._source = source
        self._inference = inference
        self._health = health
        self._link = link
        self._video = video
        self._listener = on_turn
        self._clock = clock
        self._start_ns = clock()
        self._events: Outbox[RunEvent] = Outbox(on_event, capacity=_EVENTS_QUEUED, name="events")
        self._faults = FaultLog(clock, self._start_ns, self._events.put)
        self._budgets = Budgets(mission.budget)
        self._device_times = DeviceTimes()
        self._run_log = RunLog(
            start_ns=self._start_ns,
            source=source.info,
            labels=mission.model.labels,
            policy=mission.policy,
            faults=self._faults,
            on_event=self._events.put,
        )

    def go(
        self,
        frames: Mailbox[CapturedFrame],
        results: Mailbox[Result],
        *,
        model: ModelRun,
        until: threading.Event,
    ) -> RunReport:
        """Captures and decides until the run ends, commands the final stop, and reports."""
        mission, clock = self._mission, self._clock
        before = self._link.facts(self._start_ns).counts
        capture = Capture(self._source, frames, clock=clock, on_fault=self._faults.note)
        settings = PolicySettings.of(mission, fps=self._source.info.fps)
        fps = self._source.info.fps
        self._note("frames too far apart", too_far_apart(fps, settings.unknown_after_ns))
        loop = DecisionLoop(
            settings,
            self._budgets,
            link=self._link,
            camera=lambda: capture.facts,
            inference=self._inference,
            clock=clock,
            on_turn=self._on_turn,
        )
        with QuietCollector(clock) as collector, _end_on_signals(until):
            capture.start()
            try:
                ended = loop.run(
                    results,
                    period_s=1.0 / mission.link.rate_hz,
                    should_end=until.is_set,
                    when_idle=collector.when_idle,
                )
                camera_gone = capture.facts.camera is CameraState.GONE
                stopped = loop.end(within_s=2.0 * mission.link.acknowledge_within_ms / 1e3)
            finally:
                capture.stop(timeout_s=_THREADS_END_WITHIN_S)
                joined = self._inference.join(timeout_s=_THREADS_END_WITHIN_S)
                if not joined:
                    abandon(self._inference)
        if capture.crashed or (joined and self._inference.crashed):
            raise RuntimeError("a thread of the loop died: its traceback is on standard error")
        seconds = (clock() - self._start_ns) / 1e9
        if not joined and ended != "inference hung":
            self._faults.note("inference hung", "it did not end with the run")
        self._note_end(ended, camera_gone=camera_gone, stopped=stopped)
        report = self._report(
            model=model,
            ended=ended,
            seconds=seconds,
            captured=capture.facts.captured,
            stamps=capture.stamps,
            before=before,
            housekeeping=Housekeeping(collector.collections, round(collector.longest_ms, 3)),
        )
        self._events.close(timeout_s=_THREADS_END_WITHIN_S)
        return report

    def _report(
        self,
        *,
        model: ModelRun,
        ended: str,
        seconds: float,
        captured: int,
        stamps: dict[str, StampCount],
        before: LinkCounts,
        housekeeping: Housekeeping,
    ) -> RunReport:
        """Finishes the recording and gathers the report; `before`: the link's counts at start."""
        recording, log = self._finish_recording(), self._run_log
        return RunReport(
            mission=self._mission.name,
            source=self._source.info,
            model=model,
            ended=ended,
            seconds=seconds,
            frames=FrameCounts(
                captured=captured,
                inferred=log.inferred,
                dropped=captured - log.inferred,
                unknown=log.unknown,
                crowded=log.crowded,
            ),
            stamps=stamps,
            latency=self._budgets.summaries(),
            device=self._inference.session_facts,
            device_latency=self._device_times.summaries(),
            worst_late_share=self._budgets.window.worst_share,
            commands=_since(before, self._link.facts(self._clock()).counts),
            commands_by_action=dict(log.commands),
            effective=tuple(log.effective),
            timeline=log.timeline.episodes,
            modes=tuple(log.modes),
            tracks=tuple(log.tracks.values()),
            scenes=log.scenes.to_json(),
            areas=log.areas.to_json(),
            health=self._health.counts(),
            faults=self._faults.faults,
            recording=recording,
            housekeeping=housekeeping,
        )

    def _on_turn(self, turn: Turn) -> None:
        self._run_log.on_turn(turn)
        if turn.result is not None:
            self._device_times.add(turn.result.device_ms)
        if self._video is not None and turn.result is not None:
            self._video.on_frame(turn)
        if self._listener is not None:
            self._listener(turn)

    def _note(self, kind: str, text: str | None) -> None:
        if text is not None:
            self._faults.note(kind, text)

    def _note_end(self, ended: str, *, camera_gone: bool, stopped: bool) -> None:
        """Notes the faults of the run as a whole and those that it did not recover from."""
        self._note("budget missed", budget_missed(self._budgets.summaries()))
        run_log = self._run_log
        self._note("never released", never_released(run_log.commands, unsure=run_log.unsure))
        if ended == "inference hung":
            self._faults.note(ended, f"no answer within {self._inference.hung_after_ms:.0f} ms")
        self._note("device lost", self._inference.lost)
        if camera_gone:
            self._faults.note("camera gone at the end", "it did not come back")
        link = self._link.facts(self._clock())
        if link.state is not LinkState.ESTABLISHED:
            heard = "" if link.traffic is None else f"; heard: {link.traffic.what}"
            why = f"{link.refusal or link.state.value}{heard}"
            self._faults.note("link lost at the end", why)
        elif not stopped:
            self._faults.note("last stop unacknowledged", "no acknowledge came in time")

    def _finish_recording(self) -> Recording | None:
        if self._video is None:
            return None
        try:
            recording = self._video.close()
        except (Refusal, OSError) as error:
            self._faults.note("recording lost", str(error))
            return None
        if recording is not None and recording.left_out:
            self._faults.note("recording incomplete", f"{recording.left_out} frames left out")
        return recording


@contextlib.contextmanager
def _end_on_signals(until: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `until`; in any thread but the main one, which alone may install
    handlers, this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    former = [signal.signal(number, lambda *_: until.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)


def _since(before: LinkCounts, now: LinkCounts) -> LinkCounts:
    """The link's counts of this run alone: the link may have been used before."""
    return LinkCounts(**{name: value - vars(before)[name] for name, value in vars(now).items()})
