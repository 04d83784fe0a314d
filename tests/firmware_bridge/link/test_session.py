"""The host's end against the real core, on one simulated clock."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mcu_probe import BEAT, COMMAND, Answer, Mcu, Probe

from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.facts import LinkFacts
from firmware_bridge.link.session import Link
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.codec import CodecError, contract_hash, encode
from firmware_bridge.protocol.frame import Deframer, LinkFrame, pack
from firmware_bridge.protocol.limits import limits_hash
from firmware_bridge.protocol.messages import (
    Acknowledge,
    AckResult,
    Action,
    McuHello,
    Message,
    SafetyCommand,
)

MS = 1_000_000


class Bench:
    """A Link and the core, wired together; each turn is 10 ms of both clocks."""

    def __init__(self, probe: Probe, *, boot_id: int = 1, first_counter: int = 0) -> None:
        self.mcu = Mcu(probe)
        self.link = Link(boot_id, times=LinkTimes(), first_counter=first_counter)
        self.link.opened(0)
        self.turn_number = 0
        self.last = Answer(
            Action.NONE, False, 0, 0, 0, False, frozenset(), (), (), b""
        )  # replaced by the first turn

    @property
    def now_ns(self) -> int:
        return self.mcu.now_ms * MS

    def turn(
        self,
        command: SafetyCommand | None = None,
        *,
        deaf_host: bool = False,
        deaf_mcu: bool = False,
    ) -> LinkFacts:
        data = self.link.poll(self.now_ns)
        if command is not None:
            self.turn_number += 1
            beat = replace(BEAT, loop_sequence=self.turn_number)
            packed = self.link.command(command, beat, now_ns=self.now_ns)
            data += packed[1] if packed else b""
        self.last = self.mcu.update(b"" if deaf_mcu else data, after_ms=10)
        if not deaf_host:
            self.link.received(self.last.tx, self.now_ns)
        return self.facts

    def turns(self, count: int, command: SafetyCommand | None = None, **cut: bool) -> LinkFacts:
        for _ in range(count):
            self.turn(command, **cut)
        return self.facts

    @property
    def facts(self) -> LinkFacts:
        return self.link.facts(self.now_ns)

    def kinds(self, kind: str) -> list[dict[str, object]]:
        return [dict(event.values) for event in self.link.events(0) if event.kind == kind]

    def hear(self, message: Message, *, counter: int) -> None:
        """A frame that the core did not send."""
        identity, payload = encode(message)
        frame = LinkFrame(message_id=identity, counter=counter, payload=payload)
        self.link.received(pack(frame), self.now_ns)


@pytest.fixture
def bench(probe: Probe) -> Bench:
    return Bench(probe)


RELEASE = replace(COMMAND, release=True)


def greeted(bench: Bench) -> None:
    """Established, released, and all of five commands acknowledged."""
    bench.turns(2)
    bench.turns(5, RELEASE)
    assert bench.facts.counts.acknowledged == bench.facts.counts.commands_sent == 5


def test_greets_commands_and_is_acknowledged(bench: Bench) -> None:
    assert bench.facts.state is LinkState.GREETING
    assert bench.facts.effective_action is None
    facts = bench.turns(2)
    assert facts.state is LinkState.ESTABLISHED
    assert facts.effective_action is Action.COMFORT_STOP
    assert facts.stop_latched
    assert facts.standstill
    bench.mcu.speed_cmps = 8
    facts = bench.turns(4, RELEASE)
    assert facts.effective_action is Action.NONE
    assert facts.vehicle_speed_mps == 0.08
    assert facts.vehicle_age_ms in (0.0, 10.0)
    assert facts.faults == ()
    assert facts.last_ack is not None
    assert facts.last_ack.result is AckResult.ACCEPTED
    assert facts.last_ack.round_trip_ns == 10 * MS
    assert facts.counts.commands_sent == facts.counts.acknowledged == 4
    assert facts.first_fault is None
    assert facts.mcu_tick_ms == bench.mcu.now_ms
    results = [event["result"] for event in bench.kinds("ack")]
    assert results == [*[AckResult.RELEASE_REFUSED_UNHEALTHY] * 2, *[AckResult.ACCEPTED] * 2]
    assert [event["action"] for event in bench.kinds("effective")] == [
        Action.COMFORT_STOP,
        Action.NONE,
    ]


def test_waiting_for_a_greeting_is_no_fault_and_half_a_frame_before_it_neither(
    bench: Bench,
) -> None:
    for turn in range(100):
        bench.link.poll(turn * 100 * MS)
        bench.link.received(b"half a frame\0", turn * 100 * MS)
    facts = bench.link.facts(10**10)
    assert facts.state is LinkState.GREETING
    assert facts.first_fault is None
    assert facts.counts.crc_errors == 0
    assert [event.kind for event in bench.link.events(0)] == ["state"]


def test_ages_grow_while_nothing_comes(bench: Bench) -> None:
    bench.turns(5, RELEASE)
    before = bench.facts
    bench.turns(10, deaf_host=True)
    assert bench.facts.vehicle_age_ms == (before.vehicle_age_ms or 0) + 100
    assert bench.facts.effective_age_ms == (before.effective_age_ms or 0) + 100


def test_sends_nothing_before_the_greeting_but_judges_the_values(bench: Bench) -> None:
    assert bench.link.command(COMMAND, BEAT, now_ns=0) is None
    with pytest.raises(CodecError):
        bench.link.command(replace(COMMAND, valid_for_ms=0), BEAT, now_ns=0)


@pytest.mark.parametrize("wrong", ["contract_hash", "limits_hash", "version"])
def test_refuses_another_contract_and_says_both_hashes(bench: Bench, wrong: str) -> None:
    bench.turns(2)
    hello = McuHello(
        version=1, boot_id=77, contract_hash=contract_hash(), limits_hash=limits_hash()
    )
    bench.hear(replace(hello, **{wrong: 0xABC if wrong != "version" else 3}), counter=5)
    facts = bench.facts
    assert facts.state is LinkState.REFUSED
    assert facts.refusal is not None
    assert f"{contract_hash():06x}" in facts.refusal
    assert "flash the firmware" in facts.refusal
    assert ("protocol 3" if wrong == "version" else "000abc") in facts.refusal
    assert facts.effective_action is None
    assert bench.link.command(COMMAND, BEAT, now_ns=bench.now_ns) is None
    assert bench.link.poll(bench.now_ns + 10**9) == b""
    # New firmware boots with another id and is greeted.
    bench.mcu.probe.boot(bench.mcu.now_ms, 78)
    assert bench.turns(3).state is LinkState.ESTABLISHED
    assert bench.facts.refusal is None


def test_refuses_repeats_and_replays(bench: Bench) -> None:
    bench.turns(5, RELEASE)
    replayed = bench.last.tx
    bench.link.received(replayed, bench.now_ns)
    repeats = len(bench.last.sent)
    assert bench.facts.counts.counter_errors == repeats
    refused = f"repeated frame with counter {bench.last.counters[-1]} refused"
    assert refused in [event["text"] for event in bench.kinds("fault")]
    bench.turns(3, RELEASE)
    bench.link.received(replayed, bench.now_ns)
    assert str(bench.kinds("fault")[-1]["text"]).startswith("replayed frame")
    assert bench.facts.counts.counter_errors == 2 * repeats
    assert "refused" in (bench.facts.first_fault or "")
    assert bench.facts.counts.acknowledged == bench.facts.counts.commands_sent
    assert bench.facts.state is LinkState.ESTABLISHED


def test_counts_damaged_and_lost_frames_and_keeps_the_first_fault(bench: Bench) -> None:
    bench.turns(4, RELEASE)
    damaged = bytearray(bench.last.tx)
    damaged[3] ^= 0x10
    bench.turn(RELEASE, deaf_host=True)
    damaged = bytearray(bench.last.tx)
    damaged[3] ^= 0x10
    bench.link.received(bytes(damaged), bench.now_ns)
    assert bench.facts.counts.crc_errors == 1
    assert "damaged" in (bench.facts.first_fault or "")
    bench.turns(4, RELEASE)
    assert bench.facts.counts.lost_frames == 1
    bench.link.lost(bench.now_ns, "unplugged")
    assert "damaged" in (bench.facts.first_fault or "")
    assert any("unplugged" in str(event["text"]) for event in bench.kinds("fault"))


def test_counters_wrap_unnoticed(probe: Probe) -> None:
    bench = Bench(probe, first_counter=65_530)
    facts = bench.turns(20, RELEASE)
    assert facts.last_ack is not None
    assert facts.last_ack.counter < 100
    assert facts.counts.unacknowledged == facts.counts.counter_errors == 0
    bench.hear(
        Acknowledge(
            command_counter=1,
            result=AckResult.ACCEPTED,
            effective_action=Action.NONE,
            tick_ms=0,
        ),
        counter=(bench.last.counters[-1] + 1) % 65536,
    )
    assert bench.facts.counts.acknowledged == facts.counts.acknowledged


def test_a_reboot_of_the_microcontroller_is_greeted_anew(bench: Bench) -> None:
    bench.turns(5, RELEASE)
    assert bench.facts.effective_action is Action.NONE
    bench.mcu.probe.boot(bench.mcu.now_ms, 10)
    bench.turns(3)
    facts = bench.facts
    assert facts.state is LinkState.ESTABLISHED
    assert facts.counts.reboots == 1
    assert facts.effective_action is Action.COMFORT_STOP
    assert "rebooted" in (facts.first_fault or "")
    assert facts.mcu_tick_ms is not None
    assert facts.mcu_tick_ms < 40
    assert bench.turns(4, RELEASE).effective_action is Action.NONE


def test_a_restarted_host_is_taken_even_with_the_boot_id_of_the_one_before(bench: Bench) -> None:
    bench.turns(30, RELEASE)
    bench.link = Link(1, times=LinkTimes())
    bench.link.opened(bench.now_ns)
    facts = bench.turns(120)
    assert facts.state is LinkState.ESTABLISHED
    bench.turn_number = 1000
    facts = bench.turns(60, RELEASE)
    assert facts.state is LinkState.ESTABLISHED
    assert facts.effective_action is Action.NONE


def test_silence_is_a_state_and_ends(bench: Bench) -> None:
    bench.turns(5, RELEASE)
    bench.turns(50, RELEASE, deaf_host=True)
    assert bench.facts.state is LinkState.ESTABLISHED
    bench.turns(3, RELEASE, deaf_host=True)
    facts = bench.facts
    assert facts.state is LinkState.GREETING
    assert facts.effective_action is None
    # Acknowledges were missing before silence was certain.
    assert "not acknowledged in 100 ms" in (facts.first_fault or "")
    assert any("silent" in str(event["text"]) for event in bench.kinds("fault"))
    facts = bench.turns(15, RELEASE)
    assert facts.state is LinkState.ESTABLISHED


def test_unacknowledged_commands_are_reported_and_a_deaf_link_greets_again(bench: Bench) -> None:
    bench.turns(5, RELEASE)
    bench.turns(10, RELEASE, deaf_mcu=True)
    assert bench.facts.unacknowledged_in_a_row == 0
    bench.turns(4, RELEASE, deaf_mcu=True)
    assert bench.facts.unacknowledged_in_a_row == 4
    assert bench.facts.counts.unacknowledged == bench.facts.counts.late == 4
    assert len(bench.kinds("unacknowledged")) == 4
    assert bench.facts.state is LinkState.ESTABLISHED
    bench.turns(40, RELEASE, deaf_mcu=True)
    assert any("no longer acknowledges" in str(event["text"]) for event in bench.kinds("fault"))
    facts = bench.turns(30, RELEASE)
    assert facts.state is LinkState.ESTABLISHED
    assert facts.unacknowledged_in_a_row == 0
    assert facts.last_ack is not None
    assert facts.last_ack.acknowledged_ns == bench.now_ns


@pytest.mark.requirement("R-LINK-40")
def test_a_late_acknowledge_is_a_finished_round_trip_and_still_late(bench: Bench) -> None:
    greeted(bench)
    bench.turn(RELEASE, deaf_host=True)
    late = bench.last.tx
    bench.turns(25, deaf_host=True)
    assert bench.facts.counts.unacknowledged == 1
    bench.link.received(late, bench.now_ns)
    counts = bench.facts.counts
    assert (counts.acknowledged, counts.unacknowledged, counts.late) == (6, 0, 1)
    assert bench.facts.unacknowledged_in_a_row == 1
    assert bench.facts.last_ack is not None
    assert bench.facts.last_ack.round_trip_ns == 260 * MS
    bench.turns(2, RELEASE)
    assert bench.facts.unacknowledged_in_a_row == 0


@pytest.mark.requirement("R-LINK-41")
def test_a_new_session_ends_no_row_of_late_commands(bench: Bench) -> None:
    """Acknowledges are lost for ten seconds, through every greeting that follows from that."""
    greeted(bench)
    rows = [bench.turn(RELEASE, deaf_mcu=True).unacknowledged_in_a_row for _ in range(1000)]
    states = [event["state"] for event in bench.kinds("state")]
    assert states == ["GREETING", "ESTABLISHED"] * (len(states) // 2) + ["GREETING"]
    assert rows == sorted(rows)
    assert rows[-1] == 1000 - 11 + 1
    bench.turns(30)
    assert bench.facts.state is LinkState.ESTABLISHED
    assert bench.facts.unacknowledged_in_a_row == 1000  # greeted, but nothing acknowledged
    bench.turns(2, RELEASE)
    assert bench.facts.unacknowledged_in_a_row == 0


def test_commands_due_while_there_is_no_session_are_late_too(bench: Bench) -> None:
    greeted(bench)
    bench.link.lost(bench.now_ns, "unplugged")
    bench.turns(30, RELEASE)
    assert bench.facts.unacknowledged_in_a_row == 30 - 11 + 1
    assert bench.facts.counts.unsent == 30
    assert bench.facts.counts.commands_sent == 5


@pytest.mark.requirement("R-LINK-42")
def test_a_share_of_late_commands_counts_though_none_are_in_a_row(bench: Bench) -> None:
    """Every fourth acknowledge is lost: 25 % of the last 50, where 20 % may be."""
    greeted(bench)
    often = []
    for turn in range(200):
        facts = bench.turn(RELEASE, deaf_mcu=turn % 4 == 0)
        often.append(facts.often_late)
        assert facts.unacknowledged_in_a_row <= 1
    assert not any(often[:50])
    assert all(often[60:])
    assert bench.facts.state is LinkState.ESTABLISHED
    assert any("of the last 50 commands" in str(e["text"]) for e in bench.kinds("fault"))
    # It ends at half of where it begins.
    often = [bench.turn(RELEASE).often_late for _ in range(60)]
    assert often[20]
    assert not often[-1]


def test_a_share_at_the_limit_is_borne(bench: Bench) -> None:
    greeted(bench)
    for turn in range(300):
        assert not bench.turn(RELEASE, deaf_mcu=turn % 5 == 0).often_late


def test_a_refused_command_is_as_good_as_none(bench: Bench) -> None:
    """The microcontroller answers at once that it takes none."""
    greeted(bench)
    for turn in range(30):
        packed = bench.link.command(COMMAND, replace(BEAT, loop_sequence=99), now_ns=bench.now_ns)
        assert packed is not None
        bench.hear(
            Acknowledge(
                command_counter=packed[0],
                result=AckResult.REFUSED_INVALID,
                effective_action=Action.NONE,
                tick_ms=0,
            ),
            counter=bench.last.counters[-1] + 1 + turn,
        )
        bench.mcu.now_ms += 10
    facts = bench.facts
    assert facts.unacknowledged_in_a_row == 30 - 10
    assert facts.counts.refused == 30
    assert facts.counts.acknowledged == facts.counts.commands_sent
    faults = [str(event["text"]) for event in bench.kinds("fault")]
    assert sum("REFUSED_INVALID" in text for text in faults) == 1


@pytest.mark.requirement("R-LINK-43")
def test_old_facts_are_no_facts_whoever_asks(bench: Bench) -> None:
    """Nobody reads the port any more: no poll, no bytes; only the loop asks, on its own clock."""
    greeted(bench)
    heard_ns = bench.now_ns
    facts = bench.link.facts(heard_ns + 280 * MS)
    assert facts.standstill is True
    assert facts.up
    facts = bench.link.facts(heard_ns + 320 * MS)
    assert facts.state is LinkState.ESTABLISHED
    assert not facts.up
    assert facts.standstill is facts.operator_request is facts.vehicle_speed_mps is None
    assert facts.effective_action is facts.stop_latched is facts.applied_ceiling_mps is None
    assert facts.faults == ()
    assert facts.vehicle_age_ms == facts.effective_age_ms == 320.0
    facts = bench.link.facts(heard_ns + 520 * MS)
    assert facts.state is LinkState.GREETING
    assert bench.link.command(COMMAND, BEAT, now_ns=heard_ns + 530 * MS) is None
    assert any("silent" in str(event["text"]) for event in bench.kinds("fault"))


@pytest.mark.requirement("R-LINK-45")
def test_counts_add_up_at_every_instant(bench: Bench) -> None:
    dice = random.Random(7)
    seen = set()
    for _ in range(600):
        kind = dice.choice(["", "", "", "deaf_mcu", "deaf_host"])
        packed_before = bench.facts.counts.commands_sent
        facts = bench.turn(RELEASE, **({kind: True} if kind else {}))
        counts = facts.counts
        assert counts.commands_sent - packed_before in (0, 1)
        assert counts.commands_sent == counts.acknowledged + counts.unacknowledged + counts.open
        assert counts.late >= counts.unacknowledged
        seen.add((counts.open > 0, counts.unacknowledged > 0))
    assert len(seen) > 2
    counts = bench.facts.counts
    assert bench.turn_number == counts.commands_sent + counts.unsent == 600


def test_another_time_is_used_as_soon_as_it_is_told(bench: Bench) -> None:
    bench.link.use_times(LinkTimes(acknowledge_ms=250, late_share_max=0.9))
    greeted(bench)
    bench.turns(25, RELEASE, deaf_mcu=True)
    assert bench.facts.unacknowledged_in_a_row == 0
    bench.turns(2, RELEASE, deaf_mcu=True)
    assert bench.facts.unacknowledged_in_a_row == 2
    assert "250 ms" in (bench.facts.first_fault or "")
    bench.turns(25, RELEASE, deaf_mcu=True)
    # A session may last twice the time that an acknowledge may take.
    assert LinkTimes(acknowledge_ms=400).deaf_ms == 800
    assert not bench.facts.often_late


def test_a_microcontroller_that_forgot_the_session_is_greeted_again(bench: Bench) -> None:
    bench.turns(5, RELEASE)
    # It reboots with the same id: only its status tells.
    bench.mcu.probe.boot(bench.mcu.now_ms, 9)
    facts = bench.turns(60)
    assert facts.state is LinkState.ESTABLISHED
    assert "no_greeting" not in facts.faults


def test_the_tick_does_not_wrap_for_the_reader(bench: Bench) -> None:
    bench.mcu.probe.boot(bench.mcu.now_ms - 2**24 + 100, 9)
    ticks = []
    for _ in range(20):
        tick = bench.turn(RELEASE).mcu_tick_ms
        ticks.append(tick or 0)
    assert ticks[-1] == 2**24 - 100 + 200
    assert ticks[3:] == sorted(ticks[3:])


def test_an_echo_is_not_an_answer(bench: Bench) -> None:
    bench.turns(3)
    packed = bench.link.command(COMMAND, BEAT, now_ns=bench.now_ns)
    assert packed is not None
    # Make it look new to the reader, so that only its meaning is wrong.
    echo = replace(COMMAND, as_of_tick_ms=0)
    bench.hear(echo, counter=bench.last.counters[-1] + 1)
    assert bench.facts.counts.contract_errors == 1
    assert "echo" in (bench.facts.first_fault or "")


def test_a_whole_frame_out_of_contract_is_counted(bench: Bench) -> None:
    bench.turns(3)
    frame = LinkFrame(message_id=34, counter=bench.last.counters[-1] + 1, payload=b"\xff" * 8)
    bench.link.received(pack(frame), bench.now_ns)
    assert bench.facts.counts.contract_errors == 1
    assert bench.facts.first_fault is not None


def test_a_failed_write_is_no_sent_command_and_its_half_frame_is_ended(bench: Bench) -> None:
    bench.turns(4, RELEASE)
    packed = bench.link.command(RELEASE, replace(BEAT, loop_sequence=99), now_ns=bench.now_ns)
    assert packed is not None
    bench.link.write_failed(packed[0], bench.now_ns, "the port took no bytes", begun=True)
    bench.mcu.update(packed[1][:7])
    sent_before = bench.facts.counts.commands_sent
    facts = bench.turn(RELEASE)
    assert facts.counts.commands_sent == sent_before + 1
    assert facts.counts.write_failures == 1
    assert facts.first_fault == "the port took no bytes"
    # The heartbeat right behind the half frame arrived: the loop sequence moved.
    assert facts.last_ack is not None
    assert facts.last_ack.acknowledged_ns == bench.now_ns
    assert bench.last.faults == {"frame_refused"}
    assert bench.turns(40, RELEASE).counts.unacknowledged == 0


@pytest.mark.requirement("R-LINK-45")
@pytest.mark.parametrize("missing", [1, 2, 17, 18, 19])
def test_a_command_cut_anywhere_is_never_taken_later(bench: Bench, missing: int) -> None:
    """Also where only its delimiter was missing, which the next frame would have brought."""
    greeted(bench)
    stop = replace(RELEASE, action=Action.EMERGENCY_STOP)
    beat = replace(BEAT, loop_sequence=99)
    packed = bench.link.command(stop, beat, now_ns=bench.now_ns)
    assert packed is not None
    bench.link.write_failed(packed[0], bench.now_ns, "it took a part")
    bench.mcu.update(packed[1][:-missing])
    sent = bench.facts.counts.commands_sent
    again = bench.link.command(RELEASE, replace(beat, loop_sequence=100), now_ns=bench.now_ns)
    assert again is not None
    # Behind it both frames arrive whole: heartbeat and command.
    whole = Deframer().feed(packed[1][:-missing] + again[1])
    assert [frame.counter for frame in whole[-2:]] == [again[0] - 1, again[0]]
    assert packed[0] not in [frame.counter for frame in whole]
    bench.link.write_failed(again[0], bench.now_ns, "it took nothing", begun=False)
    third = bench.link.command(RELEASE, replace(beat, loop_sequence=101), now_ns=bench.now_ns)
    assert third is not None
    whole = Deframer().feed(packed[1][:-missing] + third[1])
    assert [frame.counter for frame in whole[-2:]] == [third[0] - 1, third[0]]
    bench.last = bench.mcu.update(third[1], after_ms=10)
    bench.link.received(bench.last.tx, bench.now_ns)
    facts = bench.facts
    assert facts.effective_action is Action.NONE
    assert bench.last.action is Action.NONE
    assert facts.counts.commands_sent == facts.counts.acknowledged == sent + 1
    assert facts.counts.unsent == 2


def test_a_cut_command_is_not_completed_by_the_greeting_that_follows(bench: Bench) -> None:
    """Only its delimiter was missing, and a greeting begins with one."""
    bench.turns(4, RELEASE)
    packed = bench.link.command(RELEASE, replace(BEAT, loop_sequence=99), now_ns=bench.now_ns)
    assert packed is not None
    bench.link.write_failed(packed[0], bench.now_ns, "it took a part", begun=True)
    bench.link.lost(bench.now_ns, "unplugged")
    bench.link.opened(bench.now_ns)
    hello = bench.link.poll(bench.now_ns)
    counters = [frame.counter for frame in Deframer().feed(packed[1][:-1] + hello)]
    assert counters == [packed[0] - 1, packed[0] + 1]
    # One that is cut itself is ended in the same way, and one that is not is not.
    bench.link.greeting_failed(bench.now_ns, "it took a part", begun=True)
    deframer = Deframer()
    deframer.feed(hello[:-1] + bench.link.poll(bench.now_ns + 100 * MS))
    assert deframer.damaged == 2  # the first greeting ended what was before it
    assert bench.link.poll(bench.now_ns + 200 * MS)[:1] == b"\0"


def test_a_half_greeting_spoils_no_greeting(bench: Bench) -> None:
    hello = bench.link.poll(bench.now_ns)
    bench.link.greeting_failed(bench.now_ns, "it took a part", begun=True)
    bench.mcu.update(hello[:9])
    assert bench.turns(15).state is LinkState.ESTABLISHED
    assert "the greeting" in (bench.facts.first_fault or "")


def test_a_line_that_backs_up_is_told_once_and_its_commands_are_late(bench: Bench) -> None:
    greeted(bench)
    for _ in range(30):
        bench.link.held_back(bench.now_ns, "300 bytes wait")
        bench.turn()
    counts = bench.facts.counts
    assert counts.held_back == counts.unsent == 30
    assert counts.commands_sent == 5
    assert bench.facts.unacknowledged_in_a_row == 20
    assert sum("backs up" in str(event["text"]) for event in bench.kinds("fault")) == 1
    bench.link.written()
    bench.link.held_back(bench.now_ns, "300 bytes wait")
    assert sum("backs up" in str(event["text"]) for event in bench.kinds("fault")) == 2


def test_closing_on_purpose_is_no_fault(bench: Bench) -> None:
    bench.turns(4, RELEASE)
    bench.link.closed(bench.now_ns)
    assert bench.facts.state is LinkState.DISCONNECTED
    assert bench.facts.first_fault is None


def test_reopening_is_counted(bench: Bench) -> None:
    bench.turns(4, RELEASE)
    bench.link.lost(bench.now_ns, "unplugged")
    assert bench.facts.state is LinkState.DISCONNECTED
    assert bench.link.command(COMMAND, BEAT, now_ns=bench.now_ns) is None
    bench.link.opened(bench.now_ns)
    facts = bench.turns(4, RELEASE)
    assert facts.state is LinkState.ESTABLISHED
    assert facts.counts.reconnects == 1
    assert "unplugged" in (facts.first_fault or "")


def test_events_are_numbered_and_bounded(bench: Bench) -> None:
    bench.turns(100, RELEASE)
    events = bench.link.events(0)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    middle = events[40].sequence
    assert bench.link.events(middle) == events[41:]
    assert bench.link.events(events[-1].sequence) == ()
    for _ in range(5000):
        bench.link.trouble(bench.now_ns, "again")
    assert len(bench.link.events(0)) == 4096
