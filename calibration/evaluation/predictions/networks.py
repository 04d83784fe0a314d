"""Opens the networks of an evaluation and checks that they fit the mission.

In: ONNX bytes and the mission's preprocess and decoder. Out: sessions. Refuses a network whose
inputs or outputs do not fit.
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
        name: its file, for people.
        model: the ONNX file's bytes.
        kernels: see `calibration.inference.sessions`.
        precision: "float", "int8" or "as given".
    """

    name: str
    model: bytes
    kernels: Kernels
    precision: str


@dataclass(frozen=True)
class InferenceSpec:
    """How a mission's networks are fed and decoded, as values that can be sent to workers."""

    spec: NetworkSpec
    preprocess: PreprocessSpec
    threads: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the input in pixels."""
        return self.preprocess.width_px, self.preprocess.height_px

    @property
    def segments(self) -> bool:
        """Whether the main output labels each pixel."""
        return isinstance(self.spec.main, MaskSpec)

    @property
    def classifies(self) -> bool:
        """Whether the main output labels the whole picture."""
        return isinstance(self.spec.main, HeadSpec)


def inference_spec(model: Model, *, threads: int) -> InferenceSpec:
    """How the mission's model is fed and decoded."""
    return InferenceSpec(model.network_spec, model.preprocess_spec, threads)


def open_session(network: Network, inference: InferenceSpec) -> ModelSession:
    """The session of a network. Each process caches it, since shards come one by one.

    Raises:
        UsageError: it cannot run, or does not fit the mission.
    """
    return _opened(network, inference)


@lru_cache(maxsize=4)
def _opened(network: Network, inference: InferenceSpec) -> ModelSession:
    width_px, height_px = inference.size
    wanted = list(output_shapes(inference.spec, width_px, height_px).values())
    with contextlib.suppress(DecodeError):  # onnxruntime refuses it below, with its reason
        check_bounds(onnx.load_from_string(network.model), Path(network.name))
    try:
        session = ModelSession(network.model, threads=inference.threads, kernels=network.kernels)
        if len(session.inputs) != 1:
            raise cannot_run(network, f"{len(session.inputs)} inputs")
        blank = np.zeros((1, 3, height_px, width_px), np.float32)
        names = output_names(session, inference)
        shapes = [np.shape(raw) for raw in session.run({session.inputs[0]: blank}, names)]
    except CannotRun as error:
        raise cannot_run(network, str(error)) from error
    main = inference.spec.main
    if (
        isinstance(main, MaskSpec)
        and shapes[:1]
        and shapes[0] in numbered_shapes(main, *inference.size)
    ):
        shapes[0] = wanted[0]  # the network ends with an argmax
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


def output_names(session: ModelSession, inference: InferenceSpec) -> list[str] | None:
    """The name of the output to read of a segmentation network with several, given by its name or,
    where no output has that name, by its number. None: all outputs."""
    main = inference.spec.main
    wanted = main.output if isinstance(main, MaskSpec) else None
    names = session.outputs
    if wanted is None or len(names) == 1:
        return None
    if wanted not in names and wanted.isdecimal() and int(wanted) < len(names):
        return [names[int(wanted)]]
    return [wanted] if wanted in names else None


def cannot_run(network: Network, found: str) -> UsageError:
    """The refusal of a network that does not run; `found` says why."""
    return UsageError(
        f"{network.name} cannot run on the mission's picture",
        expected="a whole ONNX file with one picture as input, of the mission's size",
        found=found,
        remedy="correct model.input in the mission, or convert again",
    )


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
