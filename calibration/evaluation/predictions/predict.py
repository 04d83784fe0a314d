"""What networks say of each frame, beside what is true: the one thing that evaluation adds up.

A `Prediction` depends on its frame alone, so frames may be predicted in any order, in any process,
and put together again. Pictures are released after prediction.
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
    Network,
    Reading,
    cannot_run,
    opened,
    read_outputs,
)
from calibration.inference.sessions import CannotRun
from calibration.metrics.pixel_counts import Counts, pixel_counts
from edge.perception.classification import HeadSpec, top
from edge.perception.segmentation import MaskSpec, in_frame
from edge.perception.values import BgrImage, Detections, Floats, Known, Perception, Unknown

SCORE_MIN = 0.01
"""Detections are decoded from this score on: AP needs the unsure ones too."""

Change = Callable[[BgrImage, str], BgrImage]
"""What is done to a picture, given the name of its frame, before it is looked at."""


@dataclass(frozen=True)
class Prediction:
    """One frame as one network sees it.

    Attributes:
        name, group, conditions, sha256: see `Picture`.
        truth: objects that are there; None where pictures are classified whole.
        found: detections with a score of SCORE_MIN; none where the output cannot be right.
        label, said, share: row of the true label, of the likeliest one (-1: the output cannot be
            right) and its softmax share.
        road, said_road: the same rows of the condition head; None where there is no truth or head.
        fault: why the output cannot be right; "" where it can.
        pixels: of a segmentation network, its counts (see `calibration.metrics.pixel_counts`);
            where the output cannot be right, every pixel is called none of the labels.
        shown: its labels as a small PNG, for looking at; 255 where the output cannot be right.
        mask_sha256: of the true mask, in rows of the labels.
    """

    name: str
    group: str
    conditions: tuple[str, ...]
    sha256: str
    truth: Truth | None
    found: Detections | None
    label: int | None
    said: int | None
    share: float
    road: int | None
    said_road: int | None
    fault: str
    pixels: Counts | None = None
    shown: bytes = b""
    mask_sha256: str = ""


Predictions = dict[str, list[Prediction]]
"""Name of a network -> its answers."""


def predict(
    networks: Mapping[str, Network],
    reading: Reading,
    source: Source,
    *,
    change: Change | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """What every network says of every frame of `source`; each picture is read once.

    Raises:
        UsageError: a model that cannot run, or puts out other shapes than the mission's.
        Missing, NotTrusted: a frame that cannot be read, or is not the one that was locked.
    """
    runs = {name: _run_of(network, reading) for name, network in networks.items()}
    found: Predictions = {name: [] for name in networks}
    for done, picture in enumerate(source.pictures(), start=1):
        image = picture.image if change is None else change(picture.image, picture.name)
        outputs = run_networks(runs, image, reading.spec, reading.preprocess)
        if reading.classifies:
            for name, raw in outputs.raw.items():
                found[name].append(_classified(picture, raw, reading))
        else:
            for name, perception in outputs.perceptions(score_min=SCORE_MIN).items():
                make = _detected if picture.mask is None else _segmented
                found[name].append(make(picture, outputs.raw[name], reading, perception))
        advance(done)
    return found


def _run_of(network: Network, reading: Reading) -> RunNetwork:
    """An open network as a function; one that ends with its own argmax gives logits."""
    session = opened(network, reading)
    names = read_outputs(session, reading)

    def run(x: Floats) -> RawOutputs:
        try:
            found = session.run({session.inputs[0]: x}, names)
        except CannotRun as error:
            raise cannot_run(network, str(error)) from error
        outputs = [np.asarray(raw, np.float32) for raw in found]
        if isinstance(reading.spec.main, MaskSpec):
            outputs[0] = as_logits(outputs[0], reading.spec.main, *reading.size)
        return tuple(outputs)

    return run


def _classified(picture: Picture, outputs: RawOutputs, reading: Reading) -> Prediction:
    assert isinstance(reading.spec.main, HeadSpec)
    try:
        said, share = top(outputs[0], reading.spec.main)
    except ValueError as error:
        return _prediction(picture, outputs, reading, said=-1, fault=str(error))
    return _prediction(picture, outputs, reading, said=said, share=share)


def _detected(
    picture: Picture, outputs: RawOutputs, reading: Reading, perception: Perception
) -> Prediction:
    if isinstance(perception, Unknown):
        empty = Detections.empty()
        return _prediction(picture, outputs, reading, found=empty, fault=perception.reason)
    return _prediction(picture, outputs, reading, found=perception.detections)


def _segmented(
    picture: Picture, outputs: RawOutputs, reading: Reading, perception: Perception
) -> Prediction:
    assert isinstance(reading.spec.main, MaskSpec)
    assert picture.mask is not None
    said = np.full(picture.mask.shape, IGNORED, np.uint8)
    if isinstance(perception, Known) and perception.areas is not None:
        said = in_frame(perception.areas)
    fault = perception.reason if isinstance(perception, Unknown) else ""
    return replace(
        _prediction(picture, outputs, reading, fault=fault),
        pixels=pixel_counts(picture.mask, said, classes=len(reading.spec.main.labels)),
        shown=small_mask(said),
        mask_sha256=picture.mask_sha256,
    )


def _prediction(
    picture: Picture,
    outputs: RawOutputs,
    reading: Reading,
    *,
    found: Detections | None = None,
    said: int | None = None,
    share: float = 0.0,
    fault: str = "",
) -> Prediction:
    said_road = None
    if reading.spec.condition is not None and picture.road is not None:
        try:
            said_road = top(outputs[1], reading.spec.condition)[0]
        except ValueError:
            said_road = -1
    return Prediction(
        name=picture.name,
        group=picture.group,
        conditions=picture.conditions,
        sha256=picture.sha256,
        truth=picture.truth,
        found=found,
        label=picture.label,
        said=said,
        share=share,
        road=None if said_road is None else picture.road,
        said_road=said_road,
        fault=fault,
    )
