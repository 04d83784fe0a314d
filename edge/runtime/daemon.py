"""Wires source, inference, policy and link into one run and returns its report.

The decision loop runs in the caller's thread. Refusals are raised only before the first frame
flows; after that everything that goes wrong is a state, part of the report.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edge.backends.table import open_session
from edge.contract.artifact import digest_file
from edge.contract.mission.schema import Mission
from edge.runtime.clock import Clock, monotonic_ns
from edge.runtime.loop.capture import CameraState, Capture, Captured
from edge.runtime.loop.decision_loop import DecisionLoop, Link, Turn
from edge.runtime.loop.garbage_collection import QuietCollector
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.latency_budget import Budgets
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
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import Source
from firmware_bridge.errors import Refusal, UsageError
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.facts import LinkCounts
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.line_rate import minimum_baud

_EVENTS_QUEUED = 1024
_THREADS_END_WITHIN_S = 2.0


def run(
    mission: Mission,
    *,
    source: str,
    model_path: Path,
    precision: str,
    link: Link,
    on_event: Callable[[RunEvent], None],
    until: threading.Event | None = None,
    record: Path | None = None,
    clock: Clock = monotonic_ns,
) -> RunReport:
    """Run until the source ends, `until` is set, or SIGINT or SIGTERM arrives.

    Args:
        source: a video file, a folder of pictures, /dev/videoN, camera:N or scenes:STORY.
        model_path: the ONNX file to run; `precision` only goes into the report.
        link: started and established; the caller keeps and closes it. It is told the mission's
            times, which alone say when a command is late.
        on_event: called on a thread of its own, in order; may print.
        until: set it to end the run cleanly.
        record: where to write the annotated .mp4.

    Raises:
        Refusal: of any kind, before the first frame: source, model, package, recording.
    """
    opened = open_source(source, mission.camera, clock)
    frames: Mailbox[Captured] = Mailbox()
    results: Mailbox[Result] = Mailbox()
    target = mission.target
    _line_is_fast_enough(mission, opened)
    link.use_times(
        LinkTimes(
            acknowledge_ms=mission.link.acknowledge_within_ms,
            late_share_max=mission.link.late_share_max,
        )
    )
    with contextlib.ExitStack() as until_captured:
        until_captured.callback(opened.close)
        until_captured.callback(frames.close)  # lets a loaded inference thread end
        sha256 = digest_file(model_path)
        inference = Inference(
            lambda: open_session(target.backend, model_path, threads=target.threads),
            mission.model,
            frames,
            results,
            clock=clock,
        )
        inference.start()
        video = None
        if record is not None:
            fps = max(opened.info.fps, mission.camera.fps)
            video = AnnotatedVideo(record, mission, fps=fps)
        until_captured.pop_all()  # from here on the capture thread owns the source
    model = ModelRun(str(model_path), sha256, precision, target.backend, target.threads)
    parts = _Run(
        mission,
        opened,
        inference=inference,
        link=link,
        video=video,
        on_event=on_event,
        clock=clock,
    )
    return parts.go(frames, results, model=model, until=until or threading.Event())


class _Run:
    """The parts of one run, from the first frame to the report."""

    def __init__(
        self,
        mission: Mission,
        source: Source,
        *,
        inference: Inference,
        link: Link,
        video: AnnotatedVideo | None,
        on_event: Callable[[RunEvent], None],
        clock: Clock,
    ) -> None:
        self._mission = mission
        self._source = source
        self._inference = inference
        self._link = link
        self._video = video
        self._clock = clock
        self._start_ns = clock()
        self._events: Outbox[RunEvent] = Outbox(on_event, capacity=_EVENTS_QUEUED, name="events")
        self._faults = FaultLog(clock, self._start_ns, self._events.put)
        self._budgets = Budgets(mission.budget)
        self._run_log = RunLog(
            start_ns=self._start_ns,
            source=source.info,
            labels=mission.model.labels,
            policy=mission.policy,
            faults=self._faults,
            tell=self._events.put,
        )

    def go(
        self,
        frames: Mailbox[Captured],
        results: Mailbox[Result],
        *,
        model: ModelRun,
        until: threading.Event,
    ) -> RunReport:
        """Captures, decides, ends with a stop, and reports."""
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
        with QuietCollector(clock) as collector, _ending_on_signals(until):
            capture.start()
            try:
                ended = loop.run(
                    results,
                    period_s=1.0 / mission.link.rate_hz,
                    asked_to_end=until.is_set,
                    when_idle=collector.when_idle,
                )
                camera_gone = capture.facts.camera is CameraState.GONE
                stopped = loop.end(within_s=2.0 * mission.link.acknowledge_within_ms / 1e3)
            finally:
                capture.stop(timeout_s=_THREADS_END_WITHIN_S)
                joined = self._inference.join(timeout_s=_THREADS_END_WITHIN_S)
        if capture.crashed or (joined and self._inference.crashed):
            raise RuntimeError("a thread of the loop died: its traceback is on standard error")
        seconds = (clock() - self._start_ns) / 1e9
        self._note_end(ended, camera_gone=camera_gone, stopped=stopped)
        recording = self._finish_recording()
        report = RunReport(
            mission=mission.name,
            source=self._source.info,
            model=model,
            ended=ended,
            seconds=seconds,
            frames=FrameCounts(
                captured=capture.facts.captured,
                inferred=self._run_log.inferred,
                dropped=capture.facts.captured - self._run_log.inferred,
                unknown=self._run_log.unknown,
                crowded=self._run_log.crowded,
            ),
            latency=self._budgets.summaries(),
            worst_late_share=self._budgets.window.worst_share,
            commands=_since(before, self._link.facts(clock()).counts),
            commands_by_action=dict(self._run_log.commands),
            effective=tuple(self._run_log.effective),
            timeline=self._run_log.timeline.episodes,
            modes=tuple(self._run_log.modes),
            tracks=tuple(self._run_log.tracks.values()),
            scenes=self._run_log.scenes.to_json(),
            areas=self._run_log.areas.to_json(),
            faults=self._faults.faults,
            recording=recording,
            housekeeping=Housekeeping(collector.collections, round(collector.longest_ms, 3)),
        )
        self._events.close(timeout_s=_THREADS_END_WITHIN_S)
        return report

    def _on_turn(self, turn: Turn) -> None:
        self._run_log.on_turn(turn)
        if self._video is not None and turn.result is not None:
            self._video.on_frame(turn)

    def _note(self, kind: str, text: str | None) -> None:
        if text is not None:
            self._faults.note(kind, text)

    def _note_end(self, ended: str, *, camera_gone: bool, stopped: bool) -> None:
        """What the run could not recover from, and what was wrong all the time."""
        self._note("budget missed", budget_missed(self._budgets.summaries()))
        run_log = self._run_log
        self._note("never released", never_released(run_log.commands, unsure=run_log.unsure))
        if ended == "inference hung":
            self._faults.note(ended, f"no answer within {self._inference.hung_after_ms:.0f} ms")
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
def _ending_on_signals(until: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `until`, where this is the thread that may say so."""
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


def _line_is_fast_enough(mission: Mission, source: Source) -> None:
    """What `mission check` says of the mission's camera, said of the source that is run."""
    link, fps = mission.link, source.info.fps
    needed = minimum_baud(link.rate_hz + fps)
    if link.baud >= needed:
        return
    source.close()
    raise UsageError(
        f"the line to the microcontroller is too slow for {fps:g} frames a second",
        expected=f"link.baud of {needed} or more",
        found=f"link.baud = {link.baud}",
        remedy="raise link.baud, or lower link.rate_hz",
    )


def _since(before: LinkCounts, now: LinkCounts) -> LinkCounts:
    """Counts of this run alone, on a link that may have been used before."""
    return LinkCounts(**{name: value - vars(before)[name] for name, value in vars(now).items()})
