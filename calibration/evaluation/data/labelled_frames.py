"""Labelled frames to evaluate on, of a data set or of generated scenes, read one at a time.

A `Source` lists its frames, can be divided, and can be sent to another process, which reads the
pictures. A frame that cannot be read is refused by name; none is skipped.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.lock.lock import first_lines, in_pixels
from calibration.dataset.masks.masks import Ids, read_mask
from calibration.dataset.pictures.descriptors import describe, guess_conditions
from calibration.dataset.records.ground_truth import Truth
from calibration.dataset.records.record import Box, Entry
from calibration.dataset.records.record_faults import label_faults
from calibration.dataset.scan import whole_pictures
from calibration.dataset.storage.storage import Storage
from calibration.evaluation.data.label_mapping import LabelMapping
from edge.perception.conditions import ROAD_CONDITIONS, Conditions
from edge.perception.values import BgrImage
from edge.scenes.still import UNSEEN, seed_of, still
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import NotTrusted, UsageError

FIRST_SCENE = 50_000_000
"""Unseen scenes with lower numbers are left to `train`, which may choose by them."""

AXES = ("weather", "light", "road")


class Example(Protocol):
    """A frame before it is read: a unique name, and a group that is never split."""

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str: ...


@dataclass(frozen=True)
class Picture:
    """A frame after it was read.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        conditions: such as "weather fog"; with " (measured)" where it is guessed from pixels.
        sha256: of the content, as hex.
        truth: objects that the model has labels for; None for a picture that is classified whole.
        label: row of the whole picture's label, or None.
        road: row of ROAD_CONDITIONS, where it is known.
        mask: (H, W) uint8, row of every pixel's label, IGNORED where it is not known or the model
            has no such label; None where no pixels are labelled.
        mask_sha256: of `mask`, so that it depends on the names of the ids too.
    """

    name: str
    group: str
    image: BgrImage
    conditions: tuple[str, ...]
    sha256: str
    truth: Truth | None
    label: int | None
    road: int | None
    mask: Ids | None = None
    mask_sha256: str = ""


class Source(Protocol):
    """Frames that can be read, all or some of them, in any process that has access to the data."""

    @property
    def examples(self) -> Sequence[Example]:
        """Its frames in a fixed order."""
        ...

    def only(self, rows: Sequence[int]) -> Source:
        """The source of some of its frames."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """Reads every frame, in any order. Raises Missing or NotTrusted naming the frame."""
        ...


@dataclass(frozen=True)
class StorageSource:
    """Records of a data set.

    Attributes:
        storage: the data set.
        examples: the records.
        mapping: its words in the model's labels.
        digests: name, or file of a mask -> sha256 in a lock; empty without a lock.
        masks: whether the ground truth is masks.
    """

    storage: Storage
    examples: tuple[Entry, ...]
    mapping: LabelMapping
    digests: dict[str, str]
    masks: bool = False

    def only(self, rows: Sequence[int]) -> StorageSource:
        """See `Source`."""
        some = tuple(self.examples[row] for row in rows)
        names = [one.name for one in some]
        names += [one.mask.file for one in some if one.mask is not None]
        digests = {name: self.digests[name] for name in names if name in self.digests}
        return dataclasses.replace(
            self,
            storage=dataclasses.replace(self.storage, files={}),
            examples=some,
            digests=digests,
        )

    def pictures(self) -> Iterator[Picture]:
        """See `Source`."""
        for entry, image, sha256 in whole_pictures(self.storage, self.examples):
            self._require_locked(entry, sha256)
            boxes = entry.boxes
            mask, mask_sha256 = self._mask(entry, image)
            yield Picture(
                name=entry.name,
                group=entry.group,
                image=image,
                conditions=_words(entry.conditions, image),
                sha256=sha256,
                truth=None if boxes is None else self._truth(entry, boxes, image),
                label=None if entry.label is None else self.mapping.rows.get(entry.label),
                road=None,
                mask=mask,
                mask_sha256=mask_sha256,
            )

    def _mask(self, entry: Entry, image: BgrImage) -> tuple[Ids | None, str]:
        if not self.masks or entry.mask is None:
            return None, ""
        return read_mask(
            self.storage,
            entry.mask,
            self.mapping.rows,
            size=(image.shape[1], image.shape[0]),
            locked_sha256=self.digests.get(entry.mask.file),
        )

    def _truth(self, entry: Entry, boxes: tuple[Box, ...], image: BgrImage) -> Truth:
        height_px, width_px = image.shape[:2]
        if entry.boxes_are_shares:
            boxes = in_pixels(boxes, width_px=width_px, height_px=height_px)
        labelled = (entry.width_px, entry.height_px)
        if faults := label_faults(boxes, labelled, width_px=width_px, height_px=height_px):
            raise cannot_judge(self.storage.location, [f"{entry.name}: {'; '.join(faults)}"])
        objects = [(row, box) for box in boxes if (row := self.mapping.object(box)) is not None]
        regions = [(row, box) for box in boxes for row in self.mapping.regions(box)]
        return Truth(*_arrays(objects), *_arrays(regions))

    def _require_locked(self, entry: Entry, sha256: str) -> None:
        wanted = self.digests.get(entry.name, sha256)
        if sha256 != wanted:
            raise NotTrusted(
                f"{entry.name} is not the picture that was locked",
                expected=f"sha256 {wanted}",
                found=f"sha256 {sha256}",
                remedy="restore it, or lock the data set again: brakepoint data lock "
                + self.storage.location,
            )


def cannot_judge(given: str, faults: Sequence[str]) -> UsageError:
    """The refusal of labels in which `data check` finds errors."""
    return UsageError(
        f"{given} cannot be judged by: labels do not fit their pictures",
        expected="boxes with an area, inside of the picture that they were drawn in",
        found=first_lines(faults),
        remedy=f"correct or remove them; all findings: brakepoint data check {given}",
    )


def _arrays(
    boxes: Sequence[tuple[int, Box]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Corners (N, 4) and rows (N,)."""
    corners = np.array([[b.x1, b.y1, b.x2, b.y2] for _, b in boxes], np.float32).reshape(-1, 4)
    return corners, np.array([row for row, _ in boxes], np.int64)


def _words(conditions: Conditions, image: BgrImage) -> tuple[str, ...]:
    """The conditions in metadata, filled up with guesses from the picture."""
    guess = guess_conditions(describe(image), width_px=image.shape[1], height_px=image.shape[0])
    words = []
    for axis in AXES:
        said, measured = getattr(conditions, axis), getattr(guess, axis)
        if said is not None:
            words.append(f"{axis} {said}")
        elif measured is not None:
            words.append(f"{axis} {measured} (measured)")
    return tuple(words)


@dataclass(frozen=True)
class SceneExample:
    """A generated scene, painted when it is read; each is its own group."""

    seed: int

    @property
    def name(self) -> str:
        """By its seed."""
        return f"scene-{self.seed}"

    @property
    def group(self) -> str:
        """Its own."""
        return self.name


@dataclass(frozen=True)
class SceneSource:
    """Generated scenes at a size, with the mission's labels."""

    examples: tuple[SceneExample, ...]
    width_px: int
    height_px: int
    mapping: LabelMapping

    def only(self, rows: Sequence[int]) -> SceneSource:
        """See `Source`."""
        return dataclasses.replace(self, examples=tuple(self.examples[row] for row in rows))

    def pictures(self) -> Iterator[Picture]:
        """See `Source`."""
        row_of = np.array([self.mapping.rows.get(kind, -1) for kind in SCENE_LABELS], np.int64)
        for example in self.examples:
            scene = still(example.seed, width_px=self.width_px, height_px=self.height_px)
            labels = row_of[scene.labels]
            conditions = [(axis, getattr(scene.conditions, axis)) for axis in AXES]
            yield Picture(
                name=example.name,
                group=example.group,
                image=scene.image,
                conditions=tuple(f"{axis} {word}" for axis, word in conditions if word),
                sha256=hashlib.sha256(scene.image.tobytes()).hexdigest(),
                truth=Truth(scene.boxes[labels >= 0], labels[labels >= 0]),
                label=None,
                road=ROAD_CONDITIONS.index(scene.road_condition),
            )


def scenes(count: int, *, width_px: int, height_px: int, mapping: LabelMapping) -> SceneSource:
    """`count` scenes that neither training nor calibration draws."""
    examples = tuple(SceneExample(seed_of(UNSEEN, FIRST_SCENE + row)) for row in range(count))
    return SceneSource(examples, width_px, height_px, mapping)
