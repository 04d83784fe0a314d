"""The inference thread: preprocesses, runs the network, decodes and tracks, frame by frame.

In: the newest frame from one mailbox. Out: a `Result` in another. The thread alone owns the
session, from loading to closing. While the network runs, a second thread checks the picture and
follows the patches of known tracks into it; it has ended before the outputs are judged. A network
that fails, or whose outputs are no numbers, makes the frame Unknown.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from edge.backends.session import DeviceLost, InferenceFailed, PictureSession, Session
from edge.contract.mission.sections.model import Model
from edge.perception.decode import output_shapes, perceive
from edge.perception.preprocess import InputPlacement, Preprocessor, input_placement
from edge.perception.values import Floats, Frame, Known, Perception, Unknown
from edge.runtime.clock import Clock
from edge.runtime.health.frame_health import FrameHealth, Looked
from edge.runtime.loop.capture import CapturedFrame
from edge.runtime.loop.latency_budget import Histogram, Stopwatch
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.tracking.ground_plane import GroundCamera
from edge.runtime.tracking.object_distance import with_distances
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker
from firmware_bridge.errors import DeviceFault, UsageError

_WARM_UP_RUNS = 5
# docs/runtime.md, failure table: hung is ten times the p99, and at least 200 ms.
_HUNG_FACTOR = 10.0
_HUNG_LEAST_MS = 200.0
# The same text for all such frames, so that a run of them is one fault.
_GOES_BACK = "captured before the frame that was looked at last: its time is wrong"


@dataclass(frozen=True)
class Result:
    """One frame after perception.

    Attributes:
        frame: the frame.
        perception: what the network found in it, or why it is Unknown.
        tracks: the tracker's tracks after it; empty where it is Unknown.
        stage_ms: duration in ms of grab, preprocess, infer, decode and track, as far as they ran;
            what the device preprocesses is part of infer.
        device_ms: the device's own time of its stages within infer; empty without a device.
    """

    frame: Frame
    perception: Perception
    tracks: tuple[Track, ...]
    stage_ms: Mapping[str, float]
    device_ms: Mapping[str, float] = field(default_factory=dict)


class Inference:
    """The thread: results from one mailbox of frames into another, until the first is finished."""

    def __init__(
        self,
        open_session: Callable[[], Session],
        model: Model,
        frames: Mailbox[CapturedFrame],
        results: Mailbox[Result],
        *,
        health: FrameHealth | None,
        clock: Clock,
        ground: GroundCamera | None = None,
    ) -> None:
        self._open_session = open_session
        self._ground = ground
        self._health = health
        self._preprocess = model.preprocess_spec
        self._preprocessor = Preprocessor(model.preprocess_spec)
        self._network = model.network_spec
        self._frames = frames
        self._results = results
        self._clock = clock
        self._tracker = Tracker()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="beside-inference")
        self._looking: Future[Looked | None] = Future()
        # The session's own buffer, once it is known that it has one of this size.
        self._tensor = np.zeros((1, 3, model.input.height_px, model.input.width_px), np.float32)
        self._picture_session: PictureSession | None = None  # the session, if it preprocesses
        self._durations = Histogram()
        self._busy_since_ns: int | None = None
        self._newest_ns = -1
        self._ready: Future[None] = Future()
        self._ended = threading.Event()
        self.crashed = False
        self.lost: str | None = None
        self.session_facts: Mapping[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Starts the thread, which loads and warms the model, and waits until that is done.

        Raises:
            Refusal: what opening the session raises.
            UsageError: the model has other shapes than the mission.
            DeviceFault: the device was lost.
        """
        self._thread.start()
        self._ready.result()

    def join(self, *, timeout_s: float) -> bool:
        """Waits until the thread has done its work, which is when its mailbox is closed or the
        device is lost; False where it hangs."""
        return self._ended.wait(timeout_s)

    def busy_ms(self, now_ns: int) -> float:
        """How long the network has been working on the present frame; 0 while it is idle."""
        since_ns = self._busy_since_ns
        return 0.0 if since_ns is None else (now_ns - since_ns) / 1e6

    @property
    def hung_after_ms(self) -> float:
        """From how long on a network that does not answer counts as hung."""
        return max(_HUNG_LEAST_MS, _HUNG_FACTOR * (self._durations.percentile_ms(99.0) or 0.0))

    def _run(self) -> None:
        try:
            self._open_and_infer()
        finally:
            self._results.close()
            self._beside.shutdown()
            self._ended.set()
        if self.lost is not None:
            threading.Event().wait()  # this thread must outlive the device: see DeviceLost

    def _open_and_infer(self) -> None:
        """Opens the session, infers until the frames are finished, and closes it."""
        try:
            with contextlib.closing(self._open_session()) as session:
                self._check_and_warm(session)
                self.session_facts = session.facts
                self._ready.set_result(None)
                self.crashed = True
                while not self._frames.finished:
                    captured = self._frames.take(0.5)
                    if captured is not None:
                        self._results.put(self._process(session, captured))
                self.crashed = False
        except DeviceLost as error:
            self.lost, self.crashed = str(error), False
            if not self._ready.done():
                self._ready.set_exception(_lost_at_load(error))
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)  # raised by start() in the caller's thread

    def _check_and_warm(self, session: Session) -> None:
        wanted_in = self._tensor.shape
        wanted_out = output_shapes(
            self._network, self._preprocess.width_px, self._preprocess.height_px
        )
        _require_shapes("input", {"images": wanted_in}, [session.input_shape])
        _require_shapes("output", wanted_out, session.output_shapes)
        if session.input.shape == wanted_in:
            self._tensor = session.input
        if isinstance(session, PictureSession) and session.takes_pictures:
            self._picture_session = session
        try:
            for _ in range(_WARM_UP_RUNS):
                began_ns = self._clock()
                shapes = [output.shape for output in session.infer(self._tensor)]
                self._durations.add((self._clock() - began_ns) / 1e6)
        except InferenceFailed as error:
            raise UsageError(
                "the model fails on a blank picture",
                expected="an output for every picture",
                found=str(error),
                remedy="convert it again: brakepoint convert MISSION --out DIR",
            ) from error
        _require_shapes("output", wanted_out, shapes)

    def _process(self, session: Session, captured: CapturedFrame) -> Result:
        frame, stages = captured.frame, Stopwatch(grab_ms=captured.grab_ms)
        if frame.captured_ns < self._newest_ns:
            return Result(frame, Unknown(_GOES_BACK), (), stages.ms)
        self._newest_ns = frame.captured_ns
        try:
            outputs = self._infer(session, frame, stages)
        except InferenceFailed as error:
            self._looking.result()
            return Result(frame, Unknown(f"inference failed: {error}"), (), stages.ms)
        stages.lap("infer")
        device_ms = session.device_ms
        placement = input_placement(self._preprocess, *frame.size_px)
        perception = self._perceive(outputs, placement, frame)
        looked = self._looking.result()
        if self._health is not None and looked is not None:
            perception = self._health.judge(looked, outputs, perception)
        stages.lap("decode")
        tracks: tuple[Track, ...] = ()
        if isinstance(perception, Known):
            try:
                tracks = self._tracker.update(
                    perception.detections,
                    frame.captured_ns,
                    frame_size=frame.size_px,
                    image=frame.image,
                )
                if self._ground is not None:
                    tracks = with_distances(tracks, self._ground, frame_size=frame.size_px)
            except ValueError as error:
                perception = Unknown(str(error))
            stages.lap("track")
        return Result(frame, perception, tracks, stages.ms, device_ms)

    def _infer(self, session: Session, frame: Frame, stages: Stopwatch) -> Sequence[Floats]:
        """The outputs for a frame, preprocessed here or by the session; measures how long the
        network works, and has the picture looked at meanwhile."""
        if self._picture_session is not None:
            infer = functools.partial(self._picture_session.infer_picture, frame.picture)
        else:
            self._preprocessor.write(frame.image, self._tensor)
            stages.lap("preprocess")
            infer = functools.partial(session.infer, self._tensor)
        self._looking = self._beside.submit(self._look, frame)
        self._busy_since_ns = self._clock()
        try:
            outputs = infer()
            self._durations.add(self.busy_ms(self._clock()))  # what failed late says nothing of p99
            return outputs
        finally:
            self._busy_since_ns = None

    def _look(self, frame: Frame) -> Looked | None:
        """All that needs the picture and no output of the network."""
        looked = None if self._health is None else self._health.look(frame.picture)
        # A picture in a camera's own format is converted here too.
        self._tracker.follow(frame.image, frame.captured_ns)
        return looked

    def _perceive(
        self,
        outputs: Sequence[Floats],
        placement: InputPlacement,
        frame: Frame,
    ) -> Perception:
        spec = self._preprocess
        return perceive(
            outputs,
            self._network,
            placement=placement,
            input_size=(spec.width_px, spec.height_px),
            frame_size=frame.size_px,
        )


def _lost_at_load(error: DeviceLost) -> DeviceFault:
    return DeviceFault(
        "the device was lost while the model was loaded",
        expected="a device that answers",
        found=str(error),
        remedy="start again; if it recurs, look at the kernel's log (dmesg), at heat and power",
    )


def _require_shapes(
    what: str, wanted: Mapping[str, tuple[int, ...]], found: Sequence[tuple[int, ...]]
) -> None:
    """Refuses a model whose sizes are known (not 0) and differ from the mission's."""
    if len(found) == len(wanted) and all(
        len(sizes) == len(shape) and all(f in (0, w) for f, w in zip(sizes, shape, strict=True))
        for shape, sizes in zip(wanted.values(), found, strict=True)
    ):
        return
    remedy = "correct [model.input] in the mission, or take the model that belongs to it"
    if what == "output":
        remedy = (
            "correct model.labels, [model.decode] or [model.condition] in the mission, or take "
            "the model that belongs to it"
        )
    raise UsageError(
        f"the model's {what} does not fit the mission",
        expected=", ".join(f"{name} {shape}" for name, shape in wanted.items()),
        found=", ".join(str(sizes) for sizes in found) or "none",
        remedy=remedy,
    )
