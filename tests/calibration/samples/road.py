"""Road frames for tests: pictures in memory, and folders of small ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.perception.preprocess import PreprocessSpec
from edge.perception.values import BgrImage

SPEC = PreprocessSpec(
    width_px=8,
    height_px=8,
    fit="stretch",
    anchor="center",
    pad_value=114,
    color="bgr",
    mean=(128.0, 128.0, 128.0),
    std=(64.0, 64.0, 64.0),
)


@dataclass(frozen=True)
class NoiseFrame:
    """A seeded picture that exists only while it is read."""

    seed: int
    group: str = "one"
    side: int = 8

    @property
    def name(self) -> str:
        return f"noise-{self.seed:05}"

    def read(self) -> BgrImage:
        random = np.random.default_rng(self.seed)
        return random.integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)

    def digest(self) -> str:
        return hashlib.sha256(self.read().tobytes()).hexdigest()


def write_pictures(folder: Path, names: list[str]) -> Path:
    """A folder with a different small picture under every name."""
    for row, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), NoiseFrame(row, side=16).read())
    return folder
