"""What docs/runtime.md declares of one rule in one turn: what it remembers, fires, clears, permits.

In: the rule, its state before, what the turn's frame shows of it. Out: `RuleAfter`. It judges
edge/runtime/policy/rule_state.py, and so uses none of its functions.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.contract.mission.sections.policy import Rule
from edge.proof.frames.frame_class import Verdict
from edge.proof.laws.turn import Turn
from edge.runtime.policy.rule_state import RuleState

_STOPS = ("COMFORT_STOP", "EMERGENCY_STOP")


class RuleAfter(NamedTuple):
    """One rule after a turn.

    Attributes:
        window: what its last conclusive frames said, `confirm.of` at most.
        looked: conclusive frames since the last gap, `confirm.of` at most.
        newest_conclusive: the newest moment has an entry in `window`.
        last_match_ns: capture time of its newest match.
        fires: it is active in this turn unless it clears.
        clears: all that its `clear` asks for is there (R-RUN-13).
        permits: it lets a stop be released (R-RUN-22).
    """

    window: tuple[bool, ...]
    looked: int
    newest_conclusive: bool
    last_match_ns: int | None
    fires: bool
    clears: bool
    permits: bool

    @property
    def active(self) -> bool:
        """It demands its action after this turn."""
        return self.fires and not self.clears


def rule_after(
    rule: Rule,
    before: RuleState,
    turn: Turn,
    *,
    seen: bool,
    verdict: Verdict,
    repeat: bool,
    gap: bool,
    known: bool,
) -> RuleAfter:
    """One rule after this turn; `seen`, `repeat`, `gap` and `known` are as in `declared.Sight`."""
    most = rule.confirm.of
    window, looked = before.window, 0 if gap else before.conclusive_since_gap
    conclusive, matched_ns = before.newest_conclusive, before.last_match_ns
    captured_ns = turn.facts.frame.captured_ns if turn.facts.frame is not None else None
    if seen and repeat and verdict:  # R-RUN-11
        window = ((*window[:-1], True) if conclusive else (*window, True))[-most:]
        conclusive, matched_ns = True, captured_ns
    elif seen and not repeat and verdict is None:  # R-RUN-16, R-RUN-23
        conclusive = False
        if rule.action in _STOPS:
            looked = 0
        elif rule.action == "NOTIFY":
            looked = min(looked + 1, most)
    elif seen and not repeat:
        window = (*window, verdict is True)[-most:]
        looked, conclusive = min(looked + 1, most), True
        matched_ns = captured_ns if verdict else matched_ns
    if turn.facts.camera_gone:
        looked = 0
    fires = before.active or sum(window) >= rule.confirm.k
    road_clear = looked == most and True not in window
    return RuleAfter(
        window=window,
        looked=looked,
        newest_conclusive=conclusive,
        last_match_ns=matched_ns,
        fires=fires,
        clears=road_clear and known and _may_clear(rule, turn, matched_ns),
        permits=road_clear if rule.action in _STOPS else looked == most,
    )


def _may_clear(rule: Rule, turn: Turn, matched_ns: int | None) -> bool:
    """Whether the rule's hold is over and its `clear` is met."""
    if matched_ns is not None and turn.now_ns < matched_ns + rule.hold_ms * 1_000_000:
        return False
    stands = turn.facts.standstill is True
    return {
        "when_gone": True,
        "standstill": stands,
        "operator": stands and turn.facts.operator_request is True,
        "never": False,
    }[rule.clear]
