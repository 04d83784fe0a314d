"""The stage that makes float.onnx: exports the source, runs the graph passes, measures parity.

Takes a source network and two road frames; returns the graph, what each pass did, and the largest
difference between the source's outputs and float.onnx's. The gates judge that difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from calibration.dataset.splits.calibration_holdout import Split
from calibration.inference.sessions import CannotRun, ModelSession
from converters.graph.passes.pipeline import PassResult, passes, run_passes
from converters.quantization.placement import QdqPlacement, place
from converters.search.equalization_choice import EqualizationTrial, choose_equalization
from converters.sources.network import network_of, running
from converters.sources.pytorch.export import export
from converters.sources.source import (
    OnnxSource,
    Source,
    check_logits,
    name_of,
    output_names,
    picture_shape,
)
from converters.verification.parity import Parity, compare
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import preprocess
from edge.perception.values import Floats
from edge.progress import Advance
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class FloatFacts:
    """How float.onnx came about.

    Attributes:
        source_nodes: of a source that was a graph already.
        steps: what each pass did.
        balance: what equalization was worth, where it was tried.
        parity: of source and float.onnx.
    """

    source_nodes: int | None
    steps: tuple[PassResult, ...]
    balance: EqualizationTrial | None
    parity: Parity


def to_float(
    source: Source, mission: Mission, frames: Split, *, progress: Advance
) -> tuple[ModelProto, FloatFacts]:
    """float.onnx of a source, proved on `probes` of the frames; equalized where INT8 gains by it.

    Raises:
        UsageError: the source does not take such pictures, puts out what the mission does not
            read, or has nothing that can be quantized.
    """
    shape, names = picture_shape(mission.model), output_names(mission.model)
    pictures = probes(mission, frames)
    try:
        original = network_of(source, mission.model, threads=mission.target.threads)
        # Refuses other outputs before the long work.
        check_logits([original(picture) for picture in pictures], mission.model)
        exported = (
            source.model if isinstance(source, OnnxSource) else export(source.network, shape, names)
        )
        model, steps = run_passes(exported, passes(mission.precision.opset, shape, names), pictures)
        require_quantizable(place(model), mission)
        better = choose_equalization(model, mission, frames.calibration, progress=progress)
        session = ModelSession(better.model.SerializeToString(), threads=mission.target.threads)
        parity = compare(original, running(session), pictures, names)
    except CannotRun as error:
        raise UsageError(
            f"{name_of(source)} cannot run on the mission's picture",
            expected=f"a network for pictures {list(shape)}",
            found=str(error),
            remedy="correct model.input in the mission, or export the network again",
        ) from error
    nodes = len(source.model.graph.node) if isinstance(source, OnnxSource) else None
    return better.model, FloatFacts(nodes, (*steps, *better.steps), better.balance, parity)


def probes(mission: Mission, frames: Split) -> list[Floats]:
    """Pictures on which passes and parity are proved: two road frames and one of noise."""
    camera = mission.camera
    noise = np.random.default_rng(0).integers(
        0, 256, (camera.height_px, camera.width_px, 3), dtype=np.uint8
    )
    images = [frames.calibration[0].read(), frames.held_back[0].read(), noise]
    return [preprocess(image, mission.model.preprocess_spec)[0] for image in images]


def require_quantizable(placement: QdqPlacement, mission: Mission) -> None:
    """Refuses (UsageError) a network in which the rules quantize nothing."""
    if not placement.pairs:
        why = "; ".join(f"{left.node}: {left.why}" for left in placement.left_float[:3])
        raise UsageError(
            f"nothing in the network of {mission.name} can be quantized",
            expected="at least one Conv, ConvTranspose, Gemm or MatMul with a constant weight",
            found=why or "no such operator",
            remedy="give a network with convolutions, or run it in float",
        )
