"""Computes the figures of one network from its predictions, and writes them as evaluation.json.

In: predictions, in any order, of an evaluation set. Out: an `Evaluation`. The same predictions give
the same bytes, however many processes made them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.dataset.records.ground_truth import Truth
from calibration.dataset.splits.group_folds import folds
from calibration.evaluation.data.evaluation_set import EvaluationSet
from calibration.evaluation.figures.classification import classification_tables, condition_head
from calibration.evaluation.figures.detection import IOU_MIN, detection_tables, match_predictions
from calibration.evaluation.figures.grouping import Groups
from calibration.evaluation.figures.segmentation import segmentation_tables
from calibration.evaluation.figures.values import Row, Spread, Tables, plain_tables
from calibration.evaluation.predictions.networks import InferenceSpec, Network
from calibration.evaluation.predictions.predict import SCORE_MIN, Prediction
from calibration.metrics.confidence_intervals import REPLICATES, SEED
from edge.contract.artifact import digest_json
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.schema import Mission
from edge.perception.classification import HeadSpec
from edge.perception.segmentation import MaskSpec

SCHEMA = "brakepoint.evaluation/1"

TASKS = {"classify": "classification", "segment": "segmentation"}
"""Kind of decoder -> task of the network; other kinds are detection."""

SOURCES = {
    "AP": "COCO, 101 recall points, the 100 best detections of a label in a frame; pycocotools",
    "shares": "Wilson 1927 on the effective count (Kish 1965): frames of one group are alike",
    "others": f"cluster bootstrap by group, {REPLICATES} resamples, seed {SEED}",
    "level": "95 %",
}
"""Sources of the figures and of their intervals."""


@dataclass(frozen=True)
class Evaluation:
    """One network on one set of frames."""

    mission: Mission
    network: Network
    data: EvaluationSet
    tables: Tables
    data_digest: str

    def payload(self) -> dict[str, Any]:
        """The evaluation as plain values, without its schema."""
        model = self.mission.model
        return {
            "mission": self.mission.name,
            "contract": contract_digest(self.mission.model),
            "task": TASKS.get(model.decode.kind, "detection"),
            "model": {
                "file": self.network.name,
                "sha256": hashlib.sha256(self.network.model).hexdigest(),
                "precision": self.network.precision,
                "kernels": self.network.kernels,
            },
            "data": {
                "given": self.data.data_name,
                "version": self.data.version,
                "digest": self.data_digest,
                "split": self.data.split,
                "frames": len(self.tables.frames),
                "groups": len({frame.group for frame in self.tables.frames}),
                "left_out": self.data.left_out,
                "ignored": self.data.ignored,
                "doubts": list(self.data.doubts),
                "unlabelled": self.data.unlabelled,
            },
            "labels": list(model.labels),
            "judged": list(self.data.mapping.judged),
            "score_min": {"mission": model.decode.score_threshold, "AP": SCORE_MIN},
            "iou_min": IOU_MIN,
            "sources": SOURCES,
            **plain_tables(self.tables),
        }


def evaluation_bytes(evaluation: Evaluation) -> bytes:
    """The content of evaluation.json: schema first, one frame a line, for reading."""
    payload = {"schema": SCHEMA, **evaluation.payload()}
    frames = payload.pop("frames")
    head = json.dumps(payload, indent=1, allow_nan=False).removesuffix("\n}")
    lines = ",\n".join(json.dumps(frame, allow_nan=False) for frame in frames)
    return f'{head},\n "frames": [\n{lines}\n ]\n}}\n'.encode()


def sort_predictions(data: EvaluationSet, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Predictions in the order of the source's frames.

    Raises:
        ValueError: a frame has no prediction or two, which is a defect of the division of work.
    """
    by_name = {prediction.name: prediction for prediction in predictions}
    wanted = [example.name for example in data.source.examples]
    if len(predictions) != len(wanted) or set(by_name) != set(wanted):
        raise ValueError(f"{len(predictions)} predictions for {len(wanted)} frames")
    return [by_name[name] for name in wanted]


def ground_truth_digest(predictions: Sequence[Prediction]) -> str:
    """One sha256, as hex, of the pictures and their ground truth."""
    return digest_json(
        [
            [
                prediction.name,
                prediction.sha256,
                prediction.label,
                None if prediction.truth is None else _plain_truth(prediction.truth),
                *([prediction.mask_sha256] if prediction.mask_sha256 else []),
            ]
            for prediction in predictions
        ]
    )


def _plain_truth(truth: Truth) -> list[object]:
    """Ground truth as plain values; regions only where there are any, so that the digests of other
    data sets are the same as before regions existed."""
    regions = [truth.regions.tolist(), truth.region_labels.tolist()]
    return [truth.boxes.tolist(), truth.labels.tolist(), *(regions if regions[1] else [])]


def tables_of(
    inference: InferenceSpec,
    labels: Sequence[str],
    *,
    data: EvaluationSet,
    predictions: Sequence[Prediction],
) -> Tables:
    """Every figure of predictions in the order of the frames."""
    groups = Groups.named(predictions)
    threshold = inference.spec.main.score_threshold
    if isinstance(inference.spec.main, HeadSpec):
        return classification_tables(predictions, labels, groups, score_min=threshold)
    judged = data.mapping.judged
    if isinstance(inference.spec.main, MaskSpec):
        tables = segmentation_tables(predictions, labels, judged, groups)
    else:
        seen = match_predictions(predictions, labels, judged, score_min=threshold)
        tables = detection_tables(predictions, seen, groups)
    return dataclasses.replace(tables, condition_head=condition_head(predictions, groups))


def with_folds(
    tables: Tables,
    inference: InferenceSpec,
    labels: Sequence[str],
    *,
    data: EvaluationSet,
    predictions: Sequence[Prediction],
    k: int,
) -> Tables:
    """The same tables with the spread of every overall figure over `k` folds by whole groups.

    The network is not trained again: the spread says how much its figures depend on the frames.
    Raises UsageError where there are fewer groups than folds.
    """
    strata = {
        prediction.name: [
            *prediction.conditions,
            *([] if prediction.label is None else [str(prediction.label)]),
        ]
        for prediction in predictions
    }
    rows: list[Row] = []
    for fold in folds(predictions, k, seed=0, strata=lambda prediction: strata[prediction.name]):
        part = [predictions[row] for row in fold.judge]
        rows.append(tables_of(inference, labels, data=data, predictions=part).overall)
    spreads: dict[str, Spread] = {}
    for name in tables.overall.figures:
        each = tuple(row.figures[name].value for row in rows)
        known = [value for value in each if value is not None]
        spreads[name] = Spread(
            each,
            float(np.mean(known)) if known else None,
            float(np.std(known, ddof=1)) if len(known) > 1 else None,
        )
    return dataclasses.replace(tables, folds=spreads)
