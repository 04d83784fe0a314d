"""The observation of a set of frames: a histogram of every tensor, and the extremes of each frame.

It is packed into bytes and read from them. Observations of disjoint frames merge in any order to
the same bytes, so work can be divided among threads, processes and machines, and be resumed.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.npz import DAMAGED_ARCHIVE, read_array
from calibration.observation.histogram import BUCKETS, Histogram
from edge.contract.artifact import canonical_json, write_atomic
from edge.contract.json_text import parse_json
from firmware_bridge.errors import Missing, NotTrusted, UsageError

SCHEMA = "brakepoint.observation/3"
NAME = "observation.npz"


@dataclass(frozen=True)
class Subject:
    """What is observed: only observations of the same subject can be merged.

    Attributes:
        model: sha256 of the float graph, as hex.
        preprocess: see `edge.contract.mission.digest.preprocess_digest`.
        runner: runtime and version, between which sums may differ in the last bits.
        tensors: names, in the requested order.
    """

    model: str
    preprocess: str
    runner: str
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One step of the sampling.

    Attributes:
        names: the frames of this step.
        amax: the range after it, by tensor, in the order of the subject.
    """

    names: tuple[str, ...]
    amax: tuple[float, ...]


@dataclass
class Observation:
    """Histograms by tensor, and the frames that are in them.

    Attributes:
        frames: name -> sha256 of the content of every observed frame.
        extremes: name of the frame -> (tensors, 2) float32: lowest and highest value in it.
        steps, judged_by: the ranges after each step of `calibration.observation.sampling`, and the
            method that they are by.
    """

    subject: Subject
    histograms: dict[str, Histogram]
    frames: dict[str, str] = field(default_factory=dict)
    extremes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    judged_by: str = ""

    @classmethod
    def empty(cls, subject: Subject) -> Observation:
        """An observation without frames."""
        return cls(subject, {name: Histogram() for name in subject.tensors})

    def merge(self, other: Observation) -> None:
        """Adds an observation of other frames, without its steps.

        Raises:
            UsageError: it is of another subject, or has a frame of this one.
        """
        if self.subject != other.subject:
            raise _not_to_be_joined(
                "of the same model, preprocess, runner and tensors",
                f"model {self.subject.model[:12]} and {other.subject.model[:12]}, "
                f"{len(self.subject.tensors)} and {len(other.subject.tensors)} tensors, "
                f"{self.subject.runner} and {other.subject.runner}",
            )
        if twice := sorted(self.frames.keys() & other.frames.keys()):
            raise _not_to_be_joined(
                "of different frames", f"{len(twice)} in both, such as {twice[0]}"
            )
        for name, histogram in self.histograms.items():
            histogram.merge(other.histograms[name])
        self.frames.update(other.frames)
        self.extremes.update(other.extremes)


def pack(observation: Observation) -> bytes:
    """The canonical bytes: only occupied buckets, frames by name, no times."""
    counts = [seen.counts for seen in observation.histograms.values()]
    buckets = [np.flatnonzero(found).astype(np.uint16) for found in counts]
    names = sorted(observation.frames)
    header = {
        "schema": SCHEMA,
        "subject": asdict(observation.subject),
        "frames": {name: observation.frames[name] for name in names},
        "steps": [asdict(step) for step in observation.steps],
        "judged_by": observation.judged_by,
    }
    tensors = len(observation.subject.tensors)
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(canonical_json(header), np.uint8),
        "occupied": np.array([found.size for found in buckets], np.int64),
        "buckets": np.concatenate([np.zeros(0, np.uint16), *buckets]),
        "counts": np.concatenate(
            [
                np.zeros(0, np.int64),
                *(found[rows] for found, rows in zip(counts, buckets, strict=True)),
            ]
        ),
        "range": np.array(
            [(seen.lowest, seen.highest) for seen in observation.histograms.values()], np.float32
        ).reshape(tensors, 2),
        "extremes": np.array([observation.extremes[name] for name in names], np.float32).reshape(
            len(names), tensors, 2
        ),
    }
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def unpack(data: bytes, *, source: str) -> Observation:
    """The observation in `data`; `source` names it in messages.

    Raises:
        NotTrusted: it is not an observation, or not whole.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as arrays:
            header = parse_json(read_array(arrays, "header").tobytes())
            if header["schema"] != SCHEMA:
                raise _not_whole(source, f"schema {header['schema']}")
            occupied, buckets, counts, ranges, extremes = (
                read_array(arrays, name)
                for name in ("occupied", "buckets", "counts", "range", "extremes")
            )
        given = header["subject"]
        subject = Subject(**{**given, "tensors": tuple(given["tensors"])})
        histograms: dict[str, Histogram] = {}
        ends = np.cumsum(occupied)
        for row, name in enumerate(subject.tensors):
            mine = slice(int(ends[row] - occupied[row]), int(ends[row]))
            dense = np.zeros(BUCKETS, np.int64)
            dense[buckets[mine]] = counts[mine]
            lowest, highest = (float(value) for value in ranges[row])
            histograms[name] = Histogram(dense, lowest, highest)
        frames = {str(name): str(digest) for name, digest in header["frames"].items()}
        seen = dict(zip(sorted(frames), np.asarray(extremes, np.float32), strict=True))
        steps = [Step(tuple(step["names"]), tuple(step["amax"])) for step in header["steps"]]
    except DAMAGED_ARCHIVE as error:
        raise _not_whole(source, f"{type(error).__name__}: {error}") from error
    return Observation(subject, histograms, frames, seen, steps, header["judged_by"])


def write_observation(path: Path, observation: Observation) -> str:
    """Replaces `path` atomically; returns the sha256 of the file as hex."""
    return write_atomic(path, pack(observation))


def read_observation(path: Path) -> Observation:
    """The observation in a file.

    Raises:
        Missing: no such file.
        NotTrusted: not an observation, or not whole.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Missing(
            f"cannot read {path}",
            expected=f"a file of schema {SCHEMA}",
            found=error.strerror or str(error),
            remedy="take it again: brakepoint calibrate MISSION --out DIR",
        ) from error
    return unpack(data, source=str(path))


def _not_whole(source: str, found: str) -> NotTrusted:
    return NotTrusted(
        f"{source} is no whole observation",
        expected=f"a file of schema {SCHEMA}",
        found=found,
        remedy="delete it and take it again: brakepoint calibrate MISSION --out DIR",
    )


def _not_to_be_joined(expected: str, found: str) -> UsageError:
    return UsageError(
        "these observations cannot be joined",
        expected=f"observations {expected}",
        found=found,
        remedy="join only what one mission's frames were split into",
    )
