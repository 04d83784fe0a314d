"""The loop: steps of Adam over a network that rounds as INT8 does, float beside it as the teacher.

How far a step goes is told in shares of each tensor's own size: folding BatchNorm into convolutions
leaves weights a thousand times larger in one layer than in the next, and one step length for all of
them either does nothing or destroys. Where the watched frames show no gain, the best weights come
back and steps become shorter: how long a step a network bears differs by a hundred times. The same
recipe gives the same weights bit for bit, also where it was killed and taken up again. Never looks
at frames that judge.
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
"""Adam's: gradients through rounding are noisy, and what they were 100 steps ago says little."""
WARM_UP_STEPS = 10
SHORTER = 0.3
"""What the step length becomes a share of where the last steps gained nothing."""
SHARES = (0.2, 0.8)
"""Of answers and of inner tensors in the loss at the first step: the gradient of a ruined network's
answers is mostly noise, and fades by itself as they come right."""
SMALLEST_TERM = 1e-3
"""The least unit: a term that is less at first is as good as nothing, not to be magnified."""
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
    int8: FakeQuantization
    loss: Loss

    def of(self, network: GraphNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
        """How far a network's INT8 is off: in its answers, and in its inner tensors; scalars."""
        images = images.to(memory_format=torch.channels_last)
        keep = [name for name in self.int8.scales if name != PICTURE]
        with torch.no_grad():
            wanted = list(self.teacher(images, None, keep).values())
        found = list(network(images, self.int8, keep).values())
        answers = len(wanted) - len(keep)
        return self.loss(wanted[:answers], found[:answers]), feature_loss(
            wanted[answers:], found[answers:]
        )


@dataclass
class Pace:
    """How long the steps are, and in what units the loss is told.

    Attributes:
        units: the two terms of the loss at the first step.
        shorter: what became of the step length by returns to the best weights.
        since: the step of the last return.
    """

    units: list[float] = field(default_factory=list)
    shorter: float = 1.0
    since: int = 0

    def rate(self, step: int, settings: Finetune) -> float:
        """How far a step goes, as a share of each tensor's size: up over the first steps since the
        start or the last return, down to nothing at the end."""
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
    """Fits `network` in place, going on from the checkpoint at `file` where there is one.

    At the end it holds the weights with the least task loss in INT8 on the watched frames; the
    initial weights, if no step was better.

    Args:
        pictures: rows of the frames that are fitted on -> network inputs (1, 3, H, W).
        count: how many such frames there are.
        task_loss: of a network's INT8, on the watched frames; see `task_loss.py`.

    Raises:
        UsageError: the checkpoint is not whole, or of another recipe.
        GateFailed: the loss left the finite numbers.
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
        save()  # a disk without room is refused now, not after minutes
    point_every = max(1, settings.steps // CURVE_POINTS)
    while done.step < settings.steps:
        for group, size in zip(optimiser.param_groups, sizes, strict=True):
            group["lr"] = size * pace.rate(done.step, settings)
        rows = rows_of(done.step, range(count), batch=settings.batch, seed=settings.seed)
        images = torch.from_numpy(np.concatenate(list(pictures(rows))))
        terms = distillation.of(network, images)
        # Each in units of what it was at first: neither drowns the other, whatever the network.
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
                assert done.best is not None  # what it came with was watched first
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


def _watch(
    network: GraphNetwork, task_loss: Callable[[GraphNetwork], float], done: Progress
) -> float:
    """The task loss now; keeps the state with the least."""
    seen = task_loss(network)
    if done.best_score is None or seen < done.best_score:
        done.best_score, done.best_step = seen, done.step
        done.best = copy.deepcopy(network.state_dict())
    return seen
