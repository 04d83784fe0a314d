"""Trains a mission's network for `brakepoint train`: fits it, judges it on unseen examples, and
writes weights with a run record.

Takes a mission; returns a `TrainReport`. Deterministic for a recipe on one machine. The weights are
replaced only when training is complete; after a kill the former ones stay, and the next call
resumes from the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from converters.training import checkpoint
from converters.training.fit import checkpoint_file, fit_and_judge, require_trainable, task_of
from converters.training.recipe import Recipe
from converters.training.run_record import SCHEMA, curve_rows, environment, now, write_record
from converters.training.tasks.task import Judgement
from edge.contract.artifact import write_atomic, write_json
from edge.contract.mission.schema import Mission
from edge.progress import Advance


@dataclass(frozen=True)
class TrainReport:
    """A finished training and its judgement on unseen examples.

    Attributes:
        weights, weights_sha256: the file and its digest.
        judgement: figures on the validation examples.
        curve: (steps done, mean loss since the last point, watched score or None).
        steps, best_step: steps done; with early stop, the step that the weights are of.
        resumed_at: steps at which it was resumed.
        record: path of the run record.
        seconds: of training, over all resumptions.
    """

    weights: Path
    weights_sha256: str
    recipe: Recipe
    judgement: Judgement
    curve: tuple[tuple[int, float, float | None], ...]
    steps: int
    best_step: int
    resumed_at: tuple[int, ...]
    seconds: float
    parameters: int
    examples: int
    validation_examples: int
    record: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "weights": str(self.weights),
            "weights_sha256": self.weights_sha256,
            "recipe": dict(self.recipe.values),
            "examples": self.examples,
            "validation_examples": self.validation_examples,
            "parameters": self.parameters,
            "steps": self.steps,
            "best_step": self.best_step,
            "resumed_at": list(self.resumed_at),
            "seconds": round(self.seconds, 1),
            "judgement": self.judgement.to_json(),
            "curve": curve_rows(self.curve),
        }


def train(mission: Mission, *, progress: Advance, fresh: bool = False) -> TrainReport:
    """Fits the factory's network as `[train]` says; writes `model.weights` and a JSON beside it.

    Resumes an interrupted training from its checkpoint, unless `fresh`.

    Raises:
        UsageError: the mission has no `[train]`, its data do not fit it, or the checkpoint is of
            another training.
        Missing: the data are not there.
        GateFailed: the loss became NaN or infinite.
    """
    settings, weights = require_trainable(mission)
    started = now()
    file = checkpoint_file(weights)
    if fresh:
        file.unlink(missing_ok=True)
    task = task_of(mission, settings)
    fitted = fit_and_judge(mission, task, task.partition, file=file, progress=progress)
    done, recipe = fitted.done, fitted.recipe
    data = checkpoint.to_bytes(fitted.network.state_dict())
    write_atomic(weights, data)
    report = TrainReport(
        weights=weights,
        weights_sha256=sha256(data).hexdigest(),
        recipe=recipe,
        judgement=fitted.judgement,
        curve=tuple(done.curve),
        steps=done.step,
        best_step=done.best_step or done.step,
        resumed_at=tuple(done.resumed_at),
        seconds=done.seconds,
        parameters=sum(values.numel() for values in fitted.network.parameters()),
        examples=len(fitted.partition.training),
        validation_examples=len(fitted.partition.validation),
    )
    facts = {"mission": mission.name, **report.to_json()}
    kept = write_record(weights, "train", started=started, recipe_digest=recipe.digest, facts=facts)
    write_json(weights.with_suffix(".json"), SCHEMA, {"environment": environment(), **facts})
    file.unlink(missing_ok=True)
    return replace(report, record=kept)
