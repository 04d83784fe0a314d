"""Fits the mission's network on generated scenes and measures it on scenes it never saw.

Deterministic for a seed on one machine. Writes the weights and what they are only when training is
complete, so that a kill in the middle leaves the former ones.
"""

from __future__ import annotations

import importlib
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calibration.metrics import Truth, average_precision_50
from converters.detection_loss import Grid, loss
from edge.contract.artifact import digest_file, replacing, write_json
from edge.contract.decode import perceive, with_threshold
from edge.contract.mission import Mission, Train
from edge.contract.perception import BgrImage, Detections, Known
from edge.contract.preprocess import Placement, fit_image, normalise
from edge.scenes.still import TRAINING, UNSEEN, seed_of, still
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import GateFailed, UsageError

SCHEMA = "brakepoint.training/1"
Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainReport:
    """What was fitted and how good it is on unseen scenes."""

    weights: Path
    weights_sha256: str
    ap50_by_label: dict[str, float | None]
    ap50_mean: float
    steps: int
    scenes: int
    validation_scenes: int
    seed: int
    seconds: float
    parameters: int

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {**self.__dict__, "weights": str(self.weights), "torch": torch.__version__}


@dataclass(frozen=True)
class Example:
    """A scene at network size: fitted picture, boxes in network pixels, labels, where it lies."""

    fitted: BgrImage
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    placement: Placement
    frame_size: tuple[int, int]


def train(mission: Mission, *, progress: Advance) -> TrainReport:
    """Fit the factory's network as `[train]` says and write `model.weights` with a JSON beside it.

    Raises:
        UsageError: the mission has no `[train]`, or labels that the scenes do not have.
        GateFailed: the loss left the finite numbers.
    """
    settings, factory, weights = _checked(mission)
    began = time.monotonic()
    # Every run of a seed gives the same weights, and the caller's random state stays its own.
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(mission.target.threads)
    network = factory(*mission.model.head_sizes)
    examples = _examples(mission, TRAINING, settings.scenes, progress)
    _fit(network, mission, settings, examples, progress)
    network.eval()
    unseen = _examples(mission, UNSEEN, settings.validation_scenes, progress)
    by_label = _judge(network, mission, unseen, progress)
    known = [value for value in by_label.values() if value is not None]
    with replacing(weights) as temporary:
        torch.save(network.state_dict(), temporary)
    report = TrainReport(
        weights=weights,
        weights_sha256=digest_file(weights),
        ap50_by_label=by_label,
        ap50_mean=float(np.mean(known)) if known else 0.0,
        steps=settings.steps,
        scenes=settings.scenes,
        validation_scenes=settings.validation_scenes,
        seed=settings.seed,
        seconds=time.monotonic() - began,
        parameters=sum(values.numel() for values in network.parameters()),
    )
    write_json(weights.with_suffix(".json"), SCHEMA, report.to_json())
    return report


def _checked(mission: Mission) -> tuple[Train, Callable[..., nn.Module], Path]:
    settings, model = mission.train, mission.model
    if settings is None or model.factory is None or model.weights is None:
        raise UsageError(
            f"{mission.name} says nothing about training",
            expected="[train] with model.factory and model.weights",
            found="model.file, or no [train]",
            remedy="add them as `brakepoint init` shows, or convert the file that is there",
        )
    if model.labels != SCENE_LABELS or model.decode.kind != "roadnet":
        raise UsageError(
            "generated scenes do not fit this mission",
            expected=f"labels {list(SCENE_LABELS)} and decode.kind = 'roadnet'",
            found=f"labels {list(model.labels)} and decode.kind = '{model.decode.kind}'",
            remedy="use those labels and that decoder",
        )
    return settings, load_factory(model.factory), model.weights


def load_factory(name: str) -> Callable[..., nn.Module]:
    """The function that "module:function" names; it takes `Model.head_sizes`.

    Raises:
        UsageError: there is none.
    """
    module, function = name.split(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"no factory {name}",
            expected="module:function that can be imported here, such as converters.zoo:roadnet",
            found=str(error),
            remedy="correct model.factory, or install the package that holds it",
        ) from error
    made: Callable[..., nn.Module] = found
    return made


def _examples(mission: Mission, purpose: int, count: int, progress: Advance) -> list[Example]:
    what = "draw training scenes" if purpose == TRAINING else "draw unseen scenes"
    spec = mission.model.preprocess_spec

    def draw(number: int) -> Example:
        scene = still(seed_of(purpose, number))
        fitted, placement = fit_image(scene.image, spec)
        height, width = scene.image.shape[:2]
        boxes = placement.to_network(scene.boxes)
        return Example(fitted, boxes, scene.labels, placement, (width, height))

    made: list[Example] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for example in workers.map(draw, range(count)):
            made.append(example)
            progress(what, len(made), count)
    return made


def _fit(
    network: nn.Module,
    mission: Mission,
    settings: Train,
    examples: Sequence[Example],
    progress: Advance,
) -> None:
    """AdamW with a one-cycle learning rate (arXiv:1708.07120) over shuffled, augmented scenes."""
    model = mission.model
    size = (model.input.width_px, model.input.height_px)
    grid = Grid.of(model.decode.strides, *size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.2
    )
    chance = random.Random(settings.seed)
    order: list[int] = []
    # Channels last is several times faster for small convolutions on a CPU.
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
    for step in range(settings.steps):
        while len(order) < settings.batch:
            order += chance.sample(range(len(examples)), len(examples))
        picked, order = order[: settings.batch], order[settings.batch :]
        images, boxes, labels = _batch(mission, [examples[row] for row in picked], chance)
        value = loss(network(images.to(memory_format=torch.channels_last)), grid, boxes, labels)
        if not math.isfinite(float(value.detach())):
            raise GateFailed(
                f"training left the finite numbers at step {step}",
                expected="a finite loss",
                found=str(float(value.detach())),
                remedy="lower train.learning_rate",
            )
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        progress("train", step + 1, settings.steps)


def _batch(
    mission: Mission, examples: Sequence[Example], chance: random.Random
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Pictures (B, 3, H, W), boxes and labels; half of them mirrored, all in another light."""
    spec = mission.model.preprocess_spec
    images, boxes, labels = [], [], []
    for example in examples:
        fitted, box = example.fitted, example.boxes
        if chance.random() < 0.5:
            fitted = np.ascontiguousarray(fitted[:, ::-1])
            box = box.copy()
            box[:, [0, 2]] = spec.width_px - box[:, [2, 0]]
        light = chance.uniform(0.75, 1.25)
        lit = np.clip(fitted.astype(np.float32) * light, 0.0, 255.0).astype(np.uint8)
        images.append(torch.from_numpy(normalise(lit, spec)))
        boxes.append(torch.from_numpy(box))
        labels.append(torch.from_numpy(example.labels))
    return torch.cat(images), boxes, labels


def _judge(
    network: nn.Module, mission: Mission, unseen: Sequence[Example], progress: Advance
) -> dict[str, float | None]:
    """AP50 of each label on scenes that were not trained on, in network pixels."""
    model = mission.model
    spec = with_threshold(model.network_spec, 0.05)
    size = (model.input.width_px, model.input.height_px)
    here = Placement(1.0, 1.0, 0.0, 0.0)
    found: list[Detections] = []
    with torch.inference_mode():
        for number, example in enumerate(unseen, start=1):
            image = torch.from_numpy(normalise(example.fitted, model.preprocess_spec))
            raw = network(image).numpy()
            seen = perceive([raw], spec, placement=here, input_size=size, frame_size=size)
            found.append(seen.detections if isinstance(seen, Known) else Detections.empty())
            progress("judge", number, len(unseen))
    truths = [Truth(example.boxes, example.labels) for example in unseen]
    values = average_precision_50(truths, found, classes=len(model.labels))
    return dict(zip(model.labels, values, strict=True))
