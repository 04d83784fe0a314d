"""Fits a mission's network on rows of its task and judges it: shared by training, cross-validation
and architecture search.

Takes a mission, a task and a partition; returns a `FitResult`. Writes a checkpoint, but neither
weights nor records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from calibration.dataset.splits.group_folds import parts
from converters.sources.pytorch.factory import load_factory, make_network
from converters.sources.source import check_output, picture_shape
from converters.training.checkpoint import Progress
from converters.training.loop import fit, repeatable
from converters.training.recipe import Recipe, recipe_of
from converters.training.tasks.classification import PictureTask
from converters.training.tasks.road_scenes import SceneTask
from converters.training.tasks.task import Judgement, Partition, Task, outputs_of
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.fitting import Train
from edge.contract.mission.sections.model import Model
from edge.progress import Advance
from firmware_bridge.errors import UsageError

WATCHED_SHARE = 0.1
"""Share of the training examples that early stop watches."""


@dataclass(frozen=True)
class FitResult:
    """A fitted network in evaluation mode, its recipe, progress and partition, and its
    judgement."""

    network: nn.Module
    recipe: Recipe
    done: Progress
    partition: Partition
    judgement: Judgement


def require_trainable(mission: Mission) -> tuple[Train, Path]:
    """The `[train]` section and the weights file. Refuses a mission that cannot be trained."""
    settings, model = mission.train, mission.model
    if settings is None or model.factory is None or model.weights is None:
        raise UsageError(
            f"{mission.name} says nothing about training",
            expected="[train] with model.factory and model.weights",
            found="model.file, or no [train]",
            remedy="add them as `brakepoint init` shows, or convert the file that is there",
        )
    load_factory(model.factory, beside=model.folder)
    return settings, model.weights


def task_of(mission: Mission, settings: Train) -> Task:
    """The task for the mission's kind of data and decoder. Refuses kinds that do not fit."""
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


def network_for(model: Model) -> nn.Module:
    """The network of the mission's factory, after a run that checks its outputs.

    Raises:
        UsageError: the factory fails, or its network fails on the mission's picture or has other
            outputs than the mission reads.
    """
    assert model.factory is not None  # `require_trainable` has refused others
    network = make_network(model.factory, model.head_sizes, beside=model.folder)
    picture = torch.zeros(picture_shape(model))
    try:
        with torch.inference_mode():
            outputs = outputs_of(network.eval(), picture)
    # The network is the user's code, and may not support the picture's size.
    except Exception as error:
        raise UsageError(
            f"the network of {model.factory} cannot run on the mission's picture",
            expected=f"a network for pictures {list(picture.shape)}",
            found=f"{type(error).__name__}: {error}",
            remedy="correct model.input in the mission, or the network",
        ) from error
    check_output([tuple(values.shape) for values in outputs], model)
    return network


def checkpoint_file(weights: Path, part: str = "") -> Path:
    """The path of a fit's checkpoint, beside the weights that it is for."""
    return weights.with_name(f"{weights.stem}{part}.checkpoint.pt")


def fit_and_judge(
    mission: Mission,
    task: Task,
    partition: Partition,
    *,
    file: Path,
    progress: Advance,
    what: str = "train",
) -> FitResult:
    """Fits a new network as `[train]` says, or resumes from the checkpoint at `file`, and judges
    it.

    Raises:
        UsageError: the checkpoint is damaged, or of another training.
        GateFailed: the loss became NaN or infinite.
    """
    settings = mission.train
    assert settings is not None  # `require_trainable` has refused a mission without
    if settings.patience is not None:
        partition = hold_out(task, partition, WATCHED_SHARE, seed=settings.seed)
    with repeatable(seed=settings.seed, threads=mission.target.threads):
        network = network_for(mission.model)
        recipe = recipe_of(mission, task, partition, network)
        done = fit(
            network,
            task,
            partition,
            settings,
            recipe=recipe,
            file=file,
            progress=progress,
            what=what,
        )
        judgement = task.judge(network, partition.validation, progress)
    return FitResult(network, recipe, done, partition, judgement)


def hold_out(task: Task, partition: Partition, share: float, *, seed: int) -> Partition:
    """The partition with a share of its training rows, whole groups, moved to the watched ones."""
    rows = task.rows()
    split = parts(
        [rows[row] for row in partition.training],
        {"fit": 1.0 - share, "watch": share},
        seed=seed,
        strata=lambda row: (row.stratum,),
    )
    fitted, watched = (
        tuple(partition.training[row] for row in split[name]) for name in ("fit", "watch")
    )
    return replace(partition, training=fitted, watched=watched)
