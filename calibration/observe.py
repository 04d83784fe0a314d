"""One look at the float graph over road frames: a histogram for every tensor that is asked for.

Which tensors, the quantization rules decide. Memory does not depend on the number of frames: one
frame is in memory at a time, and the tensors are looked at in slices of bounded size. Never
chooses a range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx

from calibration.dataset.frames import RoadFrame
from calibration.histogram import Histogram, NotFinite
from calibration.sessions import CannotRun, ModelSession
from edge.contract.preprocess import PreprocessSpec, preprocess
from firmware_bridge.errors import UsageError

SLICE_BYTES = 256 << 20
"""Observed tensors of one inference may take so much; more of them means more passes."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def observe(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: Sequence[RoadFrame],
    *,
    preprocess_spec: PreprocessSpec,
    threads: int,
    progress: Progress,
    slice_bytes: int = SLICE_BYTES,
) -> dict[str, Histogram]:
    """Histograms of `tensors` (names of float32 values of the graph) over all `frames`.

    The model takes one picture and carries static shapes for the tensors.

    Raises:
        UsageError: the model puts NaN or infinity into a tensor, or cannot run.
        Missing: a frame cannot be read.
    """
    (picture,) = (value.name for value in model.graph.input)
    seen = {name: Histogram() for name in tensors}
    inner = [name for name in tensors if name != picture]
    slices = list(_slices(model, inner, slice_bytes)) or [[]]
    done, work = 0, len(slices) * len(frames)
    for row, names in enumerate(slices):
        session = ModelSession(with_outputs(model, names), threads=threads) if names else None
        for frame in frames:
            x, _ = preprocess(frame.read(), preprocess_spec)
            found = {picture: x} if row == 0 and picture in seen else {}
            if session is not None:
                try:
                    found.update(zip(names, session.run({picture: x}, names), strict=True))
                except CannotRun as error:
                    raise _broken(f"fails on {frame.name}", str(error)) from error
            for name, values in found.items():
                try:
                    seen[name].add(values)
                except NotFinite as error:
                    raise _broken(f"puts {error} into '{name}'", f"frame {frame.name}") from error
            done += 1
            progress("observe", done, work)
    return seen


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> bytes:
    """The same model, serialized, with `names` as its only outputs."""
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    del wider.graph.output[:]
    wider.graph.output.extend(known[name] for name in names)
    data: bytes = wider.SerializeToString()
    return data


def _slices(
    model: onnx.ModelProto, tensors: Sequence[str], slice_bytes: int
) -> Iterator[list[str]]:
    """`tensors` in order, cut so that one inference's values fit into `slice_bytes`."""
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    taken: list[str] = []
    room = slice_bytes
    for name in tensors:
        shape = [size.dim_value for size in known[name].type.tensor_type.shape.dim]
        needed = math.prod(shape) * np.dtype(np.float32).itemsize
        if taken and needed > room:
            yield taken
            taken, room = [], slice_bytes
        taken.append(name)
        room -= needed
    if taken:
        yield taken


def _broken(what: str, found: str) -> UsageError:
    return UsageError(
        f"the model {what}",
        expected="finite float32 numbers in every layer on every road frame",
        found=found,
        remedy="check model.preprocess (mean, std, color) and the model's weights",
    )
