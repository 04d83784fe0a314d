"""Networks for the tests of lowerings and engines: this project's own untrained, a classifier and a
detector with public weights; each float, quantized and strongly typed, made once per run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range
from converters.graph.passes.pipeline import passes, run_passes
from converters.lowerings.implicit import tensors_to_observe
from converters.lowerings.strongly_typed import to_strong
from converters.quantization.placement import QdqPlacement, place
from converters.quantization.qdq import quantize_int8
from converters.quantization.qdq_reader import take_apart
from converters.sources.network import Network, running
from converters.sources.pytorch.export import export
from converters.zoo import roadnet
from edge.perception.values import Floats

OUTPUT = "detections"
NETWORKS = ("road", "classifier", "yolox")


@dataclass(frozen=True)
class Lowered:
    """One network and what was made of it; ranges are those of its one picture."""

    picture: Floats
    floating: ModelProto
    placement: QdqPlacement
    ranges: dict[str, Range]
    int8: ModelProto
    strong: ModelProto

    @property
    def implicit(self) -> ModelProto:
        return take_apart(self.int8).model


def network(model: ModelProto) -> Network:
    return running(ModelSession(model.SerializeToString(), threads=2))


def observed(model: ModelProto, names: Sequence[str], picture: Floats) -> dict[str, Range]:
    inner = [name for name in names if name != "images"]
    found = ModelSession(with_outputs(model, inner), threads=2).run({"images": picture})
    values = dict(zip(inner, found, strict=True)) | {"images": picture}
    return {name: whole_range(values[name]) for name in names}


def whole_range(values: Floats) -> Range:
    lowest, highest = float(values.min()), float(values.max())
    return Range(
        amax=max(-lowest, highest),
        low=min(lowest, 0.0),
        high=max(highest, 0.0),
        lowest=lowest,
        highest=highest,
        values=values.size,
    )


def lowered(model: ModelProto, picture: Floats, *, opset: int = 18) -> Lowered:
    shape = picture.shape
    assert len(shape) == 4
    floating, _ = run_passes(model, passes(opset, shape, (OUTPUT,)), [picture])
    placement = place(floating)
    names = dict.fromkeys((*placement.pairs, *tensors_to_observe(floating)))
    ranges = observed(floating, list(names), picture)
    int8 = quantize_int8(floating, placement, ranges)
    magnitudes = {name: seen.amax for name, seen in ranges.items()}
    strong = to_strong(int8, magnitudes=magnitudes)
    return Lowered(picture, floating, placement, ranges, int8, strong)


def untrained_roadnet() -> tuple[ModelProto, Floats]:
    torch.manual_seed(0)
    net = roadnet(3)
    for module in net.modules():  # spread as a trained one: outputs that depend on the picture
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    shape = (1, 3, 96, 160)
    picture = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return export(net, shape, (OUTPUT,)), picture
