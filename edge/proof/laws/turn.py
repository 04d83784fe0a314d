"""One turn of the real `decide`, with all that went in and came out.

In: settings, facts, the state before and a time. Out: a `Turn`. An exception of `decide` is a
result too: the turn then has no outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.proof.frames.frame_class import FrameClass, Verdict
from edge.runtime.policy.facts import Decision, Facts
from edge.runtime.policy.policy import PolicyState, decide
from edge.runtime.policy.settings import PolicySettings


@dataclass(frozen=True)
class Turn:
    """One turn.

    Attributes:
        settings: of the mission and the source.
        facts: of this turn.
        verdicts: what each rule makes of the turn's new frame; empty without one.
        before: the state before it.
        now_ns: its time.
        after, decision: what `decide` returned.
        error: what `decide` raised, in words; None where it returned.
    """

    settings: PolicySettings
    facts: Facts
    verdicts: tuple[Verdict, ...]
    before: PolicyState
    now_ns: int
    after: PolicyState
    decision: Decision | None
    error: str | None = None


def take_turn(
    settings: PolicySettings,
    facts: Facts,
    before: PolicyState,
    now_ns: int,
    *,
    shown: FrameClass | None = None,
) -> Turn:
    """Calls the real `decide` once; `shown`: the class of the facts' frame."""
    verdicts = () if shown is None else shown.verdicts
    try:
        after, decision = decide(settings, facts, before, now_ns)
    except Exception as error:  # noqa: BLE001 # whatever it is, it must not end the loop
        return Turn(settings, facts, verdicts, before, now_ns, before, None, repr(error))
    return Turn(settings, facts, verdicts, before, now_ns, after, decision)
