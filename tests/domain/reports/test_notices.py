"""The report on messages against data counted by hand: delivered, read, acted on, arrears settled (N11)."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.bookings.models import Booking
from app.domain.ledger import service as ledger
from app.domain.outbox import consents, delivery
from app.domain.outbox.models import Notification
from app.domain.people.models import User
from app.domain.reports import notices, settled
from tests.domain.outbox.families import grant, rows
from tests.factories import make_family, make_session

pytestmark = pytest.mark.usefixtures("app")

NOVEMBER = date(2026, 11, 1)
#: 12:00 in the studio
TENTH = datetime(2026, 11, 10, 4, 0, tzinfo=UTC)
END = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def note(type="arrears", *, family=None, at=TENTH, channel="wechat", status="sent", **more) -> int:
    with transaction():
        row = Notification(
            channel=channel, type=type, recipient="x", payload=more.pop("payload", {}), status=status, created_at=at,
            family_id=family.id if family else None, dedupe_key=f"report-{next(_numbers)}", **more,
        )  # fmt: skip
        db.session.add(row)
        db.session.flush()
        return row.id


def move(family, amount: str, at: datetime, type: str = "adjustment") -> None:
    with clock.travel(to=at), transaction():
        ledger.post(
            ledger.lock_wallet(wallet_id=family.wallet_id), type=type, amount=Decimal(amount),
            idempotency_key=f"report-{next(_numbers)}", reference_type="adjustment", reference_id=1, reason="测试",
            actor=system("test"),
        )  # fmt: skip


def quiet_family(balance="0.00", at=TENTH - timedelta(days=60), **more):
    """A family whose opening is old enough to be of no month that is looked at."""
    with clock.travel(to=at):
        return make_family(balance=balance, **more)


# ── delivered and read ──────────────────────────────────────────────────────────────────────────────


def test_delivered_of_what_could_be_and_read_by_type():
    for status, code in (
        ("sent", None), ("sent", None), ("sent", None), ("failed", "40003"), ("failed", "43101"), ("failed", None),
        ("pending", None), ("sending", None), ("suppressed", "cooldown"),
    ):  # fmt: skip
        note(status=status, error_code=code)
    note("low_balance", channel="in_app", read_at=TENTH)
    note("low_balance", channel="in_app")
    note("staff.adjustment", channel="feishu")
    low, arrears = notices.by_type(NOVEMBER)
    assert (arrears.key, arrears.sent, arrears.failed, arrears.refused, arrears.waiting) == ("arrears", 3, 2, 1, 2)
    assert arrears.rate == Decimal(3) / 5
    assert arrears.read_rate is None
    assert (low.key, low.in_app, low.read, low.read_rate, low.rate) == ("low_balance", 2, 1, Decimal("0.5"), None)
    whole = notices.total([low, arrears])
    assert (whole.sent, whole.failed, whole.refused, whole.in_app, whole.read) == (3, 2, 1, 2, 1)


def test_a_month_is_the_studios():
    for at in (
        datetime(2026, 10, 31, 15, 59, 59, tzinfo=UTC),  # 31 October, 23:59
        datetime(2026, 10, 31, 16, 0, tzinfo=UTC),
        datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC),
        datetime(2026, 11, 30, 16, 0, tzinfo=UTC),  # 1 December
    ):
        note(at=at)
    months = notices.by_month(notices.months_back(date(2026, 12, 24), 3))
    assert [(line.key, line.sent) for line in months] == [("2026-10", 1), ("2026-11", 2), ("2026-12", 1)]
    assert notices.by_type(date(2026, 9, 1)) == []
    assert notices.by_month([date(2026, 9, 1)]) == [notices.Line("2026-09")]


@pytest.mark.parametrize(
    ("month", "last"), [("2026-02", "2026-02-28"), ("2028-02", "2028-02-29"), ("2026-12", "2026-12-31")]
)
def test_months_end(month, last):
    assert str(notices.last_day(date.fromisoformat(f"{month}-01"))) == last


def test_months_back_over_the_turn_of_a_year():
    assert [str(m) for m in notices.months_back(date(2026, 1, 31), 3)] == ["2025-11-01", "2025-12-01", "2026-01-01"]


# ── acted on ────────────────────────────────────────────────────────────────────────────────────────


def acted(type: str, at: datetime = END) -> tuple[int, int, int]:
    with clock.travel(to=at):
        found = notices.acted(NOVEMBER)[type]
    return found.done, found.undone, found.open


@pytest.mark.parametrize(
    ("after", "amount", "type", "expected"),
    [
        (timedelta(hours=1), "10.00", "recharge", (1, 0, 0)),
        (timedelta(days=7), "10.00", "adjustment", (1, 0, 0)),
        (timedelta(days=7, seconds=1), "10.00", "recharge", (0, 1, 0)),
        (timedelta(seconds=-1), "10.00", "recharge", (0, 1, 0)),
        (timedelta(hours=1), "10.00", "refund", (0, 1, 0)),
        (timedelta(hours=1), "-10.00", "adjustment", (0, 1, 0)),
    ],
)
def test_a_reminder_of_money_is_acted_on_by_topping_up_within_a_week(after, amount, type, expected):
    family, other = quiet_family("900.00"), quiet_family("900.00")  # nothing else is told of these
    note("low_balance", family=family)
    move(family, amount, TENTH + after, type)
    move(other, "10.00", TENTH + timedelta(hours=1), "recharge")
    assert acted("low_balance") == expected


def test_before_the_week_is_over_nothing_is_judged():
    family, quick = quiet_family(), quiet_family()
    note("arrears", family=family)
    note("arrears", family=quick)
    move(quick, "10.00", TENTH + timedelta(hours=1), "recharge")
    assert acted("arrears", TENTH + timedelta(days=6)) == (1, 0, 1)
    assert acted("arrears", TENTH + timedelta(days=8)) == (1, 1, 0)


def test_only_what_arrived_counts():
    family = quiet_family()
    note("arrears", family=family, status="failed")
    note("arrears", family=family, channel="in_app")
    note("arrears", family=family, status="suppressed")
    note("arrears", family=family, status="pending")
    assert acted("arrears") == (0, 1, 0)


def booking(family, status: str = "booked", at: datetime = TENTH) -> int:
    schedule_id = make_session()
    with transaction():
        row = Booking(
            course_schedule_id=schedule_id, profile_id=family.profile_ids[0], family_id=family.id, kind="regular",
            source="wallet", status=status, price=Decimal(0), free_cancel=False, created_at=at,
        )  # fmt: skip
        db.session.add(row)
        db.session.flush()
        return row.id


def test_a_reminder_of_a_class_is_acted_on_by_coming():
    family = quiet_family()
    for status in ("attended", "attended", "absent", "booked", "cancelled", "on_leave"):
        note("class_reminder", family=family, payload={"booking_id": booking(family, status)})
    note("class_reminder", family=family)
    assert acted("class_reminder") == (2, 4, 1)


def test_a_cancelled_class_is_acted_on_by_booking_again():
    family, other = quiet_family(), quiet_family()
    booking(family, at=TENTH - timedelta(days=1))
    note("class_cancelled", family=family)
    note("class_cancelled", family=other)
    assert acted("class_cancelled") == (0, 2, 0)
    booking(family, at=TENTH + timedelta(days=2))
    assert acted("class_cancelled") == (1, 1, 0)


def test_the_rows_are_those_that_were_counted():
    family, other = quiet_family("900.00", parent="李女士"), quiet_family("900.00")
    ids = [note("low_balance", family=family), note("low_balance", family=other)]
    move(family, "10.00", TENTH + timedelta(days=1), "recharge")
    with clock.travel(to=END):
        [done] = notices.acted_rows("low_balance", NOVEMBER, "done").items
        [undone] = notices.acted_rows("low_balance", NOVEMBER, "undone").items
        every = notices.acted_rows("low_balance", NOVEMBER, None)
        assert notices.acted_rows("low_balance", date(2026, 10, 1), None).items == []
    assert (done.id, done.family_name, done.state) == (ids[0], "李女士家庭", "done")
    assert (undone.id, undone.state) == (ids[1], "undone")
    assert [row.id for row in every.items] == ids[::-1]


# ── arrears settled ─────────────────────────────────────────────────────────────────────────────────


def ends(at: datetime = END) -> list[settled.Arrears]:
    with clock.travel(to=at):
        return settled.arrears(NOVEMBER)


@pytest.mark.parametrize(
    ("paid_after", "looked_after", "state"),
    [
        (timedelta(days=1), timedelta(days=20), "in_time"),
        (timedelta(days=7), timedelta(days=20), "in_time"),
        (timedelta(days=7, minutes=1), timedelta(days=20), "late"),
        (None, timedelta(days=6), "recent"),
        (None, timedelta(days=8), "owing"),
    ],
)
def test_settled_within_a_week_of_a_notice(paid_after, looked_after, state):
    family = quiet_family("100.00", parent="李女士")
    move(family, "-300.00", TENTH)
    if paid_after:
        move(family, "200.00", TENTH + paid_after)
    [found] = ends(TENTH + looked_after)
    assert (found.state, found.owed, found.family_name) == (state, Decimal("200.00"), "李女士家庭")
    assert found.ended_at == (TENTH + paid_after if paid_after else None)


def test_each_later_notice_gives_another_week():
    family = quiet_family()
    move(family, "-300.00", TENTH)
    note("arrears", family=family, at=TENTH + timedelta(days=7))
    move(family, "300.00", TENTH + timedelta(days=13))
    note("arrears", family=family, at=TENTH + timedelta(days=14))  # after its end: of no effect
    [found] = ends()
    assert (found.state, found.last_told_at) == ("in_time", TENTH + timedelta(days=7))


def test_a_family_that_owes_twice_has_two():
    family = quiet_family()
    move(family, "-50.00", TENTH)
    move(family, "-20.00", TENTH + timedelta(hours=1))  # the same arrears
    move(family, "70.00", TENTH + timedelta(days=1))
    move(family, "-10.00", TENTH + timedelta(days=3))
    assert [(one.state, one.owed) for one in ends()] == [("owing", Decimal("10.00")), ("in_time", Decimal("50.00"))]


def test_who_could_not_be_told_and_other_months_do_not_count():
    lonely, october = quiet_family(), quiet_family()
    with transaction():
        db.session.get(User, lonely.user_id).family_id = october.id
    move(lonely, "-50.00", TENTH)
    move(october, "-50.00", TENTH - timedelta(days=11))
    found = ends()
    assert [one.state for one in found] == ["untold"]
    assert settled.summary(found).rate is None


def test_told_in_the_app_because_the_consent_was_gone_is_told():
    family = quiet_family()
    grant(family.user_id, "arrears", 1)
    move(family, "-50.00", TENTH)
    [first] = rows(family_id=family.id, type="arrears", channel="wechat")
    with clock.travel(to=TENTH):
        with transaction():
            consents.clear(family.user_id, "arrears")
        assert delivery.claim(notification_id=first.id) is None
    move(family, "50.00", TENTH + timedelta(days=1))
    assert [(one.state, one.last_told_at) for one in ends()] == [("in_time", TENTH)]


def test_the_share_leaves_out_what_cannot_be_judged_yet():
    families = [quiet_family() for _ in range(4)]
    for family, day in zip(families, (0, 0, 0, 19), strict=True):
        move(family, "-50.00", TENTH + timedelta(days=day))
    move(families[0], "50.00", TENTH + timedelta(days=1))
    move(families[1], "50.00", TENTH + timedelta(days=9))
    summary = settled.summary(ends())
    assert summary.counts == {"in_time": 1, "late": 1, "owing": 1, "recent": 1, "untold": 0}
    assert summary.rate == Decimal(1) / 3
