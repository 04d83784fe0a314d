"""The explorations of the host's policy, in their order: each as small as it can be, then all
together.

In: a `Work`, which holds the mission and what earlier steps tabled. Out: its `Findings`. The steps
of the microcontroller and of the closed loop are in joint_steps.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge.contract.mission.schema import Mission
from edge.proof.frames.frame_class import RuleFrames
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.laws.declared_ages import age_faults
from edge.proof.machines.core_process import CoreProcess
from edge.proof.machines.factors import factor_fault
from edge.proof.machines.host import Host, HostState, held_of
from edge.proof.machines.misstep_turns import turn_of
from edge.proof.machines.mode_laws import situation_breach, situation_key, table_breaches
from edge.proof.machines.rule_machine import BoundlessRule, RuleMachine, machine_kind, shortened
from edge.proof.proof import Findings
from edge.proof.properties import (
    AGES,
    DECIDES,
    FACTORS,
    IN_TIME,
    MATCHES,
    REACHABLE,
    RECOVERS,
    RULES_END,
)
from edge.proof.turns.arbitration import Arbitration
from edge.proof.turns.checker import Checker
from edge.proof.turns.fault_turns import FaultTurns
from edge.proof.turns.recovery import recover
from edge.proof.turns.rule_turns import RuleTurns, kind_of
from edge.proof.turns.walks import walk
from edge.proof.turns.witnesses import witness
from edge.runtime.policy.policy import initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Mode

Advance = Callable[[int, int], None]


@dataclass
class Work:
    """What the steps share.

    Attributes:
        walk_turns: how many turns of random walks are taken.
        machines: rule -> its machine; rules that differ in names only share one.
        host: the host's table.
        all_demands: every joint demand of rules is in that table.
    """

    mission: Mission
    settings: PolicySettings
    classes: FrameClasses
    core: CoreProcess
    walk_turns: int
    findings: Findings = field(default_factory=Findings)
    machines: dict[str, RuleMachine] = field(default_factory=dict)
    host: Host | None = None
    all_demands: bool = True


def rules_fire(work: Work, advance: Advance) -> None:
    """Every rule matches at its numbers and not below, fires, and makes a difference."""
    findings, rules = work.findings, work.settings.policy.rules
    with findings.measured("stories of each rule") as counted:
        for words in age_faults(work.mission, work.settings):
            findings.add(AGES, words)
        if work.classes.clear is None:
            findings.add(MATCHES, "there is no frame that matches no rule: no road is ever clear")
        for done, rule in enumerate(rules):
            advance(done, len(rules))
            for words in _unlike_asked(work.classes.of[rule.name], done):
                findings.add(MATCHES, f"rule '{rule.name}': {words}")
            found = witness(work.settings, work.classes, rule)
            if not found.fires:
                findings.add(REACHABLE, f"rule '{rule.name}' fires in no story")
            elif not found.decides:
                beside = " and ".join(f"'{name}'" for name in found.beside) or "another demand"
                findings.add(
                    DECIDES,
                    f"rule '{rule.name}' never changes a command: whenever it is active, {beside} "
                    "asks for at least as much",
                )
        counted.states = len(work.classes.distinct())


def _unlike_asked(frames: RuleFrames, at: int) -> list[str]:
    wrong = [one.names[0].text() for one in frames.least if one.verdicts[at] is not True]
    words = [f"it does not match in a frame in which {text}" for text in wrong]
    for less in frames.less:
        if less.verdicts[at] is True:
            words.append(f"it matches though {less.names[0].kind} is just missed")
    if frames.unclear.verdicts[at] is not None:
        words.append("it takes a frame that does not tell for an answer")
    return words


def rules_alone(work: Work, advance: Advance) -> None:
    """Each kind of rule alone, from every state, with every frame at every kind of time."""
    rules = work.settings.policy.rules
    kinds = {kind_of(rule): at for at, rule in reversed(list(enumerate(rules)))}
    with work.findings.measured("each kind of rule alone") as counted:
        for done, at in enumerate(kinds.values()):
            advance(done, len(kinds))
            checker = Checker()
            alone = RuleTurns(work.settings, work.classes, at)
            counted.states += alone.explore(checker)
            counted.edges += checker.turns
            work.findings.add_turns(checker.broken)


def rule_windows(work: Work, advance: Advance) -> None:
    """Each rule's machine with its own window, every state and every turn."""
    findings, rules = work.findings, work.settings.policy.rules
    made: dict[object, RuleMachine] = {}
    with findings.measured("each rule's window of frames") as counted:
        for done, rule in enumerate(rules):
            advance(done, len(rules))
            confirm = shortened(rule.confirm)
            if confirm != rule.confirm:
                findings.notes.append(
                    f"rule '{rule.name}': {rule.confirm.k} of {rule.confirm.of} frames is explored "
                    f"as {confirm.k} of {confirm.of}"
                )
            kind = machine_kind(rule)
            if kind not in made:
                try:
                    made[kind] = RuleMachine(rule)
                except BoundlessRule as error:
                    findings.add("remembers", f"rule '{rule.name}': {error}")
                    continue
                counted.add(made[kind].explore())
                _judge(work, made[kind])
            work.machines[rule.name] = made[kind]


def _judge(work: Work, machine: RuleMachine) -> None:
    findings, rule = work.findings, machine.rule
    for misstep in machine.missteps():
        checker = Checker()
        turn_of(misstep, rule, work.settings, work.classes, checker)
        found = {misstep.law: checker.broken[misstep.law]} if misstep.law in checker.broken else {}
        findings.add_turns(found)
        if not found:
            findings.add(misstep.law, f"rule '{rule.name}': {misstep.text()}")
    frames = machine.frames_to_leave()
    if rule.clear == "never" and frames is not None:
        findings.add(RULES_END, f"rule '{rule.name}' ends, though it never clears")
    if rule.clear != "never" and (frames is None or frames > rule.confirm.of):
        took = "never" if frames is None else f"only after {frames} clear frames"
        findings.add(RULES_END, f"rule '{rule.name}' ends {took}, from some state")


def faults(work: Work, _advance: Advance) -> None:
    """Counters and ages from every level."""
    with work.findings.measured("counters and ages of faults") as counted:
        checker = Checker()
        alone = FaultTurns(work.settings, work.classes)
        counted.states = alone.explore(checker)
        for words in alone.too_slow(checker):
            work.findings.add(IN_TIME, words)
        counted.edges = checker.turns
        work.findings.add_turns(checker.broken)


def demands(work: Work, advance: Advance) -> None:
    """Every set of faults, and every joint demand with every held stop; the host's table and the
    situation of each turn with it."""
    findings, host = work.findings, Host()
    with findings.measured("faults, rules and stops together") as counted:
        checker = Checker()
        weighed = Arbitration(work.settings)
        judged: set[object] = set()
        for turn in weighed.explore(checker):
            if checker.turns % 1000 == 0:
                advance(checker.turns, 0)
            host.hear(turn)
            key = situation_key(turn)
            if key not in judged:
                judged.add(key)
                breach = situation_breach(turn)
                if breach is not None:
                    findings.add(breach.law, breach.text)
        findings.add_turns(checker.broken)
        if not weighed.complete:
            findings.notes.append(
                f"of the rules' joint demands {len(weighed.sets)} were combined with held stops; "
                "the others occur in random walks"
            )
        counted.states, counted.edges = weighed.states, checker.turns
    work.host, work.all_demands = host, weighed.complete


def recovery(work: Work, _advance: Advance) -> None:
    """From the worst state back to a free road."""
    if work.classes.clear is None:
        return
    with work.findings.measured("the worst state until a free road") as counted:
        checker = Checker()
        found = recover(work.settings, work.classes.clear, checker)
        work.findings.add_turns(checker.broken)
        if found.frames is None:
            left = ", ".join(f"'{name}'" for name in found.left) or "its command"
            bound = f"{found.most_frames} clear frames"
            work.findings.add(RECOVERS, f"after {bound} at standstill there is still {left}")
        counted.states = counted.edges = checker.turns


def modes(work: Work, _advance: Advance) -> None:
    """The table of the modes, and the host's states with their modes."""
    assert work.host is not None
    with work.findings.measured("modes") as counted:
        for breach in table_breaches():
            work.findings.add(breach.law, breach.text)
        work.host.close(HostState(True, held_of(initial(work.settings)), Mode.STARTING))
        counted.states = len(work.host.states)
        counted.edges = sum(map(len, work.host.outcomes))


def walks(work: Work, advance: Advance) -> None:
    """Random walks of the whole policy: all laws, and the factors against the whole."""
    assert work.host is not None
    with work.findings.measured("random walks of the whole") as counted:
        checker = Checker()
        taken = walk(work.settings, work.classes, checker, turns=work.walk_turns, seed=0)
        for done, turn in enumerate(taken):
            if done % 1000 == 0:
                advance(done, work.walk_turns)
            words = factor_fault(turn, work.machines, work.host if work.all_demands else None)
            if words is not None:
                work.findings.add(FACTORS, words)
        work.findings.add_turns(checker.broken)
        counted.states = counted.edges = checker.turns


STEPS: dict[str, Callable[[Work, Advance], None]] = {
    "stories of each rule": rules_fire,
    "each kind of rule alone": rules_alone,
    "each rule's window of frames": rule_windows,
    "counters and ages of faults": faults,
    "faults, rules and stops together": demands,
    "the worst state until a free road": recovery,
    "modes": modes,
    "random walks of the whole": walks,
}
