"""The laws that every single turn of `decide` must obey, each with its requirements.

In: a `Turn`. Out: the laws that it breaks, each with what was found in place of what. A law holds
in every turn, whatever came before: so it is checked in each that any exploration takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.proof.laws.declared import STOPS, Declared, declared
from edge.proof.laws.turn import Turn
from edge.runtime.policy.facts import Decision
from firmware_bridge.protocol.messages import Action, Perception

Found = str | None
"""What is wrong, in words; None: nothing."""


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
        and all(law(turn, decision, must) is None for law in (_tells_why, _names_rules))
    )


def _differs(what: str, found: object, must: object) -> Found:
    return None if found == must else f"{what} is {found}, must be {must}"


def _never_raises(turn: Turn, _decision: Decision, _must: Declared) -> Found:
    return turn.error


def _sees(turn: Turn, decision: Decision, must: Declared) -> Found:
    after = turn.after
    return (
        _differs("perception", decision.perception.name, Perception(must.sight.known).name)
        or _differs("the newest perceived time", after.known_ns, must.sight.known_ns)
        or _differs("the newest time", after.newest_ns, must.sight.newest_ns)
        or _differs("'the newest is perceived'", after.newest_known, must.sight.newest_known)
        or _differs("'nothing perceived yet'", decision.waiting, must.sight.known_ns is None)
    )


def _counts(turn: Turn, _decision: Decision, must: Declared) -> Found:
    after = turn.after
    return (
        _differs("the level of unknown results", after.unknown.level, must.unknown.level)
        or _differs("the level of late results", after.late.level, must.late.level)
        or _differs("the time owed for old frames", after.stale.level_ns, must.stale.level)
        or _differs("the time of the counter", after.stale.at_ns, turn.now_ns)
    )


def _fault_acts(turn: Turn, decision: Decision, must: Declared) -> Found:
    faults = [wish for wish in must.wishes if wish.kind == "fallback"]
    for wish in faults:
        if decision.command.action < wish.action:
            return f"{decision.command.action.name} while {wish.name}, must be {wish.action.name}"
    active = {"unknown": must.unknown, "late": must.late, "stale": must.stale}
    for name, counted in active.items():
        error = _differs(f"'{name}' active", getattr(turn.after, name).active, counted.active)
        if error is not None:
            return error
    return None


def _nothing_more(_turn: Turn, decision: Decision, must: Declared) -> Found:
    found, most = decision.command.action, must.command.action
    return (
        f"{found.name} is commanded, nobody asks for more than {most.name}"
        if found > most
        else None
    )


def _rule_acts(turn: Turn, decision: Decision, must: Declared) -> Found:
    for wish in must.wishes:
        if wish.kind == "rule" and decision.command.action < wish.action:
            return f"{decision.command.action.name} while '{wish.name}' asks for {wish.action.name}"
    for rule, after, wanted in zip(
        turn.settings.policy.rules, turn.after.rules, must.rules, strict=True
    ):
        if wanted.active and not after.active and not wanted.clears:
            hits = f"{sum(wanted.window)} of its last {len(wanted.window)} frames matched"
            return f"'{rule.name}' is not active: {hits}, or it had fired before"
    return None


def _fires_only(turn: Turn, _decision: Decision, must: Declared) -> Found:
    for rule, after, wanted in zip(
        turn.settings.policy.rules, turn.after.rules, must.rules, strict=True
    ):
        if after.active and not wanted.fires:
            return (
                f"'{rule.name}' fires with {sum(wanted.window)} matches in its last "
                f"{rule.confirm.of} frames, must be {rule.confirm.k}"
            )
    return None


def _remembers(turn: Turn, _decision: Decision, must: Declared) -> Found:
    for rule, after, wanted in zip(
        turn.settings.policy.rules, turn.after.rules, must.rules, strict=True
    ):
        error = (
            _differs("its frames", after.window, wanted.window)
            or _differs("frames since the gap", after.conclusive_since_gap, wanted.looked)
            or _differs("'newest told'", after.newest_conclusive, wanted.newest_conclusive)
            or _differs("its last match", after.last_match_ns, wanted.last_match_ns)
        )
        if error is not None:
            return f"'{rule.name}': {error}"
    return None


def _names_rules(turn: Turn, decision: Decision, must: Declared) -> Found:
    rules = turn.settings.policy.rules
    matched: tuple[str, ...] = ()
    if must.sight.seen:
        judged = zip(rules, turn.verdicts, strict=True)
        matched = tuple(rule.name for rule, verdict in judged if verdict)
    permits = zip(rules, must.rules, strict=True)
    unsure = tuple(rule.name for rule, wanted in permits if not wanted.permits)
    return _differs("the rules that match", decision.matched, matched) or _differs(
        "the rules that prevent a release", decision.unsure, unsure
    )


def _clears(turn: Turn, _decision: Decision, must: Declared) -> Found:
    for rule, after, wanted in zip(
        turn.settings.policy.rules, turn.after.rules, must.rules, strict=True
    ):
        if after.active and wanted.fires and wanted.clears:
            return f"'{rule.name}' stays active though all is there that clears it"
        if not after.active and wanted.fires and not wanted.clears:
            return f"'{rule.name}' ends though its '{rule.clear}' is not met"
    return None


def _holds_stop(turn: Turn, _decision: Decision, must: Declared) -> Found:
    held = turn.after.held_stop
    found = None if held is None else (held.action, held.deceleration_mps2)
    return _differs("the held stop", found, must.held)


def _releases(turn: Turn, decision: Decision, must: Declared) -> Found:
    if decision.command.release and turn.facts.standstill is not True:
        return "release is permitted while the vehicle is not known to stand"
    return _differs("release", decision.command.release, must.command.release)


def _numbers(turn: Turn, decision: Decision, must: Declared) -> Found:
    found = decision.command
    return (
        _differs("the ceiling", found.speed_ceiling_mps, must.command.ceiling_mps)
        or _differs("the braking", found.deceleration_limit_mps2, must.command.braking_mps2)
        or _differs("the time to live", found.valid_for_ms, turn.settings.valid_for_ms)
    )


def _listed(demands: Mapping[tuple[str, str, Action], float]) -> str:
    texts = [f"'{name}' {a.name} {braking:g} m/s2" for (_, name, a), braking in demands.items()]
    return ", ".join(sorted(texts)) or "none"


def _tells_why(turn: Turn, decision: Decision, must: Declared) -> Found:
    if decision.command.reason not in must.command.reasons:
        reasons = " or ".join(sorted(reason.name for reason in must.command.reasons))
        return f"the reason is {decision.command.reason.name}, must be {reasons}"
    found = {(d.kind, d.name, d.action): d.deceleration_mps2 for d in decision.demands}
    wanted = {(wish.kind, wish.name, wish.action): wish.braking_mps2 for wish in must.wishes}
    held = turn.after.held_stop
    if held is not None and decision.command.action in STOPS:
        wanted[held.kind, held.name, held.action] = held.deceleration_mps2
    if found != wanted:
        return f"the demands are {_listed(found)}, must be {_listed(wanted)}"
    first = decision.demands[0] if decision.demands else None
    return _differs("the winner", decision.winner, first) or (
        None
        if first is None or first.action is decision.command.action
        else f"the winner asks for {first.action.name}, not for {decision.command.action.name}"
    )


RAISES = Law("never fails", "No facts make decide raise.", ("R-RUN-28",), _never_raises)

LAWS: tuple[Law, ...] = (
    Law(
        "faults act",
        "Every fault that holds is answered in its turn by its action or a graver one.",
        ("R-RUN-2", "R-RUN-3", "R-RUN-4", "R-RUN-5", "R-RUN-6", "R-RUN-7", "R-RUN-8"),
        _fault_acts,
    ),
    Law(
        "rules act",
        "A rule fires with the k-th match of its last n frames and acts in that turn.",
        ("R-RUN-12",),
        _rule_acts,
    ),
    Law("never early", "No rule fires with fewer matches.", ("R-RUN-12",), _fires_only),
    Law(
        "nothing more",
        "No command is graver than what an active rule, a fault or the held stop asks for.",
        ("R-RUN-17",),
        _nothing_more,
    ),
    Law(
        "releases standing",
        "Release is permitted only at standstill, with the road known and looked at by every rule.",
        ("R-RUN-22",),
        _releases,
    ),
    Law("holds stops", "A stop is held until it may be released.", ("R-RUN-21",), _holds_stop),
    Law(
        "clears as declared",
        "A rule ends when its clear is met, and never before.",
        ("R-RUN-13",),
        _clears,
    ),
    Law(
        "remembers",
        "A rule remembers its last n conclusive frames, and how many came since the last gap.",
        ("R-RUN-11", "R-RUN-14", "R-RUN-16", "R-RUN-23"),
        _remembers,
    ),
    Law("knows", "Perception is KNOWN only as declared.", ("R-RUN-1", "R-RUN-10"), _sees),
    Law(
        "counts",
        "Counters rise by one, stop at their limit and fall by a quarter.",
        ("R-RUN-4", "R-RUN-5", "R-RUN-6"),
        _counts,
    ),
    Law(
        "numbers",
        "A command has the lowest ceiling and the hardest braking of all demands.",
        ("R-RUN-18", "R-RUN-19"),
        _numbers,
    ),
    Law(
        "names rules",
        "A decision names the rules that match and those that prevent a release.",
        ("R-RUN-22",),
        _names_rules,
    ),
    Law(
        "says why",
        "A decision names all demands with their braking, and its winner asks for its action.",
        ("R-RUN-17",),
        _tells_why,
    ),
    RAISES,
)
