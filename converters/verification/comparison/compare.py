"""Compares two ONNX files over the same frames, without labels: the distance of their outputs and,
with a mission, the agreement of the second with the first.

Takes both networks, the frames and how pictures are fed; returns a `FileComparison`, worst frames
first. It cannot tell which of the two is right. One frame is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import spread
from calibration.evaluation.predictions.argmax_outputs import as_logits
from calibration.evaluation.predictions.frame_outputs import FrameOutputs
from calibration.evaluation.predictions.networks import (
    Network,
    inference_spec,
    open_session,
    output_names,
)
from calibration.inference.sessions import CannotRun, ModelSession
from calibration.metrics.confidence_intervals import wilson_95
from converters.verification.agreement.agreement import IOU_MIN
from converters.verification.agreement.breakdown import AgreementBreakdown
from converters.verification.agreement.heads import HeadAgreement, heads_of
from converters.verification.comparison.any_network import AnyNetwork, Feed, outputs_of_both
from converters.verification.comparison.output_distances import MOST_WORST, OutputDistances
from converters.verification.comparison.result import A, B, FileComparison, KeptAnswers
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import preprocess
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Floats
from edge.progress import Advance
from firmware_bridge.errors import UsageError

FEW_FRAMES = 4
"""Frames by which a feed is chosen."""


def compare_files(
    a: AnyNetwork,
    b: AnyNetwork,
    frames: Sequence[RoadFrame],
    feeds: Sequence[Feed],
    *,
    progress: Advance,
) -> FileComparison:
    """Runs both over `frames` and compares raw outputs.

    Args:
        feeds: ways to feed a picture. Of several, the one by which B is nearest to A on a few
            frames: a quantized file fits the pictures of its calibration.

    Raises:
        UsageError: one cannot run on them.
    """
    few = spread(frames, FEW_FRAMES)
    feed = feeds[0] if len(feeds) == 1 else min(feeds, key=lambda one: _noise(a, b, few, one))
    fed = feed.words if len(feeds) == 1 else f"{feed.words}, by which B is nearest to A"
    distances = _distances(a, b, frames, feed, progress=progress)
    return _result(a, b, distances, fed=fed)


def _noise(a: AnyNetwork, b: AnyNetwork, frames: Sequence[RoadFrame], feed: Feed) -> float:
    """Sum over frames of the largest distance of any output."""
    distances = _distances(a, b, frames, feed, progress=lambda *_: None)
    return sum(frame.worst for frame in distances.frames)


def _distances(
    a: AnyNetwork,
    b: AnyNetwork,
    frames: Sequence[RoadFrame],
    feed: Feed,
    *,
    progress: Advance,
) -> OutputDistances:
    pairs = outputs_of_both(a, b)
    distances = OutputDistances([_name(one.name, other.name) for one, other in pairs])
    asked = [(a, [one.name for one, _ in pairs]), (b, [other.name for _, other in pairs])]
    for row, frame in enumerate(frames, start=1):
        image = frame.read()
        wanted, found = (
            _run(one.session, {one.picture.name: feed.tensor(image, one.picture)}, names, one)
            for one, names in asked
        )
        distances.add(frame.name, wanted, found)
        progress("compare", row, len(frames))
    return distances


def compare_for_mission(
    a: AnyNetwork,
    b: AnyNetwork,
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
) -> FileComparison:
    """Runs both over `frames`, fed and decoded as the mission says.

    Raises:
        UsageError: one does not fit the mission, or cannot run.
    """
    model = mission.model
    reading = inference_spec(model, threads=mission.target.threads)
    spec, size = reading.spec, reading.size
    sessions = {
        key: open_session(Network(str(one.path), one.model, "as_written", key), reading)
        for key, one in ((A, a), (B, b))
    }
    read = {key: output_names(session, reading) for key, session in sessions.items()}
    heads = heads_of(model, (A, B))
    distances = OutputDistances(list(heads))
    for row, frame in enumerate(frames, start=1):
        image = frame.read()
        x, placement = preprocess(image, reading.preprocess)
        raw = {}
        for key, session in sessions.items():
            outputs = _run(session, {session.inputs[0]: x}, read[key], a if key == A else b)
            if isinstance(spec.main, MaskSpec):
                outputs[0] = as_logits(outputs[0], spec.main, *size)
            raw[key] = tuple(outputs)
        distances.add(frame.name, raw[A], raw[B])
        both = FrameOutputs(raw, spec, placement, size, (image.shape[1], image.shape[0]))
        for head in heads.values():
            head.add(frame, both)
        progress("compare", row, len(frames))
    fit = f"{model.preprocess.fit}, {model.preprocess.color.upper()}, {size[0]} x {size[1]}"
    return _result(
        a,
        b,
        distances,
        fed=f"as mission {mission.name} says: {fit}",
        mission=mission,
        evaluations=_evaluations(heads, mission),
    )


def _evaluations(heads: Mapping[str, HeadAgreement], mission: Mission) -> dict[str, Any]:
    """By head, its breakdown; an empty one where no pixel could be compared."""
    found = {name: head.to_json() for name, head in heads.items()}
    main, result = next((name, head.result()[B]) for name, head in heads.items())
    if isinstance(mission.model.network_spec.main, MaskSpec) and not result.of:
        none = AgreementBreakdown(mission.model.labels, (A, B), iou_min=IOU_MIN)
        found[main] = none.to_json()
    return found


def _result(
    a: AnyNetwork,
    b: AnyNetwork,
    distances: OutputDistances,
    *,
    fed: str,
    mission: Mission | None = None,
    evaluations: Mapping[str, Any] | None = None,
) -> FileComparison:
    breakdowns = evaluations or {}
    ordered = sorted(distances.frames, key=lambda one: (-one.worst, one.name))
    return FileComparison(
        first=str(a.path),
        second=str(b.path),
        sha256=(a.sha256, b.sha256),
        mission=None if mission is None else mission.name,
        frames=len(distances.frames),
        fed=fed,
        outputs=distances.outputs(),
        kept={name: _kept(one) for name, one in breakdowns.items()},
        evaluations=breakdowns,
        worst=tuple(one for one in ordered if one.worst > 0.0)[:MOST_WORST],
        maps=distances.maps,
    )


def _kept(evaluation: Mapping[str, Any]) -> KeptAnswers:
    rows = [row["networks"][B] for row in evaluation["by_condition"]["weather"]]
    found, of = sum(row["found"] for row in rows), sum(row["of"] for row in rows)
    low, high = wilson_95(found, of)
    iou = evaluation.get("iou_mean", {}).get(B)
    return KeptAnswers(found, of, found / of if of else None, low, high, iou)


def _run(
    session: ModelSession, feeds: dict[str, Any], outputs: Sequence[str] | None, of: AnyNetwork
) -> list[Floats]:
    try:
        found = session.run(feeds, outputs)
    except CannotRun as error:
        raise UsageError(
            f"{of.path} cannot run on these frames",
            expected="a network of one picture",
            found=str(error),
            remedy="give its size (--size WIDTHxHEIGHT), or a mission (--mission MISSION)",
        ) from error
    return [np.asarray(raw, np.float32) for raw in found]


def _name(one: str, other: str) -> str:
    return one if one == other else f"{one} = {other}"
