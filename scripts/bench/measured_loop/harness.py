"""The product's own loop, fed frame by frame or from a clip as fast as it takes them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import onnxruntime

from edge.backends.options import SessionOptions
from edge.backends.session import Session
from edge.backends.table import open_session
from edge.contract.mission.schema import Mission
from edge.perception.pixel_formats import Picture
from edge.perception.values import BgrImage, Floats, Frame
from edge.qualification.vehicle_link import vehicle_link
from edge.runtime.clock import monotonic_ns
from edge.runtime.health.frame_health import FrameHealth
from edge.runtime.loop.capture import CapturedFrame
from edge.runtime.loop.decision_loop import Turn
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.recording.run_report import ModelRun
from edge.runtime.run import Run
from edge.runtime.sources.source import Pause, Reading, SourceEnd, SourceInfo

ANSWER_WITHIN_S = 20.0


AnySource = TypeVar("AnySource", "Handed", "Clip")


class Counted(Mailbox[CapturedFrame]):
    """The loop's mailbox of frames, which says when one was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = threading.Semaphore()

    def take(self, timeout_s: float) -> CapturedFrame | None:
        """As of any mailbox."""
        item = super().take(timeout_s)
        if item is not None:
            self.taken.release()
        return item


class Handed:
    """A source whose frames are handed over by `put`; None ends it."""

    def __init__(self, fps: float) -> None:
        self.info = SourceInfo("handed over", "video", fps, None)
        self._pictures: queue.SimpleQueue[BgrImage | None] = queue.SimpleQueue()
        self._index = -1

    def put(self, image: BgrImage | None) -> None:
        """Hands a frame over."""
        self._pictures.put(image)

    def read(self, pause: Pause) -> Reading:
        """The next frame, captured now."""
        del pause
        image = self._pictures.get()
        self._index += 1
        if image is None:
            return SourceEnd()
        return Frame(Picture(image), monotonic_ns(), "video", self._index)

    def close(self) -> None:
        """Nothing to close."""


class Clip:
    """A source that decodes the next frame of a clip while the loop is at work on this one."""

    def __init__(self, path: Path, frames: int, fps: float, taken: threading.Semaphore) -> None:
        self.info = SourceInfo(str(path), "video", fps, frames)
        self._video = cv2.VideoCapture(str(path))
        self._left = self._frames = frames
        self._taken = taken

    def read(self, pause: Pause) -> Reading:
        """The next frame, once the one before was taken."""
        del pause
        self._left -= 1
        good, image = self._video.read() if self._left >= 0 else (False, None)
        self._taken.acquire()
        if not good or image is None:
            return SourceEnd()
        index = self._frames - self._left - 1
        return Frame(Picture(np.asarray(image, np.uint8)), monotonic_ns(), "video", index)

    def close(self) -> None:
        """Closes the file."""
        self._video.release()


class Loop:
    """The product's own loop in threads of its own: every turn that had a frame is in `turns`."""

    def __init__(self) -> None:
        self.turns: queue.SimpleQueue[Turn] = queue.SimpleQueue()
        self.sent_ns: list[int] = []

    def on_turn(self, turn: Turn) -> None:
        """Keeps what is measured."""
        if turn.sent is not None:
            self.sent_ns.append(turn.sent.written_ns)
        if turn.result is not None:
            self.turns.put(turn)

    def next_turn(self) -> Turn:
        """The next turn that had a frame."""
        return self.turns.get(timeout=ANSWER_WITHIN_S)

    def next_frame_index(self) -> int:
        """The frame of that turn. The loop drops results that it has no time for."""
        result = self.next_turn().result
        return -1 if result is None else result.frame.index


@contextlib.contextmanager
def running(
    mission: Mission,
    open_session: Callable[[], Session],
    make_source: Callable[[Counted], AnySource],
) -> Iterator[tuple[Loop, AnySource]]:
    """The loop at work on a source, with the firmware as a process at the other end of its link."""
    frames, results, loop = Counted(), Mailbox[Result](), Loop()
    source, until = make_source(frames), threading.Event()
    with vehicle_link(mission, "emulated") as link:
        health = FrameHealth(mission.model.network_spec, profile=None, off=mission.health.off)
        inference = Inference(
            open_session, mission.model, frames, results, health=health, clock=monotonic_ns
        )
        inference.start()
        run = Run(
            mission,
            source,
            inference=inference,
            health=health,
            link=link,
            video=None,
            on_event=lambda _event: None,
            on_turn=loop.on_turn,
            clock=monotonic_ns,
        )
        model = ModelRun(
            path="measured",
            sha256="",
            precision="float",
            backend="onnxruntime",
            threads=mission.target.threads,
            why="measured",
            passed_over={},
            engine=None,
            known_faults=(),
        )
        thread = threading.Thread(
            target=run.go, args=(frames, results), kwargs={"model": model, "until": until}
        )
        thread.start()
        try:
            yield loop, source
        finally:
            until.set()
            if isinstance(source, Handed):
                source.put(None)
            thread.join()


class Waiting:
    """A session that answers as an accelerator does: after a wait, during which no core works.

    It gives the outputs of `row`, copied while it waits, as they would be to the host. Whoever
    hands a frame over sets the row; with a `step` it goes on by itself.
    """

    def __init__(
        self, outputs: Sequence[tuple[Floats, ...]], shape: tuple[int, ...], wait_ms: float
    ) -> None:
        self.row, self.step = 0, 0
        self.input_shape = shape
        self.output_shapes = tuple(output.shape for output in outputs[0])
        self.input: Floats = np.zeros(shape, np.float32)
        self.device_ms: Mapping[str, float] = {}
        self.facts: Mapping[str, str] = {}
        self._outputs = outputs
        self._host = tuple(output.copy() for output in outputs[0])
        self._wait_s = wait_ms / 1e3

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        """The outputs of the row."""
        del x
        until_s = time.perf_counter() + self._wait_s
        for host, output in zip(self._host, self._outputs[self.row], strict=True):
            np.copyto(host, output)
        time.sleep(max(0.0, until_s - time.perf_counter() - 2e-4))  # a timer is late by less
        while time.perf_counter() < until_s:
            time.sleep(0.0)
        self.row = (self.row + self.step) % len(self._outputs)
        return self._host

    def close(self) -> None:
        """Nothing to free."""


def cpu_session(path: Path, threads: int) -> Session:
    """The product's session on the CPU."""
    return open_session("onnxruntime", path, options=SessionOptions(threads=threads))


def bare_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """onnxruntime alone, with the options of the product's session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for key, value in {
        "session.intra_op.spin_duration_us": "20",
        "session.force_spinning_stop": "1",
    }.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
