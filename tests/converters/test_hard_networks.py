"""Two networks of hard parts: one with a spatial transformer, mish and attention, by the command
line; one with two masks, by the library. Both learn first: who knows nothing loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hard_networks import (
    GROUNDS,
    MARKINGS,
    SHAPES,
    Course,
    Masks,
    fit,
    inputs,
    roads,
    shapes,
    transforming,
    two_masks,
)
from onnx import ModelProto
from tiny_pictures import settings

from calibration.histogram import Histogram
from calibration.observe import with_outputs
from calibration.ranges import Range, range_of
from calibration.segmentation import intersection_over_union, pixel_counts
from calibration.sessions import Floats, Kernels, ModelSession
from converters.damage import Damage
from converters.export import export
from converters.lowerings.cpu import quantize_cpu
from converters.lowerings.cpu_places import cpu_tensors
from converters.mixed_precision import choose, choose_cpu
from converters.parity import Outputs
from converters.passes.chain import passes, run_passes
from converters.passes.names import PICTURE
from converters.placement import Placement, place
from converters.quantize import quantize_int8
from converters.rounding import rounded_weights, with_weights
from converters.sensitivity import Judge, Writer, Writers

CLI = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]

POINTS, IOU = 0.003, 0.02
"""What INT8 may lose: of accuracy, of the mean IoU of a head."""

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
        "precision.damage_max=0.002",
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


@pytest.fixture(scope="module")
def floating() -> ModelProto:
    images, *masks = roads(300, seed=0)
    torch.set_num_threads(1)
    network = fit(
        two_masks(len(GROUNDS), len(MARKINGS)),
        inputs(images),
        [torch.from_numpy(mask.astype(np.int64)) for mask in masks],
        Course(steps=60, batch=8, rate=1e-2),
    )
    shape, names = (1, 3, 48, 64), ["grounds", "markings"]
    probe = one_by_one(images[:2])
    model, _ = run_passes(export(network, shape, names), passes(18, shape, names), probe)
    return model


@pytest.fixture(scope="module")
def quantized(floating: ModelProto) -> dict[str, bytes]:
    pictures = one_by_one(roads(64, seed=1)[0])
    ranges = ranges_of(floating, pictures[:32])
    rounded = rounded_weights(floating, place(floating), pictures[48:], threads=2)

    def writers(write: Writer) -> Writers:
        def together(graph: ModelProto, placement: Placement) -> ModelProto:
            return write(with_weights(graph, rounded, placement), placement)

        return write, together

    judge = Judge(floating, pictures[32:48], moved_pixels, threads=2)
    chosen = choose(
        floating,
        writers(partial(quantize_int8, ranges=ranges)),
        judge,
        pictures[48:],
        macs_int8_min=0.9,
        damage_max=0.01,
        threads=2,
        progress=lambda *_: None,
    )
    assert chosen.placement.macs_int8 >= 0.9 * chosen.placement.macs
    cpu = choose_cpu(
        floating,
        writers(partial(quantize_cpu, ranges=ranges)),
        judge,
        pictures[48:],
        chosen,
        damage_max=0.01,
        threads=2,
        progress=lambda *_: None,
    )
    made = {"int8.onnx": chosen.quantized, "cpu.onnx": cpu}
    return {name: model.SerializeToString() for name, model in made.items()}


class TestTwoMasks:
    @pytest.mark.parametrize("name", OURS)
    def test_each_head_loses_at_most_a_fiftieth_of_its_iou(
        self, name: str, floating: ModelProto, quantized: dict[str, bytes]
    ) -> None:
        images, *truths = roads(60, seed=2)
        pictures = one_by_one(images)
        wanted = outputs(floating.SerializeToString(), "as_written", pictures)
        found = outputs(quantized[name], OURS[name], pictures)
        for head, (truth, labels) in enumerate(zip(truths, (GROUNDS, MARKINGS), strict=True)):
            best = mean_iou(wanted, head, truth, len(labels))
            assert best > 0.8
            assert mean_iou(found, head, truth, len(labels)) >= best - IOU


def moved_pixels(reference: Outputs, candidate: Outputs) -> Damage:
    """Pixels whose label has changed, of those of both heads."""
    moved = [
        np.mean(wanted.argmax(axis=1) != found.argmax(axis=1))
        for wanted, found in zip(reference, candidate, strict=True)
    ]
    return Damage(float(np.mean(moved)), 1)


def mean_iou(answers: list[Outputs], head: int, truth: Masks, classes: int) -> float:
    counts = sum(
        pixel_counts(mask, one[head][0].argmax(axis=0), classes=classes)
        for one, mask in zip(answers, truth, strict=True)
    )
    shares = intersection_over_union(np.asarray(counts))
    return float(np.mean([share for share in shares if share is not None]))


def ranges_of(model: ModelProto, pictures: Sequence[Floats]) -> dict[str, Range]:
    """By mean square error, of every tensor that either INT8 graph wants."""
    names = cpu_tensors(model, place(model))
    inner = [name for name in names if name != PICTURE]
    seen = {name: Histogram() for name in names}
    session = ModelSession(with_outputs(model, inner), threads=2)
    for picture in pictures:
        seen[PICTURE].add(picture)
        for name, values in zip(inner, session.run({PICTURE: picture}, inner), strict=True):
            seen[name].add(values)
    return {name: range_of(one, method="mse", percentile=99.99) for name, one in seen.items()}
