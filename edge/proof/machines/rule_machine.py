"""One rule's state machine at its own size: every window of frames that it can remember.

In: a rule. Out: `RuleMachine`: the states that the real `RuleState` reaches, its functions as
tables, every turn as a product of them explored by numpy, and what a turn breaks. A turn first
takes a frame, or a gap, or both, and then may clear; between two turns any time may pass, so
whether the hold is over is free. Longer windows than WINDOW_MOST frames are explored shortened
(docs/policy.md says why that is enough).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge.contract.mission.sections.policy import Confirm, Rule
from edge.proof.machines.frontier import Explored, Indices, reach
from edge.proof.machines.rule_declared import ASKS, KNOWN, OVER, STANDS, DeclaredRule
from edge.runtime.policy.rule_state import RuleState

WINDOW_MOST = 10

PARTS: dict[str, Callable[[RuleState, Rule], RuleState]] = {
    "nothing new": lambda state, _: state,
    "a match": lambda state, rule: state.after_frame(rule, matched=True, captured_ns=0),
    "no match": lambda state, rule: state.after_frame(rule, matched=False, captured_ns=0),
    "unclear": lambda state, rule: state.after_frame(rule, matched=None, captured_ns=0),
    "the moment again, a match": lambda state, rule: state.after_repeat(
        rule, matched=True, captured_ns=0
    ),
    "the moment again, no match": lambda state, rule: state.after_repeat(
        rule, matched=False, captured_ns=0
    ),
    "a gap": lambda state, _: state.after_gap(),
}
"""What a turn may bring a rule, as calls of the real `RuleState`."""

TURNS: tuple[tuple[str, ...], ...] = (
    *((part,) for part in PARTS),
    ("a gap", "a match"),
    ("a gap", "no match"),
    ("a gap", "unclear"),
    ("a match", "a gap"),
    ("no match", "a gap"),
    ("unclear", "a gap"),
)
"""Parts of a turn in their order: a gap before the frame (it comes late), or after it (camera
gone)."""

CONDITIONS = 16
"""Sets of KNOWN, STANDS, ASKS and OVER."""


@dataclass(frozen=True)
class Misstep:
    """A turn in which the rule does not do what is declared."""

    law: str
    before: RuleState
    parts: tuple[str, ...]
    conditions: int

    def text(self) -> str:
        """In words."""
        shown = "".join(str(int(bit)) for bit in self.before.window)
        return f"{', '.join(self.parts)} after the frames '{shown}' breaks the law"


class BoundlessRule(Exception):
    """The real functions reach a state that remembers more frames than the rule asks for."""


class RuleMachine:
    """The tables of one rule.

    Raises:
        BoundlessRule: it has no bound.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule.model_copy(update={"confirm": shortened(rule.confirm)})
        self.states, columns, clears = _tabled(self.rule)
        self._number = {state: place for place, state in enumerate(self.states)}
        self._after_part = {name: np.array(columns[name], np.int32) for name in PARTS}
        self._ended = np.array(clears, np.int32)

    def explore(self) -> Explored:
        """Every turn from every state that turns reach."""
        return reach(
            np.zeros(1, np.int32),
            lambda states, letter: (states, self._turn(states, letter)),
            letters=len(TURNS) * CONDITIONS,
            size=len(self.states),
        )

    def _turn(self, states: Indices, letter: int) -> Indices:
        parts, conditions = TURNS[letter // CONDITIONS], letter % CONDITIONS
        for part in parts:
            states = self._after_part[part][states]
        ended: Indices = self._ended[states, conditions]
        return ended

    def after(self, state: RuleState, parts: tuple[str, ...], conditions: int) -> RuleState | None:
        """The state after a turn by the tables; None where `state` is not in them."""
        place = self._number.get(replace(state, last_match_ns=None))
        if place is None:
            return None
        for part in parts:
            place = int(self._after_part[part][place])
        return self.states[int(self._ended[place, conditions])]

    def missteps(self) -> list[Misstep]:
        """The first turn that breaks each law, from any state that the tables have."""
        found: dict[str, Misstep] = {}
        declared = DeclaredRule(self.rule, self.states)
        everything = np.arange(len(self.states), dtype=np.int32)
        for letter in range(len(TURNS) * CONDITIONS):
            parts, conditions = TURNS[letter // CONDITIONS], letter % CONDITIONS
            after = self._turn(everything, letter)
            for law, wrong in declared.wrong(parts, conditions, after):
                if law not in found and wrong.any():
                    state = self.states[int(np.argmax(wrong))]
                    found[law] = Misstep(law, state, parts, conditions)
        return list(found.values())

    def frames_to_leave(self) -> int | None:
        """Frames without a match after which the rule is not active and permits a release, from
        every state, where its clear is met; None: from some state never."""
        stands = len(self.states)
        at = np.arange(stands, dtype=np.int32)
        letter = TURNS.index(("no match",)) * CONDITIONS + CONDITIONS - 1
        left = np.array([self._is_left(state) for state in self.states])
        for frames in range(4 * self.rule.confirm.of + 1):
            if left[at].all():
                return frames
            at = self._turn(at, letter)
        return None

    def _is_left(self, state: RuleState) -> bool:
        return not state.active and state.permits_release(self.rule)


def machine_kind(rule: Rule) -> tuple[object, ...]:
    """Rules of one kind have the same machine."""
    stops = rule.action if rule.action == "NOTIFY" else rule.action.endswith("STOP")
    return (stops, shortened(rule.confirm), rule.clear, rule.hold_ms > 0)


def shortened(confirm: Confirm) -> Confirm:
    """The confirm window with WINDOW_MOST frames at most: 1 of n stays 1, n of n stays all, and k
    in between stays in between."""
    if confirm.of <= WINDOW_MOST:
        return confirm
    if confirm.k in (1, confirm.of):
        return Confirm(k=1 if confirm.k == 1 else WINDOW_MOST, of=WINDOW_MOST)
    k = round(confirm.k * WINDOW_MOST / confirm.of)
    return Confirm(k=min(max(k, 2), WINDOW_MOST - 1), of=WINDOW_MOST)


def _tabled(
    rule: Rule,
) -> tuple[list[RuleState], dict[str, list[int]], list[list[int]]]:
    """All states that the real functions reach, and each function as a table."""
    most = rule.confirm.of
    numbers = {RuleState(): 0}
    states = list(numbers)
    columns: dict[str, list[int]] = {name: [] for name in PARTS}
    clears: list[list[int]] = []

    def number(state: RuleState) -> int:
        state = replace(state, last_match_ns=None)
        if state not in numbers:
            if len(state.window) > most or not 0 <= state.conclusive_since_gap <= most:
                raise BoundlessRule(f"it remembers {state.window}, {state.conclusive_since_gap}")
            numbers[state] = len(states)
            states.append(state)
        return numbers[state]

    for state in states:  # grows meanwhile
        for name, part in PARTS.items():
            columns[name].append(number(part(state, rule)))
        # What is not active cannot end: one call of the sixteen is enough.
        tried = range(CONDITIONS) if state.active else (CONDITIONS - 1,)
        ended = [number(_cleared(state, rule, bits)) for bits in tried]
        clears.append(ended if state.active else ended * CONDITIONS)
    return states, columns, clears


def _cleared(state: RuleState, rule: Rule, bits: int) -> RuleState:
    """The real `cleared`, with a last match that is just held or just no more."""
    hold_ns = rule.hold_ms * 1_000_000
    now_ns = hold_ns if bits & OVER or not hold_ns else hold_ns - 1
    return replace(state, last_match_ns=0).cleared(
        rule,
        now_ns=now_ns,
        known=bool(bits & KNOWN),
        standstill=bool(bits & STANDS),
        operator=bool(bits & ASKS),
    )
