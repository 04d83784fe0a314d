"""The parts of a report that come from the mission and its data.

The canvas, the rules, the budget, the conditions of the frames and the training of the weights, as
plain values. Reads no picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from pathlib import PurePath
from typing import Any

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import Split
from converters.sources.source import Source, TorchSource
from converters.training.run_record import SCHEMA as TRAINING_SCHEMA
from edge.contract.artifact import read_json
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import Missing, NotTrusted

TRAINING_KEYS = (
    "parameters",
    "examples",
    "validation_examples",
    "steps",
    "best_step",
    "seconds",
    "judgement",
)
"""Keys of a training record that the report repeats."""


def context_of(
    mission: Mission, source: Source, frames: Split, *, calibrated_on: Container[str]
) -> dict[str, Any]:
    """Plain values for report.json; `calibrated_on` names the frames whose ranges were taken."""
    calibration = [frame for frame in frames.calibration if frame.name in calibrated_on]
    return {
        "purpose": mission.purpose.model_dump(),
        "rules": [
            {"name": rule.name, "why": rule.why, "action": rule.action}
            for rule in mission.policy.rules
        ],
        "budget_ms": {
            name.removesuffix("_ms"): value for name, value in mission.budget.model_dump().items()
        },
        "data": {
            "kind": mission.data.kind,
            # The folder's name alone: where it lies is nobody's business but this machine's.
            "root": None if mission.data.kind == "scenes" else PurePath(mission.data.location).name,
            "group": mission.data.group,
            "also": [further.name for further in mission.data.also],
            "calibration": _side(calibration),
            "held_back": _side(frames.held_back),
        },
        "training": _training(source),
    }


def _training(source: Source) -> dict[str, Any] | None:
    """The record beside the weights, where it is of these very weights."""
    if not isinstance(source, TorchSource) or source.path is None:
        return None
    try:
        record = read_json(source.path.with_suffix(".json"), TRAINING_SCHEMA)
    except (Missing, NotTrusted):
        return None
    if record.get("weights_sha256") != source.sha256:
        return None
    return {key: record[key] for key in TRAINING_KEYS if key in record}


def _side(frames: Sequence[RoadFrame]) -> dict[str, Any]:
    told = Counter(
        (frame.conditions.weather, frame.conditions.light, frame.conditions.road, frame.words)
        for frame in frames
    )
    return {
        "frames": len(frames),
        "groups": sorted({frame.group for frame in frames if frame.group != frame.name}),
        "conditions": [
            {"weather": weather, "light": light, "road": road, "words": words, "frames": count}
            for (weather, light, road, words), count in sorted(
                told.items(), key=lambda row: tuple(part or "" for part in row[0])
            )
        ],
    }
