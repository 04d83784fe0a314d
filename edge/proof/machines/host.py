"""What the host can do in one turn, as a table: every outcome of `decide` and of the modes.

In: the turns that `turns.arbitration` took. Out: `Host`: its states (nothing perceived yet or not,
the held stop, the mode), and for each the outcomes: the command, whether the heartbeat is healthy,
and the state after it. Rules, faults, and what the microcontroller reports are free in every turn:
any set of active rules may follow any other, so each history of them is covered.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from edge.proof.laws.turn import Turn
from edge.proof.machines.microcontroller import Demand
from edge.runtime.policy.modes import Situation, next_mode, situation
from edge.runtime.policy.policy import PolicyState
from firmware_bridge.protocol.messages import Action, Mode, Perception

_APPLIED = (None, Action.NONE, Action.COMFORT_STOP)


Held = tuple[Action, float] | None
"""The held stop: action and braking in m/s2."""


@dataclass(frozen=True)
class HostState:
    """The host's memory, as far as the closed loop goes."""

    waiting: bool
    held: Held
    mode: Mode


def held_of(state: PolicyState) -> Held:
    """The stop that the policy holds."""
    held = state.held_stop
    return None if held is None else (held.action, held.deceleration_mps2)


@dataclass(frozen=True)
class Outcome:
    """What one turn of the host does.

    Attributes:
        demand, release: of the command.
        healthy: the heartbeat says that perception is KNOWN.
        after: the host's state.
    """

    demand: Demand
    release: bool
    healthy: bool
    after: HostState


@dataclass(frozen=True)
class _Answer:
    """A turn without its mode: what the mode depends on is the situation."""

    demand: Demand
    release: bool
    healthy: bool
    held: Held
    situation: Situation


class Host:
    """All states of the host and the outcomes of each: hear every turn, then close.

    Attributes:
        states: the first is the state before the first turn.
        outcomes: for each state.
        demands: every demand that a command had.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[bool, Held], dict[_Answer, None]] = {}
        self._well: dict[tuple[object, ...], _Answer] = {}
        self.states: list[HostState] = []
        self.outcomes: list[tuple[Outcome, ...]] = []
        self.demands: set[Demand] = set()

    def close(self, first: HostState) -> None:
        """Finds all states that outcomes lead to, from the first."""
        self.states, self.outcomes = [first], []
        known = {first}
        for state in self.states:  # grows meanwhile
            found = tuple(dict.fromkeys(self._outcomes_of(state)))
            self.outcomes.append(found)
            for later in (*(one.after for one in found), replace(state, waiting=False)):
                if later not in known:
                    known.add(later)
                    self.states.append(later)

    def recovery(self, state: HostState, *, stands: bool, stop_applied: bool) -> Outcome | None:
        """The outcome of a turn in which the road is clear and nothing is wrong."""
        answer = self._well.get((state.held, stands, stop_applied))
        return None if answer is None else _outcome(replace(state, waiting=False), answer)

    def covers(self, turn: Turn) -> bool:
        """Whether this turn's command, verdict and held stop are among those tabled."""
        assert turn.decision is not None
        known = self._answers.get((turn.decision.waiting, held_of(turn.before)), {})
        found = _command_of(turn)
        return any((one.demand, one.release, one.healthy, one.held) == found for one in known)

    def hear(self, turn: Turn) -> None:
        """Takes in one turn."""
        decision = turn.decision
        if decision is None:
            return
        key = (decision.waiting, held_of(turn.before))
        command = _command_of(turn)
        self.demands.add(command[0])
        well = _nothing_wrong(turn)
        for applied, link_up in itertools.product(_APPLIED, (True, False)):
            facts = replace(turn.facts, effective_action=applied, link_up=link_up)
            answer = _Answer(*command, situation(facts, decision))
            self._answers.setdefault(key, {})[answer] = None
            if well and link_up and applied is not None:
                stands = facts.standstill is True
                stopped = applied is Action.COMFORT_STOP
                self._well.setdefault((held_of(turn.before), stands, stopped), answer)

    def _outcomes_of(self, state: HostState) -> list[Outcome]:
        answers = self._answers.get((state.waiting, state.held), {})
        return [_outcome(state, answer) for answer in answers]


def _outcome(state: HostState, answer: _Answer) -> Outcome:
    after = HostState(state.waiting, answer.held, next_mode(state.mode, answer.situation))
    return Outcome(answer.demand, answer.release, answer.healthy, after)


def _command_of(turn: Turn) -> tuple[Demand, bool, bool, Held]:
    """Command, release, whether perception is KNOWN, and the stop held after the turn."""
    decision = turn.decision
    assert decision is not None
    known = decision.perception is Perception.KNOWN
    return Demand.of(decision.command), decision.command.release, known, held_of(turn.after)


def _nothing_wrong(turn: Turn) -> bool:
    """No rule and no fault is active, the road is known and every rule permits a release."""
    decision = turn.decision
    assert decision is not None
    others = [one for one in decision.demands if one != turn.after.held_stop]
    free = not others and not decision.unsure and not decision.waiting
    quiet = turn.facts.unacknowledged_in_a_row == 0 and turn.facts.standstill is not None
    return free and quiet and decision.perception is Perception.KNOWN
