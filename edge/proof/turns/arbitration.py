"""Explores every turn of `decide` that weighs demands: all faults at once, and each joint demand of
the faults with each joint demand of the rules, each held stop, and each permission to release.

In: settings. Out: the turns of the second kind, of which the closed loop is made. The command is a
function of the demands, of which only the gravest action, the lowest ceiling and the hardest
braking count: the law "numbers" says so and is checked in every turn. So any set of active rules is
stood for by at most three of them that have the same joint demand (edge/proof/turns/walks.py
compares with others); in these turns the policy has no other rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge.contract.mission.sections.policy import Rule
from edge.proof.laws.turn import Turn
from edge.proof.turns.checker import NOW_NS, QUIET, Checker
from edge.proof.turns.fault_turns import age_points
from edge.runtime.policy.facts import Demand, Facts
from edge.runtime.policy.fault_counter import FaultCounter, FaultTime
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.rule_state import RuleState
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action

Joint = tuple[int, float, float]
"""Gravest action, lowest ceiling (m/s), hardest braking (m/s2)."""

_NONE: Joint = (0, 1e9, 0.0)


@dataclass(frozen=True)
class Faults:
    """Which faults hold in a turn, other than late commands."""

    age_ns: int | None
    newest_known: bool
    stale: bool
    unknown: bool
    late: bool
    ending: bool
    gone: bool
    hung: bool


SETS_MOST, HELD_MOST = 120, 12
"""Joint demands of rules, and held stops, that are explored; few policies have more."""


class Arbitration:
    """The turns that weigh demands.

    Attributes:
        sets: sets of rules, by their numbers, one for each joint demand.
        complete: there are no other joint demands and held stops.
        states: number of states from which turns were taken.
    """

    def __init__(self, settings: PolicySettings) -> None:
        self._settings = settings
        every = joint_demands(settings.policy.rules)
        self.sets, self.complete, self.states = every[:SETS_MOST], len(every) <= SETS_MOST, 0
        self._initial = initial(settings)
        self._limit = settings.comfort_stop_after_ns - settings.slow_down_after_ns
        step = settings.commands_a_step
        self._rows = (0, step - 1, step, 2 * step, 3 * step, 4 * step, 100 * step)

    def explore(self, checker: Checker) -> Iterator[Turn]:
        """Takes all turns; gives those of the second kind."""
        representatives: dict[object, Faults] = {}
        none = self._with_rules(())
        for faults in self._all_faults():
            before = self._before(faults, none)
            self.states += 1
            for row, often in itertools.product(self._rows, (False, True)):
                facts = self._facts(faults, row=row, often=often)
                turn = checker.take(none, facts, before)
                if not row and not often and turn.decision is not None:
                    joint = join(map(_of_demand, turn.decision.demands))
                    seen = (turn.decision.waiting, turn.decision.perception, facts.ending)
                    representatives.setdefault((joint, seen), faults)
        yield from self._weighed(checker, list(representatives.values()))

    def _weighed(self, checker: Checker, faults: Sequence[Faults]) -> Iterator[Turn]:
        """Every joint demand of rules and faults with every held stop, from those that come out."""
        helds = [self._initial.held_stop]
        kinds = {_kind(held) for held in helds}
        for held in helds:  # grows meanwhile
            for turn in self._with_held(checker, faults, held):
                yield turn
                after = turn.after.held_stop
                if checker.lawful and _kind(after) not in kinds:
                    kinds.add(_kind(after))
                    helds.append(after)
            if len(helds) > HELD_MOST:
                self.complete = False
                del helds[HELD_MOST:]

    def _with_held(
        self, checker: Checker, faults: Sequence[Faults], held: Demand | None
    ) -> Iterator[Turn]:
        for rules, permits in itertools.product(self.sets, (True, False)):
            settings = self._with_rules(rules)
            for one in faults:
                before = self._before(one, settings, active=bool(rules), permits=permits, held=held)
                self.states += 1
                for standstill, row, often in self._reports():
                    facts = replace(self._facts(one, row=row, often=often), standstill=standstill)
                    yield checker.take(settings, facts, before)

    def _with_rules(self, rules: tuple[int, ...]) -> PolicySettings:
        """The same policy with these rules alone; with none of them, its first one, silent."""
        every = self._settings.policy.rules
        some = tuple(every[at] for at in rules) or every[:1]
        policy = self._settings.policy.model_copy(update={"rules": some})
        return replace(self._settings, policy=policy)

    def _reports(self) -> Iterator[tuple[bool | None, int, bool]]:
        """Standstill, late commands in a row, and whether too many are late."""
        yield from itertools.product((True, False), self._rows[:1] + self._rows[2:6], (False,))
        yield from itertools.product((True, None), (0,), (True, False))

    def _all_faults(self) -> Iterator[Faults]:
        flags = (False, True)
        ages: list[int | None] = [None]
        ages += age_points(self._settings)[1::2]
        for age in ages:
            for newest in (False,) if age is None else flags:
                for rest in itertools.product(flags, repeat=6):
                    yield Faults(age, newest, *rest)

    def _facts(self, faults: Faults, *, row: int, often: bool) -> Facts:
        return replace(
            QUIET,
            ending=faults.ending,
            camera_gone=faults.gone,
            inference_hung=faults.hung,
            unacknowledged_in_a_row=row,
            commands_often_late=often,
        )

    def _before(
        self,
        faults: Faults,
        settings: PolicySettings,
        *,
        active: bool = False,
        permits: bool = True,
        held: Demand | None = None,
    ) -> PolicyState:
        known_ns = None if faults.age_ns is None else NOW_NS - faults.age_ns
        level = float(self._limit) if faults.stale else 0.0
        rules = settings.policy.rules
        return PolicyState(
            rules=tuple(_rule_state(rule, active=active, permits=permits) for rule in rules),
            stale=FaultTime(self._limit, level, NOW_NS, active=faults.stale),
            unknown=_counter(self._initial.unknown.limit, active=faults.unknown),
            late=_counter(self._initial.late.limit, active=faults.late),
            known_ns=known_ns,
            newest_ns=known_ns,
            newest_known=faults.newest_known,
            held_stop=held,
        )


def _rule_state(rule: Rule, *, active: bool, permits: bool) -> RuleState:
    """A rule that is active or not, and permits a release or not.

    An active rule matched just now, so that its hold or its window keeps it; where it is to permit
    a release and stops the vehicle, its window is clear, and it may end in the turn.
    """
    match = active and not (permits and rule.action.endswith("STOP"))
    return RuleState(
        window=(False,) * (rule.confirm.of - 1) + (match,),
        active=active,
        last_match_ns=NOW_NS if active else None,
        conclusive_since_gap=rule.confirm.of if permits else 0,
        newest_conclusive=True,
    )


def joint_demands(rules: Sequence[Rule]) -> list[tuple[int, ...]]:
    """Sets of at most three rules, one for each joint demand that any set of rules can have."""
    joints: dict[Joint, tuple[int, ...]] = {_NONE: ()}
    single = list(dict.fromkeys(_of_rule(rule) for rule in rules))
    first = {_of_rule(rule): at for at, rule in reversed(list(enumerate(rules)))}
    for size in (1, 2, 3):
        for some in itertools.combinations(single, size):
            joints.setdefault(join(some), tuple(sorted(first[one] for one in some)))
    return list(joints.values())


def join(demands: Iterable[Joint]) -> Joint:
    """The joint demand of several."""
    action, ceiling, braking = _NONE
    for one in demands:
        action, ceiling = max(action, one[0]), min(ceiling, one[1])
        braking = max(braking, one[2])
    return action, ceiling, braking


def _of_rule(rule: Rule) -> Joint:
    ceiling = 1e9 if rule.speed_ceiling_mps is None else rule.speed_ceiling_mps
    braking = 0.0 if rule.action == "NOTIFY" else rule.deceleration_mps2 or 0.0
    return Action[rule.action], ceiling, braking


def _kind(held: Demand | None) -> tuple[object, ...] | None:
    """Held stops of one kind differ in names only."""
    return None if held is None else (held.kind, held.action, held.deceleration_mps2)


def _of_demand(demand: Demand) -> Joint:
    ceiling = 1e9 if demand.speed_ceiling_mps is None else demand.speed_ceiling_mps
    return demand.action, ceiling, demand.deceleration_mps2


def _counter(limit: float, *, active: bool) -> FaultCounter:
    return FaultCounter(limit, limit if active else 0.0, active)
