"""The closed loop: what a real run visits was explored, and what cannot be left is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcu_probe import Mcu, Probe
from policies.proof_road import PERSON, mission_with, rule, settings_of

from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.machines.closed_loop import ClosedLoop
from edge.proof.machines.core_process import CoreProcess
from edge.proof.machines.frontier import UNREACHED, reach
from edge.proof.machines.host import Host, HostState, Outcome, held_of
from edge.proof.machines.microcontroller import Microcontroller
from edge.proof.turns.arbitration import Arbitration
from edge.proof.turns.checker import MS, QUIET, Checker
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.modes import next_mode, situation
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.emulation.build import build_firmware, default_build_folder
from firmware_bridge.protocol.messages import Action, Mode

STOP = {"action": "EMERGENCY_STOP", "clear": "standstill", "braking_mps2": 6.0}
CAP = {"action": "CAP_SPEED", "ceiling_mps": 8.0, "braking_mps2": 1.5}
RULES = (
    rule("person", PERSON, k=2, of=3, **STOP),  # type: ignore[arg-type]
    rule("wet", 'scene = "wet", confidence = 0.6', **CAP),  # type: ignore[arg-type]
)


class Explored:
    """Host, core and their closed loop, explored once."""

    def __init__(self, folder: Path) -> None:
        self.settings, self.classes = settings_of(mission_with(folder, *RULES))
        checker = Checker()
        self.host = Host()
        for turn in Arbitration(self.settings).explore(checker):
            self.host.hear(turn)
        assert checker.broken == {}
        self.host.close(HostState(True, held_of(initial(self.settings)), Mode.STARTING))
        self.demands = {one: one for one in self.host.demands}
        program = build_firmware(default_build_folder(), target="table")
        with CoreProcess(program) as core:
            self.mcu = Microcontroller.under_any_host(core, self.demands)
        self.loop = ClosedLoop(self.host, self.mcu, self.demands)
        self.joint = self.loop.explore()

    def seen(self) -> set[tuple[tuple[int, ...], HostState]]:
        """What is applied together with the host's state, in every reached joint state."""
        m, _, h = self.loop.parts(self.joint.reached)
        pairs = np.unique(np.column_stack([self.mcu.applied[m], h]), axis=0)
        return {(tuple(map(int, row[:3])), self.host.states[int(row[3])]) for row in pairs}


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return Explored(tmp_path_factory.mktemp("loop"))


def test_every_joint_state_drives_again_once_nothing_is_wrong(explored: Explored) -> None:
    turns, stuck = explored.loop.turns_to_drive(explored.joint)
    assert len(stuck) == 0
    assert 1 < turns < 10
    assert explored.joint.states > 10_000
    assert explored.joint.edges > 1_000_000


def test_a_way_is_told_in_words(explored: Explored) -> None:
    far = int(explored.joint.depth.argmax())
    words = explored.loop.way_to(explored.joint, far)
    assert len(words) == explored.joint.depth[far] > 3
    assert all(words)
    assert "the host commands" in " ".join(words)
    assert "applied, the vehicle" in explored.loop.describe(far)


@pytest.fixture
def core_of_the_run() -> Iterator[Mcu]:
    with Probe(build_firmware(default_build_folder(), target="probe")) as running:
        yield Mcu(running)


class Run:
    """The real policy and the compiled core in real milliseconds, with faults and a lossy line."""

    def __init__(self, explored: Explored, mcu: Mcu, seed: int) -> None:
        self.settings: PolicySettings = explored.settings
        self.classes: FrameClasses = explored.classes
        self.mcu, self.dice = mcu, random.Random(seed)
        self.state, self.mode = initial(self.settings), Mode.STARTING
        mcu.update(mcu.hello())

    def turn(self) -> tuple[tuple[int, ...], HostState]:
        """One turn; what is applied after it, and the host's state."""
        dice, mcu = self.dice, self.mcu
        calm = dice.random() < 0.9
        mcu.now_ms += dice.choice((7, 20, 20, 40)) if calm else dice.choice((130, 280, 320, 1100))
        if dice.random() < 0.1:
            mcu.speed_cmps = dice.choice((0, 0, 900))
            mcu.speed_valid = dice.random() < 0.95
        now_ns = mcu.now_ms * MS
        facts = self._facts(now_ns, calm=calm)
        self.state, decision = decide(self.settings, facts, self.state, now_ns)
        self.mode = next_mode(self.mode, situation(facts, decision))
        beat = mcu.beat(perception=decision.perception, camera_age_ms=0)
        command = mcu.frame(decision.command)
        sent = [one for one in (beat, command) if dice.random() < (0.97 if calm else 0.5)]
        answer = mcu.update(*sent)
        applied = (int(answer.action), answer.ceiling_cmps, answer.deceleration_cmps2)
        return applied, HostState(decision.waiting, held_of(self.state), self.mode)

    def _facts(self, now_ns: int, *, calm: bool) -> Facts:
        dice, mcu = self.dice, self.mcu
        shown: FrameClass | None = self.classes.clear
        if not calm:
            shown = dice.choice((None, *self.classes.distinct()))
        stands = mcu.speed_valid and mcu.speed_cmps <= 10
        return replace(
            QUIET,
            frame=None if shown is None else shown.at(now_ns),
            camera_gone=not calm and dice.random() < 0.2,
            unacknowledged_in_a_row=0 if calm else dice.choice((0, 5, 20)),
            standstill=stands if calm else dice.choice((stands, None)),
            effective_action=dice.choice((None, Action.NONE, Action.COMFORT_STOP)),
            link_up=calm,
        )


@pytest.mark.requirement("R-RUN-123")
def test_a_run_in_real_milliseconds_visits_only_what_was_explored(
    explored: Explored, core_of_the_run: Mcu
) -> None:
    known = explored.seen()
    run = Run(explored, core_of_the_run, seed=4)
    visited = {run.turn() for _ in range(4000)}
    assert visited - known == set()
    actions = {Action(applied[0]) for applied, _ in visited}
    assert actions >= {Action.NONE, Action.SLOW_DOWN, Action.COMFORT_STOP, Action.EMERGENCY_STOP}
    assert {host.mode for _, host in visited} == set(Mode) - {Mode.STARTING} | {Mode.SAFE}


class NeverReleases(Host):
    """The same host, whose stop nothing ends."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        kept = [replace(one, held=host.states[0].held) for one in host.states]
        self.states = list(dict.fromkeys(kept))
        number = dict(zip(host.states, kept, strict=True))
        outcomes: dict[HostState, dict[Outcome, None]] = {state: {} for state in self.states}
        for state, found in zip(host.states, host.outcomes, strict=True):
            for one in found:
                changed = replace(one, release=False, after=number[one.after])
                outcomes[number[state]][changed] = None
        self.outcomes = [tuple(outcomes[state]) for state in self.states]
        self._host = host

    def recovery(self, state: HostState, *, stands: bool, stop_applied: bool) -> Outcome | None:
        found = self._host.recovery(state, stands=stands, stop_applied=stop_applied)
        return None if found is None else replace(found, release=False, after=state)


def test_a_host_that_never_releases_cannot_be_left(explored: Explored) -> None:
    loop = ClosedLoop(NeverReleases(explored.host), explored.mcu, explored.demands)
    joint = loop.explore()
    _, stuck = loop.turns_to_drive(joint)
    assert len(stuck) == joint.states > 100


def test_the_frontier_counts_each_edge_once_and_finds_shortest_ways() -> None:
    """A ring of ten with a jump: 3 letters, one of which only even states take."""

    def take(states: np.ndarray, letter: int) -> tuple[np.ndarray, np.ndarray]:
        if letter == 2:
            even = states[states % 2 == 0]
            return even, (even + 4) % 10
        return states, (states + (1 if letter else 0)) % 10

    found = reach(np.zeros(1, np.int32), take, letters=3, size=12)
    assert found.states == 10
    assert found.edges == 10 + 10 + 5
    assert found.depth[9] == 3  # 4, 8, 9
    assert [letter for _, letter in found.way_to(9)] == [2, 2, 1]
    assert found.depth[11] == UNREACHED
