"""How late the product is itself: what is past each kind of deadline and still waits for its job (Z11).

Every query reads the few rows that are due, by the same index as the job. What a job ends it no longer counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db import db, db_now
from app.domain.bookings import reminders
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import CompensationLot, CreditStatus, MakeupCredit, MakeupRequest, RequestStatus
from app.domain.desk.bulk_models import AdjustmentBatch, BatchStatus
from app.domain.desk.models import AdjustmentStatus, Receipt, WalletAdjustment, Withdrawal
from app.domain.orders.models import (
    AttemptStatus,
    OrderStatus,
    PaymentAttempt,
    PaymentOrder,
    Refund,
    RefundStatus,
    RefundTo,
    ShippingStatus,
)
from app.domain.policy import service as policy
from app.domain.questions.models import QuestionStatus, TransactionQuestion
from app.domain.seats.models import ReservationStatus, SeatReservation
from app.domain.waitlist import rules as waitlist
from app.domain.waitlist.models import OfferStatus, WaitlistEntry, WaitlistOffer
from app.domain.withdrawals import rules as withdrawals

#: a lot that ended longer ago than this was closed, or money_health says so; the index need not be read to its start
_LOTS_BACK = timedelta(days=30)

_r, _o, _a, _f = SeatReservation.__table__, PaymentOrder.__table__, PaymentAttempt.__table__, Refund.__table__
_offers, _e, _s = WaitlistOffer.__table__, WaitlistEntry.__table__, CourseSchedule.__table__
_adj, _rec, _batch, _wd = (
    WalletAdjustment.__table__, Receipt.__table__, AdjustmentBatch.__table__, Withdrawal.__table__,
)  # fmt: skip
_k, _lots, _ask, _q = (
    MakeupCredit.__table__, CompensationLot.__table__, MakeupRequest.__table__, TransactionQuestion.__table__,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Late:
    """Rows past their deadline, and how many seconds the oldest is late."""

    count: int = 0
    seconds: float = 0.0


def _past(due: sa.ColumnElement, *where: sa.ColumnElement, after: str | None = None) -> Callable[[datetime], Late]:
    """Rows whose moment, plus the policy's time `after`, has come."""

    def look(now: datetime) -> Late:
        wait = policy.get(after) if after else timedelta(0)
        query = sa.select(sa.func.count(), sa.type_coerce(sa.func.min(due), _r.c.expires_at.type))
        count, oldest = db.session.execute(query.where(due <= now - wait, *where)).one()
        return Late(count, (now - wait - oldest).total_seconds() if count else 0.0)

    return look


def _cutoffs(now: datetime) -> Late:
    """Queues past their cutoff in which somebody still waits (Q4). Who began before it has the grace."""
    before, quiet = policy.get("waitlist_cutoff"), policy.get("waitlist_quiet_hours")
    grace = policy.get("waitlist_begin_grace")
    begun = sa.exists().where(
        _offers.c.entry_id == _e.c.id, _offers.c.status == OfferStatus.LIVE, _offers.c.begun_at > now - grace
    )
    horizon = now + before + timedelta(days=1)
    query = (
        sa.select(_s.c.id, _s.c.starts_at)
        .join_from(_e, _s, _s.c.id == _e.c.course_schedule_id)
        .where(_e.c.live_profile_id.is_not(None), _s.c.starts_at <= horizon, ~begun)
        .distinct()
    )
    late = [now - waitlist.cutoff_at(row.starts_at, before, quiet) for row in db.session.execute(query)]
    late = [one for one in late if one >= timedelta(0)]
    return Late(len(late), max(late).total_seconds()) if late else Late()


def _class_reminders(now: datetime) -> Late:
    """Bookings of tomorrow's classes that nobody was reminded of this evening (B10)."""
    waiting, since = reminders.waiting(), reminders.due_since()
    return Late(waiting, (now - since).total_seconds()) if waiting and since else Late()


KINDS: dict[str, Callable[[datetime], Late]] = {
    "holds": _past(_r.c.expires_at, _r.c.status == ReservationStatus.TEMPORARY),
    "orders": _past(_o.c.expires_at, _o.c.status == OrderStatus.PENDING),
    "payments": _past(_a.c.next_query_at, _a.c.status.in_((AttemptStatus.OPEN, AttemptStatus.CLOSING))),
    "refunds": _past(
        _f.c.next_try_at, _f.c.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSING)),
        _f.c.refund_to == RefundTo.ORIGINAL,
    ),
    "shipping": _past(_o.c.shipping_next_at, _o.c.shipping_status == ShippingStatus.DUE),
    "offers": _past(_offers.c.ends_at, _offers.c.status == OfferStatus.LIVE),
    "cutoffs": _cutoffs,
    "adjustments": _past(_adj.c.lapses_at, _adj.c.status == AdjustmentStatus.PENDING),
    "batches": _past(_batch.c.lapses_at, _batch.c.status == BatchStatus.ASKED),
    "credits": _past(_k.c.valid_until, _k.c.status == CreditStatus.AVAILABLE),
    "minutes": lambda now: _past(
        _lots.c.expires_at, _lots.c.expires_at > now - _LOTS_BACK, _lots.c.minutes_left > 0
    )(now),
    "class_reminders": _class_reminders,
    "receipts": _past(
        _adj.c.asked_at, _adj.c.status == AdjustmentStatus.PENDING, _adj.c.needs_receipt,
        _adj.c.receipt_reminded_at.is_(None), ~sa.exists().where(_rec.c.adjustment_id == _adj.c.id),
        after="receipt_reminder_after",
    ),
    "withdrawals": _past(
        sa.func.coalesce(_wd.c.decided_at, _wd.c.created_at), _wd.c.status.in_(withdrawals.OPEN),
        _wd.c.reminded_at.is_(None), after="withdrawal_reminder_after",
    ),
    "questions": _past(
        _q.c.asked_at, _q.c.status == QuestionStatus.OPEN, _q.c.reminded_at.is_(None),
        after="question_reminder_after",
    ),
    "makeup_requests": _past(
        _ask.c.asked_at, _ask.c.status == RequestStatus.OPEN, _ask.c.reminded_at.is_(None),
        after="makeup_request_reminder",
    ),
}  # fmt: skip


def late() -> dict[str, Late]:
    """Kind → what is late now by the database's clock."""
    now = db_now()
    return {kind: look(now) for kind, look in KINDS.items()}
