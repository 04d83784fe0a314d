"""A rule in a few words, for pictures of a policy.

In: a rule. Out: what it looks for, and what it asks for until when.
"""

from __future__ import annotations

from edge.contract.mission.sections.policy import Rule, When

_ENDS = {
    "when_gone": "ends when gone",
    "standstill": "ends standing",
    "operator": "ends by the operator",
    "never": "never ends",
}


def conditions(when: When) -> str:
    """What a rule looks for."""
    words = [f"scene {when.scene}" if when.scene is not None else str(when.label)]
    if when.count > 1:
        words[0] = f"{when.count} x {words[0]}"
    if when.zone is not None:
        words.append(f"in {when.zone}")
    if when.share_min is not None:
        words.append(f"{when.share_min:.0%} of it")
    if when.height_min > 0.0:
        words.append(f"{when.height_min:.0%} high")
    if when.time_to_contact_max_s is not None:
        words.append(f"contact in {when.time_to_contact_max_s:g} s")
    if when.distance_max_m is not None:
        words.append(f"within {when.distance_max_m:g} m")
    return ", ".join([*words, f"score {when.confidence:g}"])


def confirmation(rule: Rule) -> str:
    """When it fires, and when it ends."""
    held = f", held {rule.hold_ms / 1000:g} s" if rule.hold_ms else ""
    return f"{rule.confirm.k} of {rule.confirm.of} frames; {_ENDS[rule.clear]}{held}"


def numbers(rule: Rule) -> str:
    """The numbers of its action; "" where it has none."""
    words = []
    if rule.speed_ceiling_mps is not None:
        words.append(f"{rule.speed_ceiling_mps:g} m/s")
    if rule.action != "NOTIFY" and rule.deceleration_mps2 is not None:
        words.append(f"{rule.deceleration_mps2:g} m/s2")
    return ", ".join(words)
