"""The recipe of a training: everything that its weights depend on, as one JSON value with a digest.

Takes a mission, a task, a partition and an unfitted network. Two trainings of one recipe give the
same weights on one machine; a checkpoint continues only a training of its own recipe. Holds no
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from converters.sources.pytorch.factory import values_digest
from converters.training.tasks.task import Partition, Task
from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission

IRRELEVANT_KEYS = {"checkpoint_every", "search"}
"""Keys of `[train]` that the weights do not depend on."""


@dataclass(frozen=True)
class Recipe:
    """A recipe as JSON values."""

    values: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """sha256, as hex."""
        return digest_json(self.values)

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Dotted keys in which `other` differs, with both values where they are short."""
        mine, theirs = dict(_flat(self.values)), dict(_flat(other))
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return [
            f"{key}: {_short(theirs.get(key))} there, {_short(mine.get(key))} here" for key in keys
        ]


def recipe_of(mission: Mission, task: Task, partition: Partition, network: nn.Module) -> Recipe:
    """The recipe of fitting a new `network` on these rows of the task."""
    model, settings = mission.model, mission.train
    assert settings is not None  # the caller has refused a mission without [train]
    contract = model.model_dump(mode="json", exclude={"file", "weights"})
    return Recipe(
        {
            "model": contract,
            "train": settings.model_dump(mode="json", exclude=IRRELEVANT_KEYS),
            "data": task.digest(),
            "rows": digest_json([partition.training, partition.watched]),
            "architecture": architecture_digest(network),
            "start": values_digest(network),
            "threads": mission.target.threads,
            "torch": torch.__version__,
        }
    )


def architecture_digest(network: nn.Module) -> str:
    """sha256 of the names and shapes of all tensors, as hex."""
    return digest_json([[name, list(v.shape)] for name, v in network.state_dict().items()])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
