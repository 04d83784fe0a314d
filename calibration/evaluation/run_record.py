"""Selects what the record of a run holds of an evaluation.

In: an `Evaluation`. Out: a `Run` with figures, settings and digests of the inputs.
"""

from __future__ import annotations

import hashlib

from calibration.evaluation.evaluate import Evaluation
from edge.contract.mission.facts import mission_facts
from edge.contract.run_record import Number, Run, environment


def evaluate_run(evaluation: Evaluation, *, started: str, seconds: float) -> Run:
    """The record of one network's evaluation."""
    tables, data, network = evaluation.tables, evaluation.data, evaluation.network
    figures = {name: one.value for name, one in tables.overall.figures.items()}
    # The score comes first.
    metrics: dict[str, Number] = {tables.score: figures.pop(tables.score, None), **figures}
    metrics |= {
        f"{one.corruption} {one.severity} {tables.score}": one.score for one in tables.robustness
    }
    metrics |= {"frames": len(tables.frames), "faults": tables.faults}
    return Run(
        kind="evaluate",
        mission=evaluation.mission.name,
        started=started,
        seconds=round(seconds, 1),
        passed=None,
        parameters={
            **mission_facts(evaluation.mission),
            "evaluate.network": network.name,
            "evaluate.precision": network.precision,
            "evaluate.split": data.split,
            "evaluate.labels": list(data.mapping.judged),
        },
        inputs={
            "network": hashlib.sha256(network.model).hexdigest(),
            "data": evaluation.data_digest,
            "data version": data.version,
        },
        outputs={},
        metrics=metrics,
        environment=environment(),
    )
