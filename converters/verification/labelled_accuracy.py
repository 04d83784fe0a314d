"""Accuracy of the networks of a conversion against labels, for the gates that ask for it: of all
frames, of each class and of each condition.

Takes the files and the labelled frames; returns `Accuracy`, by the same evaluation as the verb
`evaluate`. Of the mission's own data it uses held-back frames only. Where there are no labels it
gives the reason in words, and the gate fails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from calibration.evaluation.data.evaluation_set import EvaluationSet, choose_frames
from calibration.evaluation.evaluate import sort_predictions, tables_of
from calibration.evaluation.figures.values import Row, Tables
from calibration.evaluation.predictions.networks import Network, inference_spec
from calibration.evaluation.predictions.predict import predict
from calibration.inference.sessions import Kernels
from calibration.metrics.confidence_intervals import Interval
from converters.verification.agreement.judge import KERNELS
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.conversion import Gates
from edge.progress import Advance
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Score:
    """One score, 0..1, with its 95 % interval; None where it is unknown."""

    value: float | None
    interval: Interval
    frames: int


@dataclass(frozen=True)
class Scores:
    """Scores of one network: of all frames, by label, and by condition ("weather fog")."""

    overall: Score
    by_class: Mapping[str, Score]
    by_condition: Mapping[str, Score]


@dataclass(frozen=True)
class Accuracy:
    """Accuracy against labels.

    Attributes:
        state: "not asked" where no gate needs it, "unknown" where there are no labels.
        why: the reason for "unknown"; else the labelled frames, in words.
        score: the name of the score of all frames, a key of OF_CLASS.
        networks: by artifact.
    """

    state: Literal["not asked", "unknown", "known"]
    why: str = ""
    score: str = ""
    networks: Mapping[str, Scores] | None = None


NOT_ASKED = Accuracy("not asked")


def _asks(gates: Gates) -> bool:
    single = (gates.accuracy_min, gates.accuracy_drop_max, gates.worst_condition_min)
    return any(one is not None for one in single) or bool(
        gates.class_accuracy_min or gates.condition_accuracy_min
    )


def accuracy_frames(mission: Mission, held_back: Collection[str]) -> EvaluationSet | str | None:
    """The labelled frames, or why there are none; None where no gate asks.

    They are those of `gates.labelled`, or those of the mission's own that `held_back` names; of
    generated scenes, new ones.

    Raises:
        Missing, NotTrusted: `gates.labelled` is not there, or damaged.
        UsageError: it has no labels that the model knows.
    """
    if not _asks(mission.gates):
        return None
    given = mission.gates.labelled
    if given is not None:
        return choose_frames(mission, data=str(given), split=None, scene_count=0)
    try:
        chosen = choose_frames(
            mission, data=None, split=None, scene_count=mission.calibration.held_back
        )
    except UsageError as error:
        return f"{error.what}: {error.found}"
    if mission.data.kind == "scenes":
        return chosen
    rows = [row for row, example in enumerate(chosen.source.examples) if example.name in held_back]
    if not rows:
        return f"none of the {len(held_back)} held-back frames has a label"
    return replace(chosen, source=chosen.source.only(rows))


def accuracy(
    mission: Mission,
    files: Mapping[str, bytes],
    chosen: EvaluationSet | str,
    *,
    progress: Advance,
) -> Accuracy:
    """Scores of every network of KERNELS.

    Raises:
        Missing, NotTrusted: a frame cannot be read, or is not the one that was locked.
    """
    if isinstance(chosen, str):
        return Accuracy("unknown", chosen)
    total = len(chosen.source.examples)
    reading = inference_spec(mission.model, threads=mission.target.threads)
    found = predict(
        {name: _network(name, files[name], kernels) for name, kernels in KERNELS.items()},
        reading,
        chosen.source,
        advance=lambda done: progress("accuracy on labels", done, total),
    )
    tables = {
        name: tables_of(
            reading, mission.model.labels, data=chosen, predictions=sort_predictions(chosen, given)
        )
        for name, given in found.items()
    }
    first = next(iter(tables.values()))
    return Accuracy(
        "known",
        why=f"{total} frames of {chosen.data_name}",
        score=first.score,
        networks={name: _scores(one) for name, one in tables.items()},
    )


OF_CLASS = {"AP50": "AP50", "accuracy": "recall", "mean IoU": "IoU"}
"""Score of all frames -> score of one class. A class has no accuracy of its own, so a classifier's
is recall: how many of its pictures get its label."""


def _network(name: str, model: bytes, kernels: Kernels) -> Network:
    return Network(name, model, kernels, name)


def _scores(tables: Tables) -> Scores:
    of_class = OF_CLASS[tables.score]
    return Scores(
        overall=_scored(tables.overall, tables.score),
        by_class={row.name: _scored(row, of_class) for row in tables.by_class},
        by_condition={row.name: _scored(row, tables.score) for row in tables.by_condition},
    )


def _scored(row: Row, name: str) -> Score:
    figure = row.figures[name]
    return Score(figure.value, figure.interval, row.frames)
