"""Compares a turn of the whole policy with the product of the machines that were explored apart.

In: a turn, each rule's machine, the host's table. Out: where they differ, in words. What a turn was
for a rule (a match, a gap, both) is told by the document's rules (edge/proof/laws/declared.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from edge.contract.mission.sections.policy import Rule
from edge.proof.laws.declared import Declared, declared
from edge.proof.laws.turn import Turn
from edge.proof.machines.host import Host
from edge.proof.machines.rule_declared import ASKS, KNOWN, OVER, STANDS
from edge.proof.machines.rule_machine import RuleMachine


def factor_fault(turn: Turn, machines: Mapping[str, RuleMachine], host: Host | None) -> str | None:
    """What the factors would have done otherwise; None: nothing. `host`: None where its table lacks
    some demands."""
    if turn.decision is None:
        return None
    must = declared(turn)
    for at, rule in enumerate(turn.settings.policy.rules):
        machine = machines.get(rule.name)
        if machine is None or machine.rule.confirm != rule.confirm:
            continue
        parts = tuple(_parts(turn, must, at))
        after = machine.after(turn.before.rules[at], parts, _conditions(turn, must, rule, at))
        if after is None:
            return f"rule '{rule.name}' is in a state that its machine does not reach"
        if after != replace(turn.after.rules[at], last_match_ns=None):
            return f"rule '{rule.name}' does not follow its machine on {', '.join(parts)}"
    if host is not None and not host.covers(turn):
        return "the command is none of those that the same demands gave in other turns"
    return None


def _parts(turn: Turn, must: Declared, at: int) -> Iterator[str]:
    """What the turn brought this rule, in its order."""
    sight = must.sight
    if sight.gap:
        yield "a gap"
    if sight.seen:
        verdict = turn.verdicts[at]
        if sight.repeat:
            yield f"the moment again, {'a match' if verdict else 'no match'}"
        else:
            yield {True: "a match", False: "no match", None: "unclear"}[verdict]
    if turn.facts.camera_gone:
        yield "a gap"


def _conditions(turn: Turn, must: Declared, rule: Rule, at: int) -> int:
    last_ns = must.rules[at].last_match_ns
    over = last_ns is None or turn.now_ns - last_ns >= rule.hold_ms * 1_000_000
    bits = ((KNOWN, must.sight.known), (STANDS, turn.facts.standstill), (OVER, over))
    asks = ASKS if turn.facts.operator_request is True else 0
    return asks | sum(bit for bit, holds in bits if holds)
