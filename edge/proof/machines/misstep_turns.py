"""A turn of the real `decide` for what a rule's machine did wrong.

In: the state, the parts and the conditions of a misstep. Out: a turn that brings the rule these,
taken from that state; the checker tells which laws it breaks.
"""

from __future__ import annotations

from dataclasses import replace

from edge.contract.mission.sections.policy import Rule
from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.machines.rule_declared import ASKS, KNOWN, OVER, STANDS
from edge.proof.machines.rule_machine import Misstep
from edge.proof.turns.checker import MS, NOW_NS, QUIET, Checker
from edge.runtime.policy.policy import initial
from edge.runtime.policy.settings import PolicySettings


def turn_of(
    misstep: Misstep,
    rule: Rule,
    settings: PolicySettings,
    classes: FrameClasses,
    checker: Checker,
) -> None:
    """Takes the turn, with the rule alone."""
    at = [one.name for one in settings.policy.rules].index(rule.name)
    alone = replace(settings, policy=settings.policy.model_copy(update={"rules": (rule,)}))
    parts, conditions = misstep.parts, misstep.conditions
    shown = _shown(parts, rule, classes)
    old_ns = settings.unknown_after_ns
    age_ns = 0 if conditions & KNOWN else old_ns
    late = parts[0] == "a gap" and len(parts) > 1
    known_ns = NOW_NS - age_ns - (old_ns if late else 2 * MS)
    captured_ns = known_ns if "again" in parts[0] else NOW_NS - age_ns
    hold_ns = rule.hold_ms * MS if conditions & OVER else 0
    before = replace(
        initial(alone),
        rules=(replace(misstep.before, last_match_ns=NOW_NS - hold_ns),),
        known_ns=known_ns if shown is not None or parts == ("a gap",) else NOW_NS - age_ns,
        newest_ns=None,
        newest_known=True,
        held_stop=None,
    )
    facts = replace(
        QUIET,
        standstill=bool(conditions & STANDS),
        operator_request=bool(conditions & ASKS),
        camera_gone=parts[-1] == "a gap",
    )
    if shown is not None:
        shown = replace(shown, verdicts=(shown.verdicts[at],))
        facts = replace(facts, frame=shown.at(captured_ns))
    checker.take(alone, facts, before, shown=shown)


def _shown(parts: tuple[str, ...], rule: Rule, classes: FrameClasses) -> FrameClass | None:
    frames = classes.of[rule.name]
    if any(part.endswith("no match") for part in parts):
        return classes.clear
    if any(part.endswith("a match") for part in parts):
        return frames.least[0]
    return frames.unclear if "unclear" in parts else None
