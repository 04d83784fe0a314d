"""The ledger of commands, to the nanosecond."""

from __future__ import annotations

import pytest

from firmware_bridge.link.command_ledger import IN_FORCE, WINDOW, CommandLedger
from firmware_bridge.protocol.messages import Acknowledge, AckResult, Action

LIMIT = 1000
FORGOTTEN = 2_000_000_000


def ledger(*, share_max: float = 0.2) -> CommandLedger:
    return CommandLedger(limit_ns=LIMIT, late_share_max=share_max)


def ack(counter: int, result: AckResult = AckResult.ACCEPTED) -> Acknowledge:
    return Acknowledge(
        command_counter=counter, result=result, effective_action=Action.NONE, tick_ms=0
    )


def test_a_new_ledger_has_nothing_late_and_counts_its_very_first_command() -> None:
    one = ledger()
    assert (one.late_in_a_row, one.late_share, one.often_late, one.open) == (0, 0.0, False, 0)
    one.sent(7, 0)
    assert one.open == 1
    (late,) = one.newly_late(LIMIT + 1)
    assert (late.counter, late.sent_ns, late.answered, late.begins_row) == (7, 0, False, True)
    assert (one.late_in_a_row, one.open) == (1, 0)
    assert one.newly_late(LIMIT + 2) == []


def test_the_limit_itself_is_in_time() -> None:
    one = ledger()
    one.sent(1, 50)
    assert one.newly_late(50 + LIMIT) == []
    answered = one.acknowledged(ack(1), 50 + LIMIT)
    assert answered is not None
    assert not answered.was_late
    assert answered.ack.round_trip_ns == LIMIT
    assert one.newly_late(10 * LIMIT) == []
    one.sent(2, 50)
    answered = one.acknowledged(ack(2), 51 + LIMIT)
    assert answered is not None
    assert not answered.was_late  # nobody had looked yet
    (late,) = one.newly_late(51 + LIMIT)
    assert late.answered
    assert one.late_in_a_row == 1


def test_a_second_answer_to_one_command_is_none() -> None:
    one = ledger()
    one.sent(1, 0)
    assert one.acknowledged(ack(1, AckResult.REFUSED_INVALID), 5) is not None
    assert one.open == 0
    assert one.acknowledged(ack(1), 6) is None
    assert [late.answered for late in one.newly_late(LIMIT + 1)] == [True]
    assert one.open == 0


def test_an_answer_is_awaited_for_two_seconds() -> None:
    one = ledger()
    one.sent(1, 0)
    one.newly_late(FORGOTTEN)
    assert one.acknowledged(ack(1), FORGOTTEN) is not None
    one.sent(2, 0)
    one.newly_late(FORGOTTEN + 1)
    assert one.acknowledged(ack(2), FORGOTTEN + 1) is None
    assert one.acknowledged(ack(99), 5) is None


def test_one_that_is_late_behind_a_newer_one_in_time_belongs_to_no_row() -> None:
    one = ledger()
    one.sent(1, 0)
    one.sent(2, 10)
    one.sent(3, 20)
    one.acknowledged(ack(2), 30)
    assert [late.begins_row for late in one.newly_late(LIMIT + 5)] == [False]
    assert one.late_in_a_row == 0
    assert one.late_share == 1 / WINDOW
    one.sent(4, 30)
    assert [late.begins_row for late in one.newly_late(LIMIT + 31)] == [True, False]
    assert one.late_in_a_row == 2


def test_one_that_belongs_to_no_row_does_not_begin_one_either() -> None:
    one = ledger()
    one.sent(1, 0)
    one.sent(2, 10)
    one.sent(3, 20)
    one.acknowledged(ack(2), 30)
    one.sent(4, 0)  # due with the first, and a row of its own
    begins = {late.counter: late.begins_row for late in one.newly_late(LIMIT + 5)}
    assert begins == {1: False, 4: True}
    one.sent(5, 0)
    assert [late.begins_row for late in one.newly_late(LIMIT + 6)] == [False]


def test_a_longer_limit_makes_no_late_command_one_in_time() -> None:
    one = ledger()
    one.sent(1, 0)
    one.newly_late(LIMIT + 1)
    one.limit_ns = 5 * LIMIT
    answered = one.acknowledged(ack(1), LIMIT + 2)
    assert answered is not None
    assert answered.was_late
    assert (one.late_in_a_row, one.late_share) == (1, 1 / WINDOW)


@pytest.mark.parametrize("result", AckResult)
def test_only_an_answer_that_says_the_command_stands_ends_a_row(result: AckResult) -> None:
    one = ledger()
    one.sent(1, 0)
    one.newly_late(LIMIT + 1)
    one.sent(2, LIMIT)
    answered = one.acknowledged(ack(2, result), LIMIT + 5)
    assert answered is not None
    stands = not result.name.startswith("REFUSED")
    assert answered.in_force is stands is (result in IN_FORCE)
    assert one.late_in_a_row == (0 if stands else 1)


def test_what_never_got_out_is_late_in_its_time_and_not_open() -> None:
    one = ledger()
    one.unsent(0)
    one.sent(4, 10)
    one.send_failed(4)
    one.send_failed(5)
    assert one.open == 0
    assert one.acknowledged(ack(4), 20) is None
    assert [late.counter for late in one.newly_late(LIMIT + 11)] == [None, None]
    assert one.late_in_a_row == 2


def test_the_share_is_taken_over_the_last_fifty_and_ends_at_half() -> None:
    one = ledger()
    now = 0

    def command(*, late: bool) -> bool:
        nonlocal now
        now += 10 * LIMIT
        one.sent(now, now)
        if not late:
            one.acknowledged(ack(now), now + 1)
        one.newly_late(now + 2 * LIMIT)
        return one.often_late

    assert [command(late=True) for _ in range(11)] == [False] * 10 + [True]
    assert one.late_share == 0.22
    # The first of them leave the window from the fiftieth command on: at 6 of 50 it is still above
    # half of 0.2, at 5 no more.
    assert [command(late=False) for _ in range(45)] == [True] * 44 + [False]
    assert one.late_share == 0.1
    assert not command(late=True)


def test_how_long_nothing_has_come_back_begins_with_the_session() -> None:
    one = ledger()
    assert one.unanswered_for(5) == 0
    one.sent(0, 0)
    assert one.unanswered_for(5) == 5
    one.acknowledged(ack(0), 6)
    one.sent(1, 100)
    one.sent(2, 200)
    assert one.unanswered_for(300) == 200
    one.acknowledged(ack(1), 350)
    assert one.unanswered_for(400) == 50
    one.begin_session(500)
    assert one.unanswered_for(600) == 0
    one.unsent(520)
    assert one.unanswered_for(600) == 0
    one.sent(3, 550)
    one.sent(4, 560)
    assert one.unanswered_for(600) == 50
    one.begin_session(550)
    assert one.unanswered_for(600) == 50
    one.acknowledged(ack(3, AckResult.REFUSED_STALE), 555)
    assert one.unanswered_for(600) == 40
