"""What is forgotten after a time, kind by kind (S12): which rows, and what goes with them.

Money and the audit log are not here: nothing of this removes them, nor anything that they, a bill or a difference still
name. Rows of the audit log name what is gone by its number, which is all that they need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.db import execute, require_transaction
from app.domain.bookings.models import Booking
from app.domain.cases.models import MoneyCase
from app.domain.makeups.models import MakeupFailure
from app.domain.orders.models import (
    AttemptStatus,
    OfflinePayment,
    OrderStatus,
    PaymentAttempt,
    PaymentNotification,
    PaymentOrder,
    PaymentTransaction,
    Refund,
    TrialClaim,
)
from app.domain.outbox.models import Notification, Status
from app.domain.people.models import RecoveryCode, StaffSession, UserSession
from app.domain.reconcile.models import BillLine, ReconcileDifference
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist.models import (
    OfferStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistNotification,
    WaitlistOffer,
)
from app.row_by_row import has_row

_n, _told = Notification.__table__, WaitlistNotification.__table__
_o, _a, _h = PaymentOrder.__table__, PaymentAttempt.__table__, SeatReservation.__table__
_offers, _flows = WaitlistOffer.__table__, WaitlistFlow.__table__
_bills, _differences = BillLine.__table__, ReconcileDifference.__table__
_heard = PaymentNotification.__table__


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `find` selects the keys of the rows that may go, older than a moment; `drop` deletes rows by key, with
    what hangs on them, in the open transaction, and returns how many of them."""

    name: str
    word: str
    policy: str
    key: sa.Column
    find: Callable[[datetime], sa.Select]
    drop: Callable[[list], int]


def _delete(key: sa.Column) -> Callable[[list], int]:
    def drop(keys: list) -> int:
        require_transaction()
        return execute(key.table.delete().where(key.in_(keys))).rowcount

    return drop


# ── messages ────────────────────────────────────────────────────────────────────────────────────────


def _messages(before: datetime) -> sa.Select:
    over = _n.c.status.in_((Status.SENT, Status.FAILED, Status.SUPPRESSED))
    return sa.select(_n.c.id).where(_n.c.created_at < before, over)


def _drop_messages(keys: list) -> int:
    execute(_told.delete().where(_told.c.notification_id.in_(keys)))
    execute(_n.update().where(_n.c.follows_id.in_(keys)).values(follows_id=None))
    return _delete(_n.c.id)(keys)


# ── orders that nobody paid ─────────────────────────────────────────────────────────────────────────


def _numbers_known(number: sa.ColumnElement) -> list[sa.ColumnElement[bool]]:
    """WeChat has said something under this number: a bill, a callback, a difference that was found."""
    return [
        has_row(_bills.c.out_trade_no, _bills.c.out_trade_no == number),
        has_row(_heard.c.number, _heard.c.number == number),
        has_row(_differences.c.key, _differences.c.key == number),
    ]


def _unpaid(before: datetime) -> sa.Select:
    ended = (OrderStatus.FAILED, OrderStatus.CANCELLED, OrderStatus.EXPIRED)
    tried = sa.select(_a.c.id).where(_a.c.order_id == _o.c.id, sa.or_(*_numbers_known(_a.c.out_trade_no)))
    named = (
        sa.exists().where(PaymentTransaction.order_id == _o.c.id),
        sa.exists().where(Refund.order_id == _o.c.id),
        sa.exists().where(OfflinePayment.order_id == _o.c.id),
        sa.exists().where(Booking.order_id == _o.c.order_id),
        sa.exists().where(MoneyCase.order_id == _o.c.order_id),
        tried.exists(),
    )
    return sa.select(_o.c.id).where(
        _o.c.updated_at < before, _o.c.status.in_(ended), _o.c.closing.is_(False), _o.c.booking_id.is_(None),
        *(~one for one in named),
    )  # fmt: skip


def _drop_orders(keys: list) -> int:
    # A seat that the order once was given for, or freed, is told by its own rows.
    for table in (WaitlistEntry.__table__, SeatRelease.__table__):
        execute(table.update().where(table.c.order_id.in_(keys)).values(order_id=None))
    for table in (TrialClaim.__table__, _a, _h):
        execute(table.delete().where(table.c.order_id.in_(keys)))
    return _delete(_o.c.id)(keys)


def _attempts(before: datetime) -> sa.Select:
    """Attempts of orders that were paid in another way."""
    paid = sa.exists().where(_o.c.id == _a.c.order_id, _o.c.status == OrderStatus.PAID)
    money = sa.exists().where(PaymentTransaction.attempt_id == _a.c.id)
    return sa.select(_a.c.id).where(
        _a.c.updated_at < before, _a.c.status == AttemptStatus.CLOSED, paid, ~money,
        *(~one for one in _numbers_known(_a.c.out_trade_no)),
    )  # fmt: skip


def _holds(before: datetime) -> sa.Select:
    over = _h.c.status.in_((ReservationStatus.CANCELLED, ReservationStatus.EXPIRED))
    used = sa.exists().where(_a.c.reservation_id == _h.c.id)
    paid = sa.exists().where(_o.c.id == _h.c.order_id, _o.c.status == OrderStatus.PAID)
    return sa.select(_h.c.id).where(_h.c.updated_at < before, over, paid, ~used)


# ── what was good for a while ───────────────────────────────────────────────────────────────────────


def _parents(before: datetime) -> sa.Select:
    over = sa.or_(UserSession.revoked_at < before, UserSession.refresh_expires_at < before)
    return sa.select(UserSession.__table__.c.id).where(over)


def _staff(before: datetime) -> sa.Select:
    over = sa.or_(StaffSession.revoked_at < before, StaffSession.last_seen_at < before)
    return sa.select(StaffSession.__table__.c.id).where(over)


def _codes(before: datetime) -> sa.Select:
    return sa.select(RecoveryCode.__table__.c.id).where(RecoveryCode.used_at < before)


def _offers_over(before: datetime) -> sa.Select:
    return sa.select(_offers.c.id).where(_offers.c.ended_at < before, _offers.c.status != OfferStatus.LIVE)


def _drop_offers(keys: list) -> int:
    # The steps stay, which tell why a seat went where it went; so do entries, rounds and seats.
    execute(_flows.update().where(_flows.c.offer_id.in_(keys)).values(offer_id=None))
    execute(_told.delete().where(_told.c.offer_id.in_(keys)))
    return _delete(_offers.c.id)(keys)


def _failures(before: datetime) -> sa.Select:
    return sa.select(MakeupFailure.__table__.c.id).where(MakeupFailure.failed_at < before)


def _simple(name: str, word: str, policy: str, model: type, find: Callable[[datetime], sa.Select]) -> Kind:
    key = model.__table__.c.id
    return Kind(name, word, policy, key, find, _delete(key))


#: in the order in which they go: what hangs on another first
KINDS: tuple[Kind, ...] = (
    Kind("notifications", "消息", "retention_notifications", _n.c.id, _messages, _drop_messages),
    Kind("orders", "未付款订单", "retention_orders", _o.c.id, _unpaid, _drop_orders),
    _simple("attempts", "未付成的支付尝试", "retention_attempts", PaymentAttempt, _attempts),
    _simple("holds", "已放开的占座", "retention_attempts", SeatReservation, _holds),
    _simple("parent_sessions", "家长登录", "retention_tokens", UserSession, _parents),
    _simple("staff_sessions", "员工登录", "retention_tokens", StaffSession, _staff),
    _simple("recovery_codes", "用过的恢复码", "retention_tokens", RecoveryCode, _codes),
    Kind("offers", "候补名额通知", "retention_offers", _offers.c.id, _offers_over, _drop_offers),
    _simple("makeup_failures", "没有约成的补课记录", "retention_logs", MakeupFailure, _failures),
)
