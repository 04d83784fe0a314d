"""The types of a training task: rows of examples, a batch with its loss, and a judgement in
figures.

The training loop, cross-validation and the search know tasks by these types alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from converters.training.class_weights import class_weights
from edge.progress import Advance
from firmware_bridge.errors import UsageError

Figures = Mapping[str, float | int | None]
"""Metric -> value; None where there was nothing to measure."""


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, H, W) float32, and a function from the network's outputs to the scalar
    loss."""

    images: Tensor
    loss: Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Judgement:
    """Metrics of a network on examples that it was not fitted on.

    Attributes:
        score: the figure that early stop and search compare, 0..1.
        figures: over all examples.
        by_label, by_condition: the same for each label, and for each weather and light.
        confusion: for classifiers, row = true label, column = predicted label.
    """

    score: float
    figures: Figures
    by_label: Mapping[str, Figures] = field(default_factory=dict)
    by_condition: Mapping[str, Figures] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The judgement as JSON values."""
        return {
            "score": self.score,
            "figures": dict(self.figures),
            "by_label": {name: dict(values) for name, values in self.by_label.items()},
            "by_condition": {name: dict(values) for name, values in self.by_condition.items()},
            "confusion": [list(row) for row in self.confusion],
        }


@dataclass(frozen=True)
class Partition:
    """Rows for fitting, for early stop and for judging; no group is in two of them."""

    training: tuple[int, ...]
    validation: tuple[int, ...]
    watched: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """One example as a split sees it.

    Attributes:
        name: of the example.
        group: examples of one group (a scene, a track) are never split.
        stratum: its label or condition, of which every part should have a like share.
    """

    name: str
    group: str
    stratum: str


class Task(Protocol):
    """Examples by row; a row is the same example on every run."""

    partition: Partition
    """The split that the data define."""

    def rows(self) -> Sequence[Row]:
        """Every example, for splitting."""
        ...

    def digest(self) -> str:
        """sha256 of the examples, as hex."""
        ...

    def weigh(self, rows: Sequence[int]) -> None:
        """Sets the weights of labels from these training rows. Refuses a label without examples."""
        ...

    def batch(self, rows: Sequence[int], random: np.random.Generator) -> Batch:
        """These examples, augmented by `random` alone. Called from worker threads."""
        ...

    def judge(self, network: nn.Module, rows: Sequence[int], progress: Advance) -> Judgement:
        """Judges a network in evaluation mode on these examples, not augmented."""
        ...


def balanced(
    occurrences: Sequence[int], labels: Sequence[str], *, what: str, remedy: str
) -> Tensor:
    """A weight for each label, inverse to its frequency, between 1/4 and 4.

    The bounds keep a rare label from dominating the gradient.

    Args:
        occurrences: the number of a label, once for each time that it occurs.
        labels: their names.
        what, remedy: texts of the refusal.

    Raises:
        UsageError: a label never occurs.
    """
    weights = class_weights([str(number) for number in occurrences])
    empty = [name for number, name in enumerate(labels) if str(number) not in weights]
    if empty:
        raise UsageError(
            f"no training example of: {', '.join(empty[:6])}"
            + (f" and {len(empty) - 6} others" if len(empty) > 6 else ""),
            expected=f"an example of each of the {len(labels)} {what}",
            found=f"{len(occurrences)} examples of {len(weights)} {what}",
            remedy=remedy,
        )
    each = torch.tensor([weights[str(number)] for number in range(len(labels))])
    return each.to(torch.float32).clamp(0.25, 4.0)


def outputs_of(network: nn.Module, images: Tensor) -> Sequence[Tensor]:
    """A network's outputs, main output first."""
    made = network(images)
    return (made,) if isinstance(made, Tensor) else made
