"""Commands after lost, late, repeated and reordered acknowledges: never milder than docs/runtime.md
says, through any number of sessions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_road import LABELS, chosen, tiny_mission, write_clip, write_network

from edge.contract.mission.schema import Mission
from edge.runtime.daemon import run
from edge.runtime.policy.facts import Decision, Facts, FrameFacts
from edge.runtime.policy.policy import PolicyState, decide, initial
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.track import Track
from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.link.ports import SerialPort
from firmware_bridge.link.session import Link
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.codec import PROTOCOL_VERSION, contract_hash, decode, encode
from firmware_bridge.protocol.frame import Deframer, LinkFrame, pack
from firmware_bridge.protocol.limits import limits_hash
from firmware_bridge.protocol.messages import (
    Acknowledge,
    AckResult,
    Action,
    Canary,
    Heartbeat,
    McuHello,
    Message,
    Mode,
    Perception,
    SafetyCommand,
    Status,
    VehicleState,
)

MS = 1_000_000
TURN_MS = 20
STANDS = (AckResult.ACCEPTED, AckResult.CLIPPED, AckResult.RELEASE_REFUSED_MOVING)


@dataclass
class Answers:
    """The microcontroller's part of the line, made of what a test says becomes of each answer."""

    boot_id: int = 1
    counter: int = 0
    tick_ms: int = 0
    coming: list[tuple[int, Acknowledge]] = field(default_factory=list)

    def frame(self, message: Message) -> bytes:
        self.counter = (self.counter + 1) % 65536
        identity, payload = encode(message)
        return pack(LinkFrame(message_id=identity, counter=self.counter, payload=payload))

    def reports(self) -> bytes:
        state = VehicleState(speed_mps=9.0, standstill=False, operator_request=False)
        status = Status(
            effective_action=Action.NONE,
            stop_latched=False,
            applied_ceiling_mps=60.0,
            applied_deceleration_mps2=0.0,
            faults=(),
            tick_ms=self.tick_ms % (1 << 24),
        )
        return self.frame(status) + self.frame(state)

    def hello(self) -> bytes:
        return self.frame(
            McuHello(
                version=PROTOCOL_VERSION,
                boot_id=self.boot_id,
                contract_hash=contract_hash(),
                limits_hash=limits_hash(),
            )
        )


@dataclass
class Command:
    """What the test knows of one command: when it was due, when it was answered, and whether the
    answer says that it stands."""

    due_ms: int
    counter: int | None
    answer: tuple[int, bool] | None = None


@dataclass
class Road:
    """Link and policy in turns of 20 ms on one clock, with a perceived, empty road before them."""

    settings: PolicySettings
    times: LinkTimes
    now_ms: int = 0
    answers: Answers = field(default_factory=Answers)
    commands: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = Link(7, times=self.times)
        self.link.opened(0)
        self.state: PolicyState = replace(initial(self.settings), held_stop=None)
        self.turn_number = 0
        self.link.poll(0)
        self.hear(self.answers.hello() + self.answers.reports())
        assert self.link.state is LinkState.ESTABLISHED

    def hear(self, data: bytes) -> None:
        self.link.received(data, self.now_ms * MS)

    def turn(
        self, answer: dict[str, Any], *, event: str = "", vehicle: bool = False
    ) -> tuple[Decision, Decision]:
        """One turn; the decision, and the one that the same turn makes without missing answers."""
        self.now_ms += TURN_MS
        self.answers.tick_ms += TURN_MS
        self._happen(event)
        if self.link.poll(self.now_ms * MS) and event != "deaf":
            self.hear(self.answers.hello())
        if event != "deaf":
            self.hear(self.answers.reports())
        self._deliver()
        now_ns = self.now_ms * MS
        link = self.link.facts(now_ns)
        facts = Facts(
            frame=FrameFacts(now_ns, True, (VEHICLE,) if vehicle else (), (100, 100)),
            camera_gone=False,
            inference_hung=False,
            late_share=None,
            unacknowledged_in_a_row=link.unacknowledged_in_a_row,
            standstill=link.standstill,
            operator_request=False,
            effective_action=link.effective_action,
            link_up=link.up,
            ending=False,
            commands_often_late=link.often_late,
        )
        calm = replace(facts, unacknowledged_in_a_row=0, commands_often_late=False)
        _, usual = decide(self.settings, calm, self.state, now_ns)
        self.state, decision = decide(self.settings, facts, self.state, now_ns)
        self._send(decision.command, answer)
        return decision, usual

    def _happen(self, event: str) -> None:
        now_ns = self.now_ms * MS
        if event == "reboot":
            self.answers.boot_id = (self.answers.boot_id + 1) % 256
            self.answers.coming.clear()
        elif event == "unplug":
            self.link.lost(now_ns, "unplugged")
            self.link.opened(now_ns)
        elif event == "newest" and self.commands and self.commands[-1].counter is not None:
            self._acknowledge(
                Acknowledge(
                    command_counter=self.commands[-1].counter,
                    result=AckResult.ACCEPTED,
                    effective_action=Action.NONE,
                    tick_ms=0,
                )
            )

    def _deliver(self) -> None:
        due = [ack for at_ms, ack in self.answers.coming if at_ms <= self.now_ms]
        self.answers.coming = [(at, ack) for at, ack in self.answers.coming if at > self.now_ms]
        for ack in due:
            self._acknowledge(ack)

    def _acknowledge(self, ack: Acknowledge) -> None:
        """It arrives; what arrives while nobody is greeted is not heard."""
        self.hear(self.answers.frame(ack))
        heard = self.link.state is LinkState.ESTABLISHED
        for command in self.commands[-160:]:
            new = command.counter == ack.command_counter and command.answer is None
            if heard and new:
                command.answer = (self.now_ms, ack.result in STANDS)

    def _send(self, command: SafetyCommand, answer: dict[str, Any]) -> None:
        self.turn_number += 1
        beat = Heartbeat(
            loop_sequence=self.turn_number,
            perception=Perception.KNOWN,
            camera_age_ms=10,
            mode=Mode.NORMAL,
            canary=Canary.NOT_RUN,
        )
        packed = self.link.command(command, beat, now_ns=self.now_ms * MS)
        counter = None if packed is None else packed[0]
        self.commands.append(Command(self.now_ms, counter))
        if counter is None or answer["after_ms"] is None:
            return
        ack = Acknowledge(
            command_counter=counter,
            result=answer["result"],
            effective_action=command.action,
            tick_ms=0,
        )
        for _ in range(answer["times"]):
            self.answers.coming.append((self.now_ms + answer["after_ms"], ack))

    def in_time(self, command: Command) -> bool:
        """It was answered within the time, and the answer says that it stands."""
        limit_ms = self.times.acknowledge_ms
        return (
            command.answer is not None
            and command.answer[1]
            and command.answer[0] - command.due_ms <= limit_ms
        )

    def row(self) -> int:
        """Late commands since the newest one that was answered in time, counted anew."""
        row = 0
        for command in reversed(self.commands):
            if self.in_time(command):
                break
            row += self.now_ms - command.due_ms > self.times.acknowledge_ms
        return row

    def late_of_the_last(self, count: int) -> int:
        """How many late ones there are among the last of those of which it is known."""
        outcomes: list[tuple[int, bool]] = []
        for command in self.commands[-160:]:
            late_ms = command.due_ms + self.times.acknowledge_ms
            if self.in_time(command):
                assert command.answer is not None
                outcomes.append((command.answer[0], False))
            elif self.now_ms > late_ms:
                outcomes.append((late_ms + 1, True))
        # Of what happens in the same turn the late ones come last here.
        return sum(late for _, late in sorted(outcomes)[-count:])


@pytest.fixture(scope="module")
def mission(root: Path) -> Mission:
    vehicle = {
        "name": "vehicle",
        "why": "keep room",
        "when": {"label": "vehicle", "confidence": 0.5},
        "confirm": {"k": 1, "of": 1},
        "action": "CAP_SPEED",
        "speed_ceiling_mps": 4.0,
        "deceleration_mps2": 1.5,
        "clear": "when_gone",
    }
    return tiny_mission(root, camera={"fps": 25.0}, policy={"rules": [vehicle]})


def road_of(mission: Mission) -> Road:
    link = mission.link
    times = LinkTimes(acknowledge_ms=link.acknowledge_within_ms, late_share_max=link.late_share_max)
    return Road(PolicySettings.of(mission, fps=25.0), times)


VEHICLE = Track(
    1, (45.0, 60.0, 55.0, 90.0), 0.8, LABELS.index("vehicle"), 0, 1, 0, 0, 0, math.inf, "boxes"
)
PROMPT = {"after_ms": 20, "result": AckResult.ACCEPTED, "times": 1}
LOST = {"after_ms": None, "result": AckResult.ACCEPTED, "times": 1}

ANSWERS = st.fixed_dictionaries(
    {
        "after_ms": st.sampled_from([None, None, 20, 20, 60, 100, 120, 300, 700]),
        "result": st.sampled_from([*STANDS, AckResult.ACCEPTED, AckResult.REFUSED_INVALID]),
        "times": st.sampled_from([1, 1, 2]),
    }
)
EVENTS = st.sampled_from(["", "", "", "", "reboot", "unplug", "deaf", "newest"])
STRETCHES = st.tuples(st.integers(1, 40), ANSWERS, EVENTS, st.booleans())


@settings(max_examples=40, deadline=None)
@given(st.lists(STRETCHES, min_size=1, max_size=8))
def test_no_pattern_of_acknowledges_makes_the_command_milder_than_documented(
    mission: Mission, story: list[tuple[int, dict[str, Any], str, bool]]
) -> None:
    road = road_of(mission)
    for length, answer, event, vehicle in story:
        for turn in range(length):
            now = event if turn == 0 or event == "deaf" else ""
            decision, usual = road.turn(answer, event=now, vehicle=vehicle)
            # The command of this turn was not yet due when it was decided.
            this_one = road.commands.pop()
            steps = road.row() // road.settings.commands_a_step
            documented = Action(
                max(usual.command.action, min(usual.command.action + steps, Action.COMFORT_STOP))
            )
            if road.late_of_the_last(50) > 10:
                documented = max(documented, Action.SLOW_DOWN)
            road.commands.append(this_one)
            command = decision.command
            assert command.action >= documented
            assert command.speed_ceiling_mps <= usual.command.speed_ceiling_mps
            assert command.deceleration_limit_mps2 >= usual.command.deceleration_limit_mps2
            if command.action >= Action.CAP_SPEED:
                fallbacks = mission.policy.fallbacks
                assert command.deceleration_limit_mps2 >= fallbacks.deceleration_mps2
                assert command.speed_ceiling_mps <= fallbacks.speed_ceiling_mps
            if command.action >= Action.COMFORT_STOP:
                assert command.speed_ceiling_mps == 0.0
                assert not command.release


@pytest.mark.requirement("R-LINK-41")
def test_lost_acknowledges_climb_to_the_comfort_stop_and_stay_there(mission: Mission) -> None:
    """Ten seconds of them, in which the link greets anew a dozen times."""
    road = road_of(mission)
    for _ in range(20):
        assert road.turn(PROMPT)[0].command.action is Action.NONE
    actions = [road.turn(LOST)[0].command.action for _ in range(500)]
    assert actions == sorted(actions)
    first = {action: actions.index(action) for action in set(actions)}
    # Five commands a step; the first is late after 100 ms.
    assert first[Action.NOTIFY] == 10
    assert first[Action.CAP_SPEED] == 15
    assert first[Action.SLOW_DOWN] == 16  # the eleventh of 50 that is late
    assert first[Action.COMFORT_STOP] == 25
    sessions = [e for e in road.link.events(0) if e.values.get("state") == "GREETING"]
    assert len(sessions) > 10


def test_prompt_acknowledges_demand_nothing(mission: Mission) -> None:
    road = road_of(mission)
    for delay in (20, 40, 60, 80, 100):
        for _ in range(60):
            decision, _ = road.turn({**PROMPT, "after_ms": delay})
            assert decision.demands == ()


def test_late_acknowledges_are_late_though_all_of_them_come(mission: Mission) -> None:
    """400 ms there and back, all commands acknowledged: the stop is reached and stays."""
    road = road_of(mission)
    slow = {**PROMPT, "after_ms": 400}
    actions = [road.turn(slow)[0].command.action for _ in range(200)]
    assert actions == sorted(actions)
    assert actions[-1] is Action.COMFORT_STOP
    assert road.link.facts(road.now_ms * MS).counts.acknowledged > 150


def test_every_third_late_is_slowed_though_no_two_are_in_a_row(mission: Mission) -> None:
    road = road_of(mission)
    for turn in range(200):
        decision, _ = road.turn({**PROMPT, "after_ms": 160 if turn % 3 == 0 else 20})
        if turn > 60:
            assert decision.command.action is Action.SLOW_DOWN
            assert decision.winner is not None
            assert decision.winner.name == "commands late"
    for _ in range(80):
        decision, _ = road.turn(PROMPT)
    assert decision.command.action is Action.NONE


class NoAcknowledges(SerialPort):
    """The firmware's port on a line that loses every acknowledge once `losing` is set."""

    losing = False

    def __init__(self, path: str) -> None:
        super().__init__(path, baud=115200, read_timeout_ms=20, write_timeout_ms=20)
        self._deframer = Deframer()

    def read(self) -> bytes:
        data = b""
        for frame in self._deframer.feed(super().read()):
            message = decode(frame.message_id, frame.payload)
            if not (self.losing and isinstance(message, Acknowledge)):
                data += pack(frame)
        return data


def test_a_run_without_acknowledges_ends_in_a_stop_that_stays(
    mission: Mission, mcu: HostFirmware, tmp_path: Path
) -> None:
    port = NoAcknowledges(mcu.port)
    network = write_network(tmp_path / "tiny.onnx")
    clip = write_clip(tmp_path / "clip.mp4", frames=60)

    def on_event(event: Any) -> None:
        # Once it drives: the stop of the beginning is released.
        if event.kind == "effective" and event.values["action"] == "NONE" and not port.losing:
            mcu.control("speed 9.0")
            port.losing = True

    with LinkDriver(lambda: port) as link:
        link.wait_established(10)
        report = run(
            mission,
            source=str(clip),
            model=chosen(network),
            link=link,
            on_event=on_event,
        )
    assert port.losing
    driving = next(i for i, e in enumerate(report.effective) if e.action is Action.NONE)
    after = [effective.action for effective in report.effective[driving:]]
    assert after == sorted(after)
    assert after[-1] is Action.COMFORT_STOP
    assert report.commands.unacknowledged > 20
    counts = report.commands
    assert counts.commands_sent == counts.acknowledged + counts.unacknowledged + counts.open
    assert sum(report.commands_by_action.values()) == counts.commands_sent
