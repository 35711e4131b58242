"""The rules of a booking without a database: states, deadlines, levels, arrears (96.28–36)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest

from app.domain.bookings import errors, rules
from app.domain.bookings.models import BookingKind, BookingStatus
from app.domain.bookings.rules import STATUS_TEXTS, TRANSITIONS, Event
from app.domain.catalog.models import ScheduleStatus
from app.errors import InvalidState

#: Friday 10:00 in the studio
START = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
CUTOFF = timedelta(hours=6)

# Written out by hand, row by row as the specification says it: what is not here must be refused.
ALLOWED = {
    ("booked", "cancel"): "cancelled",
    ("booked", "leave"): "on_leave",
    ("booked", "attend"): "attended",
    ("booked", "miss"): "absent",
    ("attended", "miss"): "absent",
    ("attended", "unmark"): "booked",
    ("absent", "attend"): "attended",
    ("absent", "unmark"): "booked",
}


@pytest.mark.parametrize(("status", "event"), list(product(BookingStatus, Event)))
def test_every_event_in_every_state(status, event):
    following = ALLOWED.get((status.value, event.value))
    if following is None:
        with pytest.raises(InvalidState, match=STATUS_TEXTS[status]):
            rules.next_status(status, event)
    else:
        assert rules.next_status(status, event) == following


def test_the_table_knows_no_other_words_and_ends_are_final():
    assert {(str(status), str(event)): str(to) for (status, event), to in TRANSITIONS.items()} == ALLOWED
    for final in (BookingStatus.CANCELLED, BookingStatus.ON_LEAVE):
        assert not [key for key in TRANSITIONS if key[0] == final]
    assert set(STATUS_TEXTS) == set(BookingStatus)
    assert set(rules.KIND_TEXTS) == set(BookingKind)


@pytest.mark.parametrize(
    ("status", "now", "is_trial", "refusal"),
    [
        (ScheduleStatus.SCHEDULED, START - TICK, False, None),
        (ScheduleStatus.SCHEDULED, START, False, errors.ScheduleStarted),
        (ScheduleStatus.SCHEDULED, START - TICK, True, errors.TrialNeedsPayment),
        (ScheduleStatus.SCHEDULED, START, True, errors.ScheduleStarted),
        (ScheduleStatus.CANCELLED, START - TICK, False, errors.ScheduleCancelled),
        (ScheduleStatus.CANCELLED, START, True, errors.ScheduleCancelled),
    ],
)
def test_which_sessions_can_be_booked(status, now, is_trial, refusal):
    if refusal is None:
        rules.check_session(status, START, now, is_trial=is_trial)
    else:
        with pytest.raises(refusal):
            rules.check_session(status, START, now, is_trial=is_trial)


@pytest.mark.parametrize(
    ("course", "student", "lowest", "allowed"),
    [
        (None, None, None, True),  # a course of every level
        (None, 1, 1, True),
        (2, 2, 1, True),
        (1, 3, 1, True),
        (3, 2, 1, False),
        (1, None, 1, True),  # nobody confirmed a level: the lowest
        (2, None, 1, False),
        (1, None, None, False),  # a level that nobody knows
    ],
)
def test_levels(course, student, lowest, allowed):
    if allowed:
        rules.check_level(course, student, lowest)
    else:
        with pytest.raises(errors.LevelNotAllowed):
            rules.check_level(course, student, lowest)


@pytest.mark.parametrize(
    ("balance", "threshold", "bypassed", "blocked"),
    [
        ("-599.99", "600.00", False, False),
        ("-600.00", "600.00", False, True),
        ("-600.00", "600.00", True, False),
        ("0.00", "0.00", False, False),  # owing nothing is no arrears, whatever the threshold says
        ("-0.01", "0.00", False, True),
        ("5.00", "600.00", False, False),
    ],
)
def test_arrears(balance, threshold, bypassed, blocked):
    if not blocked:
        rules.check_arrears(Decimal(balance), Decimal(threshold), bypassed=bypassed)
        return
    with pytest.raises(errors.ArrearsBlocked) as refusal:
        rules.check_arrears(Decimal(balance), Decimal(threshold), bypassed=bypassed)
    assert refusal.value.data == {"balance": balance, "threshold": threshold}
    assert refusal.value.message == f"您已欠费 ¥{-Decimal(balance)}，请先充值后再预约"


@pytest.mark.parametrize(
    ("free", "now", "in_time"),
    [
        (False, START - CUTOFF, True),  # exactly at the cutoff is in time (96.36)
        (False, START - CUTOFF + TICK, False),
        (True, START - CUTOFF + TICK, True),
        (True, START - TICK, True),
        (True, START, False),  # what has begun is not cancelled, moved or not
        (False, START, False),
    ],
)
def test_until_when_a_booking_may_be_cancelled(free, now, in_time):
    assert rules.in_time(now, START, CUTOFF, free=free) is in_time
    assert rules.can_cancel("booked", "regular", now, START, CUTOFF, free=free) is in_time
    for status in set(BookingStatus) - {BookingStatus.BOOKED}:
        assert not rules.can_cancel(status, "regular", now, START, CUTOFF, free=free)


def test_a_cutoff_of_nothing_still_ends_at_the_start():
    assert rules.cancel_until(START, timedelta(0), free=False) == START
    assert rules.in_time(START - TICK, START, timedelta(0), free=False)
    assert not rules.in_time(START, START, timedelta(0), free=False)


@pytest.mark.parametrize(
    ("cutoff", "words"),
    [(timedelta(hours=6), "6小时"), (timedelta(hours=1.5), "1.5小时"), (timedelta(minutes=45), "45分钟")],
)
def test_the_refusal_names_the_cutoff_and_suggests_leave(cutoff, words):
    refused = rules.too_late("regular", START - TICK, START, cutoff)
    assert refused.message == f"开课前{words}内不能取消，您可以改为请假，保留一次补课机会"


def test_it_suggests_no_leave_where_there_is_none():
    cutoff = timedelta(hours=6)
    assert rules.too_late("trial", START - TICK, START, cutoff).message == "开课前6小时内不能取消，如需改期请联系馆方"
    assert rules.too_late("makeup", START - TICK, START, cutoff).message.endswith("保留一次补课机会")
    for kind in ("regular", "makeup", "trial"):
        assert rules.too_late(kind, START, START, cutoff).message == "这节课已经开始，不能取消"


@pytest.mark.parametrize(
    ("status", "kind", "now", "allowed"),
    [
        ("booked", "regular", START - TICK, True),
        ("booked", "makeup", START - TICK, True),
        ("booked", "regular", START, False),
        ("booked", "trial", START - TICK, False),
        ("on_leave", "regular", START - TICK, False),
        ("attended", "regular", START - TICK, False),
    ],
)
def test_when_leave_may_be_taken(status, kind, now, allowed):
    assert rules.can_leave(status, kind, now, START) is allowed


def test_the_roll_opens_two_hours_before_and_closes_with_the_studio_day():
    assert not rules.roll_is_open(START - timedelta(hours=2) - TICK, START)
    assert rules.roll_is_open(START - timedelta(hours=2), START)
    midnight = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)  # 00:00 of Saturday in Shanghai
    assert not rules.day_is_over(midnight - TICK, START)
    assert rules.day_is_over(midnight, START)
