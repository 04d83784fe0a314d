"""Detection on generated road scenes: the task behind missions with `data.kind = "scenes"`.

Scenes are drawn when they are first needed, in whatever thread needs them, and kept at network
size. Unseen scenes come from seeds that training never draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calibration.metrics import Truth, average_precision_50
from converters.detection_loss import Grid, loss
from converters.training import augment
from converters.training.figures import detection_figures, mean
from converters.training.task import Advance, Batch, Judgement, Partition, Row, balanced
from edge.contract.artifact import digest_json
from edge.contract.decode import perceive, with_threshold
from edge.contract.mission import Mission, Train
from edge.contract.perception import BgrImage, Detections, Known
from edge.contract.preprocess import Placement, fit_image, normalise
from edge.scenes.still import TRAINING, UNSEEN, LabelledScene, seed_of, still
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import UsageError

JUDGED_FROM_SCORE = 0.05
"""AP needs the unsure detections too."""


@dataclass(frozen=True)
class Example:
    """A scene at network size: fitted picture, boxes in network pixels, labels."""

    fitted: BgrImage
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


class SceneTask:
    """See `Task`. Rows below `train.scenes` are training scenes, the others unseen ones."""

    def __init__(self, mission: Mission, settings: Train) -> None:
        if mission.model.labels != SCENE_LABELS or mission.model.decode.kind != "roadnet":
            raise UsageError(
                "generated scenes do not fit this mission",
                expected=f"labels {list(SCENE_LABELS)} and decode.kind = 'roadnet'",
                found=f"labels {list(mission.model.labels)} and decode.kind = "
                f"'{mission.model.decode.kind}'",
                remedy="use those labels and that decoder",
            )
        # The mission's own checks refuse generated scenes without their number.
        assert settings.scenes is not None
        assert settings.validation_scenes is not None
        self._model, self._settings = mission.model, settings
        self._size = (mission.model.input.width_px, mission.model.input.height_px)
        self._grid = Grid.of(mission.model.decode.strides, *self._size)
        self._examples: dict[int, Example] = {}
        self._class_weights: Tensor | None = None
        rows = settings.scenes + settings.validation_scenes
        self.partition = Partition(
            tuple(range(settings.scenes)), tuple(range(settings.scenes, rows))
        )
        self._count = rows

    def rows(self) -> list[Row]:
        """Every scene is its own group; road conditions are spread evenly."""
        return [
            Row(str(row), str(row), self._example(row).road_condition)
            for row in range(self._count)
        ]

    def digest(self) -> str:
        """sha256 over counts and a few scenes, so that another generator is another data set."""
        assert self._settings.scenes is not None
        probes = [self._scene(row) for row in (0, 1, self._settings.scenes)]
        shown = [[int(scene.image.sum()), scene.boxes.tolist()] for scene in probes]
        return digest_json([self._count, self._settings.scenes, shown])

    def weigh(self, rows: Sequence[int]) -> None:
        """Weights of labels and road conditions from the first training scenes."""
        seen = [self._example(row) for row in rows[:COUNTED_SCENES]]
        remedy = "draw more scenes: --set train.scenes=1000"
        labels = [int(label) for example in seen for label in example.labels]
        weights = balanced(labels, self._model.labels, what="labels", remedy=remedy)
        roads = [ROAD_CONDITIONS.index(example.road_condition) for example in seen]
        of_roads = balanced(roads, ROAD_CONDITIONS, what="road conditions", remedy=remedy)
        if self._settings.class_weights == "balanced":
            self._class_weights, self._road_weights = weights, of_roads

    def batch(self, rows: Sequence[int], random: np.random.Generator) -> Batch:
        """These scenes, some mirrored, all in another light."""
        settings, spec = self._settings, self._model.preprocess_spec
        images: list[Tensor] = []
        boxes: list[Tensor] = []
        labels: list[Tensor] = []
        for row in rows:
            example = self._example(row)
            fitted, box = example.fitted, example.boxes
            if settings.mirror and random.random() < 0.5:
                fitted, box = augment.mirrored(fitted, box)
            fitted = augment.light(fitted, random, strength=settings.augment)
            images.append(torch.from_numpy(normalise(fitted, spec)))
            boxes.append(torch.from_numpy(box))
            labels.append(torch.from_numpy(example.labels))

        def of_outputs(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
            raw = outputs if isinstance(outputs, Tensor) else outputs[0]
            return loss(raw, self._grid, boxes, labels, class_weights=self._class_weights)

        return Batch(torch.cat(images), of_outputs)

    def judge(self, network: nn.Module, rows: Sequence[int], progress: Advance) -> Judgement:
        """AP50 in network pixels; the score is its mean over labels."""
        model = self._model
        spec = with_threshold(model.decode_spec, JUDGED_FROM_SCORE)
        here = Placement(1.0, 1.0, 0.0, 0.0)
        truths: list[Truth] = []
        found: list[Detections] = []
        with torch.inference_mode():
            for number, row in enumerate(rows, start=1):
                example = self._example(row)
                outputs = network(
                    torch.from_numpy(normalise(example.fitted, model.preprocess_spec))
                )
                raw = outputs if isinstance(outputs, Tensor) else outputs[0]
                seen = perceive(
                    raw.numpy(), spec, placement=here, input_size=self._size, frame_size=self._size
                )
                truths.append(Truth(example.boxes, example.labels))
                found.append(seen.detections if isinstance(seen, Known) else Detections.empty())
                progress("judge", number, len(rows))
        labels = model.labels
        each = average_precision_50(truths, found, classes=len(labels))
        sure = model.decode.score_threshold
        return Judgement(
            score=mean(each) or 0.0,
            figures=detection_figures(truths, found, classes=len(labels), score_min=sure),
            by_label={name: {"ap50": value} for name, value in zip(labels, each, strict=True)},
        )

    def _example(self, row: int) -> Example:
        if row not in self._examples:
            scene = self._scene(row)
            fitted, placement = fit_image(scene.image, self._model.preprocess_spec)
            # Two threads may draw the same scene at once: they draw the same pixels.
            self._examples[row] = Example(fitted, placement.to_network(scene.boxes), scene.labels)
        return self._examples[row]

    def _scene(self, row: int) -> LabelledScene:
        scenes = self._settings.scenes
        assert scenes is not None
        return still(seed_of(TRAINING, row) if row < scenes else seed_of(UNSEEN, row - scenes))


COUNTED_SCENES = 200
"""Enough to know how often each label occurs."""
