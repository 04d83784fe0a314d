"""Renders a page of the frames with the most mistakes: ground truth and networks side by side.

In: evaluations of the same frames and their predictions. Out: HTML, one file that needs nothing
else. Right and wrong are as the tables count them. The pictures on the page are read again.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import cv2
import jinja2
import numpy as np

from calibration.dataset.pictures.descriptors import shrink
from calibration.evaluation.data.labelled_frames import Picture
from calibration.evaluation.evaluate import Evaluation, sort_predictions
from calibration.evaluation.figures.detection import IOU_MIN
from calibration.evaluation.figures.values import FrameRow
from calibration.evaluation.mask_overlays import colour_words, overlay, small_mask
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.matching import in_regions, match_detections
from edge.perception.values import BgrImage, Detections

SHOWN = 12
"""Frames on the page; the JSON lists all."""

WIDEST_PX = 640
"""Longer side of a picture on the page: a dozen have about one megabyte."""


@dataclass(frozen=True)
class Mark:
    """A box on a picture.

    Attributes:
        kind: "true", "right", "made-up", "missed" or "ignored"; its colour.
        words: label, and score where it was detected.
    """

    kind: str
    words: str
    x1: float
    y1: float
    width: float
    height: float


@dataclass(frozen=True)
class Column:
    """One picture of a frame: its ground truth or a prediction; `overlay` is a PNG in base64."""

    title: str
    words: str
    marks: tuple[Mark, ...]
    overlay: str = ""


@dataclass(frozen=True)
class Sheet:
    """One frame on the page; `jpeg` is a data URL."""

    name: str
    jpeg: str
    width_px: int
    height_px: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class NetworkFrames:
    """The predictions of one network and their rows, both in the order of the frames."""

    title: str
    predictions: Sequence[Prediction]
    rows: Sequence[FrameRow]


def worst_rows(networks: Sequence[NetworkFrames]) -> list[int]:
    """Rows of the frames with the most mistakes of all networks together, worst first.

    Of equally many mistakes, a surer wrong prediction is worse; then the order of frames decides.
    """
    wrong = _mistakes(networks)
    sure = [
        max((one.predictions[row].share for one in networks if one.rows[row].missed), default=0.0)
        for row in range(len(wrong))
    ]
    order = sorted(range(len(wrong)), key=lambda row: (-wrong[row], -sure[row], row))
    return [row for row in order if wrong[row]][:SHOWN]


def page_of(evaluations: Sequence[Evaluation], found: Sequence[Sequence[Prediction]]) -> bytes:
    """The page of evaluations of the same frames, each with its predictions in any order.

    Raises:
        Missing, NotTrusted: a picture cannot be read again.
    """
    networks = [
        NetworkFrames(f"{one.network.name} ({one.network.precision})", ordered, one.tables.frames)
        for one, some in zip(evaluations, found, strict=True)
        for ordered in [sort_predictions(one.data, some)]
    ]
    data, model = evaluations[0].data, evaluations[0].mission.model
    first, score_min = networks[0].predictions, model.decode.score_threshold
    numbers = worst_rows(networks)
    pictures = {one.name: one for one in data.source.only(numbers).pictures()}
    sheets = []
    for row in numbers:
        picture = pictures[first[row].name]
        if picture.mask is not None:
            columns = [
                Column("truth", "", (), overlay(small_mask(picture.mask), len(model.labels)))
            ]
            columns += [_mask_column(one, row, model.labels) for one in networks]
            sheets.append(_sheet(picture, columns))
            continue
        columns = [_true_column(first[row], model.labels)]
        columns += [
            _predicted_column(
                one.title,
                one.predictions[row],
                model.labels,
                judged=data.mapping.judged,
                score_min=score_min,
            )
            for one in networks
        ]
        sheets.append(_sheet(picture, columns))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = files("calibration.evaluation").joinpath("worst.html").read_text("utf-8")
    page = environment.from_string(template).render(
        given=data.data_name,
        sheets=sheets,
        frames=len(first),
        wrong=sum(mistakes > 0 for mistakes in _mistakes(networks)),
        boxes=first[0].truth is not None,
        key=_key(model.labels, data.mapping.judged) if first[0].pixels is not None else (),
        score_min=score_min,
    )
    return page.encode()


def _sheet(picture: Picture, columns: Sequence[Column]) -> Sheet:
    height_px, width_px = picture.image.shape[:2]
    return Sheet(picture.name, _jpeg(picture.image), width_px, height_px, tuple(columns))


def _key(labels: Sequence[str], judged: Sequence[int]) -> list[tuple[str, str]]:
    """(colour, label) of the labels that the data set knows."""
    colours = colour_words(len(labels))
    return [(colours[row], labels[row]) for row in judged]


def _mask_column(one: NetworkFrames, row: int, labels: Sequence[str]) -> Column:
    """The mask of a segmentation network, and its most frequent mistake."""
    prediction, frame = one.predictions[row], one.rows[row]
    assert prediction.pixels is not None
    pixels = max(frame.right + frame.missed, 1)
    words = f"{100 * frame.missed / pixels:.1f} % of {pixels} pixels wrong"
    wrong = prediction.pixels.copy()
    np.fill_diagonal(wrong, 0)
    if wrong.any():
        true, predicted = divmod(int(wrong.argmax()), wrong.shape[1])
        taken = labels[predicted] if predicted < len(labels) else "none of them"
        words += f", most {labels[true]} taken for {taken} ({wrong[true, predicted]})"
    return Column(
        one.title, prediction.fault or words, (), overlay(prediction.mask_png, len(labels))
    )


def _mistakes(networks: Sequence[NetworkFrames]) -> list[int]:
    """The number of mistakes of all networks together in each frame."""
    together = zip(*(one.rows for one in networks), strict=True)
    return [sum(row.missed + row.false for row in rows) for rows in together]


def _true_column(prediction: Prediction, labels: Sequence[str]) -> Column:
    if prediction.truth is None:
        return Column("truth", "" if prediction.label is None else labels[prediction.label], ())
    truth = prediction.truth
    marks = [
        _mark("true", labels[label], box)
        for box, label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)
    ]
    regions = [
        _mark("ignored", labels[label], box)
        for box, label in zip(truth.regions.tolist(), truth.region_labels.tolist(), strict=True)
    ]
    return Column("truth", f"{len(marks)} objects", (*marks, *regions))


def _predicted_column(
    title: str,
    prediction: Prediction,
    labels: Sequence[str],
    *,
    judged: Sequence[int],
    score_min: float,
) -> Column:
    if prediction.truth is None or prediction.detections is None:
        predicted = (
            ""
            if prediction.likeliest is None or prediction.likeliest < 0
            else labels[prediction.likeliest]
        )
        return Column(title, prediction.fault or f"{predicted} {prediction.share:.2f}", ())
    keep = np.isin(prediction.detections.labels, judged) & (
        prediction.detections.scores >= score_min
    )
    sure = Detections(
        prediction.detections.boxes[keep],
        prediction.detections.scores[keep],
        prediction.detections.labels[keep],
    )
    truth = prediction.truth
    there = Detections(truth.boxes, np.ones(len(truth.boxes), np.float32), truth.labels)
    partner = match_detections(sure, there, iou_threshold=IOU_MIN)
    aside = in_regions(sure, truth, overlap_min=IOU_MIN)
    marks = [
        _mark(
            "right" if row >= 0 else "ignored" if ignored else "made-up",
            f"{labels[label]} {score:.2f}",
            box,
        )
        for box, label, score, row, ignored in zip(
            sure.boxes.tolist(),
            sure.labels.tolist(),
            sure.scores.tolist(),
            partner.tolist(),
            aside.tolist(),
            strict=True,
        )
    ]
    marks += [
        _mark("missed", labels[truth.labels[row]], truth.boxes[row].tolist())
        for row in sorted(set(range(len(truth.labels))) - set(partner.tolist()))
    ]
    count = {kind: sum(mark.kind == kind for mark in marks) for kind in ("missed", "made-up")}
    words = f"{count['missed']} missed, {count['made-up']} made up"
    return Column(title, prediction.fault or words, tuple(marks))


def _mark(kind: str, words: str, box: Sequence[float]) -> Mark:
    x1, y1, x2, y2 = (round(float(one), 1) for one in box)
    return Mark(kind, words, x1, y1, round(x2 - x1, 1), round(y2 - y1, 1))


def _jpeg(image: BgrImage) -> str:
    _, data = cv2.imencode(".jpg", shrink(image, WIDEST_PX), [cv2.IMWRITE_JPEG_QUALITY, 75])
    return base64.b64encode(data.tobytes()).decode()
