"""What docs/runtime.md declares of one rule's machine, on all its states at once.

In: the rule, its states, the parts of a turn and the conditions for clearing. Out: for each law the
states in which the machine does something else. Windows are whole numbers here, the newest frame in
the lowest bit. It judges edge/runtime/policy/rule_state.py, and so uses none of its functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.contract.mission.sections.policy import Rule
from edge.runtime.policy.rule_state import RuleState

Indices = NDArray[np.int32]
Bools = NDArray[np.bool_]

KNOWN, STANDS, ASKS, OVER = 1, 2, 4, 8
"""Bits of the conditions: perception KNOWN, standstill, the operator asks, the hold is over."""


@dataclass
class _Memory:
    """What a rule remembers, one entry for each state."""

    length: Indices
    window: Indices
    looked: Indices
    conclusive: Bools
    active: Bools


class DeclaredRule:
    """The declared machine of one rule."""

    def __init__(self, rule: Rule, states: Sequence[RuleState]) -> None:
        self._rule = rule
        self._of = rule.confirm.of
        self._states = _Memory(
            length=np.array([len(one.window) for one in states], np.int32),
            window=np.array([_number(one.window) for one in states], np.int32),
            looked=np.array([one.conclusive_since_gap for one in states], np.int32),
            conclusive=np.array([one.newest_conclusive for one in states]),
            active=np.array([one.active for one in states]),
        )

    def wrong(
        self, parts: Sequence[str], conditions: int, after: Indices
    ) -> Iterator[tuple[str, Bools]]:
        """For each law the states from which a turn to `after` breaks it."""
        was, must = self._states, self._turn(parts)
        found = _Memory(*(column[after] for column in vars(was).values()))
        fires = must.active
        clear = (must.looked == self._of) & (must.window == 0)
        clears = clear & self._may_clear(conditions)
        yield (
            "remembers",
            (found.length != must.length)
            | (found.window != must.window)
            | (found.looked != must.looked)
            | (found.conclusive != must.conclusive),
        )
        yield "rules act", fires & ~was.active & ~clears & ~found.active
        yield "never early", ~fires & found.active
        yield (
            "clears as declared",
            fires & (clears == found.active) & (was.active | found.active),
        )

    def _may_clear(self, conditions: int) -> bool:
        wanted = {
            "when_gone": KNOWN | OVER,
            "standstill": KNOWN | OVER | STANDS,
            "operator": KNOWN | OVER | STANDS | ASKS,
        }
        if not self._rule.hold_ms:
            conditions |= OVER
        needed = wanted.get(self._rule.clear)
        return needed is not None and conditions & needed == needed

    def _turn(self, parts: Sequence[str]) -> _Memory:
        """What each state must remember after these parts of a turn."""
        must = _Memory(**vars(self._states))
        for part in parts:
            if part == "a gap":
                must.looked = np.zeros_like(must.looked)
            elif part == "unclear":
                self._unclear(must)
            elif part in ("a match", "no match"):
                self._frame(must, match=part == "a match")
            elif part == "the moment again, a match":
                self._again(must)
        return must

    def _unclear(self, must: _Memory) -> None:
        must.conclusive = np.zeros_like(must.conclusive)
        if self._rule.action in ("COMFORT_STOP", "EMERGENCY_STOP"):
            must.looked = np.zeros_like(must.looked)
        elif self._rule.action == "NOTIFY":
            must.looked = np.minimum(must.looked + 1, self._of)

    def _frame(self, must: _Memory, *, match: bool) -> None:
        must.length = np.minimum(must.length + 1, self._of)
        must.window = (must.window << 1 | int(match)) & ((1 << self._of) - 1)
        must.looked = np.minimum(must.looked + 1, self._of)
        must.conclusive = np.ones_like(must.conclusive)
        must.active = must.active | self._confirmed(must)

    def _again(self, must: _Memory) -> None:
        """The newest frame's entry becomes a match; where it has none, a match is added."""
        added = (must.window << 1 | 1) & ((1 << self._of) - 1)
        must.window = np.where(must.conclusive, must.window | 1, added).astype(np.int32)
        longer = np.minimum(must.length + 1, self._of)
        must.length = np.where(must.conclusive, must.length, longer).astype(np.int32)
        must.conclusive = np.ones_like(must.conclusive)
        must.active = must.active | self._confirmed(must)

    def _confirmed(self, must: _Memory) -> Bools:
        ones = np.zeros_like(must.window)
        for bit in range(self._of):
            ones += must.window >> bit & 1
        return ones >= self._rule.confirm.k


def _number(window: Sequence[bool]) -> int:
    number = 0
    for bit in window:
        number = number << 1 | int(bit)
    return number
