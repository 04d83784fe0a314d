"""Runs a mission on a source of frames and a link: wires capture, inference, policy and recording.

In: a mission, a source, a chosen model and an established link. Out: a `RunReport`. The decision
loop runs in the caller's thread. Refusals are raised only before the first frame; after that
everything that goes wrong is a fault in the report.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from edge.backends.options import SessionOptions
from edge.backends.session import Session
from edge.backends.table import open_session
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.device import LinkSettings
from edge.engine.choose_backend import INPUT, ChosenModel
from edge.perception.decode import output_shapes
from edge.runtime.clock import Clock, monotonic_ns
from edge.runtime.health.files import NO_FILES, HealthFiles
from edge.runtime.health.frame_health import FrameHealth
from edge.runtime.loop.capture import CapturedFrame
from edge.runtime.loop.decision_loop import Link, Turn
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.recording.annotated_video import AnnotatedVideo
from edge.runtime.recording.events import RunEvent
from edge.runtime.recording.overlay import Painter
from edge.runtime.recording.run_report import (
    ModelRun,
    RunReport,
)
from edge.runtime.run import Run
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import Source
from edge.runtime.tracking.ground_plane import GroundCamera
from firmware_bridge.errors import UsageError
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.protocol.line_rate import minimum_baud


def run(
    mission: Mission,
    *,
    source: str | Source,
    model: ChosenModel,
    link: Link,
    on_event: Callable[[RunEvent], None],
    until: threading.Event | None = None,
    record: Path | None = None,
    health_files: HealthFiles = NO_FILES,
    on_turn: Callable[[Turn], None] | None = None,
    clock: Clock = monotonic_ns,
) -> RunReport:
    """Run until the source ends, `until` is set, or SIGINT or SIGTERM arrives.

    Args:
        mission: what to run.
        source: a camera, a clip, a folder of pictures or scenes:STORY, as docs/cameras.md has it;
            or one that is open, which the run closes.
        model: what runs, with the backend that runs it.
        link: started and established; the caller closes it. It gets the mission's times, which
            alone decide when a command is late.
        on_event: called on a thread of its own, in order; may print.
        until: set it to end the run cleanly.
        record: where to write the annotated .mp4; None: no recording.
        health_files: what the model's conversion wrote for its runs; the report names the checks
            that cannot be made without.
        on_turn: called after every turn, in the loop's thread: it must return at once.
        clock: monotonic nanoseconds.

    Returns:
        The report of the finished run.

    Raises:
        Refusal: before the first frame: source, model, package or recording.
    """
    opened = open_source(source, mission.camera, clock) if isinstance(source, str) else source
    frames: Mailbox[CapturedFrame] = Mailbox()
    results: Mailbox[Result] = Mailbox()
    _require_fast_line(mission.link, opened)
    link.use_times(
        LinkTimes(
            acknowledge_ms=mission.link.acknowledge_within_ms,
            late_share_max=mission.link.late_share_max,
        )
    )
    with contextlib.ExitStack() as until_captured:
        until_captured.callback(opened.close)
        until_captured.callback(frames.close)  # lets a loaded inference thread end
        health = FrameHealth(
            mission.model.network_spec, profile=health_files.profile, off=mission.health.off
        )
        inference = Inference(
            lambda: open_model(model, mission),
            mission.model,
            frames,
            results,
            health=health,
            clock=clock,
            ground=_ground_camera(mission),
        )
        inference.start()
        video = None
        if record is not None:
            fps = max(opened.info.fps, mission.camera.fps)
            video = AnnotatedVideo(record, Painter.of(mission), fps=fps)
        until_captured.pop_all()  # from here on the capture thread owns the source
    parts = Run(
        mission,
        opened,
        inference=inference,
        health=health,
        link=link,
        video=video,
        on_event=on_event,
        on_turn=on_turn,
        clock=clock,
    )
    told = ModelRun.of(model, threads=mission.target.threads)
    return parts.go(frames, results, model=told, until=until or threading.Event())


def open_model(model: ChosenModel, mission: Mission) -> Session:
    """The session that runs the model, for the thread that calls."""
    target, size = mission.target, mission.model.input
    options = SessionOptions(
        threads=target.threads,
        cuda=target.cuda,
        gpu=target.gpu,
        preprocess=mission.model.preprocess_spec,
        inputs={INPUT: (1, 3, size.height_px, size.width_px)},
        outputs=output_shapes(mission.model.network_spec, size.width_px, size.height_px),
    )
    return open_session(model.backend, model.model, options=options)


def _require_fast_line(link: LinkSettings, source: Source) -> None:
    """Refuses a baud rate too low for the source, as `mission check` does for the mission's camera;
    closes the source then."""
    fps = source.info.fps
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


def _ground_camera(mission: Mission) -> GroundCamera | None:
    geometry = mission.camera.geometry
    return None if geometry is None else GroundCamera.of(geometry)
