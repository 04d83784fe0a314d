"""What is wrong in a turn, for each law of turn_laws.py: its answer compared with what is declared.

In: a turn, its decision, what is declared of it. Out: None, or what was found in place of what.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge.proof.laws.declared import STOPS, Declared
from edge.proof.laws.turn import Turn
from edge.runtime.policy.facts import Decision
from firmware_bridge.protocol.messages import Action, Perception

Found = str | None
"""What is wrong, in words; None: nothing."""


def _differs(what: str, found: object, must: object) -> Found:
    return None if found == must else f"{what} is {found}, must be {must}"


def never_raises(turn: Turn, _decision: Decision, _must: Declared) -> Found:
    """`decide` returned."""
    return turn.error


def sees(turn: Turn, decision: Decision, must: Declared) -> Found:
    """What is known of the road, and since when."""
    after = turn.after
    return (
        _differs("perception", decision.perception.name, Perception(must.sight.known).name)
        or _differs("the newest perceived time", after.known_ns, must.sight.known_ns)
        or _differs("the newest time", after.newest_ns, must.sight.newest_ns)
        or _differs("'the newest is perceived'", after.newest_known, must.sight.newest_known)
        or _differs("'nothing perceived yet'", decision.waiting, must.sight.known_ns is None)
    )


def counts(turn: Turn, _decision: Decision, must: Declared) -> Found:
    """The levels of the counters."""
    after = turn.after
    return (
        _differs("the level of unknown results", after.unknown.level, must.unknown.level)
        or _differs("the level of late results", after.late.level, must.late.level)
        or _differs("the time owed for old frames", after.stale.level_ns, must.stale.level)
        or _differs("the time of the counter", after.stale.at_ns, turn.now_ns)
    )


def fault_acts(turn: Turn, decision: Decision, must: Declared) -> Found:
    """Faults that hold, against the command; and which counters are active."""
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


def nothing_more(_turn: Turn, decision: Decision, must: Declared) -> Found:
    """The command against all that asks."""
    found, most = decision.command.action, must.command.action
    return (
        f"{found.name} is commanded, nobody asks for more than {most.name}"
        if found > most
        else None
    )


def rule_acts(turn: Turn, decision: Decision, must: Declared) -> Found:
    """Rules that fire, against the command; and which are active."""
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


def fires_only(turn: Turn, _decision: Decision, must: Declared) -> Found:
    """Rules that are active without reason."""
    for rule, after, wanted in zip(
        turn.settings.policy.rules, turn.after.rules, must.rules, strict=True
    ):
        if after.active and not wanted.fires:
            return (
                f"'{rule.name}' fires with {sum(wanted.window)} matches in its last "
                f"{rule.confirm.of} frames, must be {rule.confirm.k}"
            )
    return None


def remembers(turn: Turn, _decision: Decision, must: Declared) -> Found:
    """What each rule remembers of its frames."""
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


def names_rules(turn: Turn, decision: Decision, must: Declared) -> Found:
    """The names of rules that match, and of those that prevent a release."""
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


def clears(turn: Turn, _decision: Decision, must: Declared) -> Found:
    """Rules that end, or do not."""
    for rule, after, wanted in zip(
        turn.settings.policy.rules, turn.after.rules, must.rules, strict=True
    ):
        if after.active and wanted.fires and wanted.clears:
            return f"'{rule.name}' stays active though all is there that clears it"
        if not after.active and wanted.fires and not wanted.clears:
            return f"'{rule.name}' ends though its '{rule.clear}' is not met"
    return None


def holds_stop(turn: Turn, _decision: Decision, must: Declared) -> Found:
    """The held stop."""
    held = turn.after.held_stop
    found = None if held is None else (held.action, held.deceleration_mps2)
    return _differs("the held stop", found, must.held)


def releases(turn: Turn, decision: Decision, must: Declared) -> Found:
    """The permission to release."""
    if decision.command.release and turn.facts.standstill is not True:
        return "release is permitted while the vehicle is not known to stand"
    return _differs("release", decision.command.release, must.command.release)


def numbers(turn: Turn, decision: Decision, must: Declared) -> Found:
    """Ceiling, braking and time to live."""
    found = decision.command
    return (
        _differs("the ceiling", found.speed_ceiling_mps, must.command.ceiling_mps)
        or _differs("the braking", found.deceleration_limit_mps2, must.command.braking_mps2)
        or _differs("the time to live", found.valid_for_ms, turn.settings.valid_for_ms)
    )


def _listed(demands: Mapping[tuple[str, str, Action], float]) -> str:
    texts = [f"'{name}' {a.name} {braking:g} m/s2" for (_, name, a), braking in demands.items()]
    return ", ".join(sorted(texts)) or "none"


def tells_why(turn: Turn, decision: Decision, must: Declared) -> Found:
    """The reason, the demands with their braking, the winner."""
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
