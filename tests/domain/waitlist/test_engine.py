"""The rule itself, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from app.domain.waitlist import engine
from app.domain.waitlist.engine import (
    Detach,
    EndRound,
    Exclusive,
    Expire,
    Extend,
    Join,
    Lapse,
    Offer,
    Open,
    Promote,
    Queue,
    Return,
    Round,
    Seat,
    Skip,
    Terms,
    Waiter,
    decide,
)

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)  # noon at the studio
WINDOW = timedelta(minutes=15)
END = NOW + WINDOW


def queue(policy="open_then_sequential", *, cutoff=timedelta(hours=24), quiet=None, **parts) -> Queue:
    return Queue(Terms(policy, WINDOW, NOW + cutoff, quiet), **parts)


def waiters(*refusals) -> list[Waiter]:
    return [Waiter(number, refusal=refusal) for number, refusal in enumerate(refusals, 1)]


def open_round(ends=END) -> Round:
    return Round(1, "open", NOW, ends)


def test_at_rest():
    assert decide(queue(), NOW) == []
    assert decide(queue(waiters=waiters(None)), NOW) == []


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("open_then_sequential", Open((1,), (1, 2), END)),
        ("sequential", Exclusive(1, 1, END)),
        ("auto_promote", Exclusive(1, 1, END)),
    ],
)
def test_a_fresh_seat(policy, said):
    assert decide(queue(policy, waiters=waiters(None, None), seats=[Seat(1)]), NOW) == [said]


def test_an_opened_seat_goes_one_by_one():
    state = queue(waiters=waiters("ARREARS_BLOCKED", None, "TIME_CONFLICT"), seats=[Seat(1, opened=True)])
    assert decide(state, NOW) == [Skip(1, 1, "ARREARS_BLOCKED"), Exclusive(1, 2, END)]


def test_the_final_call_asks_all_who_had_no_turn():
    state = queue("sequential", cutoff=timedelta(minutes=29), waiters=waiters(None, None), seats=[Seat(1)])
    assert decide(state, NOW) == [Open((1,), (1, 2), END)]
    state = queue("sequential", cutoff=timedelta(minutes=30), waiters=waiters(None, None), seats=[Seat(1)])
    assert decide(state, NOW) == [Exclusive(1, 1, END)]


def test_nobody_can_or_nobody_is_there():
    assert decide(queue(seats=[Seat(1)]), NOW) == [Return(1, "no_waiters")]
    skipped = queue(waiters=waiters("ARREARS_BLOCKED"), seats=[Seat(1)])
    assert decide(skipped, NOW) == [Skip(1, 1, "ARREARS_BLOCKED"), Return(1, "all_skipped")]


def test_seats_freed_together_make_one_round_and_no_more_than_there_are_people():
    state = queue(waiters=waiters(None), seats=[Seat(1), Seat(2)])
    assert decide(state, NOW) == [Open((1,), (1,), END)]
    state = queue(
        waiters=waiters(None), seats=[Seat(1, 1, True), Seat(2)], rounds=[open_round()],
        offers=[Offer(1, 1, 1, "open", END)],
    )  # fmt: skip
    assert decide(state, NOW) == [Return(2, "no_waiters")]


def test_a_seat_joins_the_open_round_but_not_a_later_one():
    offers = [Offer(1, 1, 1, "open", END), Offer(2, 2, 1, "open", END)]
    state = queue(waiters=waiters(None, None), seats=[Seat(1, 1, True), Seat(2)], rounds=[open_round()], offers=offers)
    assert decide(state, NOW) == [Join(2, 1)]
    state.seats[1].opened = True
    assert decide(state, NOW) == [Return(2, "no_waiters")]


def test_surplus_seats_leave_the_round():
    state = queue(
        waiters=waiters(None), seats=[Seat(1, 1, True), Seat(2, 1, True)], rounds=[open_round()],
        offers=[Offer(1, 1, 1, "open", END)],
    )  # fmt: skip
    assert decide(state, NOW) == [Detach(2)]


def test_time_is_over_at_the_deadline_itself():
    state = queue(
        waiters=waiters(None), seats=[Seat(1, 1, True)], rounds=[open_round()], offers=[Offer(7, 1, 1, "open", END)]
    )
    assert decide(state, END - timedelta(microseconds=1)) == []
    assert decide(state, END) == [Lapse(7)]
    state.offers.clear()
    assert decide(state, END) == [EndRound(1)]


@pytest.mark.parametrize(("seconds", "moved"), [(60, False), (61, True), (899, True), (900, False)])
def test_late_messages_move_the_deadline_once(seconds, moved):
    one = open_round()
    one.first_taken_at = NOW + timedelta(seconds=seconds)
    state = queue(waiters=waiters(None), seats=[Seat(1, 1, True)], rounds=[one], offers=[Offer(1, 1, 1, "open", END)])
    said = decide(state, NOW + timedelta(minutes=1))
    assert said == ([Extend(1, one.first_taken_at + WINDOW)] if moved else [])
    one.extended = True
    assert decide(state, NOW + timedelta(minutes=1)) == []


def test_a_deadline_at_the_cutoff_is_not_moved_past_it():
    one = open_round()
    one.first_taken_at = NOW + timedelta(minutes=10)
    assert engine.extension(one, Terms("sequential", WINDOW, END)) is None


def test_the_cutoff_ends_all_but_who_is_finishing():
    state = queue(
        cutoff=WINDOW, waiters=waiters(None, None), seats=[Seat(1, 1, True), Seat(2, 1, True), Seat(3)],
        rounds=[open_round()], offers=[Offer(1, 2, 1, "open", END + timedelta(minutes=4))],
    )  # fmt: skip
    assert decide(state, END) == [Expire(1), Return(2, "cutoff"), Return(3, "cutoff")]
    state = queue(cutoff=WINDOW, waiters=[], seats=[Seat(1, 1, True)], rounds=[open_round()], offers=state.offers)
    assert decide(state, END) == []


def test_quiet_hours_start_nothing_and_return_what_nobody_wants():
    noon = (time(11, 0), time(13, 0))
    assert decide(queue(quiet=noon, waiters=waiters(None), seats=[Seat(1)]), NOW) == []
    assert decide(queue(quiet=noon, seats=[Seat(1)]), NOW) == [Return(1, "no_waiters")]


@pytest.mark.parametrize(
    ("policy", "opened", "said"),
    [
        ("open_then_sequential", False, [Promote(1, 2)]),
        ("open_then_sequential", True, [Exclusive(1, 1, END)]),
        ("sequential", False, [Exclusive(1, 1, END)]),
        ("auto_promote", True, [Promote(1, 2)]),
    ],
)
def test_consent_of_the_second(policy, opened, said):
    state = queue(
        policy, waiters=[Waiter(1), Waiter(2, auto=True), Waiter(3, auto=True)], seats=[Seat(1, None, opened)]
    )
    assert decide(state, NOW) == said


def test_consent_of_who_cannot_pay_is_passed_over():
    state = queue(waiters=[Waiter(1, auto=True, refusal="ARREARS_BLOCKED"), Waiter(2)], seats=[Seat(1)])
    assert decide(state, NOW) == [Skip(1, 1, "ARREARS_BLOCKED"), Open((1,), (2,), END)]


def test_consent_that_was_passed_over_says_why():
    owing, busy = Waiter(1, auto=True, refusal="ARREARS_BLOCKED"), Waiter(2, refusal="TIME_CONFLICT")
    state = queue(waiters=[owing, busy, Waiter(3, auto=True)], seats=[Seat(1)])
    assert decide(state, NOW) == [Skip(1, 1, "ARREARS_BLOCKED"), Promote(1, 3)]


def test_consent_during_an_offer():
    offers = [Offer(1, 1, 1, "open", END), Offer(2, 2, 1, "open", END)]
    state = queue(
        waiters=[Waiter(1), Waiter(2, auto=True)], seats=[Seat(1, 1, True)], rounds=[open_round()], offers=offers
    )
    assert decide(state, NOW) == [Promote(1, 2)]
    # Past its deadline the round belongs to who began in time.
    state.offers = [Offer(1, 1, 1, "open", END + timedelta(minutes=3))]
    assert decide(state, END) == []
    alone = queue(
        waiters=[Waiter(1, auto=True)], seats=[Seat(1, 1)], rounds=[Round(1, "exclusive", NOW, END)],
        offers=[Offer(1, 1, 1, "exclusive", END)],
    )  # fmt: skip
    assert decide(alone, NOW) == [Promote(1, 1)]
