"""The laws that every single turn of `decide` must obey, each with its requirements.

In: a `Turn`. Out: the laws that it breaks, each with what was found in place of what. A law holds
in every turn, whatever came before: so it is checked in each that any exploration takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.proof.laws.declared import Declared, declared
from edge.proof.laws.law_checks import (
    Found,
    clears,
    counts,
    fault_acts,
    fires_only,
    holds_stop,
    names_rules,
    never_raises,
    nothing_more,
    numbers,
    releases,
    remembers,
    rule_acts,
    sees,
    tells_why,
)
from edge.proof.laws.turn import Turn
from edge.runtime.policy.facts import Decision
from firmware_bridge.protocol.messages import Perception


@dataclass(frozen=True)
class Law:
    """One law.

    Attributes:
        name: short, for tables and stories.
        sentence: what holds in every turn.
        requirements: of docs/runtime.md.
        broken: what is wrong in a turn.
    """

    name: str
    sentence: str
    requirements: tuple[str, ...]
    broken: Callable[[Turn, Decision, Declared], Found]


@dataclass(frozen=True)
class Breach:
    """A law that a turn breaks."""

    law: str
    text: str


def breaches(turn: Turn) -> list[Breach]:
    """The laws that this turn breaks, in the order of the table."""
    if turn.decision is None:
        return [Breach(RAISES.name, f"decide raised {turn.error}")]
    must = declared(turn)
    if answers(turn, turn.decision, must):
        return []
    found = ((law.name, law.broken(turn, turn.decision, must)) for law in LAWS)
    return [Breach(name, text) for name, text in found if text is not None]


def answers(turn: Turn, decision: Decision, must: Declared) -> bool:
    """Whether everything that any law looks at is as declared: a short cut, since nearly every turn
    is. A test compares it with the laws themselves."""
    after, command, held = turn.after, decision.command, turn.after.held_stop
    found = [
        (rule.window, rule.conclusive_since_gap, rule.newest_conclusive, rule.last_match_ns)
        for rule in after.rules
    ]
    return (
        found == [wanted[:4] for wanted in must.rules]
        and [rule.active for rule in after.rules] == [wanted.active for wanted in must.rules]
        and (after.known_ns, after.newest_ns, after.newest_known) == must.sight[3:6]
        and (after.unknown.level, after.unknown.active) == must.unknown
        and (after.late.level, after.late.active) == must.late
        and (after.stale.level_ns, after.stale.active) == must.stale
        and after.stale.at_ns == turn.now_ns
        and (None if held is None else (held.action, held.deceleration_mps2)) == must.held
        and command.action is must.command.action
        and command.speed_ceiling_mps == must.command.ceiling_mps
        and command.deceleration_limit_mps2 == must.command.braking_mps2
        and command.release is must.command.release
        and command.valid_for_ms == turn.settings.valid_for_ms
        and not (command.release and turn.facts.standstill is not True)
        and decision.perception is Perception(must.sight.known)
        and decision.waiting is (must.sight.known_ns is None)
        and all(law(turn, decision, must) is None for law in (tells_why, names_rules))
    )


RAISES = Law("never fails", "No facts make decide raise.", ("R-RUN-28",), never_raises)

LAWS: tuple[Law, ...] = (
    Law(
        "faults act",
        "Every fault that holds is answered in its turn by its action or a graver one.",
        ("R-RUN-2", "R-RUN-3", "R-RUN-4", "R-RUN-5", "R-RUN-6", "R-RUN-7", "R-RUN-8"),
        fault_acts,
    ),
    Law(
        "rules act",
        "A rule fires with the k-th match of its last n frames and acts in that turn.",
        ("R-RUN-12",),
        rule_acts,
    ),
    Law("never early", "No rule fires with fewer matches.", ("R-RUN-12",), fires_only),
    Law(
        "nothing more",
        "No command is graver than what an active rule, a fault or the held stop asks for.",
        ("R-RUN-17",),
        nothing_more,
    ),
    Law(
        "releases standing",
        "Release is permitted only at standstill, with the road known and looked at by every rule.",
        ("R-RUN-22",),
        releases,
    ),
    Law("holds stops", "A stop is held until it may be released.", ("R-RUN-21",), holds_stop),
    Law(
        "clears as declared",
        "A rule ends when its clear is met, and never before.",
        ("R-RUN-13",),
        clears,
    ),
    Law(
        "remembers",
        "A rule remembers its last n conclusive frames, and how many came since the last gap.",
        ("R-RUN-11", "R-RUN-14", "R-RUN-16", "R-RUN-23"),
        remembers,
    ),
    Law("knows", "Perception is KNOWN only as declared.", ("R-RUN-1", "R-RUN-10"), sees),
    Law(
        "counts",
        "Counters rise by one, stop at their limit and fall by a quarter.",
        ("R-RUN-4", "R-RUN-5", "R-RUN-6"),
        counts,
    ),
    Law(
        "numbers",
        "A command has the lowest ceiling and the hardest braking of all demands.",
        ("R-RUN-18", "R-RUN-19"),
        numbers,
    ),
    Law(
        "names rules",
        "A decision names the rules that match and those that prevent a release.",
        ("R-RUN-22",),
        names_rules,
    ),
    Law(
        "says why",
        "A decision names all demands with their braking, and its winner asks for its action.",
        ("R-RUN-17",),
        tells_why,
    ),
    RAISES,
)
