"""What the record of a run says of an evaluation. Chooses figures; takes none."""

from __future__ import annotations

import hashlib

from calibration.evaluation.evaluate import Evaluation
from edge.contract.mission.facts import mission_facts
from edge.contract.run_record import Number, Run, environment


def evaluate_run(evaluation: Evaluation, *, started: str, seconds: float) -> Run:
    """The record of one network's evaluation."""
    tables, chosen, network = evaluation.tables, evaluation.chosen, evaluation.network
    figures = {name: one.value for name, one in tables.overall.figures.items()}
    # The figure that stands for the whole comes first.
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
            "evaluate.split": chosen.split,
            "evaluate.labels": list(chosen.naming.judged),
        },
        inputs={
            "network": hashlib.sha256(network.model).hexdigest(),
            "data": evaluation.data_digest,
            "data version": chosen.version,
        },
        outputs={},
        metrics=metrics,
        environment=environment(),
    )
