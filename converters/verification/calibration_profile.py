"""Makes the calibration profile, by which a run tells frames of another kind.

Takes the networks as functions, calibration and held-back frames; returns profile.json and what the
report says of it. The features and the fit are the device's (`edge/runtime/health/`). Never uses a
held-back frame for the fit: they say how often the profile is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import Split
from converters.sources.network import Network
from edge.contract.artifact import json_file
from edge.contract.artifact_names import PROFILE
from edge.contract.mission.sections.model import Model
from edge.perception.pixel_formats import Picture
from edge.perception.preprocess import preprocess
from edge.progress import Advance
from edge.runtime.health.features import features
from edge.runtime.health.profile import LEAST_FRAMES, SCHEMA, fit
from edge.runtime.health.sample import sample


def calibration_profile(
    networks: Mapping[str, Network], frames: Split, model: Model, *, progress: Advance
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The report's section and the file; without a file where there are too few frames.

    Args:
        networks: the forms that run on a device, by artifact. One profile is made of all, so that
            it serves each of them.

    Raises:
        Missing, NotTrusted: a frame cannot be read, or is not the one that was locked.
    """
    if len(frames.calibration) < LEAST_FRAMES:
        why = f"{len(frames.calibration)} calibration frames, it takes {LEAST_FRAMES}"
        return {"state": "not made", "why": why}, {}
    fitted = _features(networks, frames.calibration, model, "profile", progress)
    held_back = _features(networks, frames.held_back, model, "profile, held back", progress)
    profile = fit(fitted)
    scores = [profile.score(row) for row in held_back.reshape(-1, held_back.shape[-1])]
    document = profile.to_json()
    found = {
        "state": "made",
        "frames": len(fitted),
        "limit": document["limit"],
        "held_back": len(held_back),
        "held_back_unknown": round(float(np.mean(np.array(scores) >= profile.limit)), 4),
    }
    return found, {PROFILE: json_file(SCHEMA, document)}


def _features(
    networks: Mapping[str, Network],
    frames: Sequence[RoadFrame],
    model: Model,
    what: str,
    progress: Advance,
) -> NDArray[np.float32]:
    """(frames, networks, features)."""
    rows = []
    for count, frame in enumerate(frames, start=1):
        image = frame.read()
        x, _ = preprocess(image, model.preprocess_spec)
        seen = sample(Picture(image))
        rows.append([features(run(x), model.network_spec, seen) for run in networks.values()])
        progress(what, count, len(frames))
    return np.array(rows, np.float32)
