"""Detection and road condition on generated road scenes: the task behind missions with
`data.kind = "scenes"`.

Scenes are drawn when they are first needed, by the thread that needs them, and cached at network
size. Validation scenes come from seeds that training never draws.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.average_precision import average_precision_50
from converters.training.tasks import augmentation
from converters.training.tasks.detection_loss import Grid, loss
from converters.training.tasks.metrics import class_judgement, detection_figures, mean
from converters.training.tasks.task import (
    Batch,
    Figures,
    Judgement,
    Partition,
    Row,
    balanced,
    outputs_of,
)
from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.fitting import Train
from edge.perception.conditions import ROAD_CONDITIONS, Conditions
from edge.perception.decode import perceive, with_threshold
from edge.perception.preprocess import InputPlacement, fit_image, normalise
from edge.perception.values import BgrImage, Detections, Known
from edge.progress import Advance
from edge.scenes.still import TRAINING, UNSEEN, LabelledScene, seed_of, still
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import UsageError

JUDGED_FROM_SCORE = 0.05
"""Lowest score of detections that count for AP, which needs the unsure ones too."""
COUNTED_SCENES = 200
"""Scenes from which the frequency of labels and conditions is counted."""
CONDITION_SHARE = 0.5
"""Weight of the condition head's loss beside the detector's."""


@dataclass(frozen=True)
class Example:
    """A scene at network size: fitted picture, boxes in network pixels, labels, conditions."""

    fitted: BgrImage
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    conditions: Conditions
    road: int

    @property
    def truth(self) -> Truth:
        """Its ground truth, in network pixels."""
        return Truth(self.boxes, self.labels)

    @property
    def condition_name(self) -> str:
        """Weather and light: the key of `Judgement.by_condition`."""
        return f"{self.conditions.weather} {self.conditions.light}"


class SceneTask:
    """The `Task` of generated scenes. Rows below `train.scenes` are for training, others unseen."""

    def __init__(self, mission: Mission, settings: Train) -> None:
        model = mission.model
        head = None if model.condition is None else model.condition.labels
        if (
            model.labels != SCENE_LABELS
            or model.decode.kind != "roadnet"
            or head not in (None, ROAD_CONDITIONS)
        ):
            raise UsageError(
                "generated scenes do not fit this mission",
                expected=f"labels {list(SCENE_LABELS)}, decode.kind = 'roadnet', and "
                f"condition.labels {list(ROAD_CONDITIONS)} where there is a second head",
                found=f"labels {list(model.labels)}, decode.kind = '{model.decode.kind}'"
                + ("" if head is None else f", condition.labels {list(head)}"),
                remedy="use those labels and that decoder",
            )
        # The mission's own checks refuse generated scenes without their number.
        assert settings.scenes is not None
        assert settings.validation_scenes is not None
        self._model, self._settings, self._scenes = model, settings, settings.scenes
        self._size = (model.input.width_px, model.input.height_px)
        self._grid = Grid.of(model.decode.strides, *self._size)
        self._examples: dict[int, Example] = {}
        self._class_weights: Tensor | None = None
        self._road_weights: Tensor | None = None
        self._count = settings.scenes + settings.validation_scenes
        self.partition = Partition(
            tuple(range(settings.scenes)), tuple(range(settings.scenes, self._count))
        )

    def rows(self) -> list[Row]:
        """Every scene is its own group; its road condition is the stratum."""
        return [Row(str(row), str(row), str(self._example(row).road)) for row in range(self._count)]

    def digest(self) -> str:
        """sha256 of counts and a few scenes, so that another generator gives another digest."""
        probes = [self._scene(row) for row in (0, 1, self._scenes)]
        shown = [[int(scene.image.sum()), scene.boxes.tolist()] for scene in probes]
        return digest_json([self._count, self._scenes, shown])

    def weigh(self, rows: Sequence[int]) -> None:
        """Sets the weights of labels and road conditions from the first training scenes."""
        seen = [self._example(row) for row in rows[:COUNTED_SCENES]]
        remedy = "draw more scenes: --set train.scenes=1000"
        labels = [int(label) for example in seen for label in example.labels]
        of_labels = balanced(labels, self._model.labels, what="labels", remedy=remedy)
        of_roads = None
        if self._model.condition is not None:
            roads = [example.road for example in seen]
            of_roads = balanced(roads, ROAD_CONDITIONS, what="road conditions", remedy=remedy)
        if self._settings.class_weights == "balanced":
            self._class_weights, self._road_weights = of_labels, of_roads

    def batch(self, rows: Sequence[int], random: np.random.Generator) -> Batch:
        """These scenes, augmented by mirroring, light and corruptions."""
        settings, spec = self._settings, self._model.preprocess_spec
        examples = [self._example(row) for row in rows]
        images: list[Tensor] = []
        boxes: list[Tensor] = []
        for example in examples:
            fitted, box = example.fitted, example.boxes
            if settings.mirror and random.random() < 0.5:
                fitted, box = augmentation.mirror(fitted, box)
            fitted = augmentation.change_light(fitted, random, strength=settings.augment)
            fitted = augmentation.sometimes_corrupt(fitted, random, names=settings.corruptions)
            images.append(torch.from_numpy(normalise(fitted, spec)))
            boxes.append(torch.from_numpy(box))
        labels = [torch.from_numpy(example.labels) for example in examples]
        roads = torch.tensor([example.road for example in examples])

        def of_outputs(outputs: Sequence[Tensor]) -> Tensor:
            value = loss(outputs[0], self._grid, boxes, labels, class_weights=self._class_weights)
            if self._model.condition is None:
                return value
            said = F.cross_entropy(outputs[1], roads, weight=self._road_weights)
            return value + CONDITION_SHARE * said

        return Batch(torch.cat(images), of_outputs)

    def judge(self, network: nn.Module, rows: Sequence[int], progress: Advance) -> Judgement:
        """AP50 in network pixels and, with a second head, the accuracy of the road condition.

        The score is the mean AP50 over labels, or the mean of it and that accuracy.
        """
        spec = with_threshold(self._model.network_spec, JUDGED_FROM_SCORE)
        here = InputPlacement(1.0, 1.0, 0.0, 0.0)
        examples = [self._example(row) for row in rows]
        found: list[Detections] = []
        said: list[int] = []
        with torch.inference_mode():
            for number, example in enumerate(examples, start=1):
                image = normalise(example.fitted, self._model.preprocess_spec)
                outputs = [
                    values.numpy() for values in outputs_of(network, torch.from_numpy(image))
                ]
                seen = perceive(
                    outputs, spec, placement=here, input_size=self._size, frame_size=self._size
                )
                found.append(seen.detections if isinstance(seen, Known) else Detections.empty())
                said.append(int(outputs[1].argmax()) if spec.condition is not None else -1)
                progress("judge", number, len(rows))
        return self._judged(examples, found, np.array(said, np.int64))

    def _judged(
        self, examples: Sequence[Example], found: Sequence[Detections], said: NDArray[np.int64]
    ) -> Judgement:
        labels = self._model.labels
        each = average_precision_50([e.truth for e in examples], found, classes=len(labels))
        by_label: dict[str, Figures] = {
            name: {"ap50": value} for name, value in zip(labels, each, strict=True)
        }
        score = mean(each) or 0.0
        confusion: tuple[tuple[int, ...], ...] = ()
        if self._model.condition is not None:
            roads = np.array([example.road for example in examples], np.int64)
            road = class_judgement(roads, said, labels=ROAD_CONDITIONS)
            by_label |= {f"road {name}": values for name, values in road.by_label.items()}
            score, confusion = (score + road.score) / 2.0, road.confusion
        members: dict[str, list[int]] = defaultdict(list)
        for number, example in enumerate(examples):
            members[example.condition_name].append(number)
        return Judgement(
            score=score,
            figures=self._figures(examples, found, said),
            by_label=by_label,
            by_condition={
                name: self._figures(
                    [examples[row] for row in rows], [found[row] for row in rows], said[rows]
                )
                for name, rows in sorted(members.items())
            },
            confusion=confusion,
        )

    def _figures(
        self, examples: Sequence[Example], found: Sequence[Detections], said: NDArray[np.int64]
    ) -> Figures:
        figures = dict(
            detection_figures(
                [example.truth for example in examples],
                found,
                classes=len(self._model.labels),
                score_min=self._model.decode.score_threshold,
            )
        )
        if self._model.condition is not None:
            roads = np.array([example.road for example in examples], np.int64)
            figures["condition_accuracy"] = float((roads == said).mean())
        return figures

    def _example(self, row: int) -> Example:
        if row not in self._examples:
            scene = self._scene(row)
            fitted, placement = fit_image(scene.image, self._model.preprocess_spec)
            # Two threads may draw a scene at once; both draw the same pixels.
            self._examples[row] = Example(
                fitted,
                placement.to_network(scene.boxes),
                scene.labels,
                scene.conditions,
                ROAD_CONDITIONS.index(scene.road_condition),
            )
        return self._examples[row]

    def _scene(self, row: int) -> LabelledScene:
        first = row - self._scenes
        return still(seed_of(TRAINING, row) if first < 0 else seed_of(UNSEEN, first))
