"""Evaluates networks on labelled frames, as they are and corrupted.

In: networks, a mission and the frames. Out: an `Evaluation` and the predictions of each network.
Frames are predicted in this process or by the workers of a Dask cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.data.evaluation_set import EvaluationSet
from calibration.evaluation.evaluate import (
    Evaluation,
    ground_truth_digest,
    sort_predictions,
    tables_of,
    with_folds,
)
from calibration.evaluation.predictions.distributed import predict_on_cluster
from calibration.evaluation.predictions.networks import InferenceSpec, Network, inference_spec
from calibration.evaluation.predictions.predict import Prediction, Predictions, predict
from calibration.evaluation.robustness import PictureCorruption, score_drop, scores
from edge.contract.mission.schema import Mission
from edge.progress import Advance


@dataclass(frozen=True)
class Evaluations:
    """Evaluations of networks on the same frames, by name of the network.

    Attributes:
        of: the evaluations.
        predictions: on the frames as they are, in any order.
    """

    of: Mapping[str, Evaluation]
    predictions: Predictions


def evaluate_networks(
    networks: Mapping[str, Network],
    mission: Mission,
    data: EvaluationSet,
    *,
    folds: int | None,
    changes: Sequence[PictureCorruption],
    client: Any | None,
    progress: Advance,
) -> Evaluations:
    """Every figure of every network.

    Args:
        folds: how many folds the spread of the figures is taken over; None for none.
        changes: corruptions under which the score is measured again.
        client: of a Dask cluster that predicts; None to predict here.

    Raises:
        UsageError: a network that cannot run or does not fit the mission; too few groups for the
            folds.
        Missing, NotTrusted: a frame that cannot be read, or is not the one that was locked.
        DeviceFault: workers die again and again.
    """
    inference = inference_spec(mission.model, threads=mission.target.threads)

    def predictions_under(change: PictureCorruption | None) -> Predictions:
        stage = "evaluate" if change is None else f"{change.name} {change.severity}"
        total = len(data.source.examples)

        def advance(done: int) -> None:
            progress(stage, done, total)

        if client is None:
            return predict(networks, inference, data.source, change=change, advance=advance)
        return predict_on_cluster(
            client, networks, inference, data.source, change=change, advance=advance
        )

    found = predictions_under(None)
    progress("figures", 0, 0)
    evaluations = {
        name: _evaluation(mission, network, data, inference, found[name], folds=folds)
        for name, network in networks.items()
    }
    clean = {
        name: _scores(one, inference, found[name]) for name, one in evaluations.items() if changes
    }
    for change in changes:
        corrupted = predictions_under(change)
        worse = {name: _scores(evaluations[name], inference, corrupted[name]) for name in corrupted}
        evaluations = {
            name: _with_drop(one, change, clean=clean[name], worse=worse[name])
            for name, one in evaluations.items()
        }
    return Evaluations(evaluations, found)


def _evaluation(
    mission: Mission,
    network: Network,
    data: EvaluationSet,
    inference: InferenceSpec,
    predictions: Sequence[Prediction],
    *,
    folds: int | None,
) -> Evaluation:
    ordered = sort_predictions(data, predictions)
    labels = mission.model.labels
    tables = tables_of(inference, labels, data=data, predictions=ordered)
    if folds is not None:
        tables = with_folds(tables, inference, labels, data=data, predictions=ordered, k=folds)
    return Evaluation(mission, network, data, tables, ground_truth_digest(ordered))


def _scores(
    evaluation: Evaluation, inference: InferenceSpec, predictions: Sequence[Prediction]
) -> NDArray[np.float64]:
    data, labels = evaluation.data, evaluation.mission.model.labels
    return scores(inference, labels, data=data, predictions=sort_predictions(data, predictions))


def _with_drop(
    evaluation: Evaluation,
    change: PictureCorruption,
    *,
    clean: NDArray[np.float64],
    worse: NDArray[np.float64],
) -> Evaluation:
    """The same evaluation with one more row of robustness."""
    tables = evaluation.tables
    groups = len({frame.group for frame in tables.frames})
    row = score_drop(change, clean, worse, groups=groups)
    return replace(evaluation, tables=replace(tables, robustness=(*tables.robustness, row)))
