"""The loop: steps of Adam over a network that rounds as INT8 does, float beside it as the teacher.

How far a step goes is told in shares of each tensor's own size: folding BatchNorm into convolutions
leaves weights a thousand times larger in one layer than in the next, and one step length for all of
them either does nothing or destroys. The same recipe gives the same weights bit for bit, also where
it was killed and taken up again. Never looks at frames that judge.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calibration.sessions import Floats
from converters.finetuning.distillation import Loss, feature_loss
from converters.finetuning.network import GraphNetwork, Int8
from converters.passes.names import PICTURE
from converters.training import checkpoint
from converters.training.checkpoint import Progress
from converters.training.recipe import Recipe
from converters.training.schedule import learning_rate_of, rows_of
from converters.training.task import Advance
from edge.contract.mission import Finetune
from firmware_bridge.errors import GateFailed

FRESH = "brakepoint finetune MISSION --from DIR --out DIR --fresh"
CURVE_POINTS = 40
GRADIENT_MAX = 10.0
SMALLEST_SIZE = 1e-4
"""A tensor that is all zeros still may move by steps of such a size."""


@dataclass(frozen=True)
class Distillation:
    """What INT8 is compared with, and how.

    Attributes:
        teacher: the same graph, float; its weights stay as they are.
        int8: where and how the fitted network rounds.
        loss: of the outputs; inner tensors are compared beside them.
    """

    teacher: GraphNetwork
    int8: Int8
    loss: Loss

    def of(self, network: GraphNetwork, images: Tensor) -> Tensor:
        """The loss of a network as INT8, a scalar."""
        images = images.to(memory_format=torch.channels_last)
        keep = [name for name in self.int8.scales if name != PICTURE]
        with torch.no_grad():
            wanted = list(self.teacher(images, None, keep).values())
        found = list(network(images, self.int8, keep).values())
        answers = len(wanted) - len(keep)
        return self.loss(wanted[:answers], found[:answers]) + feature_loss(
            wanted[answers:], found[answers:]
        )


def fit(
    network: GraphNetwork,
    distillation: Distillation,
    settings: Finetune,
    *,
    pictures: Callable[[Sequence[int]], Sequence[Floats]],
    count: int,
    damage: Callable[[GraphNetwork], float],
    recipe: Recipe,
    file: Path,
    progress: Advance,
) -> Progress:
    """Fits `network` in place, going on from the checkpoint at `file` where there is one.

    At the end it holds the weights whose INT8 did the least damage on the watched frames: those it
    came with, if none were better.

    Args:
        pictures: rows of the frames that are fitted on -> network inputs (1, 3, H, W).
        count: how many such frames there are.
        damage: of a network's INT8, on the watched frames; see `damage.py`.

    Raises:
        UsageError: the checkpoint is not whole, or of another recipe.
        GateFailed: the loss left the finite numbers.
    """
    optimiser = torch.optim.Adam(
        [{"params": [values], "size": _size(values)} for values in network.fitted]
    )
    done = Progress()
    if (loaded := checkpoint.load(file, recipe, again=FRESH)) is not None:
        done, weights, moments = loaded
        network.load_state_dict(weights)
        optimiser.load_state_dict(moments)
        done.resumed_at.append(done.step)
    began = time.monotonic() - done.seconds

    def save() -> None:
        done.seconds = time.monotonic() - began
        checkpoint.save(
            file, recipe, done, network=network.state_dict(), optimiser=optimiser.state_dict()
        )

    if loaded is None:
        done.start_score = _watch(network, damage, done)
        save()  # a disk without room is refused now, not after minutes
    point_every = max(1, settings.steps // CURVE_POINTS)
    while done.step < settings.steps:
        for group in optimiser.param_groups:
            rate = learning_rate_of(done.step, steps=settings.steps, peak=settings.learning_rate)
            group["lr"] = rate * group["size"]
        rows = rows_of(done.step, range(count), batch=settings.batch, seed=settings.seed)
        images = torch.from_numpy(np.concatenate(list(pictures(rows))))
        loss = distillation.of(network, images)
        done.losses.append(_stepped(network, optimiser, loss, done.step))
        done.step += 1
        last = done.step == settings.steps
        watched = None
        if done.step % settings.judge_every == 0 or last:
            watched = _watch(network, damage, done)
        if watched is not None or done.step % point_every == 0:
            done.curve.append((done.step, sum(done.losses) / len(done.losses), watched))
            done.losses.clear()
        if done.step % settings.checkpoint_every == 0 or last:
            save()
        progress("finetune", done.step, settings.steps)
    assert done.best is not None  # what it came with was watched first
    network.load_state_dict(done.best)
    return done


def _size(values: Tensor) -> float:
    """Root mean square of a tensor."""
    return max(float(values.detach().square().mean().sqrt()), SMALLEST_SIZE)


def _stepped(
    network: GraphNetwork, optimiser: torch.optim.Optimizer, loss: Tensor, step: int
) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise GateFailed(
            f"fine-tuning left the finite numbers at step {step}",
            expected="a finite loss",
            found=str(value),
            remedy=f"lower finetune.learning_rate, then start anew: {FRESH}",
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_MAX)
    optimiser.step()
    return value


def _watch(network: GraphNetwork, damage: Callable[[GraphNetwork], float], done: Progress) -> float:
    """The damage now; keeps the state with the least."""
    seen = damage(network)
    if done.best_score is None or seen < done.best_score:
        done.best_score, done.best_step = seen, done.step
        done.best = copy.deepcopy(network.state_dict())
    return seen
