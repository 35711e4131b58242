"""The invariants of the money, each as one look (W26). `since` None means all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.bookings.models import Booking
from app.domain.cases.models import CaseStatus, MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import CompensationHistory, CompensationLot
from app.domain.ledger import verify
from app.domain.ledger.models import TransactionType, Wallet, WalletTransaction
from app.domain.orders.models import OrderStatus, PaymentOrder, PaymentTransaction, Refund, RefundStatus
from app.domain.policy import service as policy
from app.domain.policy.past import Past
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist.models import ReleaseStatus, SeatRelease
from app.money import ZERO

_w, _t, _log = Wallet.__table__, WalletTransaction.__table__, AuditEntry.__table__
_o, _p, _r, _c = PaymentOrder.__table__, PaymentTransaction.__table__, Refund.__table__, MoneyCase.__table__
_lots, _history, _b = CompensationLot.__table__, CompensationHistory.__table__, Booking.__table__
_s, _holds, _kept = CourseSchedule.__table__, SeatReservation.__table__, SeatRelease.__table__

#: sessions that began longer ago than this are looked at at night only
RECENT = timedelta(days=1)
#: sessions per statement
STRETCH = 2_000
_LIMIT = "overdraft_limit"


@dataclass(frozen=True, slots=True)
class Failing:
    """A row where an invariant does not hold; `target_*` say where a person looks."""

    key: str
    text: str
    family_id: int | None = None
    target_type: str | None = None
    target_id: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    judged: int
    failing: Sequence[Failing]


def ledger(since: datetime | None) -> View:
    """Σ transactions = balance per wallet, with numbers and hashes (W4); what is new since the last anchor, or all."""
    report = verify.run(full=since is None, keep_anchor=False)
    owners = dict(
        iter(
            db.session.execute(
                sa.select(_w.c.id, _w.c.family_id).where(_w.c.id.in_([one.wallet_id for one in report.findings]))
            )
        )
    )
    return View(
        report.wallets,
        [Failing(f"{one.wallet_id}:{one.seq}", str(one), owners.get(one.wallet_id)) for one in report.findings],
    )


def limits(_since: datetime | None) -> View:
    """No balance past its limit (W7). A limit that was lowered later only blocks new debits (W30): a balance below
    today's is judged by the limit that was in force when its last debit was made. Debts that moved with a merged
    family were owed already."""
    today = policy.get(_LIMIT)
    judged = db.session.scalar(sa.select(sa.func.count()).select_from(_w).where(_w.c.balance < ZERO))
    low = sa.select(_w.c.id, _w.c.family_id, _w.c.balance, _w.c.overdraft_limit).where(
        _w.c.balance < ZERO,
        _w.c.balance < -sa.func.coalesce(_w.c.overdraft_limit, sa.literal(today, _w.c.balance.type)),
    )
    rows = list(db.session.execute(low.order_by(_w.c.id)))
    past = Past(_LIMIT) if rows else None
    return View(judged, [one for row in rows if past is not None and (one := _past_limit(row, past)) is not None])


def _past_limit(wallet: sa.Row, past: Past) -> Failing | None:
    debit = db.session.execute(
        sa.select(_t.c.balance_after, _t.c.created_at)
        .where(_t.c.wallet_id == wallet.id, _t.c.amount < ZERO, _t.c.type != TransactionType.TRANSFER_OUT)
        .order_by(_t.c.seq.desc())
        .limit(1)
    ).first()
    if debit is None:
        return None
    limit = _limit_at(wallet, debit.created_at, past)
    if debit.balance_after >= -limit:
        return None
    text = f"余额 {money.yuan(wallet.balance)}，扣费时的上限 {money.yuan(limit)}"
    return Failing(str(wallet.id), text, wallet.family_id)


def _limit_at(wallet: sa.Row, moment: datetime, past: Past) -> Decimal:
    """The wallet's own limit then, as its audit rows tell, else the policy's."""
    changed = db.session.execute(
        sa.select(_log.c.before)
        .where(
            _log.c.target_type == "wallet", _log.c.target_id == str(wallet.id), _log.c.action == "wallet.limit_set",
            _log.c.created_at > moment,
        )
        .order_by(_log.c.id)
        .limit(1)
    ).first()  # fmt: skip
    own = wallet.overdraft_limit
    if changed is not None:
        said = changed.before["overdraft_limit"]
        own = Decimal(said) if said[:1].isdigit() else None
    return past.get(_LIMIT, moment) if own is None else own


def paid_orders(_since: datetime | None) -> View:
    """No paid order without a booking, a refund or a row on the exceptions board."""
    refunding = sa.exists().where(
        _r.c.order_id == _o.c.id, _r.c.status.not_in((RefundStatus.REJECTED, RefundStatus.CLOSED))
    )
    on_board = sa.exists().where(_c.c.order_id == _o.c.order_id, _c.c.status == CaseStatus.OPEN)
    lost = sa.select(_o.c.order_id, _o.c.family_id, _o.c.amount).where(
        _o.c.status == OrderStatus.PAID, _o.c.booking_id.is_(None), ~refunding, ~on_board
    )
    judged = db.session.scalar(sa.select(sa.func.count()).select_from(_o).where(_o.c.status == OrderStatus.PAID))
    return View(
        judged,
        [
            Failing(row.order_id, f"订单 {row.order_id[:8]} 已付 {money.yuan(row.amount)}，没有预约、退款或异常",
                    row.family_id, "order", row.order_id)
            for row in db.session.execute(lost.order_by(_o.c.id))
        ],
    )  # fmt: skip


def refund_sums(_since: datetime | None) -> View:
    """Σ refunds ≤ paid, of every payment and every booking from a wallet; and a payment says what its refunds are."""
    live = _r.c.status.not_in((RefundStatus.REJECTED, RefundStatus.CLOSED))
    of_payment = (
        sa.select(_r.c.payment_id, sa.func.sum(_r.c.amount).label("given"))
        .where(_r.c.payment_id.is_not(None), live)
        .group_by(_r.c.payment_id)
        .subquery()
    )
    given = sa.func.coalesce(of_payment.c.given, sa.literal(ZERO, _p.c.refunded.type))
    payments = (
        sa.select(_p.c.transaction_id, _p.c.total_fee, _p.c.refunded, given.label("given"), _o.c.order_id,
                  _o.c.family_id)
        .select_from(_p.join(_o, _o.c.id == _p.c.order_id).outerjoin(of_payment, of_payment.c.payment_id == _p.c.id))
        .where(sa.or_(given > _p.c.total_fee, given != _p.c.refunded))
        .order_by(_p.c.id)
    )  # fmt: skip
    of_booking = (
        sa.select(_r.c.booking_id, sa.func.sum(_r.c.amount).label("given"))
        .where(_r.c.booking_id.is_not(None), live)
        .group_by(_r.c.booking_id)
        .subquery()
    )
    bookings = (
        sa.select(_b.c.id, _b.c.family_id, _b.c.price, of_booking.c.given)
        .join_from(_b, of_booking, of_booking.c.booking_id == _b.c.id)
        .where(of_booking.c.given > _b.c.price)
        .order_by(_b.c.id)
    )
    failing = [
        Failing(f"payment:{row.transaction_id}",
                f"付款 {money.yuan(row.total_fee)}，退款合计 {money.yuan(row.given)}，已记 {money.yuan(row.refunded)}",
                row.family_id, "order", row.order_id)
        for row in db.session.execute(payments)
    ]  # fmt: skip
    failing += [
        Failing(f"booking:{row.id}", f"预约 {row.id} 扣费 {money.yuan(row.price)}，退款合计 {money.yuan(row.given)}",
                row.family_id, "booking", str(row.id))
        for row in db.session.execute(bookings)
    ]  # fmt: skip
    return View(db.session.scalar(sa.select(sa.func.count()).select_from(_r)), failing)


def minutes(since: datetime | None) -> View:
    """Compensation minutes are never negative, and each lot holds the sum of its history (M6)."""
    mine = [] if since is None else [
        _lots.c.id.in_(sa.select(_history.c.lot_id).where(_history.c.created_at >= since))
    ]  # fmt: skip
    said = (
        sa.select(sa.func.coalesce(sa.func.sum(_history.c.minutes), 0))
        .where(_history.c.lot_id == _lots.c.id)
        .scalar_subquery()
    )
    wrong = sa.or_(
        _lots.c.minutes_left < 0, _lots.c.minutes_left > _lots.c.minutes, _lots.c.minutes_left != said
    )  # fmt: skip
    rows = sa.select(_lots.c.id, _lots.c.family_id, _lots.c.minutes_left, said.label("said")).where(wrong, *mine)
    return View(
        db.session.scalar(sa.select(sa.func.count()).select_from(_lots).where(*mine)),
        [
            Failing(
                str(row.id), f"课时补偿 {row.id} 剩 {row.minutes_left} 分钟，历史合计 {row.said} 分钟", row.family_id
            )
            for row in db.session.execute(rows.order_by(_lots.c.id))
        ],
    )


def seats(since: datetime | None) -> View:
    """Booked, held and kept seats are no more than the capacity, and each counter is the number of its rows (C4, Z3).

    The counters move with their rows in one transaction, so one statement sees both.
    """
    mine = [] if since is None else [_s.c.starts_at >= clock.now() - RECENT]
    judged, top = db.session.execute(sa.select(sa.func.count(), sa.func.max(_s.c.id)).where(*mine)).one()
    failing: list[Failing] = []
    low = 0 if not mine or not judged else db.session.scalar(sa.select(sa.func.min(_s.c.id)).where(*mine)) - 1
    while judged and low < top:
        part = _seat_rows.where(_s.c.id > low, _s.c.id <= low + STRETCH, *mine)
        failing += [
            Failing(
                str(row.id),
                f"容量 {row.capacity}；预约 {row.booked}/{row.booked_rows}，占座 {row.held}/{row.held_rows}，"
                f"候补保留 {row.kept}/{row.kept_rows}（计数/名单）",
                None, "session", str(row.id),
            )
            for row in db.session.execute(part)
        ]  # fmt: skip
        low += STRETCH
    return View(judged, failing)


def _number(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .select_from(table)
        .where(table.c.course_schedule_id == _s.c.id, *conditions)
        .correlate(_s)
        .scalar_subquery()
    )


_booked = _number(_b, _b.c.live_profile_id.is_not(None))
_held = _number(_holds, _holds.c.status == ReservationStatus.TEMPORARY)
_keeping = _number(_kept, _kept.c.status == ReleaseStatus.KEPT)
_seat_rows = (
    sa.select(_s.c.id, _s.c.capacity, _s.c.booked, _s.c.held, _s.c.kept, _booked.label("booked_rows"),
              _held.label("held_rows"), _keeping.label("kept_rows"))
    .where(
        sa.or_(_s.c.booked + _s.c.held + _s.c.kept > _s.c.capacity, _s.c.booked != _booked, _s.c.held != _held,
               _s.c.kept != _keeping)
    )
    .order_by(_s.c.id)
)  # fmt: skip
