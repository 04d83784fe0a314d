"""A network of hard parts (a spatial transformer, mish, attention) by the command line.

It is trained first, since INT8 costs an untrained network nothing. The network with two masks is in
test_two_masks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from checkout import ROOT
from hard_networks import (
    SHAPES,
    Course,
    fit,
    inputs,
    shapes,
    transforming,
)
from tiny_pictures import settings

from calibration.inference.sessions import Kernels, ModelSession
from converters.graph.passes.canonical_names import PICTURE
from converters.sources.network import Outputs
from edge.perception.values import Floats

CLI = Callable[..., tuple[int, str, str]]

POINTS = 0.003
"""What INT8 may lose of accuracy."""

OURS: dict[str, Kernels] = {"int8.onnx": "as_written", "cpu.onnx": "fused"}


def outputs(model: bytes, kernels: Kernels, pictures: Sequence[Floats]) -> list[Outputs]:
    session = ModelSession(model, threads=2, kernels=kernels)
    return [tuple(session.run({PICTURE: picture})) for picture in pictures]


def one_by_one(images: np.ndarray) -> list[Floats]:
    return list(inputs(images).numpy()[:, None])


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with weights and pictures, and the settings of its mission."""
    folder = tmp_path_factory.mktemp("shapes")
    images, labels = shapes(2000, seed=0)
    torch.set_num_threads(1)
    network = fit(
        transforming(len(SHAPES)),
        inputs(images),
        [torch.from_numpy(labels)],
        Course(steps=200, batch=32, rate=6e-3),
    )
    for name, count, seed in (("train", 256, 1), ("val", 64, 2)):
        drawn, labels = shapes(count, seed=seed)
        tracks = np.arange(count, dtype=np.int32) // 2 + 1000 * seed
        np.savez(
            folder / f"{name}.npz", images=drawn, labels=labels.astype(np.int16), tracks=tracks
        )
    torch.save(network.state_dict(), folder / "weights.pt")
    overrides = [
        *settings(folder),
        f"model.labels={list(SHAPES)}",
        f"model.weights={folder / 'weights.pt'}",
        "model.factory=hard_networks:transforming",
        "calibration.frames=64",
        "calibration.method=mse",
        "calibration.held_back=32",
        "precision.task_loss_max=0.002",
    ]
    overrides = [one for one in overrides if not one.startswith("train.")]
    return folder, overrides


class TestASpatialTransformerWithMishAndAttention:
    def test_it_converts_and_loses_at_most_a_third_of_a_point(
        self, converted: tuple[Path, list[str]], brakepoint: CLI, tmp_path: Path
    ) -> None:
        _, overrides = converted
        sets = [part for one in overrides for part in ("--set", one)]
        mission = ROOT / "examples" / "signs" / "mission.toml"
        code, _, err = brakepoint("convert", mission, "--out", tmp_path, *sets)
        assert code == 0, err
        kinds = {node.op_type for node in onnx.load(tmp_path / "float.onnx").graph.node}
        assert {"GridSample", "Mish", "Softmax", "LayerNormalization"} <= kinds
        images, labels = shapes(2000, seed=3)
        pictures = one_by_one(images)

        def accuracy(name: str, kernels: Kernels) -> float:
            found = outputs((tmp_path / name).read_bytes(), kernels, pictures)
            return float(np.mean([one[0].argmax() for one in found] == labels))

        floating = accuracy("float.onnx", "as_written")
        assert floating > 0.9  # of 0.17 by guessing
        for name, kernels in OURS.items():
            assert accuracy(name, kernels) >= floating - POINTS, name
