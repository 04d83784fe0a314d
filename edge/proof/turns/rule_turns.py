"""Explores every turn of `decide` with one rule alone, from every state that it can reach.

In: settings, the representative frames, a rule. Its confirm window is cut to two frames here:
windows of the mission's own length are explored in edge/proof/machines/rule_machine.py. Time is cut
to the points at which the code may behave otherwise: just before and just at each limit; from one
point time may go on to the next, at any state. So no assumption on the times of turns and frames is
made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.contract.mission.sections.policy import Confirm, Rule
from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.turns.checker import MS, NOW_NS, QUIET, Checker, judged_by, of_one_rule
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.rule_state import RuleState
from edge.runtime.policy.settings import PolicySettings

_MOMENT_NS = MS

_REPORTS = ((True, False), (True, None), (False, True), (None, True))
"""(standstill, operator's request) as the microcontroller may report them, beside (True, True)."""


@dataclass(frozen=True)
class _Key:
    """A state of perception and one rule, with times as ages.

    Attributes:
        known_age_ns: of the newest perceived moment; None before the first.
        newer: a frame came since that was not perceived.
        newest_known: the newest result was perceived.
        rule: without its time.
        match_age_ns: of its last match.
    """

    known_age_ns: int | None
    newer: bool
    newest_known: bool
    rule: RuleState
    match_age_ns: int | None


class RuleTurns:
    """The turns of one rule."""

    def __init__(self, settings: PolicySettings, classes: FrameClasses, at: int) -> None:
        rule = settings.policy.rules[at]
        self.settings = of_one_rule(settings, at, confirm=short_confirm(rule))
        frames = classes.of[rule.name]
        shown = [frames.least[0], frames.unclear]
        shown += [classes.clear] if classes.clear is not None else []
        self._shown = [judged_by(one, at) for one in shown]
        unknown_ns, hold_ns = settings.unknown_after_ns, rule.hold_ms * MS
        self._ages = (0, unknown_ns - 1, unknown_ns)
        self._holds = (hold_ns - 1, hold_ns) if hold_ns else (0,)
        self._initial = initial(self.settings)

    def explore(self, checker: Checker) -> int:
        """Takes every turn from every state; returns the number of states."""
        first = self._key(self._initial, known=self._initial.newest_known)
        seen = {first}
        waiting = [first]
        while waiting:
            key = waiting.pop()
            state = self._state(key)
            found = list(self._later(key))
            for shown, facts in self._letters(state):
                turn = checker.take(self.settings, facts, state, shown=shown)
                if checker.lawful:
                    found.append(self._key(turn.after, known=turn.after.newest_known))
            waiting += [one for one in found if one not in seen]
            seen.update(found)
        return len(seen)

    def _later(self, key: _Key) -> Iterator[_Key]:
        """The states to which time alone leads."""
        if (older := _after(self._ages, key.known_age_ns)) is not None:
            yield replace(key, known_age_ns=older)
        if (older := _after(self._holds, key.match_age_ns)) is not None:
            yield replace(key, match_age_ns=older)

    def _letters(self, state: PolicyState) -> Iterator[tuple[FrameClass | None, Facts]]:
        for shown, facts in self._frames(state):
            yield shown, replace(facts, standstill=True, operator_request=True)
        frames = [None, *(shown.at(NOW_NS) for shown in self._shown)]
        for shown, frame in zip((None, *self._shown), frames, strict=True):
            for standstill, operator in _REPORTS:
                facts = replace(QUIET, standstill=standstill, operator_request=operator)
                yield shown, replace(facts, frame=frame)

    def _frames(self, state: PolicyState) -> Iterator[tuple[FrameClass | None, Facts]]:
        """Every kind of frame at every kind of time, and none; with the camera there and gone."""
        yield None, QUIET
        yield None, replace(QUIET, camera_gone=True)
        first = self._shown[0]
        for shown in self._shown:
            for captured_ns in self._captures(state):
                yield shown, replace(QUIET, frame=shown.at(captured_ns))
        yield first, replace(QUIET, frame=first.at(NOW_NS), camera_gone=True)
        yield first, replace(QUIET, frame=replace(first.at(NOW_NS), known=False))
        yield first, replace(QUIET, frame=first.at(NOW_NS + 1))
        if state.newest_ns is not None:
            yield first, replace(QUIET, frame=first.at(state.newest_ns - 1))

    def _captures(self, state: PolicyState) -> set[int]:
        times = {NOW_NS, NOW_NS - self._ages[-1]}
        if state.known_ns is not None:
            times |= {state.known_ns + apart for apart in (0, _MOMENT_NS - 1, _MOMENT_NS)}
            times.add(state.known_ns + self._ages[-1])
        return {time for time in times if time <= NOW_NS}

    def _state(self, key: _Key) -> PolicyState:
        known_ns = None if key.known_age_ns is None else NOW_NS - key.known_age_ns
        match_ns = None if key.match_age_ns is None else NOW_NS - key.match_age_ns
        return replace(
            self._initial,
            rules=(replace(key.rule, last_match_ns=match_ns),),
            known_ns=known_ns,
            newest_ns=NOW_NS if key.newer else known_ns,
            newest_known=key.newest_known,
            held_stop=None,
        )

    def _key(self, state: PolicyState, *, known: bool) -> _Key:
        (rule,) = state.rules
        return _Key(
            known_age_ns=_point(self._ages, state.known_ns),
            newer=state.newest_ns != state.known_ns,
            newest_known=known,
            rule=replace(rule, last_match_ns=None),
            match_age_ns=_point(self._holds, rule.last_match_ns),
        )


def short_confirm(rule: Rule) -> Confirm:
    """The confirm window with two frames at most: one of two stays one, any more become two."""
    of = min(rule.confirm.of, 2)
    return Confirm(k=min(rule.confirm.k, of), of=of)


def kind_of(rule: Rule) -> tuple[object, ...]:
    """Rules of one kind differ in names and numbers only, and take the same turns."""
    stops = rule.action if rule.action == "NOTIFY" else rule.action.endswith("STOP")
    return (stops, short_confirm(rule), rule.clear, rule.hold_ms > 0)


def _after(points: tuple[int, ...], age_ns: int | None) -> int | None:
    """The next point of time; None at the last."""
    if age_ns is None or age_ns == points[-1]:
        return None
    return points[points.index(age_ns) + 1]


def _point(points: tuple[int, ...], time_ns: int | None) -> int | None:
    """The point that stands for a time's age: the last one not above it, or the first."""
    if time_ns is None:
        return None
    passed = (point for point in points if point <= NOW_NS - time_ns)
    return max(passed, default=points[0])
