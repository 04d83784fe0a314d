"""Classification of whole pictures: the task behind missions with `decode.kind = "classify"`.

Pictures come from numpy files (`data.kind = "arrays"`) or from folders named after the labels,
`train/LABEL/...` and `val/LABEL/...` (`data.kind = "images"`). They may have any size: the
mission's preprocess brings them to the network's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from torch import Tensor, nn

from calibration.dataset.frames.arrays import PARTS, array_frames
from calibration.dataset.frames.frame import RoadFrame, data_digest
from calibration.dataset.frames.images import image_frames
from calibration.dataset.lock.verify import verify_lock
from calibration.dataset.splits.split_file import DeclaredSplit, declared_split
from converters.training.tasks import augmentation
from converters.training.tasks.metrics import class_judgement
from converters.training.tasks.task import Batch, Judgement, Partition, Row, balanced, outputs_of
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.fitting import Train
from edge.perception.preprocess import fit_image, normalise
from edge.perception.values import BgrImage
from edge.progress import Advance
from firmware_bridge.errors import Missing, UsageError

JUDGED_AT_ONCE = 64


@dataclass(frozen=True)
class LabelledPicture:
    """A picture that is read when it is needed, its label, its group and its part of the split.

    Attributes:
        record: its name in dataset.lock.json.
    """

    frame: RoadFrame
    record: str
    label: int
    group: str
    part: str


class PictureTask:
    """The `Task` of classifying whole pictures."""

    def __init__(self, mission: Mission, settings: Train) -> None:
        verify_lock(mission.data)
        self._model, self._settings = mission.model, settings
        root, kind = mission.data.root, mission.data.kind
        if mission.data.url is not None:
            raise UsageError(
                "training reads a folder",
                expected="data.root",
                found="data.url",
                remedy="copy the pictures into a folder: they are read again and again",
            )
        assert root is not None  # the mission's own checks refuse these kinds without a root
        labels, parted = mission.model.labels, declared_split(mission.data)
        self._pictures = _of_arrays(root, labels) if kind == "arrays" else _of_folders(root, labels)
        if parted is not None:
            self._pictures = _of_split(parted, self._pictures)
        self._fitted: dict[int, BgrImage] = {}
        self._weights: Tensor | None = None
        rows = {
            part: tuple(row for row, one in enumerate(self._pictures) if one.part == part)
            for part in PARTS
        }
        self.partition = Partition(rows["train"], rows["val"])
        _refuse_shared(root, self._pictures)

    def digest(self) -> str:
        """sha256 of names, contents and labels, as hex."""
        return data_digest([one.frame for one in self._pictures])

    def rows(self) -> list[Row]:
        """Every picture: its track is the group, its label the stratum."""
        return [Row(one.frame.name, one.group, str(one.label)) for one in self._pictures]

    def weigh(self, rows: Sequence[int]) -> None:
        """Sets the weights of labels from their number of examples."""
        weights = balanced(
            [self._pictures[row].label for row in rows],
            self._model.labels,
            what="labels",
            remedy="add pictures of it, or take the label out of model.labels",
        )
        self._weights = weights if self._settings.class_weights == "balanced" else None

    def batch(self, rows: Sequence[int], random: np.random.Generator) -> Batch:
        """These pictures, augmented by warp, blur, light and corruptions."""
        settings, spec = self._settings, self._model.preprocess_spec
        images: list[Tensor] = []
        for row in rows:
            fitted = augmentation.warp(self._picture(row), random, strength=settings.augment)
            if settings.mirror and random.random() < 0.5:
                fitted = np.ascontiguousarray(fitted[:, ::-1])
            fitted = augmentation.blur(fitted, random, strength=settings.augment)
            fitted = augmentation.change_light(fitted, random, strength=settings.augment)
            fitted = augmentation.sometimes_corrupt(fitted, random, names=settings.corruptions)
            images.append(torch.from_numpy(normalise(fitted, spec)))
        truth = torch.tensor([self._pictures[row].label for row in rows])

        def of_outputs(outputs: Sequence[Tensor]) -> Tensor:
            return F.cross_entropy(
                outputs[0], truth, weight=self._weights, label_smoothing=LABEL_SMOOTHING
            )

        return Batch(torch.cat(images), of_outputs)

    def judge(self, network: nn.Module, rows: Sequence[int], progress: Advance) -> Judgement:
        """Compares the likeliest label of each picture with its own; the score is the accuracy."""
        answers: list[int] = []
        with torch.inference_mode():
            while len(answers) < len(rows):
                some = rows[len(answers) : len(answers) + JUDGED_AT_ONCE]
                spec = self._model.preprocess_spec
                images = [torch.from_numpy(normalise(self._picture(row), spec)) for row in some]
                outputs = outputs_of(
                    network, torch.cat(images).to(memory_format=torch.channels_last)
                )
                answers += outputs[0].argmax(dim=1).tolist()
                progress("judge", len(answers), len(rows))
        truth = np.array([self._pictures[row].label for row in rows], np.int64)
        return class_judgement(truth, np.array(answers, np.int64), labels=self._model.labels)

    def _picture(self, row: int) -> BgrImage:
        if row not in self._fitted:
            image = self._pictures[row].frame.read()
            # Two threads may read a picture at once; both read the same pixels.
            self._fitted[row] = fit_image(image, self._model.preprocess_spec)[0]
        return self._fitted[row]


LABEL_SMOOTHING = 0.05
"""Improves calibration of softmax scores near the border of two labels (arXiv:1906.02629)."""


def _of_arrays(root: Path, labels: Sequence[str]) -> list[LabelledPicture]:
    found = [
        LabelledPicture(frame, frame.name, frame.label, frame.group, frame.part)
        for frame in array_frames(root)
    ]
    strange = sorted({one.label for one in found if not 0 <= one.label < len(labels)})
    if strange:
        raise UsageError(
            f"{root} holds labels that the mission does not name",
            expected=f"numbers from 0 to {len(labels) - 1}, one for each of model.labels",
            found=", ".join(map(str, strange[:6])) + (", ..." if len(strange) > 6 else ""),
            remedy="name every label in model.labels, or correct the file (-1 is no label)",
        )
    return found


def _of_split(parted: DeclaredSplit, pictures: Sequence[LabelledPicture]) -> list[LabelledPicture]:
    """The pictures of the training and validation parts; others are not read."""
    parts = {parted.part_for("fit"): "train", parted.part_for("choose"): "val"}
    return [
        replace(one, part=parts[part])
        for one in pictures
        if (part := parted.part_of.get(one.record, "")) in parts
    ]


def _of_folders(root: Path, labels: Sequence[str]) -> list[LabelledPicture]:
    found: list[LabelledPicture] = []
    for part in PARTS:
        if not (root / part).is_dir():
            raise Missing(
                f"no folder {root / part}",
                expected=f"{' and '.join(PARTS)}, each with a folder of pictures for every label",
                found="no such folder",
                remedy="put it there, or choose another folder: --set data.root=FOLDER",
            )
        for frame in image_frames(root / part, table=None, group=None):
            label, _, rest = frame.name.partition("/")
            if label not in labels or not rest:
                raise UsageError(
                    f"{root / part / frame.name} has no label",
                    expected=f"a folder named after one of the {len(labels)} labels",
                    found=f"the folder '{label}'" if rest else "no folder",
                    remedy="move the picture, or name the label in model.labels",
                )
            track = rest.rpartition("/")[0]
            group = f"{label}/{track}" if track else f"{part}/{frame.name}"
            record = f"{part}/{frame.name}"
            found.append(LabelledPicture(frame, record, labels.index(label), group, part))
    return found


def _refuse_shared(root: Path, pictures: Sequence[LabelledPicture]) -> None:
    """Refuses a track or a picture in both training and validation: it would inflate the score."""
    for what, key in (("track", _group), ("picture", _digest)):
        fitted = {key(one): one for one in pictures if one.part == "train"}
        for one in pictures:
            if one.part == "val" and (twin := fitted.get(key(one))) is not None:
                raise UsageError(
                    f"{root}: a {what} is in training and in validation",
                    expected="parts that share nothing",
                    found=f"{twin.frame.name} and {one.frame.name}",
                    remedy="take it out of one of them: a network knows what it was fitted on",
                )


def _group(one: LabelledPicture) -> str:
    return one.group


def _digest(one: LabelledPicture) -> str:
    return one.frame.digest()
