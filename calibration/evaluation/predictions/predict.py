"""Predicts: runs every network on every labelled frame and puts its output beside the ground truth.

In: networks and a source of frames. Out: `Predictions`, from which all figures are computed. A
prediction depends on its frame alone, so frames may be predicted in any order and process. Pictures
are released after prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from calibration.dataset.records.ground_truth import IGNORED, Truth
from calibration.evaluation.data.labelled_frames import Picture, Source
from calibration.evaluation.mask_overlays import small_mask
from calibration.evaluation.predictions.argmax_outputs import as_logits
from calibration.evaluation.predictions.frame_outputs import RawOutputs, RunNetwork, run_networks
from calibration.evaluation.predictions.networks import (
    InferenceSpec,
    Network,
    cannot_run,
    open_session,
    output_names,
)
from calibration.inference.sessions import CannotRun
from calibration.metrics.pixel_counts import Counts, pixel_counts
from edge.perception.classification import HeadSpec, top_label
from edge.perception.segmentation import MaskSpec, frame_labels
from edge.perception.values import BgrImage, Detections, Floats, Known, Perception, Unknown

SCORE_MIN = 0.01
"""Detections are decoded from this score on: AP needs unsure ones too."""

Change = Callable[[BgrImage, str], BgrImage]
"""A change of a picture, given the name of its frame, before the networks see it."""


@dataclass(frozen=True)
class Prediction:
    """What one network predicts in one frame, and the ground truth.

    Attributes:
        name, group, conditions, sha256: see `Picture`.
        truth: the true objects; None where pictures are classified whole.
        detections: from SCORE_MIN on; none where the output cannot be right.
        label: row of the true label of the picture.
        likeliest, share: row of the likeliest label and its softmax share; -1 where the output
            cannot be right.
        road, likeliest_road: the same rows of the condition head; None without ground truth or
            without a head.
        fault: why the output cannot be right; "" where it can.
        pixels: of a segmentation network, its counts (see `calibration.metrics.pixel_counts`);
            where the output cannot be right, every pixel counts as none of the labels.
        mask_png: the predicted labels as a small PNG; 255 where the output cannot be right.
        mask_sha256: of the true mask, in rows of the labels.
    """

    name: str
    group: str
    conditions: tuple[str, ...]
    sha256: str
    truth: Truth | None
    detections: Detections | None
    label: int | None
    likeliest: int | None
    share: float
    road: int | None
    likeliest_road: int | None
    fault: str
    pixels: Counts | None = None
    mask_png: bytes = b""
    mask_sha256: str = ""


Predictions = dict[str, list[Prediction]]
"""Name of a network -> its predictions."""


def predict(
    networks: Mapping[str, Network],
    inference: InferenceSpec,
    source: Source,
    *,
    change: Change | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """The predictions of every network for every frame of `source`; each picture is read once.

    Raises:
        UsageError: a network cannot run, or has outputs of other shapes than the mission's.
        Missing, NotTrusted: a frame that cannot be read, or is not the one that was locked.
    """
    runs = {name: _run_of(network, inference) for name, network in networks.items()}
    found: Predictions = {name: [] for name in networks}
    for done, picture in enumerate(source.pictures(), start=1):
        image = picture.image if change is None else change(picture.image, picture.name)
        outputs = run_networks(runs, image, inference.spec, inference.preprocess)
        if inference.classifies:
            for name, raw in outputs.raw.items():
                found[name].append(_classified(picture, raw, inference))
        else:
            for name, perception in outputs.perceptions(score_min=SCORE_MIN).items():
                make = _detected if picture.mask is None else _segmented
                found[name].append(make(picture, outputs.raw[name], inference, perception))
        advance(done)
    return found


def _run_of(network: Network, inference: InferenceSpec) -> RunNetwork:
    """Opens a network as a function. The output of one that ends with an argmax becomes logits."""
    session = open_session(network, inference)
    names = output_names(session, inference)

    def run(x: Floats) -> RawOutputs:
        try:
            found = session.run({session.inputs[0]: x}, names)
        except CannotRun as error:
            raise cannot_run(network, str(error)) from error
        outputs = [np.asarray(raw, np.float32) for raw in found]
        if isinstance(inference.spec.main, MaskSpec):
            outputs[0] = as_logits(outputs[0], inference.spec.main, *inference.size)
        return tuple(outputs)

    return run


def _classified(picture: Picture, outputs: RawOutputs, inference: InferenceSpec) -> Prediction:
    assert isinstance(inference.spec.main, HeadSpec)
    try:
        likeliest, share = top_label(outputs[0], inference.spec.main)
    except ValueError as error:
        return _prediction(picture, outputs, inference, likeliest=-1, fault=str(error))
    return _prediction(picture, outputs, inference, likeliest=likeliest, share=share)


def _detected(
    picture: Picture, outputs: RawOutputs, inference: InferenceSpec, perception: Perception
) -> Prediction:
    if isinstance(perception, Unknown):
        empty = Detections.empty()
        return _prediction(picture, outputs, inference, detections=empty, fault=perception.reason)
    return _prediction(picture, outputs, inference, detections=perception.detections)


def _segmented(
    picture: Picture, outputs: RawOutputs, inference: InferenceSpec, perception: Perception
) -> Prediction:
    assert isinstance(inference.spec.main, MaskSpec)
    assert picture.mask is not None
    predicted = np.full(picture.mask.shape, IGNORED, np.uint8)
    if isinstance(perception, Known) and perception.areas is not None:
        predicted = frame_labels(perception.areas)
    fault = perception.reason if isinstance(perception, Unknown) else ""
    return replace(
        _prediction(picture, outputs, inference, fault=fault),
        pixels=pixel_counts(picture.mask, predicted, classes=len(inference.spec.main.labels)),
        mask_png=small_mask(predicted),
        mask_sha256=picture.mask_sha256,
    )


def _prediction(
    picture: Picture,
    outputs: RawOutputs,
    inference: InferenceSpec,
    *,
    detections: Detections | None = None,
    likeliest: int | None = None,
    share: float = 0.0,
    fault: str = "",
) -> Prediction:
    likeliest_road = None
    if inference.spec.condition is not None and picture.road is not None:
        try:
            likeliest_road = top_label(outputs[1], inference.spec.condition)[0]
        except ValueError:
            likeliest_road = -1
    return Prediction(
        name=picture.name,
        group=picture.group,
        conditions=picture.conditions,
        sha256=picture.sha256,
        truth=picture.truth,
        detections=detections,
        label=picture.label,
        likeliest=likeliest,
        share=share,
        road=None if likeliest_road is None else picture.road,
        likeliest_road=likeliest_road,
        fault=fault,
    )
