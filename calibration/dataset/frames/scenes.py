"""Generated road scenes as road frames, with seeds that neither training nor validation uses.

In: a count, `data.seed`, a size and labels. Out: `SceneFrame`s, painted when they are read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from calibration.dataset.records.ground_truth import Truth
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage
from edge.scenes.still import CALIBRATION, conditions_of, seed_of, still
from edge.scenes.world import SCENE_LABELS

ROOM = 100_000
"""Scenes of one `data.seed`: a thousand seeds fill the range that is reserved for calibration."""


@dataclass(frozen=True)
class SceneFrame:
    """One generated still, with the mission's labels. See `RoadFrame`."""

    seed: int
    width_px: int
    height_px: int
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """Seed and size, which determine the picture."""
        return f"scene-{self.seed}-{self.width_px}x{self.height_px}"

    @property
    def group(self) -> str:
        """Every scene is a group of its own."""
        return self.name

    @property
    def conditions(self) -> Conditions:
        """The conditions that it was painted in."""
        return conditions_of(self.seed)

    @property
    def words(self) -> str:
        """None of its own."""
        return ""

    def truth(self) -> Truth | None:
        """The painted objects that the mission has a label for; None where it has none of them."""
        if not set(self.labels) & set(SCENE_LABELS):
            return None
        scene = still(self.seed, width_px=self.width_px, height_px=self.height_px)
        of_label = np.array(
            [self.labels.index(kind) if kind in self.labels else -1 for kind in SCENE_LABELS]
        )
        labels = of_label[scene.labels].astype(np.int64)
        return Truth(scene.boxes[labels >= 0], labels[labels >= 0])

    def read(self) -> BgrImage:
        """The picture, (height_px, width_px, 3) uint8 BGR."""
        return still(self.seed, width_px=self.width_px, height_px=self.height_px).image

    def digest(self) -> str:
        """sha256 of the pixels, as hex: another generator makes another data set."""
        return hashlib.sha256(self.read().tobytes()).hexdigest()


def scene_frames(
    count: int, *, seed: int, width_px: int, height_px: int, labels: tuple[str, ...]
) -> list[SceneFrame]:
    """`count` scenes, different for every `seed`, that neither training nor validation draws."""
    first = seed % 1000 * ROOM
    return [
        SceneFrame(seed_of(CALIBRATION, first + row), width_px, height_px, labels)
        for row in range(count)
    ]
