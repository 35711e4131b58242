"""The figures of the start page (U1). Each is one query, and each leads to exactly the rows that it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import LIVE, Booking, LateRefund, LateRefundStatus
from app.domain.desk.models import AdjustmentStatus, Receipt, WalletAdjustment
from app.domain.ledger.models import Wallet, WalletStatus, WalletTransaction
from app.domain.makeups import desk_queries as makeups
from app.domain.orders import desk_refunds
from app.domain.outbox import queries as outbox
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.outbox.queries import NoticeFilter
from app.domain.policy import service as policy
from app.domain.policy.models import ChangeRequest
from app.domain.questions import queries as questions
from app.domain.reports import waitlist
from app.domain.reports.payments import Span
from app.domain.withdrawals import queries as withdrawals
from app.money import ZERO

_adj = WalletAdjustment.__table__
_tx = WalletTransaction.__table__
_wallet = Wallet.__table__
_note = Notification.__table__
_bookings = Booking.__table__

FAILED_DAYS = 7
CHART_DAYS = 14
#: the waitlist is looked at by week: a day has too few offers to say anything
CHART_WEEKS = 8


@dataclass(frozen=True, slots=True)
class Waiting:
    """What needs someone now."""

    approvals: int
    receipts_missing: int
    notices_failed: int
    changes: int
    late_refunds: int
    #: families that owe for so long that somebody should speak with them (N7)
    arrears_tasks: int
    #: refunds that wait for a second person (O14)
    refunds: int
    #: what parents asked to have back: to approve, and to pay out (W21)
    withdrawals: withdrawals.Open
    #: what parents asked about transactions and nobody answered (W28)
    questions: int
    #: requests of parents to arrange a makeup (M11), and makeup credits that end soon (M9)
    makeups_asked: int
    credits_ending: int


_pending = sa.select(sa.func.count()).select_from(_adj).where(_adj.c.status == AdjustmentStatus.PENDING)
_lacks_receipt = sa.and_(_adj.c.needs_receipt, ~sa.exists().where(Receipt.adjustment_id == _adj.c.id))


def approvals_waiting() -> int:
    """Adjustments that only wait for another person."""
    return _one(_pending.where(_adj.c.needs_approval, ~_lacks_receipt))


def receipts_missing() -> int:
    """Adjustments that wait for their receipt first (W13)."""
    return _one(_pending.where(_lacks_receipt))


def lost_notices() -> NoticeFilter:
    """Messages of the last days, today's too, that reached nobody: what the in-app list took over has arrived."""
    return NoticeFilter(outcome="lost", date_from=clock.today() - timedelta(days=FAILED_DAYS - 1))


def notices_failed() -> int:
    """How many those are."""
    return _one(outbox.select(lost_notices()).with_only_columns(sa.func.count()))


def late_refunds() -> int:
    """Refunds after the cutoff that wait for a second person (B3)."""
    pending = LateRefund.status == LateRefundStatus.PENDING
    return _one(sa.select(sa.func.count()).select_from(LateRefund).where(pending))


def arrears_tasks() -> int:
    """Families whose arrears are on the staff's task list (N7)."""
    since = clock.now() - policy.get("arrears_task_after")
    late = sa.and_(_wallet.c.balance < ZERO, _wallet.c.arrears_since <= since)
    return _one(sa.select(sa.func.count()).select_from(_wallet).where(late))


def waiting() -> Waiting:
    """Counts of what waits for a person."""
    changes = sa.select(sa.func.count()).select_from(ChangeRequest).where(ChangeRequest.status == "pending")
    return Waiting(
        approvals_waiting(), receipts_missing(), notices_failed(), _one(changes), late_refunds(), arrears_tasks(),
        desk_refunds.waiting(), withdrawals.waiting(), questions.open_count(),
        makeups.asked_count(), makeups.ending_count(),
    )  # fmt: skip


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


def delivery_by_day(days: int = FAILED_DAYS) -> list[DayDelivery]:
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


def _one(query) -> int:
    return db.session.execute(query).scalar_one()
