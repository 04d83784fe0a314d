"""The training loop: steps of AdamW over a task's batches, checkpoints, early stop, resumption.

Takes a network, a task, a partition and settings; fits the network in place. The same recipe gives
the same weights bit for bit, also after a kill and a resumption. The final weights are not written
here.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

from converters.training import checkpoint
from converters.training.checkpoint import Progress, State
from converters.training.recipe import Recipe
from converters.training.schedule import learning_rate_of, random_of, rows_of
from converters.training.tasks.task import Batch, Partition, Task, outputs_of
from edge.contract.mission.sections.fitting import Train
from edge.progress import Advance
from firmware_bridge.errors import GateFailed

AHEAD = 4
"""Batches that worker threads prepare ahead of the step."""

CURVE_POINTS = 40


@contextlib.contextmanager
def repeatable(*, seed: int, threads: int) -> Iterator[None]:
    """A context in which torch is deterministic for `seed`; the caller's state is restored."""
    former = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic  # a module that torch types without its properties
    fills = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        # Every operator here writes all of its output; filling it first costs a tenth of the time.
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.set_num_threads(former[0])
            torch.use_deterministic_algorithms(former[1])
            memory.fill_uninitialized_memory = fills


def fit(
    network: nn.Module,
    task: Task,
    partition: Partition,
    settings: Train,
    *,
    recipe: Recipe,
    file: Path,
    progress: Advance,
    what: str = "train",
) -> Progress:
    """Fits `network` in place, from the checkpoint at `file` where there is one.

    At the end it is in evaluation mode and holds the last weights, or with `patience` those with
    the best score on the watched rows; the checkpoint is of the last step.

    Raises:
        UsageError: the checkpoint is not whole, or of another recipe.
        GateFailed: the loss became NaN or infinite.
    """
    trainable = [values for values in network.parameters() if values.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=settings.learning_rate)
    # Channels last is several times faster for small convolutions on a CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
    done = Progress()
    if (loaded := checkpoint.load(file, recipe)) is not None:
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

    task.weigh(partition.training)
    if loaded is None:
        save()  # so that a full disk is refused now, not after minutes
    last = _last_step(done, settings)
    point_every = max(1, settings.steps // CURVE_POINTS)
    with contextlib.closing(_batches(task, partition.training, settings, done.step)) as batches:
        while done.step < last:
            network.train()
            value = _step(network, optimiser, next(batches), settings, done.step)
            done.step += 1
            done.losses.append(value)
            watched = None
            if settings.patience is not None and (
                done.step % settings.judge_every == 0 or done.step == settings.steps
            ):
                watched = _watch(network, task, partition, done, progress)
                last = _last_step(done, settings)
            if watched is not None or done.step % point_every == 0 or done.step == last:
                done.curve.append((done.step, sum(done.losses) / len(done.losses), watched))
                done.losses.clear()
            if done.step % settings.checkpoint_every == 0 or done.step == last:
                save()
            progress(what, done.step, settings.steps)
    if done.best is not None:
        network.load_state_dict(done.best)
    network.eval()
    return done


def _last_step(done: Progress, settings: Train) -> int:
    """The last step: the present one once patience is over, else that of the settings."""
    over = settings.patience is not None and done.stale >= settings.patience
    return done.step if over else settings.steps


def _step(
    network: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch, settings: Train, step: int
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = learning_rate_of(step, steps=settings.steps, peak=settings.learning_rate)
    loss = batch.loss(outputs_of(network, batch.images.to(memory_format=torch.channels_last)))
    value = float(loss.detach())
    if not math.isfinite(value):
        raise GateFailed(
            f"training left the finite numbers at step {step}",
            expected="a finite loss",
            found=str(value),
            remedy="lower train.learning_rate, then start anew: brakepoint train MISSION --fresh",
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimiser.step()
    return value


def _watch(
    network: nn.Module, task: Task, partition: Partition, done: Progress, progress: Advance
) -> float:
    """Scores the network on the watched rows and keeps the best state."""
    network.eval()
    score = task.judge(network, partition.watched, progress).score
    if done.best_score is None or score > done.best_score:
        state: State = copy.deepcopy(network.state_dict())
        done.best_score, done.best_step, done.best, done.stale = score, done.step, state, 0
    else:
        done.stale += 1
    return score


def _batches(task: Task, rows: Sequence[int], settings: Train, first: int) -> Generator[Batch]:
    """The batches from step `first` on, in order, prepared by threads a few steps ahead."""
    strata = None
    if settings.draw == "balanced":
        every = task.rows()
        strata = [every[row].stratum for row in rows]

    def make(step: int) -> Batch:
        picked = rows_of(step, rows, batch=settings.batch, seed=settings.seed, strata=strata)
        return task.batch(picked, random_of(step, seed=settings.seed))

    workers = ThreadPoolExecutor(2, thread_name_prefix="batch")
    waiting: deque[Future[Batch]] = deque()
    try:
        for step in range(first, settings.steps + AHEAD):
            if step < settings.steps:
                waiting.append(workers.submit(make, step))
            if len(waiting) > AHEAD or step >= settings.steps:
                if not waiting:
                    return
                yield waiting.popleft().result()
    finally:
        workers.shutdown(cancel_futures=True)
