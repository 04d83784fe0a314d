"""What a report says of the mission and its data beside what was measured: the canvas, the rules,
the budget, and what the frames were taken in. Reads no picture and judges nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from calibration.dataset.frames import RoadFrame
from calibration.dataset.splits import Split
from edge.contract.mission import Mission


def context_of(mission: Mission, frames: Split) -> dict[str, Any]:
    """Plain values for report.json."""
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
            "root": None if mission.data.root is None else mission.data.root.name,
            "group": mission.data.group,
            "calibration": _side(frames.calibration),
            "held_back": _side(frames.held_back),
        },
    }


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
