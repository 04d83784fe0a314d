"""The networks that are evaluated: how a mission has them fed and read, and their open sessions.

Refuses what does not fit the mission. Never looks at a picture.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none

from calibration.evaluation.predictions.argmax_outputs import numbered_shapes
from calibration.inference.onnx_bounds import check_bounds
from calibration.inference.sessions import CannotRun, Kernels, ModelSession
from edge.contract.mission.sections.model import Model
from edge.perception.classification import HeadSpec
from edge.perception.decode import DecodeSpec, NetworkSpec, output_shapes
from edge.perception.preprocess import PreprocessSpec
from edge.perception.segmentation import MaskSpec
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Network:
    """A model in memory, and how it is run.

    Attributes:
        name: for people: its file.
        model: the ONNX file's bytes.
        kernels: see `calibration.inference.sessions`.
        precision: "float", "int8" or "as given".
    """

    name: str
    model: bytes
    kernels: Kernels
    precision: str


@dataclass(frozen=True)
class Reading:
    """How a mission's networks are fed and read, as plain values that travel."""

    spec: NetworkSpec
    preprocess: PreprocessSpec
    threads: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the input in pixels."""
        return self.preprocess.width_px, self.preprocess.height_px

    @property
    def segments(self) -> bool:
        """The main output is of each pixel."""
        return isinstance(self.spec.main, MaskSpec)

    @property
    def classifies(self) -> bool:
        """The main output names the whole picture."""
        return isinstance(self.spec.main, HeadSpec)


def reading_of(model: Model, *, threads: int) -> Reading:
    """How the mission's model is fed and read."""
    return Reading(model.network_spec, model.preprocess_spec, threads)


def opened(network: Network, reading: Reading) -> ModelSession:
    """The session of a network; one is kept in each process, since shards come one by one.

    Raises:
        UsageError: it cannot run, or does not fit the mission.
    """
    return _opened(network, reading)


@lru_cache(maxsize=4)
def _opened(network: Network, reading: Reading) -> ModelSession:
    width_px, height_px = reading.size
    wanted = list(output_shapes(reading.spec, width_px, height_px).values())
    with contextlib.suppress(DecodeError):  # onnxruntime says what it is not
        check_bounds(onnx.load_from_string(network.model), Path(network.name))
    try:
        session = ModelSession(network.model, threads=reading.threads, kernels=network.kernels)
        if len(session.inputs) != 1:
            raise cannot_run(network, f"{len(session.inputs)} inputs")
        blank = np.zeros((1, 3, height_px, width_px), np.float32)
        names = read_outputs(session, reading)
        shapes = [np.shape(raw) for raw in session.run({session.inputs[0]: blank}, names)]
    except CannotRun as error:
        raise cannot_run(network, str(error)) from error
    main = reading.spec.main
    if (
        isinstance(main, MaskSpec)
        and shapes[:1]
        and shapes[0] in numbered_shapes(main, *reading.size)
    ):
        shapes[0] = wanted[0]  # it ends with its own argmax
    if shapes != wanted:
        labels = main.classes if isinstance(main, DecodeSpec) else len(main.labels)
        several = isinstance(main, MaskSpec) and len(session.outputs) > 1
        raise UsageError(
            f"{network.name} does not fit the mission",
            expected=f"outputs {_listed(wanted)}, for {labels} labels",
            found=f"outputs {_listed(shapes)}",
            remedy="correct model.labels and model.decode"
            + (f" (model.decode.output: {', '.join(session.outputs)})" if several else "")
            + ", or give the model of this mission",
        )
    return session


def read_outputs(session: ModelSession, reading: Reading) -> list[str] | None:
    """The output that is meant of a segmentation network with several: by its name, or its place
    where no output has such a name. None: all of them."""
    main = reading.spec.main
    wanted = main.output if isinstance(main, MaskSpec) else None
    names = session.outputs
    if wanted is None or len(names) == 1:
        return None
    if wanted not in names and wanted.isdecimal() and int(wanted) < len(names):
        return [names[int(wanted)]]
    return [wanted] if wanted in names else None


def cannot_run(network: Network, found: str) -> UsageError:
    """The refusal of one that does not run, and why."""
    return UsageError(
        f"{network.name} cannot run on the mission's picture",
        expected="a whole ONNX file with one picture as input, of the mission's size",
        found=found,
        remedy="correct model.input in the mission, or convert again",
    )


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
