"""A classification set and a network small enough for a test: four shapes in tracks, and their
mission. Importable by child processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from checkout import ROOT
from numpy.typing import NDArray
from torch import nn

from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission

LABELS = ("bar", "post", "block", "ring")


def classifier(labels: int) -> nn.Module:
    """Two convolutions with batch normalisation and dropout, so that every kind of state counts."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32, labels),
    )


def other_classifier(labels: int) -> nn.Module:
    """Another architecture for the same labels."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, labels),
    )  # fmt: skip


def fails(_labels: int) -> nn.Module:
    """A factory that cannot."""
    raise RuntimeError("no such weights")


def no_network(labels: int) -> int:
    """A factory that makes something else."""
    return labels


def one_label_more(labels: int) -> nn.Module:
    """A network that does not fit the mission's labels."""
    return classifier(labels + 1)


def for_larger_pictures(labels: int) -> nn.Module:
    """A network that cannot run on small pictures."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 65), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, labels)
    )


def pictures(
    count: int, *, seed: int, first_track: int, counts: tuple[int, ...] | None = None
) -> dict[str, NDArray[Any]]:
    """`count` pictures of each label (or `counts`), 24 x 24, four to a track."""
    random = np.random.default_rng(seed)
    images, labels, tracks = [], [], []
    for label, number in enumerate(counts or (count,) * len(LABELS)):
        for row in range(number):
            image = random.integers(0, 60, (24, 24, 3), dtype=np.uint8)
            x, y = random.integers(2, 6, 2)
            ink = random.integers(150, 255, 3)
            if label == 0:
                image[y + 5 : y + 9, 2:22] = ink
            elif label == 1:
                image[2:22, x + 5 : x + 9] = ink
            else:
                image[y : y + 14, x : x + 14] = ink
                if label == 3:
                    image[y + 4 : y + 10, x + 4 : x + 10] = 20
            images.append(image)
            labels.append(label)
            tracks.append(first_track + row // 4)
    return {
        "images": np.array(images),
        "labels": np.array(labels, np.int16),
        "tracks": np.array(tracks, np.int32),
    }


def write_pictures(folder: Path, **changed: NDArray[Any] | None) -> Path:
    """train.npz and val.npz; `changed` replaces or, where None, leaves out arrays of training."""
    folder.mkdir(parents=True, exist_ok=True)
    training = {**pictures(24, seed=1, first_track=0), **changed}
    kept = {key: value for key, value in training.items() if value is not None}
    np.savez(folder / "train.npz", **kept)
    np.savez(folder / "val.npz", **pictures(8, seed=2, first_track=100))
    return folder


def picture_mission(folder: Path, *overrides: str) -> Mission:
    """The mission of examples/signs for these pictures; weights go to `folder`/out."""
    return load_mission(ROOT / "examples" / "signs" / "mission.toml", [
        *settings(folder), *overrides
    ])  # fmt: skip


def settings(folder: Path) -> list[str]:
    """What makes the mission of examples/signs a small one, as --set takes it."""
    rule = '[{name="n", why="w", when={scene="ring", confidence=0.9}, confirm={k=1, of=1}, '
    return [
        f"model.labels={list(LABELS)}",
        "model.factory=tiny_pictures:classifier",
        f"model.weights={folder / 'out' / 'weights.pt'}",
        "model.input.width_px=32",
        "model.input.height_px=32",
        f"data.root={folder}",
        f'policy.rules={rule}action="NOTIFY", clear="when_gone"}}]',
        "calibration.frames=16",
        "calibration.held_back=8",
        "train.steps=30",
        "train.batch=16",
        "train.learning_rate=0.01",
        "train.checkpoint_every=5",
        "target.threads=1",
    ]
