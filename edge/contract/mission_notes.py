"""What a person may not have meant in a mission that can be run as it is: sentences to read, never
mistakes.
"""

from __future__ import annotations

from edge.contract.mission import Mission


def notes_of(mission: Mission) -> list[str]:
    """One sentence each, in the order of the file."""
    return [*_dropped_before(mission), *_zones_unused(mission)]


def _dropped_before(mission: Mission) -> list[str]:
    """A rule that asks for less than the decoder lets through."""
    threshold = mission.model.decode.score_threshold
    if mission.model.decode.kind in ("classify", "segment"):
        return []
    return [
        f"rule '{rule.name}' asks for a confidence of {rule.when.confidence:g}, but what is below "
        f"model.decode.score_threshold, {threshold:g}, is dropped before"
        for rule in mission.policy.rules
        if rule.when.label is not None and rule.when.confidence < threshold
    ]


def _zones_unused(mission: Mission) -> list[str]:
    used = {rule.when.zone for rule in mission.policy.rules}
    return [f"no rule asks for zone '{name}'" for name in mission.policy.zones if name not in used]
