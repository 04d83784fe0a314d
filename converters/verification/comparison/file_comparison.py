"""Two ONNX files over the same frames, without labels: how far their outputs are apart, and with a
mission what the second keeps of the first's detections, labels or masks. Worst frames first.

Compares answers with answers: which of the two is right, it cannot know. Streams: one frame in
memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import spread
from calibration.evaluation.predictions.argmax_outputs import as_logits
from calibration.evaluation.predictions.networks import (
    Network,
    Reading,
    opened,
    read_outputs,
    reading_of,
)
from calibration.inference.sessions import CannotRun, ModelSession
from calibration.metrics.confidence_intervals import wilson_95
from converters.verification.agreement import IOU_MIN, SCORE_MIN, areas_of
from converters.verification.agreement_breakdown import AgreementBreakdown, Predictions
from converters.verification.comparison.any_network import AnyNetwork, Feed, outputs_of_both
from converters.verification.mask_agreement import MaskAgreement
from converters.verification.parity import Sums
from edge.contract.mission.schema import Mission
from edge.perception.classification import HeadSpec, top
from edge.perception.decode import output_shapes, perceive, with_threshold
from edge.perception.preprocess import InputPlacement, preprocess
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Detections, Floats, Known
from edge.progress import Advance
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.files-comparison/1"

A, B = "A", "B"
"""The first file, which is the reference, and the second."""

FEW_FRAMES = 4
"""Frames by which a way to feed is chosen."""

MOST_WORST = 12
"""Frames that are told by name and shown."""


@dataclass(frozen=True)
class OutputApart:
    """One output over all frames.

    Attributes:
        name: in A, with that in B behind it where it is another.
        max_abs: largest difference of any value.
        snr_db: power of A's by that of the difference; None where they are equal in every bit.
        same_top: of outputs (1, C), the share of frames with the same largest value; else None.
        other_shape: frames in which the two had different sizes; they count in no figure.
    """

    name: str
    max_abs: float
    snr_db: float | None
    same_top: float | None
    other_shape: int


@dataclass(frozen=True)
class FrameApart:
    """One frame: for each output power of the difference by that of A's, 0 where they are equal,
    infinite where sizes differ or B puts out what is no number."""

    name: str
    apart: Mapping[str, float]

    @property
    def worst(self) -> float:
        """Of any output."""
        return max(self.apart.values(), default=0.0)


@dataclass(frozen=True)
class OutputMap:
    """An output (1, C, h, w) of both for one frame, the largest value of all channels: (h, w)."""

    output: str
    a: Floats
    b: Floats


@dataclass(frozen=True)
class KeptAnswers:
    """Of A's answers at one head, those that B gives too; the interval of the share is 95 %."""

    found: int
    of: int
    share: float | None
    low: float
    high: float
    mean_iou: float | None


@dataclass(frozen=True)
class FileComparison:
    """What was found.

    Attributes:
        fed: how pictures became inputs, in words.
        kept: by head of the mission; empty without one.
        evaluations: the same by class and frame, as plain values (see `AgreementBreakdown`).
        worst: frames whose outputs are furthest apart.
        maps: of these, by name, the first output that is a map; none where no output is.
    """

    first: str
    second: str
    sha256: tuple[str, str]
    mission: str | None
    frames: int
    fed: str
    outputs: tuple[OutputApart, ...]
    kept: Mapping[str, KeptAnswers]
    evaluations: Mapping[str, Any]
    worst: tuple[FrameApart, ...]
    maps: Mapping[str, OutputMap]

    def to_json(self) -> dict[str, Any]:
        """As plain values, schema first, without maps; None for what is no number."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        del told["maps"]
        return {"schema": SCHEMA, **_plain(told)}


def compare_files(
    a: AnyNetwork,
    b: AnyNetwork,
    frames: Sequence[RoadFrame],
    feeds: Sequence[Feed],
    *,
    progress: Advance,
) -> FileComparison:
    """Both over `frames`, outputs as they come. Of several `feeds` the one is taken by which B is
    nearest to A on a few frames: one that was quantized suits the pictures of its calibration.

    Raises:
        UsageError: one cannot run on them.
    """
    few = spread(frames, FEW_FRAMES)
    feed = feeds[0] if len(feeds) == 1 else min(feeds, key=lambda one: _noise(a, b, few, one))
    fed = feed.words if len(feeds) == 1 else f"{feed.words}, by which B is nearest to A"
    seen = _seen(a, b, frames, feed, progress=progress)
    return _result(a, b, seen, len(frames), fed=fed)


def _noise(a: AnyNetwork, b: AnyNetwork, frames: Sequence[RoadFrame], feed: Feed) -> float:
    """Sum over frames of the worst output's power of the difference by that of A's."""
    seen = _seen(a, b, frames, feed, progress=lambda *_: None)
    return sum(frame.worst for frame in seen.frames)


def _seen(
    a: AnyNetwork,
    b: AnyNetwork,
    frames: Sequence[RoadFrame],
    feed: Feed,
    *,
    progress: Advance,
) -> _Apart:
    pairs = outputs_of_both(a, b)
    seen = _Apart([_name(one.name, other.name) for one, other in pairs])
    asked = [(a, [one.name for one, _ in pairs]), (b, [other.name for _, other in pairs])]
    for row, frame in enumerate(frames, start=1):
        image = frame.read()
        wanted, found = (
            _run(one.session, {one.picture.name: feed.tensor(image, one.picture)}, names, one)
            for one, names in asked
        )
        seen.add(frame.name, wanted, found)
        progress("compare", row, len(frames))
    return seen


def compare_for_mission(
    a: AnyNetwork,
    b: AnyNetwork,
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
) -> FileComparison:
    """Both over `frames`, fed and read as the mission says.

    Raises:
        UsageError: one does not fit the mission, or cannot run.
    """
    model = mission.model
    reading = reading_of(model, threads=mission.target.threads)
    spec, size = reading.spec, reading.size
    sessions = {
        key: opened(Network(str(one.path), one.model, "as_written", key), reading)
        for key, one in ((A, a), (B, b))
    }
    read = {key: read_outputs(session, reading) for key, session in sessions.items()}
    names = list(output_shapes(spec, *size))
    seen, judged = _Apart(names), _Judged(mission, names)
    for row, frame in enumerate(frames, start=1):
        image = frame.read()
        x, placement = preprocess(image, reading.preprocess)
        raw = {}
        for key, session in sessions.items():
            outputs = _run(session, {session.inputs[0]: x}, read[key], a if key == A else b)
            if isinstance(spec.main, MaskSpec):
                outputs[0] = as_logits(outputs[0], spec.main, *size)
            raw[key] = outputs
        seen.add(frame.name, raw[A], raw[B])
        judged.add(frame, raw, reading, placement, (image.shape[1], image.shape[0]))
        progress("compare", row, len(frames))
    fit = f"{model.preprocess.fit}, {model.preprocess.color.upper()}, {size[0]} x {size[1]}"
    return _result(
        a, b, seen, len(frames), fed=f"as mission {mission.name} says: {fit}", judged=judged
    )


class _Judged:
    """Adds up what B keeps of A's answers, head by head."""

    def __init__(self, mission: Mission, names: Sequence[str]) -> None:
        self.mission = mission.name
        self._names = names
        condition = mission.model.condition
        labels = [mission.model.labels, *([] if condition is None else [condition.labels])]
        self.evaluations = {
            name: AgreementBreakdown(own, (A, B), iou_min=IOU_MIN)
            for name, own in zip(names, labels, strict=True)
        }
        self.masks = MaskAgreement(mission.model.labels, (A, B))

    def add(
        self,
        frame: RoadFrame,
        raw: Mapping[str, Sequence[Floats]],
        reading: Reading,
        placement: InputPlacement,
        frame_size: tuple[int, int],
    ) -> None:
        """One frame."""
        main, condition = reading.spec.main, reading.spec.condition
        if isinstance(main, HeadSpec):
            self.evaluations[self._names[0]].add(
                frame, {key: _top(outputs[0], main) for key, outputs in raw.items()}
            )
        else:
            self._in_frame(frame, raw, reading, placement, frame_size)
        if condition is not None:
            self.evaluations[self._names[-1]].add(
                frame, {key: _top(outputs[-1], condition) for key, outputs in raw.items()}
            )

    def _in_frame(
        self,
        frame: RoadFrame,
        raw: Mapping[str, Sequence[Floats]],
        reading: Reading,
        placement: InputPlacement,
        frame_size: tuple[int, int],
    ) -> None:
        masks = reading.segments
        seen = {
            key: perceive(
                tuple(outputs),
                with_threshold(reading.spec, 0.0 if masks else SCORE_MIN),
                placement=placement,
                input_size=reading.size,
                frame_size=frame_size,
            )
            for key, outputs in raw.items()
        }
        if masks:
            areas = {key: areas_of(one) for key, one in seen.items()}
            self.masks.add(frame, areas, {key: outputs[0] for key, outputs in raw.items()})
            return
        found = {
            key: one.detections if isinstance(one, Known) else Detections.empty()
            for key, one in seen.items()
        }
        self.evaluations[self._names[0]].add(
            frame, {key: Predictions.of(one) for key, one in found.items()}
        )

    def told(self) -> dict[str, Any]:
        """By head, as plain values."""
        told = {name: one.to_json() for name, one in self.evaluations.items()}
        if self.masks.total(B).any():
            told[self._names[0]] = self.masks.to_json()
        return told


class _Apart:
    """Adds up how far outputs are apart."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._sums = {name: Sums() for name in names}
        self._same: dict[str, list[bool]] = {name: [] for name in names}
        self._other = dict.fromkeys(names, 0)
        self.frames: list[FrameApart] = []
        self.maps: dict[str, OutputMap] = {}

    def add(self, frame: str, wanted: Sequence[Floats], found: Sequence[Floats]) -> None:
        """One frame."""
        apart = {}
        for name, one, other in zip(self._names, wanted, found, strict=True):
            if one.shape != other.shape:
                self._other[name] += 1
                apart[name] = math.inf
                continue
            with np.errstate(invalid="ignore", over="ignore"):
                self._sums[name].add(one, other)
                noise = float(np.sum((one.astype(np.float64) - other) ** 2))
                signal = float(np.sum(one.astype(np.float64) ** 2))
            ratio = noise / signal if signal > 0.0 else math.inf
            apart[name] = 0.0 if noise == 0.0 else ratio if math.isfinite(ratio) else math.inf
            if one.ndim == 2 and one.shape[0] == 1 and one.shape[1] > 1:
                self._same[name].append(int(one.argmax()) == int(other.argmax()))
        self.frames.append(FrameApart(frame, apart))
        self._keep_map(frame, wanted, found)

    def _keep_map(self, frame: str, wanted: Sequence[Floats], found: Sequence[Floats]) -> None:
        """The first output that is a map, of the worst frames so far."""
        for name, one, other in zip(self._names, wanted, found, strict=True):
            if one.ndim == 4 and one.shape == other.shape and min(one.shape[2:]) > 1:
                both = (np.nan_to_num(each[0].max(axis=0)) for each in (one, other))
                self.maps[frame] = OutputMap(name, *both)
                break
        if len(self.maps) > MOST_WORST:
            apart = {seen.name: seen.worst for seen in self.frames}
            del self.maps[min(self.maps, key=lambda name: apart[name])]

    def outputs(self) -> tuple[OutputApart, ...]:
        """Of all frames."""
        told = []
        for name, sums in self._sums.items():
            found, same = sums.result(), self._same[name]
            share = sum(same) / len(same) if same else None
            told.append(OutputApart(name, found.max_abs, found.snr_db, share, self._other[name]))
        return tuple(told)


def _result(
    a: AnyNetwork,
    b: AnyNetwork,
    seen: _Apart,
    frames: int,
    *,
    fed: str,
    judged: _Judged | None = None,
) -> FileComparison:
    told = {} if judged is None else judged.told()
    ordered = sorted(seen.frames, key=lambda one: (-one.worst, one.name))
    return FileComparison(
        first=str(a.path),
        second=str(b.path),
        sha256=(a.sha256, b.sha256),
        mission=None if judged is None else judged.mission,
        frames=frames,
        fed=fed,
        outputs=seen.outputs(),
        kept={name: _kept(one) for name, one in told.items()},
        evaluations=told,
        worst=tuple(one for one in ordered if one.worst > 0.0)[:MOST_WORST],
        maps=seen.maps,
    )


def _kept(evaluation: Mapping[str, Any]) -> KeptAnswers:
    rows = [row["networks"][B] for row in evaluation["by_condition"]["weather"]]
    found, of = sum(row["found"] for row in rows), sum(row["of"] for row in rows)
    low, high = wilson_95(found, of)
    iou = evaluation.get("iou_mean", {}).get(B)
    return KeptAnswers(found, of, found / of if of else None, low, high, iou)


def _top(logits: Floats, head: HeadSpec) -> Predictions:
    try:
        return Predictions.top(*top(logits, head))
    except ValueError:  # no numbers, or of another shape
        return Predictions.top(None, 0.0)


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


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
