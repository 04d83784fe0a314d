"""k-fold cross-validation of a recipe: its scores, and their spread over the splits.

Takes a mission and k; returns a `FoldsReport`. Folds are made of all examples, training and
validation, by whole groups. Writes no weights: it judges a recipe, not a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.dataset.splits.group_folds import folds
from converters.training.fit import checkpoint_file, fit_and_judge, require_trainable, task_of
from converters.training.run_record import now, write_record
from converters.training.tasks.task import Judgement, Partition, Task
from edge.contract.mission.schema import Mission
from edge.progress import Advance


@dataclass(frozen=True)
class Spread:
    """A figure over folds: mean, sample standard deviation, and the value of each fold."""

    mean: float
    deviation: float
    each: tuple[float, ...]


@dataclass(frozen=True)
class FoldsReport:
    """The judgement of each fold, and the spread of the figures that all folds have."""

    judgements: tuple[Judgement, ...]
    sizes: tuple[tuple[int, int], ...]
    seconds: float
    record: Path

    @property
    def spread(self) -> dict[str, Spread]:
        """Figure -> its spread, the score first."""
        rows = [{"score": one.score, **one.figures} for one in self.judgements]
        found: dict[str, Spread] = {}
        for name in rows[0]:
            values = [row.get(name) for row in rows]
            known = [float(value) for value in values if isinstance(value, float)]
            if len(known) == len(rows):
                deviation = float(np.std(known, ddof=1))
                found[name] = Spread(float(np.mean(known)), deviation, tuple(known))
        return found

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "folds": [
                {"training": fitted, "judged": judged, "judgement": one.to_json()}
                for (fitted, judged), one in zip(self.sizes, self.judgements, strict=True)
            ],
            "spread": {
                name: {"mean": one.mean, "deviation": one.deviation}
                for name, one in self.spread.items()
            },
            "seconds": round(self.seconds, 1),
        }


def partitions(task: Task, k: int, *, seed: int) -> list[Partition]:
    """`k` partitions of all examples: each example is judged once, no group is on both sides.

    Raises:
        UsageError: fewer than `k` groups, or `k` below 2.
    """
    return [
        Partition(tuple(map(int, fold.fit)), tuple(map(int, fold.judge)))
        for fold in folds(task.rows(), k, seed=seed, strata=lambda row: (row.stratum,))
    ]


def cross_validate(
    mission: Mission, k: int, *, progress: Advance, fresh: bool = False
) -> FoldsReport:
    """Fits and judges `k` times; resumes an interrupted run at its fold, unless `fresh`.

    Raises:
        UsageError, Missing, GateFailed: as `converters.training.train.train` does.
    """
    settings, weights = require_trainable(mission)
    started = now()
    files = [checkpoint_file(weights, f".fold{number}of{k}") for number in range(1, k + 1)]
    if fresh:
        _remove(files)
    task = task_of(mission, settings)
    judgements: list[Judgement] = []
    sizes: list[tuple[int, int]] = []
    seconds, digest = 0.0, ""
    for number, partition in enumerate(partitions(task, k, seed=settings.seed), start=1):
        what = f"fold {number} of {k}"
        file = files[number - 1]
        fitted = fit_and_judge(mission, task, partition, file=file, progress=progress, what=what)
        judgements.append(fitted.judgement)
        sizes.append((len(fitted.partition.training), len(partition.validation)))
        seconds += fitted.done.seconds
        digest = digest or fitted.recipe.digest
    record = write_record(
        weights,
        "folds",
        started=started,
        recipe_digest=digest,
        facts={
            "mission": mission.name,
            **FoldsReport(tuple(judgements), tuple(sizes), seconds, weights).to_json(),
        },
    )
    _remove(files)
    return FoldsReport(tuple(judgements), tuple(sizes), seconds, record)


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
