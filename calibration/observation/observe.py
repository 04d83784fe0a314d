"""One look at the float graph over road frames: a histogram for every tensor that is asked for.

Which tensors, the quantization rules decide. One pass: each thread takes a frame from the file to
its counts, with an inference for that thread alone, so that no core waits and results do not depend
on how many there are; counting is on the CPU, whatever runs the network. Tensors land in arrays
that are used again, and memory does not depend on the number of frames. Never chooses a range.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from calibration.dataset.frames.frame import RoadFrame
from calibration.inference.devices import CPU, Device
from calibration.inference.sessions import Bound, CannotRun, ModelSession, Parted, part
from calibration.observation.histogram import ENOUGH, NotFinite, Tally, count
from calibration.observation.observation import Observation, Subject
from edge.contract.mission.digest import preprocess_digest
from edge.perception.preprocess import PreprocessSpec, preprocess
from edge.perception.values import Floats
from edge.progress import Advance
from firmware_bridge.errors import UsageError

SLICE_BYTES = 256 << 20
"""Observed tensors of all inferences at work may take so much; more are looked at in turn."""


class Observer(Protocol):
    """Whatever looks at frames: this process, or many machines (`calibration.dask_cluster`)."""

    def observe(
        self,
        frames: Sequence[RoadFrame],
        seen: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """Adds `frames` to `seen`.

        Args:
            ahead: frames that will probably be asked for next.
            pause: told how many are done, now and then; where it answers yes, `seen` is brought to
                whole frames and the caller has the turn.
        """
        ...


def observe(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: Sequence[RoadFrame],
    *,
    preprocess_spec: PreprocessSpec,
    threads: int,
    progress: Advance,
    slice_bytes: int = SLICE_BYTES,
) -> Observation:
    """What `tensors` (names of float32 values of the graph) hold over all `frames`.

    The model takes one picture and carries static shapes for the tensors.

    Raises:
        UsageError: the model puts NaN or infinity into a tensor, or cannot run.
        Missing: a frame cannot be read.
    """
    seen = Observation.of_nothing(subject_of(model, tensors, preprocess_spec))
    observer = LocalObserver(
        model,
        seen.subject,
        preprocess_spec=preprocess_spec,
        threads=threads,
        slice_bytes=slice_bytes,
    )

    def told(done: int) -> bool:
        progress("observe", done, len(frames))
        return False

    for _ in observer.observe(frames, seen, ahead=(), pause=told):
        pass
    return seen


def subject_of(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    preprocess_spec: PreprocessSpec,
    *,
    device: Device = CPU,
) -> Subject:
    """What an observation of this model by this process is bound to."""
    return Subject(
        model=sha256(model.SerializeToString()).hexdigest(),
        preprocess=preprocess_digest(preprocess_spec),
        runner=f"onnxruntime {onnxruntime.__version__} on {device.words}",
        tensors=tuple(tensors),
    )


class Room(NamedTuple):
    """Memory for one frame on its way: for what each session puts out, and for counting one."""

    sessions: list[Bound]
    counting: NDArray[np.uint16]


class LocalObserver:
    """A model with its tensors as outputs, ready to look at frames. Holds no frames."""

    def __init__(
        self,
        model: onnx.ModelProto,
        subject: Subject,
        *,
        preprocess_spec: PreprocessSpec,
        threads: int,
        slice_bytes: int = SLICE_BYTES,
        device: Device = CPU,
    ) -> None:
        self._threads = threads
        (self._picture,) = (value.name for value in model.graph.input)
        self._spec = preprocess_spec
        self._rows = {name: row for row, name in enumerate(subject.tensors)}
        inner = [name for name in subject.tensors if name != self._picture]
        slices = list(_slices(model, inner, slice_bytes // threads))
        self._shapes = _shapes(model)
        sizes = [sum(math.prod(self._shapes[name]) for name in names) for names in slices]
        self._room = max(sizes, default=0)
        self._spare: list[Room] = []
        try:
            self._sessions = [
                (names, ModelSession(with_outputs(model, names), threads=1, device=device))
                for names in slices
            ]
        except CannotRun as error:
            raise _broken("cannot run", str(error)) from error

    def observe(
        self,
        frames: Sequence[RoadFrame],
        seen: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """See `Observer`: several at once, each on one thread; `ahead` is not used."""
        tallies = [Tally(histogram) for histogram in seen.histograms.values()]
        running: deque[Future[None]] = deque()
        done = 0
        with _one_opencv_thread(), ThreadPoolExecutor(self._threads) as pool:
            try:
                for frame in frames:
                    running.append(pool.submit(self._look, frame, seen, tallies))
                    if len(running) <= self._threads:
                        continue
                    running.popleft().result()
                    done += 1
                    if pause(done):
                        while running:
                            running.popleft().result()
                            done += 1
                        _settle(tallies)
                        yield
                while running:
                    running.popleft().result()
                    done += 1
                    pause(done)
            finally:
                for waiting in running:
                    waiting.cancel()
        _settle(tallies)

    def _look(self, frame: RoadFrame, seen: Observation, tallies: list[Tally]) -> None:
        x, _ = preprocess(frame.read(), self._spec)
        digest = frame.digest()
        turn = int(digest[:8], 16)  # the frame's own, whoever looks at it and when
        extremes = np.zeros((len(tallies), 2), np.float32)

        def add(name: str, values: Floats) -> None:
            try:
                counted = count(values, room.counting, turn=turn)
            except NotFinite as error:
                raise _broken(f"puts {error} into '{name}'", f"frame {frame.name}") from error
            row = self._rows[name]
            tallies[row].add(counted)
            extremes[row] = counted.lowest, counted.highest

        with self._lent() as room:
            if self._picture in self._rows:
                add(self._picture, x)
            for session in room.sessions:
                try:
                    session.run({self._picture: x})
                except CannotRun as error:
                    raise _broken(f"fails on {frame.name}", str(error)) from error
                for name, values in session.outputs.items():
                    add(name, values)
        seen.extremes[frame.name] = extremes
        seen.frames[frame.name] = digest

    @contextlib.contextmanager
    def _lent(self) -> Iterator[Room]:
        """Memory for one inference, for as many at a time as there are threads."""
        try:
            room = self._spare.pop()
        except IndexError:
            values = np.empty(self._room, np.float32)
            bound = [one.bind(self._laid_out(names, values)) for names, one in self._sessions]
            room = Room(bound, np.empty(ENOUGH, np.uint16))
        try:
            yield room
        finally:
            self._spare.append(room)

    def _laid_out(self, names: Sequence[str], room: Floats) -> dict[str, Floats]:
        found, start = {}, 0
        for name in names:
            end = start + math.prod(self._shapes[name])
            found[name] = room[start:end].reshape(self._shapes[name])
            start = end
        return found


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> Parted:
    """The same model with `names` as its only outputs."""
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    parted = part(model)
    del parted.model.graph.output[:]
    parted.model.graph.output.extend(known[name] for name in names)
    return parted


def _settle(tallies: Sequence[Tally]) -> None:
    for tally in tallies:
        tally.settle()


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of every value that the graph tells one of."""
    return {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }


def _slices(
    model: onnx.ModelProto, tensors: Sequence[str], slice_bytes: int
) -> Iterator[list[str]]:
    """`tensors` in order, cut so that one inference's values fit into `slice_bytes`."""
    shapes = _shapes(model)
    taken: list[str] = []
    room = slice_bytes
    for name in tensors:
        needed = math.prod(shapes[name]) * np.dtype(np.float32).itemsize
        if taken and needed > room:
            yield taken
            taken, room = [], slice_bytes
        taken.append(name)
        room -= needed
    if taken:
        yield taken


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """OpenCV stays on the calling thread: there is one for each core already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _broken(what: str, found: str) -> UsageError:
    return UsageError(
        f"the model {what}",
        expected="finite float32 numbers in every layer on every road frame",
        found=found,
        remedy="check model.preprocess (mean, std, color) and the model's weights",
    )
