"""The fine-tuning loop: steps of Adam over a network with simulated INT8 rounding, float as
teacher.

Takes a `GraphNetwork`, the distillation and settings; fits the network in place. The length of a
step is relative to each tensor's size: folded BatchNorm leaves weights a thousand times larger in
one layer than in the next, so that one absolute length has no effect or destroys. Without a gain on
the watched frames, the best weights are restored and steps become shorter: networks differ by a
factor of a hundred in the length that they bear. The same recipe gives the same weights bit for
bit, also after a kill and a resumption. The held-back frames are not read.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from converters.finetuning.distillation import Loss, feature_loss
from converters.finetuning.torch_graph.network import FakeQuantization, GraphNetwork
from converters.graph.passes.canonical_names import PICTURE
from converters.training import checkpoint
from converters.training.checkpoint import Progress
from converters.training.recipe import Recipe
from converters.training.schedule import rows_of
from edge.contract.mission.sections.fitting import Finetune
from edge.perception.values import Floats
from edge.progress import Advance
from firmware_bridge.errors import GateFailed

FRESH = "brakepoint finetune MISSION --from DIR --out DIR --fresh"
CURVE_POINTS = 40
GRADIENT_MAX = 10.0
MOMENTS = (0.9, 0.99)
"""Adam's betas: gradients through rounding are noisy, and those of 100 steps ago say little."""
WARM_UP_STEPS = 10
SHORTER = 0.3
"""Factor on the step length after steps without a gain."""
SHARES = (0.2, 0.8)
"""Shares of outputs and of inner tensors in the loss at the first step: the output gradient of a
ruined network is mostly noise."""
SMALLEST_TERM = 1e-3
"""Least unit of a term: a smaller first value is negligible and must not be magnified."""
SMALLEST_SIZE = 1e-4
"""Least tensor size for the step length, so that a tensor of zeros can change."""


@dataclass(frozen=True)
class Distillation:
    """The teacher, the rounding and the loss.

    Attributes:
        teacher: the same graph in float; its weights are not fitted.
        int8: the simulated rounding of the fitted network.
        loss: of the outputs; inner tensors are compared by `feature_loss`.
    """

    teacher: GraphNetwork
    int8: FakeQuantization
    loss: Loss

    def of(self, network: GraphNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a network's INT8 outputs and of its inner tensors, two scalars."""
        images = images.to(memory_format=torch.channels_last)
        keep = [name for name in self.int8.scales if name != PICTURE]
        with torch.no_grad():
            wanted = list(self.teacher(images, None, keep).values())
        found = list(network(images, self.int8, keep).values())
        outputs = len(wanted) - len(keep)
        return self.loss(wanted[:outputs], found[:outputs]), feature_loss(
            wanted[outputs:], found[outputs:]
        )


@dataclass
class Pace:
    """The length of a step, and the units of the loss.

    Attributes:
        units: the two terms of the loss at the first step.
        shorter: factor on the step length after returns to the best weights.
        since: the step of the last return.
    """

    units: list[float] = field(default_factory=list)
    shorter: float = 1.0
    since: int = 0

    def rate(self, step: int, settings: Finetune) -> float:
        """The length of a step, relative to each tensor's size: a linear rise since the start or
        the last return, and a linear fall to zero at the end."""
        rise = min(1.0, (step - self.since + 1) / WARM_UP_STEPS)
        return settings.learning_rate * self.shorter * rise * (1.0 - step / settings.steps)


def fit(
    network: GraphNetwork,
    distillation: Distillation,
    settings: Finetune,
    *,
    pictures: Callable[[Sequence[int]], Sequence[Floats]],
    count: int,
    task_loss: Callable[[GraphNetwork], float],
    recipe: Recipe,
    file: Path,
    progress: Advance,
) -> Progress:
    """Fits `network` in place, from the checkpoint at `file` where there is one.

    At the end it holds the weights with the least task loss in INT8 on the watched frames; the
    initial weights, if no step was better.

    Args:
        pictures: rows of the training frames -> network inputs (1, 3, H, W).
        count: number of training frames.
        task_loss: of a network's INT8 on the watched frames, as
            `converters.quantization.search.task_loss` defines it.

    Raises:
        UsageError: the checkpoint is damaged, or of another recipe.
        GateFailed: the loss became NaN or infinite.
    """
    sizes = [_size(values) for values in network.fitted]
    optimiser = torch.optim.Adam([{"params": [v]} for v in network.fitted], betas=MOMENTS)
    done, pace = Progress(), Pace()
    if (loaded := checkpoint.load(file, recipe, again=FRESH)) is not None:
        done, weights, kept = loaded
        network.load_state_dict(weights)
        optimiser.load_state_dict(kept["moments"])
        pace = Pace(**kept["pace"])
        done.resumed_at.append(done.step)
    began = time.monotonic() - done.seconds

    def save() -> None:
        done.seconds = time.monotonic() - began
        kept = {"moments": optimiser.state_dict(), "pace": asdict(pace)}
        checkpoint.save(file, recipe, done, network=network.state_dict(), optimiser=kept)

    if loaded is None:
        done.start_score = _watch(network, task_loss, done)
        save()  # so that a full disk is refused now, not after minutes
    point_every = max(1, settings.steps // CURVE_POINTS)
    while done.step < settings.steps:
        for group, size in zip(optimiser.param_groups, sizes, strict=True):
            group["lr"] = size * pace.rate(done.step, settings)
        rows = rows_of(done.step, range(count), batch=settings.batch, seed=settings.seed)
        images = torch.from_numpy(np.concatenate(list(pictures(rows))))
        terms = distillation.of(network, images)
        # Each relative to its first value, so that neither term dominates, whatever the network.
        pace.units = pace.units or [max(float(term.detach()), SMALLEST_TERM) for term in terms]
        parts = zip(SHARES, terms, pace.units, strict=True)
        loss = torch.stack([share * term / unit for share, term, unit in parts]).sum()
        done.losses.append(_stepped(network, optimiser, loss, done.step))
        done.step += 1
        last = done.step == settings.steps
        watched = None
        if done.step % settings.judge_every == 0 or last:
            watched = _watch(network, task_loss, done)
            if done.best_step != done.step:
                assert done.best is not None  # the initial state was watched first
                network.load_state_dict(done.best)
                optimiser.state.clear()
                pace.shorter *= SHORTER
                pace.since = done.step
        if watched is not None or done.step % point_every == 0:
            done.curve.append((done.step, sum(done.losses) / len(done.losses), watched))
            done.losses.clear()
        if done.step % settings.checkpoint_every == 0 or last:
            save()
        progress("finetune", done.step, settings.steps)
    assert done.best is not None  # the initial state was watched first
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


def _watch(
    network: GraphNetwork, task_loss: Callable[[GraphNetwork], float], done: Progress
) -> float:
    """The present task loss; keeps the state with the least."""
    seen = task_loss(network)
    if done.best_score is None or seen < done.best_score:
        done.best_score, done.best_step = seen, done.step
        done.best = copy.deepcopy(network.state_dict())
    return seen
