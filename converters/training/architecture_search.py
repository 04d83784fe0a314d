"""Searches architectures and learning rates by accuracy and latency.

Takes a mission and a number of candidates; returns a `SearchReport` with the settings to train
with. Successive halving (Jamieson and Talwalkar, arXiv:1502.07943): every candidate is fitted for a
fraction of the steps, the better half for twice as many, and so on. Candidates are judged on a part
of the training examples, so validation examples stay unseen. Latency is measured on this machine,
by onnxruntime. Writes no weights.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibration.inference.sessions import ModelSession
from converters.graph.passes.canonical_names import PICTURE
from converters.sources.pytorch.export import export
from converters.training.fit import (
    checkpoint_file,
    fit_and_judge,
    hold_out,
    network_for,
    require_trainable,
    task_of,
)
from converters.training.run_record import now, write_record
from converters.training.tasks.task import Partition
from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission
from edge.perception.decode import output_shapes
from edge.progress import Advance
from firmware_bridge.errors import GateFailed, UsageError

JUDGED_SHARE = 0.2
"""Share of the training examples that candidates are judged on."""
LATENCY_WEIGHT = 0.1
"""Penalty for using the whole inference budget, in units of accuracy."""
LEARNING_RATES = (1.0, 0.5, 2.0)
"""Learning rates tried, as multiples of the mission's."""
HALVINGS = 2
BURSTS, RUNS = 5, 12
"""Bursts of runs with pauses between: other work on the machine disturbs the quickest burst
least."""
PAUSE_S = 0.1

Measure = Callable[[Mission], float]
"""A mission -> milliseconds of its network for one picture."""


@dataclass(frozen=True)
class Candidate:
    """A factory and a learning rate to try."""

    factory: str
    learning_rate: float

    @property
    def name(self) -> str:
        """A short name, valid in a file name."""
        return f"{self.factory.rpartition(':')[2]}-{self.learning_rate:g}"

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings as `--set` options."""
        return (f"model.factory={self.factory}", f"train.learning_rate={self.learning_rate:g}")


@dataclass(frozen=True)
class Trial:
    """A candidate after some steps: its accuracy and latency.

    Attributes:
        accuracy: score of its judgement, 0..1.
        latency_ms: of one picture, by the function `latency_ms`.
        budget_ms: the inference budget of the mission.
        parameters: number of the network's parameters.
    """

    candidate: Candidate
    steps: int
    accuracy: float
    latency_ms: float
    budget_ms: float
    parameters: int

    @property
    def score(self) -> float:
        """accuracy - LATENCY_WEIGHT x latency / budget; nothing where it is over the budget."""
        used = self.latency_ms / self.budget_ms
        return self.accuracy - LATENCY_WEIGHT * used if used <= 1.0 else -used


@dataclass(frozen=True)
class SearchReport:
    """All trials in the order of their runs, and the candidate to train with."""

    trials: tuple[Trial, ...]
    chosen: Trial
    seconds: float
    record: Path

    @property
    def last(self) -> list[Trial]:
        """The longest trial of each candidate, best first: by steps, then by score."""
        furthest = {trial.candidate: trial for trial in self.trials}
        return sorted(furthest.values(), key=lambda trial: (-trial.steps, -trial.score))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        front = pareto_front(self.last)
        return {
            "rule": f"accuracy - {LATENCY_WEIGHT} x latency / budget.infer_ms",
            "trials": [
                {
                    "settings": list(trial.candidate.settings),
                    "steps": trial.steps,
                    "accuracy": trial.accuracy,
                    "latency_ms": trial.latency_ms,
                    "budget_ms": trial.budget_ms,
                    "parameters": trial.parameters,
                    "score": trial.score,
                    "pareto": trial in front,
                }
                for trial in self.trials
            ],
            "chosen": list(self.chosen.candidate.settings),
            "seconds": round(self.seconds, 1),
        }


def candidates(mission: Mission, count: int) -> list[Candidate]:
    """The first `count`: the mission's own, then its other architectures, then other rates.

    Raises:
        UsageError: fewer than two were asked for, or exist.
    """
    settings, _ = require_trainable(mission)
    assert mission.model.factory is not None  # `require_trainable` has refused others
    factories = list(dict.fromkeys((mission.model.factory, *settings.search)))
    every = [
        Candidate(factory, settings.learning_rate * rate)
        for rate in LEARNING_RATES
        for factory in factories
    ]
    if count < 2:
        raise UsageError(
            f"a search of {count} finds nothing",
            expected="2 candidates or more",
            found=str(count),
            remedy="--search 4",
        )
    return every[:count]


def rungs(count: int, steps: int) -> list[tuple[int, int]]:
    """(candidates, steps) of each rung: half as many for twice as long, while there is a choice."""
    every = [(count >> rung, max(1, steps >> (HALVINGS - rung))) for rung in range(HALVINGS + 1)]
    return [rung for rung in every if rung[0] >= 2]


def best_trials(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The `count` best by score; of equal ones the quicker, then the earlier."""
    return sorted(trials, key=lambda trial: (-trial.score, trial.latency_ms))[:count]


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Trials of which no other is as quick and more accurate, or as accurate and quicker."""
    return [
        one
        for one in trials
        if not any(
            other.accuracy >= one.accuracy
            and other.latency_ms <= one.latency_ms
            and (other.accuracy, other.latency_ms) != (one.accuracy, one.latency_ms)
            for other in trials
        )
    ]


def latency_ms(mission: Mission) -> float:
    """Milliseconds of the network for one picture, by onnxruntime on this machine: the least of the
    bursts' medians."""
    size = mission.model.input
    shape = (1, 3, size.height_px, size.width_px)
    names = list(output_shapes(mission.model.network_spec, size.width_px, size.height_px))
    with torch.random.fork_rng(devices=[]):
        model = export(network_for(mission.model), shape, names)
    session = ModelSession(
        model.SerializeToString(), threads=mission.target.threads, kernels="fused"
    )
    picture = {PICTURE: np.zeros(shape, np.float32)}
    bursts: list[float] = []
    for _ in range(BURSTS):
        taken: list[float] = []
        for _ in range(RUNS):
            began = time.perf_counter()
            session.run(picture)
            taken.append((time.perf_counter() - began) * 1000.0)
        bursts.append(statistics.median(taken))
        time.sleep(PAUSE_S)
    return min(bursts)


def search(
    mission: Mission,
    count: int,
    *,
    progress: Advance,
    fresh: bool = False,
    measure: Measure = latency_ms,
) -> SearchReport:
    """Tries `count` candidates; resumes an interrupted search, unless `fresh`.

    Raises:
        UsageError, Missing, GateFailed: as `converters.training.train.train` does.
    """
    settings, weights = require_trainable(mission)
    started, began = now(), time.monotonic()
    tried = candidates(mission, count)
    task = task_of(mission, settings)
    held = hold_out(task, task.partition, JUDGED_SHARE, seed=settings.seed)
    partition = Partition(training=held.training, validation=held.watched)
    networks: dict[str, tuple[float, int]] = {}
    trials: list[Trial] = []
    files: list[Path] = []
    for keep, steps in rungs(len(tried), settings.steps):
        if trials:
            tried = [trial.candidate for trial in best_trials(trials[-len(tried) :], keep)]
        for number, candidate in enumerate(tried, start=1):
            this = with_candidate(mission, candidate, steps=steps)
            if candidate.factory not in networks:
                networks[candidate.factory] = measure(this), _parameters(this)
            file = checkpoint_file(weights, f".search-{candidate.name}-{steps}")
            files.append(file)
            if fresh:
                file.unlink(missing_ok=True)
            what = f"{number} of {len(tried)}, {steps} steps"
            try:
                fitted = fit_and_judge(
                    this, task, partition, file=file, progress=progress, what=what
                )
                accuracy = fitted.judgement.score
            except GateFailed:
                accuracy = 0.0  # a rate with a loss of NaN loses; the search goes on
            latency, parameters = networks[candidate.factory]
            trials.append(
                Trial(candidate, steps, accuracy, latency, mission.budget.infer_ms, parameters)
            )
    (chosen,) = best_trials(trials[-len(tried) :], 1)
    report = SearchReport(tuple(trials), chosen, time.monotonic() - began, weights)
    record = write_record(
        weights,
        "search",
        started=started,
        recipe_digest=digest_json([mission.model_dump(mode="json"), count]),
        facts={"mission": mission.name, **report.to_json()},
    )
    for file in files:
        file.unlink(missing_ok=True)
    return SearchReport(report.trials, chosen, report.seconds, record)


def _parameters(mission: Mission) -> int:
    with torch.random.fork_rng(devices=[]):
        return sum(values.numel() for values in network_for(mission.model).parameters())


def with_candidate(mission: Mission, candidate: Candidate, *, steps: int) -> Mission:
    """The mission with a candidate's settings."""
    assert mission.train is not None  # `require_trainable` has refused a mission without
    changes = {"steps": steps, "learning_rate": candidate.learning_rate}
    return mission.model_copy(
        update={
            "model": mission.model.model_copy(update={"factory": candidate.factory}),
            "train": mission.train.model_copy(update=changes),
        }
    )
