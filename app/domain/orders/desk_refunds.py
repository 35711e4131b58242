"""Refunds as staff see them: the list with its filters, and one in full with its tries and what it is of (U5, O14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.audit.actor import Actor
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.catalog import queries as catalog
from app.domain.catalog.queries import SessionCard
from app.domain.orders import refund_rules, verdict
from app.domain.orders.models import PaymentOrder, PaymentTransaction, Refund, RefundStatus, RefundTo, TradeType
from app.domain.orders.verdict import Rule, VerdictFacts
from app.domain.people import belonging
from app.domain.people.models import Family, Profile, Staff
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

_r, _o, _p = Refund.__table__, PaymentOrder.__table__, PaymentTransaction.__table__
_b, _f, _s = Booking.__table__, Family.__table__, Profile.__table__
_asker, _decider = Staff.__table__.alias("asker"), Staff.__table__.alias("decider")
_approver = Staff.__table__.alias("approver")

_rows = (
    sa.select(
        *_r.c, _f.c.name.label("family_name"), _o.c.order_id.label("order_no"), _o.c.description,
        _asker.c.display_name.label("asked_by_name"), _decider.c.display_name.label("decided_by_name"),
        _approver.c.display_name.label("approved_by_name"),
        _p.c.transaction_id, _p.c.total_fee, sa.func.coalesce(_r.c.booking_id, _o.c.booking_id).label("seat_id"),
    )
    .join(_f, _f.c.id == _r.c.family_id)
    .join(_asker, _asker.c.id == _r.c.asked_by)
    .outerjoin(_o, _o.c.id == _r.c.order_id)
    .outerjoin(_p, _p.c.id == _r.c.payment_id)
    .outerjoin(_decider, _decider.c.id == _r.c.decided_by)
    .outerjoin(_approver, _approver.c.id == _r.c.approved_by)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RefundFilter:
    """What a person asked for; None means all."""

    status: str | None = None
    refund_to: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    family_id: int | None = None


@dataclass(frozen=True, slots=True)
class RefundDetail:
    """A refund with what it is of. `seat` is the booking that its approval ends, while that is live."""

    row: sa.Row
    session: SessionCard | None
    student: str | None
    seat_live: bool
    own_family: bool
    rule: Rule | None
    history: Sequence[sa.Row]

    @property
    def item(self) -> str:
        return self.row.description or (self.session.course_name if self.session else "预约")


def refunds(
    asked: RefundFilter, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:  # fmt: skip
    """The refunds asked for, newest first."""
    return keyset(select(asked), _r.c.id, before=before, after=after, limit=limit)


def every(asked: RefundFilter) -> Listing:
    """All of them, for an export."""
    return whole(select(asked), _r.c.id)


def select(asked: RefundFilter) -> sa.Select:
    """The refunds asked for, unordered."""
    query = _rows
    for name in ("status", "refund_to", "family_id"):
        value = getattr(asked, name)
        if value is not None:
            query = query.where(_r.c[name] == value)
    if asked.date_from:
        query = query.where(_r.c.created_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_r.c.created_at < clock.day_bounds(asked.date_to)[1])
    return query


#: how many wait for a second person
ASKED = sa.select(sa.func.count()).select_from(_r).where(_r.c.status == RefundStatus.REQUESTED)


def to_pay_out() -> int:
    """How many are approved and wait for somebody to give the parent the cash."""
    query = sa.select(sa.func.count()).select_from(_r).where(_r.c.status == RefundStatus.APPROVED)
    return db.session.scalar(query.where(_r.c.refund_to == RefundTo.CASH))


def of_order(order_pk: int) -> list[sa.Row]:
    """An order's refunds, newest first."""
    return list(db.session.execute(_rows.where(_r.c.order_id == order_pk).order_by(_r.c.id.desc())))


def of_family(family_id: int, *, limit: int = 50) -> list[sa.Row]:
    """A family's newest refunds."""
    query = _rows.where(_r.c.family_id == family_id).order_by(_r.c.id.desc()).limit(limit)
    return list(db.session.execute(query))


def detail(refund_no: str, actor: Actor) -> RefundDetail | None:
    """None if there is none."""
    row = db.session.execute(_rows.where(_r.c.refund_no == refund_no)).first()
    if row is None:
        return None
    booking = None
    if row.seat_id is not None:
        query = sa.select(_b.c.course_schedule_id, _b.c.status, _s.c.name).join(_s, _s.c.id == _b.c.profile_id)
        booking = db.session.execute(query.where(_b.c.id == row.seat_id)).first()
    return RefundDetail(
        row=row,
        session=None if booking is None else catalog.session_card(booking.course_schedule_id),
        student=None if booking is None else booking.name,
        seat_live=booking is not None and booking.status == BookingStatus.BOOKED,
        own_family=belonging.is_own(actor, row.family_id),
        rule=verdict.rule(row.verdict_rule, row.verdict) if row.verdict_rule else None,
        history=audit_queries.of_target("refund", refund_no),
    )


def number_of(refund_id: int) -> str | None:
    """Our number of it; None if there is none."""
    return db.session.scalar(sa.select(_r.c.refund_no).where(_r.c.id == refund_id))


# ── what a new one would be of ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Subject:
    """What may be given back now. Nothing is locked: asking decides again. `paid` and `left` in yuan."""

    family_id: int
    family_name: str
    item: str
    paid: Decimal
    left: Decimal
    #: WeChat's number, where a payment is meant
    transaction_id: str | None
    #: where the money may go, the best way first
    ways: tuple[RefundTo, ...]
    #: whether there is a live booking whose seat could be given up
    seat: bool
    facts: VerdictFacts | None
    rule: Rule | None


def of_payment(order_id: str, transaction_id: str | None) -> Subject | None:
    """What of an order's payment may be given back; by default its first. None without order or payment."""
    query = (
        sa.select(*_o.c, _f.c.name.label("family_name"), _p.c.transaction_id, _p.c.total_fee, _p.c.refunded,
                  _p.c.trade_type, _p.c.created_at.label("came_at"), _b.c.status.label("booking_status"))
        .join(_p, _p.c.order_id == _o.c.id)
        .join(_f, _f.c.id == _o.c.family_id)
        .outerjoin(_b, _b.c.id == _o.c.booking_id)
        .where(_o.c.order_id == order_id)
        .order_by(_p.c.duplicate, _p.c.id)
    )  # fmt: skip
    if transaction_id is not None:
        query = query.where(_p.c.transaction_id == transaction_id)
    row = db.session.execute(query).first()
    if row is None:
        return None
    facts = verdict.verdict_facts(row)
    ways = refund_rules.ways(offline=row.trade_type == TradeType.OFFLINE, paid_at=row.came_at, now=clock.now())
    return Subject(
        family_id=row.family_id, family_name=row.family_name, item=row.description, paid=row.total_fee,
        left=row.total_fee - row.refunded, transaction_id=row.transaction_id,
        ways=ways, seat=row.booking_status == BookingStatus.BOOKED, facts=facts, rule=verdict.judge(facts),
    )  # fmt: skip


def of_wallet_booking(booking_id: int) -> Subject | None:
    """What of a booking that a wallet paid may be given back (O18); None for any other."""
    row = db.session.execute(
        sa.select(*_b.c, _f.c.name.label("family_name"))
        .join(_f, _f.c.id == _b.c.family_id)
        .where(_b.c.id == booking_id, _b.c.debit_id.is_not(None))
    ).first()
    if row is None:
        return None
    asked = sa.select(sa.func.coalesce(sa.func.sum(_r.c.amount), ZERO)).where(
        _r.c.booking_id == booking_id, _r.c.status.in_(refund_rules.LIVE)
    )
    left = ZERO if row.refund_id is not None else row.price - db.session.scalar(asked)
    card = catalog.session_card(row.course_schedule_id)
    return Subject(
        family_id=row.family_id, family_name=row.family_name, item=card.course_name, paid=row.price, left=left,
        transaction_id=None, ways=(RefundTo.WALLET,), seat=row.status == BookingStatus.BOOKED, facts=None, rule=None,
    )  # fmt: skip
