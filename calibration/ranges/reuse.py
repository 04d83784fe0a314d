"""Reuses ranges from a file in place of observing, if observing would give the same ones.

In: a file, and the inputs of a calibration. Out: a `CalibrationResult`, or a refusal. The model,
the frames with their contents, the preprocess and the method are compared with those of the
mission; the frames are read for that, the network is not run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path

import onnx

from calibration.dataset.frames.frame import RoadFrame
from calibration.observation.sampling import without_curve
from calibration.ranges.calibrate import (
    CalibrationResult,
    fit_in_quotas,
    frames_digest,
    recorded_percentile,
)
from calibration.ranges.ranges import AGAIN, Ranges, read_ranges, require_fresh
from edge.contract.mission.digest import preprocess_digest
from edge.contract.mission.schema import Mission
from edge.progress import Advance
from firmware_bridge.errors import NotTrusted


def reuse(
    path: Path,
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
) -> CalibrationResult:
    """The ranges in `path`, if they are of this model, these frames and this mission.

    The frames compared are as many as the file names, out of `frames` by quotas.

    Raises:
        Missing: no such file, or a frame cannot be read.
        NotTrusted: not a file of ranges, stale (naming the differences), or without some tensor.
        UsageError: the frames are not fit.
    """
    found = read_ranges(path, model=None)
    _require_whole(found, tensors, path)
    spec, asked = mission.model.preprocess_spec, mission.calibration
    fit = fit_in_quotas(
        frames, seed=mission.data.seed, threads=mission.target.threads, progress=progress
    )
    used = fit.frames[: len(found.frames)]
    now = Ranges(
        tensors={},
        model=sha256(model.SerializeToString()).hexdigest(),
        data=frames_digest({frame.name: frame.digest() for frame in used}),
        preprocess=preprocess_digest(spec),
        method=asked.method,
        percentile=recorded_percentile(asked.method, asked.percentile),
        frames=tuple(sorted(frame.name for frame in used)),
    )
    require_fresh(found, now, source=str(path))
    return CalibrationResult(found, without_curve(used, fit.frames), fit.left_out)


def _require_whole(found: Ranges, tensors: Sequence[str], path: Path) -> None:
    missing = [name for name in tensors if name not in found.tensors]
    broken = [name for name, one in found.tensors.items() if not _sound(astuple(one))]
    if missing or broken:
        raise NotTrusted(
            f"{path} does not hold a range of every tensor",
            expected=f"{len(tensors)} ranges of finite numbers",
            found=f"none of '{missing[0]}'" if missing else f"no such range of '{broken[0]}'",
            remedy=AGAIN,
        )


def _sound(values: tuple[object, ...]) -> bool:
    numbers = [one for one in values if isinstance(one, (int, float)) and math.isfinite(one)]
    return len(numbers) == len(values) and numbers[0] >= 0
