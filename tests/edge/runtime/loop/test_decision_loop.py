"""The decision loop on a simulated clock, with a link in memory: what is sent, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_road import tiny_mission

from edge.perception.pixel_formats import Picture
from edge.perception.values import Detections, Frame, Known, Unknown
from edge.runtime.loop.capture import CameraState, CaptureFacts
from edge.runtime.loop.decision_loop import DecisionLoop, Turn
from edge.runtime.loop.inference import Result
from edge.runtime.loop.latency_budget import END_TO_END, TO_ACKNOWLEDGE, Budgets
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.recording.timeline import Stamp, Timeline
from firmware_bridge.link.driver import SentCommand
from firmware_bridge.link.facts import LinkCounts, LinkEvent, LinkFacts
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.messages import (
    AckResult,
    Action,
    Canary,
    Heartbeat,
    Mode,
    Perception,
    SafetyCommand,
)

MS = 1_000_000


class Clock:
    """Stands still, or goes on by `tick_ns` each time it is looked at."""

    now_ns = 5_000_000_000
    tick_ns = 0

    def __call__(self) -> int:
        self.now_ns += self.tick_ns
        return self.now_ns


class MemoryLink:
    """Takes commands 2 ms after they are sent, acknowledges them 3 ms later, and obeys."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[tuple[SafetyCommand, Heartbeat]] = []
        self.log: list[LinkEvent] = []
        self.up = True
        self.now = LinkFacts(
            state=LinkState.ESTABLISHED,
            vehicle_speed_mps=0.0,
            vehicle_age_ms=1.0,
            standstill=True,
            operator_request=False,
            effective_action=Action.COMFORT_STOP,
            effective_age_ms=1.0,
            stop_latched=True,
            applied_ceiling_mps=0.0,
            applied_deceleration_mps2=1.0,
            faults=(),
            mcu_tick_ms=1,
            last_ack=None,
            unacknowledged_in_a_row=0,
            counts=LinkCounts(),
            first_fault=None,
            refusal=None,
        )

    def send(self, command: SafetyCommand, heartbeat: Heartbeat) -> SentCommand | None:
        if not self.up:
            return None
        sent_ns, counter = self.clock.now_ns, len(self.sent)
        self.sent.append((command, heartbeat))
        self.clock.now_ns += 2 * MS
        values = {
            "counter": counter,
            "result": AckResult.ACCEPTED,
            "action": command.action,
            "tick_ms": 0,
            "round_trip_ns": 5 * MS,
        }
        event = LinkEvent(
            sequence=len(self.log) + 1,
            mono_ns=self.clock.now_ns + 3 * MS,
            kind="ack",
            values=values,
        )
        self.log.append(event)
        self.now = replace(self.now, effective_action=command.action)
        return SentCommand(counter=counter, sent_ns=sent_ns, written_ns=self.clock.now_ns)

    def facts(self, now_ns: int) -> LinkFacts:
        return self.now

    def events(self, after: int = 0) -> tuple[LinkEvent, ...]:
        return tuple(e for e in self.log if e.sequence > after)


class Network:
    """Stands for the inference thread: as busy as a test says."""

    busy = 0.0
    hung_after_ms = 200.0
    lost: str | None = None

    def busy_ms(self, now_ns: int) -> float:
        return self.busy


class Rig:
    def __init__(self, root: Path) -> None:
        mission = tiny_mission(root)
        self.clock, self.network, self.turns = Clock(), Network(), list[Turn]()
        self.link = MemoryLink(self.clock)
        self.budgets = Budgets(mission.budget)
        self.camera = CaptureFacts(CameraState.LIVE)
        self.loop = DecisionLoop(
            PolicySettings.of(mission, fps=25.0),
            self.budgets,
            link=self.link,
            camera=lambda: self.camera,
            inference=self.network,
            clock=self.clock,
            on_turn=self.turns.append,
        )
        self.index = 0

    def result(self, *, age_ms: int = 10, known: bool = True) -> Result:
        self.index += 1
        captured_ns = self.clock.now_ns - age_ms * MS
        self.camera = replace(self.camera, captured=self.index, newest_ns=captured_ns)
        return Result(
            Frame(Picture(np.zeros((100, 100, 3), np.uint8)), captured_ns, "read", self.index),
            Known(Detections.empty()) if known else Unknown("NaN"),
            (),
            {"grab": 1.0, "infer": 5.0},
        )


@pytest.fixture
def rig(root: Path) -> Rig:
    return Rig(root)


@pytest.fixture
def released(rig: Rig) -> Rig:
    """The first five frames, the window of the mission's rules, are looked at; nothing was sent."""
    for _ in range(5):
        rig.loop.turn(rig.result())
    assert [command.release for command, _ in rig.link.sent] == [False] * 4 + [True]
    rig.link.sent.clear()
    rig.turns.clear()
    return rig


def test_every_turn_sends_one_command_and_a_heartbeat_that_moved(rig: Rig) -> None:
    rig.loop.turn(None)
    for _ in range(5):
        rig.loop.turn(rig.result())
    rig.loop.turn(None)
    assert [beat.loop_sequence for _, beat in rig.link.sent] == [1, 2, 3, 4, 5, 6, 7]
    assert {beat.canary for _, beat in rig.link.sent} == {Canary.NOT_RUN}
    actions = [command.action for command, _ in rig.link.sent]
    assert actions == [Action.COMFORT_STOP] * 5 + [Action.NONE] * 2
    verdicts = [beat.perception for _, beat in rig.link.sent]
    assert verdicts == [Perception.UNKNOWN] + [Perception.KNOWN] * 6
    assert [turn.mode for turn in rig.turns][:1] == [Mode.STARTING]
    assert rig.turns[-1].mode is Mode.NORMAL


def test_the_heartbeat_tells_the_cameras_age(rig: Rig) -> None:
    rig.loop.turn(None)
    rig.loop.turn(rig.result(age_ms=30))
    rig.clock.now_ns += 90_000 * MS
    rig.loop.turn(None)
    ages = [beat.camera_age_ms for _, beat in rig.link.sent]
    assert ages[:2] == [65535, 30]
    assert ages[2] == 65535


def test_latency_is_measured_from_capture_to_written_and_to_acknowledge(rig: Rig) -> None:
    rig.loop.turn(rig.result(age_ms=10))
    assert rig.budgets.histogram(END_TO_END).max_ms == pytest.approx(12.0)
    assert rig.budgets.histogram(TO_ACKNOWLEDGE).max_ms == pytest.approx(15.0)
    assert rig.budgets.histogram("send").max_ms == pytest.approx(2.0)
    assert rig.budgets.histogram("infer").count == 1
    rig.loop.turn(None)
    assert rig.budgets.histogram(END_TO_END).count == 1


def test_a_link_that_is_down_is_a_state_and_the_loop_goes_on(released: Rig) -> None:
    rig = released
    rig.link.up = False
    rig.link.now = replace(
        rig.link.now, state=LinkState.DISCONNECTED, effective_action=None, standstill=None
    )
    turn = rig.loop.turn(rig.result())
    assert turn.sent is None
    assert turn.end_to_end_ms is None
    assert turn.mode is Mode.DEGRADED
    rig.link.up = True
    rig.link.now = replace(rig.link.now, state=LinkState.ESTABLISHED, standstill=True)
    assert rig.loop.turn(rig.result()).mode is Mode.NORMAL


def test_an_unknown_frame_makes_the_heartbeat_bad_at_once(released: Rig) -> None:
    rig = released
    rig.loop.turn(rig.result(known=False))
    assert rig.link.sent[-1][1].perception is Perception.UNKNOWN
    assert rig.turns[-1].mode is Mode.DEGRADED


def test_runs_until_the_results_end(released: Rig) -> None:
    rig = released
    results: Mailbox[Result] = Mailbox()
    results.put(rig.result())
    results.close()
    ended = _run(rig, results)
    assert ended == "source ended"
    actions = [command.action for command, _ in rig.link.sent]
    assert actions == [Action.NONE, Action.NONE]


@pytest.mark.requirement("R-RUN-8")
def test_a_hung_network_stops_the_vehicle_and_then_ends_the_run(released: Rig) -> None:
    rig = released
    results: Mailbox[Result] = Mailbox()
    rig.loop.turn(rig.result())

    def worse() -> None:
        rig.network.busy += 150.0

    assert _run(rig, results, when_idle=worse) == "inference hung"
    actions = [command.action for command, _ in rig.link.sent]
    assert actions[:4] == [Action.NONE] * 4  # up to 150 ms
    assert actions[4] is Action.COMFORT_STOP  # 300 ms


@pytest.mark.requirement("R-RUN-90")
def test_a_lost_device_stops_the_vehicle_in_the_next_turn_and_ends_the_run(released: Rig) -> None:
    """The inference thread says why before it finishes its results, as at a source's end."""
    rig = released
    results: Mailbox[Result] = Mailbox()
    rig.loop.turn(rig.result())
    sent = len(rig.link.sent)
    rig.network.lost = "cuEventQuery: unspecified launch failure"
    results.close()
    assert _run(rig, results) == "device lost"
    (command, _), *more = rig.link.sent[sent + 1 :]  # behind the turn with which a run begins
    assert command.action is Action.COMFORT_STOP
    assert not more


def test_a_network_that_is_slow_once_does_not_end_the_run(rig: Rig) -> None:
    results: Mailbox[Result] = Mailbox()
    rig.loop.turn(rig.result())
    busy = iter([250.0, 0.0, 0.0])
    asked = iter([False, False, False, True])

    def next_busy() -> None:
        rig.network.busy = next(busy)

    assert _run(rig, results, when_idle=next_busy, asked=lambda: next(asked)) == "asked to"
    assert Action.COMFORT_STOP in {command.action for command, _ in rig.link.sent}


@pytest.mark.requirement("R-RUN-9")
def test_the_end_commands_a_stop_until_it_is_acknowledged(rig: Rig) -> None:
    rig.loop.turn(rig.result())
    assert rig.loop.end(within_s=1.0)
    assert rig.link.sent[-1][0].action is Action.COMFORT_STOP
    assert rig.turns[-1].mode is Mode.STOPPED


def test_the_end_gives_up_on_a_link_that_is_down(rig: Rig) -> None:
    rig.link.up = False
    rig.clock.tick_ns = MS
    assert not rig.loop.end(within_s=0.1)


def _run(
    rig: Rig,
    results: Mailbox[Result],
    *,
    when_idle: Callable[[], None] = lambda: None,
    asked: Callable[[], bool] = lambda: False,
) -> str:
    return rig.loop.run(results, period_s=0.001, should_end=asked, when_idle=when_idle)


def test_a_timeline_never_says_acknowledged_before_commanded() -> None:
    """The acknowledge may be read by the link's thread before the writer is back."""
    from edge.runtime.policy.facts import Decision, Demand
    from firmware_bridge.protocol.messages import Reason

    demand = Demand("rule", "rule", Action.CAP_SPEED, 5.0, 1.0, Reason.POLICY_RULE)
    command = SafetyCommand(
        action=Action.CAP_SPEED,
        release=False,
        speed_ceiling_mps=5.0,
        deceleration_limit_mps2=1.0,
        valid_for_ms=250,
        reason=Reason.POLICY_RULE,
    )
    decision = Decision(command, demand, (demand,), Perception.KNOWN, False, ("rule",))
    timeline = Timeline()
    timeline.on_decision(decision, [], Stamp(100.0, 0.1, 2), Stamp(90.0, 0.09, 2))
    timeline.on_effective(Action.NONE, 0, Stamp(0.0, None, None))
    timeline.on_command(Action.CAP_SPEED, 7, 101 * MS, Stamp(106.0, 0.106, 2))
    timeline.on_effective(Action.CAP_SPEED, 103 * MS, Stamp(103.0, 0.103, 2))
    timeline.on_acknowledge(7, Stamp(104.0, 0.104, 2))
    timeline.on_effective(Action.NONE, 500 * MS, Stamp(500.0, 0.5, 12))
    (episode,) = timeline.episodes
    assert [episode.moments[m].mono_ms for m in ("first_seen", "confirmed")] == [90.0, 100.0]
    assert episode.moments["commanded"].mono_ms <= episode.moments["acknowledged"].mono_ms == 104.0
    assert episode.moments["effective"].mono_ms == 103.0
    assert episode.moments["released"].mono_ms == 500.0
