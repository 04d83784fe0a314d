"""Observes tensors of the float graph over road frames, in one pass, into histograms.

In: a model, names of tensors and frames. Out: an `Observation`. Each thread takes a frame from its
file to its counts, with an inference of its own, so that no core waits and results do not depend on
the number of threads. Counting is on the CPU, whatever runs the network. Tensors are written to
arrays that are reused, so memory does not depend on the number of frames.
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
from calibration.inference.sessions import Bound, CannotRun, ModelSession, SplitModel, split_weights
from calibration.observation.histogram import ENOUGH, NotFinite, Tally, count
from calibration.observation.observation import Observation, Subject
from edge.contract.mission.digest import preprocess_digest
from edge.perception.preprocess import PreprocessSpec, preprocess
from edge.perception.values import Floats
from edge.progress import Advance
from firmware_bridge.errors import UsageError

SLICE_BYTES = 256 << 20
"""Memory for the observed tensors of all concurrent inferences; with more, the model runs several
times for a frame, each time with some of the tensors."""


class Observer(Protocol):
    """Anything that observes frames: this process, or many (`calibration.dask_cluster`)."""

    def observe(
        self,
        frames: Sequence[RoadFrame],
        observation: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """Adds `frames` to `observation`.

        Args:
            ahead: frames that will probably be asked for next.
            pause: called now and then with the number of frames done. Where it is true,
                `observation` is completed with whole frames and the generator yields.
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
    """The observation of `tensors` (names of float32 values of the graph) over all `frames`.

    The model takes one picture and has static shapes of the tensors.

    Raises:
        UsageError: the model gives NaN or infinity in a tensor, or cannot run.
        Missing: a frame cannot be read.
    """
    observation = Observation.empty(subject_of(model, tensors, preprocess_spec))
    observer = LocalObserver(
        model,
        observation.subject,
        preprocess_spec=preprocess_spec,
        threads=threads,
        slice_bytes=slice_bytes,
    )

    def pause_after(done: int) -> bool:
        progress("observe", done, len(frames))
        return False

    for _ in observer.observe(frames, observation, ahead=(), pause=pause_after):
        pass
    return observation


def subject_of(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    preprocess_spec: PreprocessSpec,
    *,
    device: Device = CPU,
) -> Subject:
    """The subject of an observation of this model by this process."""
    return Subject(
        model=sha256(model.SerializeToString()).hexdigest(),
        preprocess=preprocess_digest(preprocess_spec),
        runner=f"onnxruntime {onnxruntime.__version__} on {device.words}",
        tensors=tuple(tensors),
    )


class Room(NamedTuple):
    """Memory for one inference: for the outputs of each session, and for counting one of them."""

    sessions: list[Bound]
    counting: NDArray[np.uint16]


class LocalObserver:
    """An `Observer` in this process: sessions of a model with the observed tensors as outputs."""

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
        observation: Observation,
        *,
        ahead: Sequence[RoadFrame],
        pause: Callable[[int], bool],
    ) -> Iterator[None]:
        """See `Observer`. Several frames at once, each on one thread; `ahead` is not used."""
        tallies = [Tally(histogram) for histogram in observation.histograms.values()]
        running: deque[Future[None]] = deque()
        done = 0
        with _one_opencv_thread(), ThreadPoolExecutor(self._threads) as pool:
            try:
                for frame in frames:
                    running.append(pool.submit(self._observe_frame, frame, observation, tallies))
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

    def _observe_frame(
        self, frame: RoadFrame, observation: Observation, tallies: list[Tally]
    ) -> None:
        x, _ = preprocess(frame.read(), self._spec)
        digest = frame.digest()
        turn = int(digest[:8], 16)  # depends on the frame alone
        extremes = np.zeros((len(tallies), 2), np.float32)

        def add(name: str, values: Floats) -> None:
            try:
                counted = count(values, room.counting, turn=turn)
            except NotFinite as error:
                raise _broken(f"puts {error} into '{name}'", f"frame {frame.name}") from error
            row = self._rows[name]
            tallies[row].add(counted)
            extremes[row] = counted.lowest, counted.highest

        with self._lend_room() as room:
            if self._picture in self._rows:
                add(self._picture, x)
            for session in room.sessions:
                try:
                    session.run({self._picture: x})
                except CannotRun as error:
                    raise _broken(f"fails on {frame.name}", str(error)) from error
                for name, values in session.outputs.items():
                    add(name, values)
        observation.extremes[frame.name] = extremes
        observation.frames[frame.name] = digest

    @contextlib.contextmanager
    def _lend_room(self) -> Iterator[Room]:
        """Lends memory for one inference; there is one for each thread."""
        try:
            room = self._spare.pop()
        except IndexError:
            values = np.empty(self._room, np.float32)
            bound = [one.bind(self._arrays(names, values)) for names, one in self._sessions]
            room = Room(bound, np.empty(ENOUGH, np.uint16))
        try:
            yield room
        finally:
            self._spare.append(room)

    def _arrays(self, names: Sequence[str], room: Floats) -> dict[str, Floats]:
        found, start = {}, 0
        for name in names:
            end = start + math.prod(self._shapes[name])
            found[name] = room[start:end].reshape(self._shapes[name])
            start = end
        return found


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> SplitModel:
    """The same model with `names` as its only outputs."""
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    parted = split_weights(model)
    del parted.model.graph.output[:]
    parted.model.graph.output.extend(known[name] for name in names)
    return parted


def _settle(tallies: Sequence[Tally]) -> None:
    for tally in tallies:
        tally.settle()


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shape of every value of which the graph states one."""
    return {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }


def _slices(
    model: onnx.ModelProto, tensors: Sequence[str], slice_bytes: int
) -> Iterator[list[str]]:
    """`tensors` in order, in slices whose values of one inference fit into `slice_bytes`."""
    shapes = _shapes(model)
    group: list[str] = []
    room = slice_bytes
    for name in tensors:
        needed = math.prod(shapes[name]) * np.dtype(np.float32).itemsize
        if group and needed > room:
            yield group
            group, room = [], slice_bytes
        group.append(name)
        room -= needed
    if group:
        yield group


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keeps OpenCV on the calling thread, since there is one for each core already."""
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
