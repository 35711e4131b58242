"""The figures of the start page (U1). Each is one query, and each leads to exactly the rows that it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import LIVE, Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.desk.models import WalletAdjustment
from app.domain.ledger.models import Wallet, WalletStatus, WalletTransaction
from app.domain.outbox import queries as outbox
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.outbox.queries import NoticeFilter
from app.domain.reports import waiting, waitlist
from app.domain.reports.payments import Span
from app.money import ZERO

_adj = WalletAdjustment.__table__
_tx = WalletTransaction.__table__
_wallet = Wallet.__table__
_note = Notification.__table__
_bookings, _sessions = Booking.__table__, CourseSchedule.__table__

CHART_DAYS = 14
#: the waitlist is looked at by week: a day has too few offers to say anything
CHART_WEEKS = 8


@dataclass(frozen=True, slots=True)
class Arrears:
    families: int
    total: Decimal


def arrears() -> Arrears:
    """Families below zero and what they owe together, in yuan (positive)."""
    row = db.session.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_wallet.c.balance), ZERO)).where(
            _wallet.c.balance < ZERO, _wallet.c.status != WalletStatus.CLOSED
        )
    ).one()
    return Arrears(row[0], -row[1])


@dataclass(frozen=True, slots=True)
class DayMoney:
    on: date
    money_in: Decimal
    money_out: Decimal


def money_by_day(days: int = CHART_DAYS) -> list[DayMoney]:
    """Σ of credits and of debits for each of the last studio days, today last; reversals count as what they are."""
    today = clock.today()
    found: list[DayMoney] = []
    for offset in range(days - 1, -1, -1):
        on = today - timedelta(days=offset)
        start, end = clock.day_bounds(on)
        row = db.session.execute(
            sa.select(
                sa.func.coalesce(sa.func.sum(sa.case((_tx.c.amount > ZERO, _tx.c.amount), else_=ZERO)), ZERO),
                sa.func.coalesce(sa.func.sum(sa.case((_tx.c.amount < ZERO, _tx.c.amount), else_=ZERO)), ZERO),
            ).where(_tx.c.created_at >= start, _tx.c.created_at < end)
        ).one()
        found.append(DayMoney(on, row[0], -row[1]))
    return found


#: lower ends in yuan and words of the balance groups; None is everything below
BALANCE_GROUPS = (
    (None, Decimal("-600.00"), "欠 600 以上"),
    (Decimal("-600.00"), ZERO, "欠费"),
    (ZERO, Decimal("200.00"), "0–200"),
    (Decimal("200.00"), Decimal("1000.00"), "200–1000"),
    (Decimal("1000.00"), Decimal("5000.00"), "1000–5000"),
    (Decimal("5000.00"), None, "5000 以上"),
)


def balance_groups() -> list[tuple[str, int]]:
    """How many families' balances lie in each group."""
    cases = []
    for low, high, _word in BALANCE_GROUPS:
        bounds = [_wallet.c.balance >= low] if low is not None else []
        bounds += [_wallet.c.balance < high] if high is not None else []
        cases.append(sa.func.sum(sa.case((sa.and_(*bounds), 1), else_=0)))
    row = db.session.execute(sa.select(*cases).where(_wallet.c.status != WalletStatus.CLOSED)).one()
    return [(word, int(count or 0)) for (_low, _high, word), count in zip(BALANCE_GROUPS, row, strict=True)]


@dataclass(frozen=True, slots=True)
class DayBookings:
    """Bookings made on a day: those that still stand, and those that were cancelled or given up since."""

    on: date
    live: int
    ended: int


def bookings_by_day(days: int = CHART_DAYS) -> list[DayBookings]:
    """Bookings by the studio day they were made, today last; one look at all of the days."""
    today = clock.today()
    dates = [today - timedelta(days=offset) for offset in range(days - 1, -1, -1)]
    live = _bookings.c.status.in_(LIVE)
    sums = []
    for on in dates:
        start, end = clock.day_bounds(on)
        of_day = sa.and_(_bookings.c.created_at >= start, _bookings.c.created_at < end)
        sums += [
            sa.func.sum(sa.case((sa.and_(of_day, live), 1), else_=0)),
            sa.func.sum(sa.case((sa.and_(of_day, ~live), 1), else_=0)),
        ]
    first = clock.day_bounds(dates[0])[0]
    row = [
        int(count or 0) for count in db.session.execute(sa.select(*sums).where(_bookings.c.created_at >= first)).one()
    ]
    return [DayBookings(on, row[2 * number], row[2 * number + 1]) for number, on in enumerate(dates)]


def waitlist_span() -> Span:
    """The weeks of the waitlist's chart, this one until today, as its own report has them."""
    today = clock.today()
    return Span(waitlist.monday(today) - timedelta(weeks=CHART_WEEKS - 1), today)


@dataclass(frozen=True, slots=True)
class DayDelivery:
    on: date
    sent: int
    in_app: int
    failed: int
    waiting: int


def delivery_by_day(days: int = waiting.FAILED_DAYS) -> list[DayDelivery]:
    """Messages to parents by the studio day they were written and by what became of them; `failed` ones reached nobody,
    `in_app` ones are read in the mini program, from the start or because WeChat would not take them."""
    today = clock.today()
    found = []
    for offset in range(days - 1, -1, -1):
        on = today - timedelta(days=offset)
        start, end = clock.day_bounds(on)
        of_day = (_note.c.created_at >= start, _note.c.created_at < end)
        rows = db.session.execute(
            sa.select(_note.c.channel, _note.c.status, sa.func.count().label("rows"))
            .where(_note.c.channel.in_([Channel.WECHAT, Channel.IN_APP]), *of_day)
            .group_by(_note.c.channel, _note.c.status)
        )
        counts = {(row.channel, row.status): row.rows for row in rows}
        lost = outbox.select(NoticeFilter(channel=Channel.WECHAT, outcome="lost", date_from=on, date_to=on))
        found.append(
            DayDelivery(
                on,
                counts.get((Channel.WECHAT, Status.SENT), 0),
                counts.get((Channel.IN_APP, Status.SENT), 0),
                _one(lost.with_only_columns(sa.func.count())),
                counts.get((Channel.WECHAT, Status.PENDING), 0) + counts.get((Channel.WECHAT, Status.SENDING), 0),
            )
        )
    return found


def families_today() -> list[int]:
    """Families whose students have a class today, by id."""
    start, end = clock.day_bounds(clock.today())
    query = sa.select(_bookings.c.family_id).join(_sessions, _sessions.c.id == _bookings.c.course_schedule_id).where(
        _bookings.c.status.in_(LIVE), _sessions.c.starts_at >= start, _sessions.c.starts_at < end
    )  # fmt: skip
    return sorted(set(db.session.scalars(query)))


def _one(query) -> int:
    return db.session.execute(query).scalar_one()
