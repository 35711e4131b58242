"""Figures of makeups against data counted by hand, and whether makeups keep their word (M10, Q25, U18)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app import clock
from app.db import db, transaction
from app.domain.bookings import place
from app.domain.credits.models import CompensationLot
from app.domain.makeups import failures
from app.domain.makeups.models import MakeupFailure
from app.domain.outbox.models import Notification
from app.domain.reports import makeups as figures
from app.domain.reports import makeups_checks as checks
from app.domain.reports import makeups_rows, waitlist_alarm
from app.domain.reports.makeups_rows import CREDITS, OF_NO_TYPE, Figure
from app.domain.reports.payments import Span
from app.errors import Busy, Conflict, OutcomeUnknown, Replayed
from tests.domain.makeups.counted import booking, change, credit, lot, usage
from tests.domain.makeups.steps import Away
from tests.domain.waitlist.counted import entry
from tests.factories import make_course, make_family, make_session

pytestmark = pytest.mark.usefixtures("app")

#: Wednesday noon in the studio
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SPAN = Span(date(2026, 10, 1), date(2026, 11, 18))
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


@pytest.fixture(autouse=True)
def noon(app):
    with clock.travel(to=NOW):
        yield


def ids(figure, span=SPAN, **more):
    return sorted(row.id for row in makeups_rows.behind(figure, span, **more))


# ── figures ─────────────────────────────────────────────────────────────────────────────────────────


def test_leave_is_of_the_classes_of_its_month():
    course, vip = make_course(), make_course(type_code="vip")
    october, november = (make_session(course, starts_at=NOW - days * DAY) for days in (30, 2))
    other, ahead = make_session(vip, starts_at=NOW - DAY), make_session(course, starts_at=NOW + DAY)
    kept = [booking(october, status=one) for one in ("attended", "absent")] + [booking(november)]
    left = [booking(october, status="on_leave"), booking(november, status="on_leave", kind="makeup")]
    elsewhere = booking(other, status="on_leave")
    for uncounted in (
        lambda: booking(october, status="cancelled"),
        lambda: booking(november, kind="trial", status="attended"),
        lambda: booking(ahead, status="on_leave"),
    ):
        uncounted()
    found = figures.table(SPAN)
    assert (found.total.values[Figure.LEAVE], found.total.values[Figure.DUE]) == (3, 6)
    assert found.total.leave_rate == Decimal(1) / 2
    assert [(month, line.values["leave"], line.values["due"]) for month, line in found.months] == [
        (NOVEMBER, 2, 3), (OCTOBER, 1, 3),
    ]  # fmt: skip
    assert [(name, line.values["leave"]) for _, name, line in found.types] == [("regular课", 2), ("vip课", 1)]
    assert ids(Figure.LEAVE) == sorted([*left, elsewhere])
    assert ids(Figure.DUE) == sorted([*kept, *left, elsewhere])
    assert ids(Figure.LEAVE, type_id=found.types[1][0]) == [elsewhere]


def test_credits_by_what_became_of_them_and_the_days_it_took():
    session = make_session(starts_at=NOW - 20 * DAY)
    held, ahead = make_session(starts_at=NOW - 2 * DAY), make_session(starts_at=NOW + 2 * DAY)
    made = {}
    for name, at, status, ends in (
        ("open", NOW - DAY, "available", 60), ("lapsed", NOW - 45 * DAY, "available", 40),
        ("expired", NOW - 45 * DAY, "expired", 40), ("void", NOW - 3 * DAY, "void", 60),
        ("held", NOW - 12 * DAY, "used", 60), ("sooner", NOW - 5 * DAY, "used", 60),
        ("ahead", NOW - 12 * DAY, "used", 60),
    ):  # fmt: skip
        made[name] = credit(booking(session, status="on_leave"), made=at, status=status, ends=ends * DAY)
    for name, schedule in (("held", held), ("sooner", held), ("ahead", ahead)):
        booking(schedule, kind="makeup", credit=made[name])
    booking(ahead, kind="makeup", status="cancelled", credit=made["held"])
    found = figures.table(SPAN)
    assert {one: found.total.values[one] for one in CREDITS} == {
        "granted": 7, "used": 3, "held": 2, "open": 1, "unused": 3,
    }  # fmt: skip
    assert ids(Figure.HELD) == sorted([made["held"], made["sooner"]])
    assert ids(Figure.UNUSED) == sorted([made["lapsed"], made["expired"], made["void"]])
    assert ids(Figure.OPEN) == [made["open"]]
    # 12 and 5 days ago, both made up two days ago
    assert (found.total.days, found.total.mean_days) == (Decimal(13), Decimal("6.5"))
    assert sorted(row.days for row in makeups_rows.behind(Figure.HELD, SPAN)) == [3, 10]
    assert (found.total.used_rate, found.total.unused_rate) == (Decimal(3) / 7, Decimal(3) / 7)
    assert [(month, line.values["unused"]) for month, line in found.months] == [(NOVEMBER, 1), (OCTOBER, 2)]


def test_minutes_by_kind_and_what_is_owed_when_a_month_ends():
    family = make_family()
    short = booking(make_session(make_course(type_code="vip"), starts_at=NOW + DAY), kind="makeup", family=family)
    october = clock.day_bounds(date(2026, 10, 30))[0]
    earned = lot(family, 60, at=october, booking_id=short, left=15)
    rows = [
        change(earned, "earned", 60, at=october), change(earned, "used", -45, at=NOW - 17 * DAY),
        change(earned, "returned", 15, at=NOW - 10 * DAY), change(earned, "expired", -15, at=NOW - 5 * DAY),
    ]  # fmt: skip
    given = lot(family, 30, at=NOW - DAY)
    adjusted = [change(given, "adjusted", 30, at=NOW - DAY), change(given, "adjusted", -15, at=NOW)]
    found = figures.table(SPAN)
    # The first lot ended on 13 November: what the books still hold of it is owed no more.
    assert {one: value for one, value in found.total.values.items() if value} == {
        "earned": 60, "spent": 45, "lapsed": 15, "adjusted": 15, "returned": 15, "owed": 15,
    }  # fmt: skip
    assert [(month, line.values["owed"]) for month, line in found.months] == [(NOVEMBER, 15), (OCTOBER, 60)]
    assert [(one is None, name, line.values["owed"]) for one, name, line in found.types] == [
        (False, "vip课", 0), (True, "员工给予", 15),
    ]  # fmt: skip
    assert [ids(one) for one in (Figure.EARNED, Figure.SPENT, Figure.RETURNED, Figure.LAPSED)] == [
        [one] for one in rows
    ]
    assert ids(Figure.ADJUSTED) == ids(Figure.ADJUSTED, type_id=OF_NO_TYPE) == sorted(adjusted)
    assert (ids(Figure.OWED), ids(Figure.OWED, figures.part_of(SPAN, OCTOBER))) == ([given], [earned])
    [row] = makeups_rows.behind(Figure.OWED, SPAN)
    assert (row.minutes, row.student, row.family_id) == (15, "张小明", family.id)
    assert [row.minutes for row in makeups_rows.behind(Figure.SPENT, SPAN)] == [45]


def test_a_month_begins_at_the_studios_midnight():
    midnight = clock.day_bounds(NOVEMBER)[0]
    session = make_session(starts_at=NOW)
    before, after = (credit(booking(session, status="on_leave"), made=midnight + apart)
                     for apart in (-timedelta(microseconds=1), timedelta(0)))  # fmt: skip
    months = dict(figures.table(SPAN).months)
    assert months[OCTOBER].values["granted"] == months[NOVEMBER].values["granted"] == 1
    assert ids(Figure.GRANTED, figures.part_of(SPAN, NOVEMBER)) == [after]
    assert ids(Figure.GRANTED, figures.part_of(SPAN, OCTOBER)) == [before]


@pytest.mark.parametrize(("first", "last", "months"), [
    ("2026-11-18", "2026-11-18", [("2026-11-01", "2026-11-18", "2026-11-18")]),
    ("2026-01-31", "2026-03-01", [("2026-03-01", "2026-03-01", "2026-03-01"),
                                  ("2026-02-01", "2026-02-01", "2026-02-28"),
                                  ("2026-01-01", "2026-01-31", "2026-01-31")]),
])  # fmt: skip
def test_the_months_of_a_span(first, last, months):
    span = Span(date.fromisoformat(first), date.fromisoformat(last))
    parts = [(month, figures.part_of(span, month)) for month in figures.months_of(span)]
    assert [tuple(one.isoformat() for one in (month, part.first, part.last)) for month, part in parts] == months


def test_what_the_use_cases_make_is_counted_and_led_to():
    with clock.travel(to=NOW - 10 * DAY):
        one = Away(90, 60, 60)
        one.book(one.session(60), accept_shorter=True)
        one.book(one.session(75), 1, use_compensation=True)
    found = figures.table(SPAN)
    expected = {"leave": 3, "due": 5, "granted": 3, "used": 2, "held": 2, "open": 1, "earned": 30, "spent": 15,
                "owed": 15}  # fmt: skip
    assert {name: value for name, value in found.total.values.items() if value} == expected
    for figure in Figure:
        rows = makeups_rows.behind(figure, SPAN)
        counted = len(rows) if rows and rows[0].minutes is None else sum(row.minutes for row in rows)
        assert found.total.values[figure] == counted, figure


def test_nothing_is_no_figure():
    total = figures.table(SPAN).total
    assert (total.leave_rate, total.used_rate, total.unused_rate, total.mean_days) == (None,) * 4
    assert figures.table(SPAN).cells == {}


# ── promises ────────────────────────────────────────────────────────────────────────────────────────


def failing(error: Exception):
    @failures.noted
    def book(*, schedule_id: int, profile_id: int):
        raise error

    return book


@pytest.mark.parametrize(("error", "noted"), [
    (Busy(), "BUSY_TRY_AGAIN"), (OutcomeUnknown(), "OUTCOME_UNKNOWN"), (ZeroDivisionError(), "ZeroDivisionError"),
    (OperationalError("", {}, Exception()), "OperationalError"), (Conflict("满员"), None), (Replayed({}), None),
])  # fmt: skip
def test_what_failed_for_no_rules_sake_is_noted(error, noted):
    family, session = make_family(), make_session()
    with pytest.raises(type(error)):
        failing(error)(schedule_id=session, profile_id=family.profile_ids[0])
    found = checks.bookings(SPAN)
    assert [one.error for one in found.broken] == ([noted] if noted else [])
    if noted:
        [one] = found.broken
        assert (one.student, one.family_id, one.schedule_id, one.at) == ("张小明", family.id, session, NOW)
        assert (found.rate, found.alarm) == (0, True)


def test_a_note_that_cannot_be_written_does_not_hide_the_failure():
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())(schedule_id=None, profile_id=None)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(MakeupFailure)) == 0


def test_bookings_that_succeeded_beside_those_that_failed():
    session = make_session()
    made = [booking(session, kind="makeup", status=one) for one in ("booked", "cancelled", *["attended"] * 96)]
    assert checks.bookings(SPAN).judged == 98
    waited = booking(session, kind="makeup")
    entry(session, joined=NOW, status="confirmed", ended=NOW, reason="confirmed", booking_id=waited)
    booking(session)
    with pytest.raises(Busy):
        failing(Busy())(schedule_id=session, profile_id=1)
    found = checks.bookings(SPAN)
    assert (found.judged, found.kept, found.alarm) == (99, 98, True)
    for _ in range(2):
        made.append(booking(session, kind="makeup"))
    # 100 of 101 are more than 99 in a hundred; 99 of 100 would not be.
    assert (checks.bookings(SPAN).judged, checks.bookings(SPAN).alarm) == (101, False)
    assert checks.bookings(Span(SPAN.first, date(2026, 11, 17))).rate is None


def test_a_makeup_that_fails_half_way_is_noted(monkeypatch):
    one = Away(60)
    schedule_id = one.session(60)

    def broken(*args, **more):
        raise ZeroDivisionError

    monkeypatch.setattr(place, "tell_booked", broken)
    with pytest.raises(ZeroDivisionError):
        one.book(schedule_id)
    assert one.credit().status == "available"
    assert [(one.error, one.schedule_id) for one in checks.bookings(SPAN).broken] == [
        ("ZeroDivisionError", schedule_id)
    ]


def test_minutes_are_right_after_all_that_can_happen():
    one = Away(90, 60)
    one.book(one.session(60), accept_shorter=True)
    one.book(one.session(75), 1, use_compensation=True)
    found = checks.minutes(SPAN)
    assert (found.judged, found.rate, found.alarm) == (1, 1, False)


@pytest.mark.parametrize("wrong", ["left", "unwritten", "unused"])
def test_minutes_that_are_wrong_are_found(wrong):
    family = make_family()
    longer = booking(make_session(), kind="makeup", family=family)
    good = lot(family, 30, at=NOW - HOUR, left=15)
    change(good, "earned", 30, at=NOW - HOUR)
    change(good, "used", -15, at=NOW, booking_id=longer)
    usage(good, longer, 15, at=NOW)
    assert checks.minutes(SPAN).rate == 1
    if wrong == "left":
        with transaction():
            db.session.get(CompensationLot, good).minutes_left = 30
    elif wrong == "unwritten":
        usage(good, booking(make_session(), kind="makeup", family=family), 15, at=NOW)
    else:
        change(good, "used", -10, at=NOW, booking_id=longer)
        change(good, "adjusted", 10, at=NOW)
    found = checks.minutes(SPAN)
    assert (found.judged, found.kept, found.alarm) == (1, 0, True)
    assert [(one.left, one.said, one.student) for one in found.broken] == [
        (30 if wrong == "left" else 15, 15, "张小明")
    ]


def test_lots_are_judged_while_they_could_be_used_and_when_they_change():
    old = lot(make_family(), 30, at=NOW - 40 * DAY)
    week = Span(date(2026, 11, 12), date(2026, 11, 18))
    assert checks.minutes(week).judged == 0
    change(old, "expired", -15, at=NOW)
    assert (checks.minutes(week).judged, checks.minutes(week).kept) == (1, 0)


def test_staff_hear_once_of_what_was_wrong():
    with clock.travel(to=NOW - DAY):
        lot(make_family(), 30, at=NOW - DAY)
        with pytest.raises(Busy):
            failing(Busy())(schedule_id=1, profile_id=1)
    for _ in range(2):
        assert waitlist_alarm.tell() == ["bookings", "minutes"]
    [card] = db.session.query(Notification).filter_by(type="staff.waitlist_promises").all()
    assert "补课预约成功：0/1（0%，目标 99%）" in card.text
    assert "课时补偿账目正确：0/1（0%，目标 100%）" in card.text
    assert card.payload["link"]["path"] == "/reports/makeups"
