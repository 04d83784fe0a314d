"""Checks that a model fits its mission: opens it as `convert` does and runs it on noise pictures.

Returns input and output shapes and notes for a person. Reads no data and writes nothing. Opening a
factory runs its code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.inference.sessions import CannotRun
from converters.sources.network import Outputs, network_of
from converters.sources.source import (
    OnnxSource,
    Source,
    check_logits,
    open_source,
    picture_shape,
)
from edge.contract.mission.schema import Mission
from edge.perception.decode import output_shapes, perceive
from edge.perception.preprocess import input_placement, preprocess
from edge.perception.values import Unknown
from firmware_bridge.errors import UsageError

PICTURES = 2


@dataclass(frozen=True)
class Fit:
    """What was seen of a model that fits its mission.

    Attributes:
        kind: what it came from, in words.
        picture: shape of the input, float32.
        outputs: name -> shape, in the mission's order, float32.
        notes: what a person should look at, one sentence each.
    """

    kind: str
    picture: tuple[int, ...]
    outputs: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """It in words, for `mission check`."""
        puts_out = ", ".join(f"{name} {list(shape)}" for name, shape in self.outputs.items())
        told = f"{self.kind}: takes {list(self.picture)}, puts out {puts_out}"
        return [told, *self.notes]


def fit_of(mission: Mission) -> Fit | None:
    """What the model of a mission takes and puts out; None where its file is not there yet.

    Raises:
        Missing: it is there in part.
        UsageError: it is no such model, or does not fit the mission.
    """
    model = mission.model
    size = model.input
    wanted = output_shapes(model.network_spec, size.width_px, size.height_px)
    if model.file is not None and not model.file.exists():
        return None
    if model.factory is not None and model.weights is not None and not model.weights.exists():
        from converters.training.fit import network_for  # needs torch, as every factory does

        network_for(mission.model)
        note = f"no weights at {model.weights} yet"
        note += ": brakepoint train MISSION writes them" if mission.train is not None else ""
        return Fit("a factory", picture_shape(mission.model), wanted, (note,))
    source = open_source(mission.model)
    seen = _answers(source, mission)
    check_logits(seen, mission.model)
    return Fit(_kind(source), picture_shape(mission.model), wanted, _notes(seen, mission))


def _answers(source: Source, mission: Mission) -> list[Outputs]:
    """The outputs for pictures of noise, of the shapes that the mission reads."""
    camera, random = mission.camera, np.random.default_rng(0)
    try:
        run = network_of(source, mission.model, threads=mission.target.threads)
        answers = []
        for _ in range(PICTURES):
            image = random.integers(0, 256, (camera.height_px, camera.width_px, 3), np.uint8)
            answers.append(run(preprocess(image, mission.model.preprocess_spec)[0]))
    except CannotRun as error:
        raise UsageError(
            "the model cannot run on the mission's picture",
            expected=f"a network for pictures {list(picture_shape(mission.model))}",
            found=str(error),
            remedy="correct model.input in the mission, or export the network again",
        ) from error
    return answers


def _notes(seen: list[Outputs], mission: Mission) -> tuple[str, ...]:
    """Why the device could not read these outputs, where it could not."""
    model, camera = mission.model, mission.camera
    frame_size = camera.width_px, camera.height_px
    told = []
    for outputs in seen:
        said = perceive(
            outputs,
            model.network_spec,
            placement=input_placement(model.preprocess_spec, *frame_size),
            input_size=(model.input.width_px, model.input.height_px),
            frame_size=frame_size,
        )
        if isinstance(said, Unknown) and not said.reason.startswith("out of distribution"):
            told.append(
                f"a picture of noise is Unknown to decoder '{model.decode.kind}' ({said.reason}): "
                "are the outputs what docs/mission.md says of it?"
            )
    return tuple(dict.fromkeys(told))


def _kind(source: Source) -> str:
    if isinstance(source, OnnxSource):
        return "an ONNX model"
    kinds = {"torch": "a factory", "torchscript": "TorchScript", "exported": "torch.export"}
    return kinds[source.kind]
