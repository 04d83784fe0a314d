"""Behind `brakepoint train`: the mission's network fitted on its data, judged on examples it never
saw, written with a record of how it came about.

Deterministic for a recipe on one machine. The weights are replaced only when training is complete,
so a kill in the middle leaves the former ones, and a checkpoint from which the next call goes on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from calibration.dataset.folds import parts
from converters.training import checkpoint
from converters.training.loop import fit, repeatable
from converters.training.pictures import PictureTask
from converters.training.recipe import Recipe, recipe_of
from converters.training.records import SCHEMA, curve_rows, environment, now, write_record
from converters.training.scenes import SceneTask
from converters.training.task import Advance, Judgement, Partition, Task
from edge.contract.artifact import write_atomic, write_json
from edge.contract.mission import Mission, Train
from firmware_bridge.errors import UsageError

WATCHED_SHARE = 0.1
"""Of the training examples, held out to be watched by early stop."""


@dataclass(frozen=True)
class TrainReport:
    """What was fitted and how good it is on examples it never saw.

    Attributes:
        weights, weights_sha256: the file.
        judgement: figures on the validation examples.
        curve: (steps done, mean loss since the last point, watched score or None).
        steps, best_step: steps done, and the step whose weights were kept (with early stop).
        resumed_at: steps at which it was taken up again.
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

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
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
    """Fit the factory's network as `[train]` says and write `model.weights` with a JSON beside it.

    Goes on from the checkpoint of a training that was cut off, unless `fresh`.

    Raises:
        UsageError: the mission has no `[train]`, its data do not fit it, or the checkpoint is of
            another training.
        Missing: the data are not there.
        GateFailed: the loss left the finite numbers.
    """
    settings, weights = trainable(mission)
    started = now()
    file = checkpoint_file(weights)
    if fresh:
        file.unlink(missing_ok=True)
    task = task_of(mission, settings)
    partition = with_watch(task, task.partition, settings)
    with repeatable(seed=settings.seed, threads=mission.target.threads):
        network = make_network(mission)
        recipe = recipe_of(mission, task, partition, network)
        done = fit(network, task, partition, settings, recipe=recipe, file=file, progress=progress)
        judgement = task.judge(network, partition.validation, progress)
    data = checkpoint.to_bytes(network.state_dict())
    write_atomic(weights, data)
    report = TrainReport(
        weights=weights,
        weights_sha256=sha256(data).hexdigest(),
        recipe=recipe,
        judgement=judgement,
        curve=tuple(done.curve),
        steps=done.step,
        best_step=done.best_step or done.step,
        resumed_at=tuple(done.resumed_at),
        seconds=done.seconds,
        parameters=sum(values.numel() for values in network.parameters()),
        examples=len(partition.training),
        validation_examples=len(partition.validation),
    )
    facts = {"mission": mission.name, **report.to_json()}
    write_record(weights, "train", started=started, recipe_digest=recipe.digest, facts=facts)
    write_json(weights.with_suffix(".json"), SCHEMA, {"environment": environment(), **facts})
    file.unlink(missing_ok=True)
    return report


def checkpoint_file(weights: Path, part: str = "") -> Path:
    """Where the checkpoint of a training lies: beside the weights it will write."""
    return weights.with_name(f"{weights.stem}{part}.checkpoint.pt")


def trainable(mission: Mission) -> tuple[Train, Path]:
    """The `[train]` section and the file to write. Refuses a mission that cannot be trained."""
    settings, model = mission.train, mission.model
    if settings is None or model.factory is None or model.weights is None:
        raise UsageError(
            f"{mission.name} says nothing about training",
            expected="[train] with model.factory and model.weights",
            found="model.file, or no [train]",
            remedy="add them as `brakepoint init` shows, or convert the file that is there",
        )
    load_factory(model.factory)
    return settings, model.weights


def task_of(mission: Mission, settings: Train) -> Task:
    """The task that the mission's data and decoder make."""
    kind, decoder = mission.data.kind, mission.model.decode.kind
    if kind == "scenes":
        return SceneTask(mission, settings)
    if decoder == "classify":
        return PictureTask(mission, settings)
    raise UsageError(
        f"{mission.name} has no data that fit its network",
        expected="data.kind = 'scenes' for a detector; 'arrays' or 'images' for a classifier",
        found=f"data.kind = '{kind}' and decode.kind = '{decoder}'",
        remedy="train on generated scenes: --set data.kind=scenes; or bring trained weights",
    )


def with_watch(task: Task, partition: Partition, settings: Train) -> Partition:
    """With early stop, a part of the training examples is taken out to be watched."""
    if settings.patience is None:
        return partition
    rows = task.rows()
    training = [rows[row] for row in partition.training]
    shares = {"fit": 1.0 - WATCHED_SHARE, "watch": WATCHED_SHARE}
    split = parts(training, shares, seed=settings.seed, strata=lambda row: (row.stratum,))
    fitted, watched = (
        tuple(partition.training[row] for row in split[name]) for name in ("fit", "watch")
    )
    return replace(partition, training=fitted, watched=watched)


def make_network(mission: Mission) -> nn.Module:
    """What the mission's factory makes."""
    assert mission.model.factory is not None  # `trainable` has refused others
    return load_factory(mission.model.factory)(*mission.model.head_sizes)


def load_factory(name: str) -> Callable[..., nn.Module]:
    """The function that "module:function" names; it takes `Model.head_sizes`.

    Raises:
        UsageError: there is none.
    """
    module, function = name.split(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"no factory {name}",
            expected="module:function that can be imported here, such as converters.zoo:roadnet",
            found=str(error),
            remedy="correct model.factory, or install the package that holds it",
        ) from error
    made: Callable[..., nn.Module] = found
    return made
