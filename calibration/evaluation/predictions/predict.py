"""What networks say of each frame, beside what is true: the one thing that evaluation adds up.

A `Prediction` depends on its frame alone, so frames may be predicted in any order, in any process,
and put together again. Pictures are released after prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import IGNORED, Truth
from calibration.evaluation.data.labelled_frames import Picture, Source
from calibration.evaluation.mask_overlays import small_mask
from calibration.evaluation.predictions.argmax_outputs import as_logits
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
from edge.perception.decode import (
    perceive,
    with_threshold,
)
from edge.perception.preprocess import preprocess
from edge.perception.segmentation import MaskSpec, in_frame
from edge.perception.values import BgrImage, Detections, Known, Perception, Unknown

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
    sessions = {name: opened(network, reading) for name, network in networks.items()}
    read = {name: read_outputs(session, reading) for name, session in sessions.items()}
    found: Predictions = {name: [] for name in networks}
    for done, picture in enumerate(source.pictures(), start=1):
        image = picture.image if change is None else change(picture.image, picture.name)
        x, placement = preprocess(image, reading.preprocess)
        for name, session in sessions.items():
            try:
                outputs = [
                    np.asarray(raw, np.float32)
                    for raw in session.run({session.inputs[0]: x}, read[name])
                ]
            except CannotRun as error:
                raise cannot_run(networks[name], str(error)) from error
            if isinstance(reading.spec.main, MaskSpec):
                outputs[0] = as_logits(outputs[0], reading.spec.main, *reading.size)
            if reading.classifies:
                found[name].append(_named(picture, outputs, reading))
                continue
            seen = perceive(
                outputs,
                with_threshold(reading.spec, 0.0 if reading.segments else SCORE_MIN),
                placement=placement,
                input_size=reading.size,
                frame_size=(image.shape[1], image.shape[0]),
            )
            if picture.mask is not None:
                found[name].append(_segmented(picture, outputs, reading, seen))
                continue
            found[name].append(
                _prediction(
                    picture,
                    outputs,
                    reading,
                    found=seen.detections if isinstance(seen, Known) else Detections.empty(),
                    fault="" if isinstance(seen, Known) else seen.reason,
                )
            )
        advance(done)
    return found


def _named(picture: Picture, outputs: list[NDArray[np.float32]], reading: Reading) -> Prediction:
    assert isinstance(reading.spec.main, HeadSpec)
    try:
        said, share = top(outputs[0], reading.spec.main)
    except ValueError as error:
        return _prediction(picture, outputs, reading, said=-1, fault=str(error))
    return _prediction(picture, outputs, reading, said=said, share=share)


def _segmented(
    picture: Picture, outputs: list[NDArray[np.float32]], reading: Reading, seen: Perception
) -> Prediction:
    assert isinstance(reading.spec.main, MaskSpec)
    assert picture.mask is not None
    said = np.full(picture.mask.shape, IGNORED, np.uint8)
    if isinstance(seen, Known) and seen.areas is not None:
        said = in_frame(seen.areas)
    fault = seen.reason if isinstance(seen, Unknown) else ""
    return replace(
        _prediction(picture, outputs, reading, fault=fault),
        pixels=pixel_counts(picture.mask, said, classes=len(reading.spec.main.labels)),
        shown=small_mask(said),
        mask_sha256=picture.mask_sha256,
    )


def _prediction(
    picture: Picture,
    outputs: list[NDArray[np.float32]],
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
