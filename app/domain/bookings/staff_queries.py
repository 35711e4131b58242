"""Bookings as staff see them: a family's lists, one in full with what ending it would do, and late refunds (B3, B8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.audit.actor import Actor
from app.domain.bookings import rules
from app.domain.bookings.models import Booking, BookingStatus, LateRefund, LateRefundStatus
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule, ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.credits.models import CreditStatus, MakeupCredit
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.people import belonging
from app.domain.people.models import Family, Profile, Staff, User
from app.domain.policy import service as policy
from app.paging import Listing, Page, keyset, whole

#: a family's classes ahead that the page shows; more than anybody books
AHEAD_SHOWN = 100

_b, _s, _p, _f = Booking.__table__, CourseSchedule.__table__, Profile.__table__, Family.__table__
_u, _r, _k, _tx = User.__table__, LateRefund.__table__, MakeupCredit.__table__, WalletTransaction.__table__
_booker, _ender = Staff.__table__.alias("booker"), Staff.__table__.alias("ender")
_asker, _decider = Staff.__table__.alias("asker"), Staff.__table__.alias("decider")
_refund = _tx.alias("refund")
_wallets = Wallet.__table__

_rows = (
    sa.select(
        *_b.c, _p.c.name.label("student"), _f.c.name.label("family_name"), _u.c.nickname, _u.c.real_name,
        _booker.c.display_name.label("booked_by_name"), _ender.c.display_name.label("ended_by_name"),
        _refund.c.amount.label("refunded"),
    )
    .join(_p, _p.c.id == _b.c.profile_id)
    .join(_f, _f.c.id == _b.c.family_id)
    .join(_s, _s.c.id == _b.c.course_schedule_id)
    .outerjoin(_u, _u.c.id == _b.c.user_id)
    .outerjoin(_booker, _booker.c.id == _b.c.booked_by)
    .outerjoin(_ender, _ender.c.id == _b.c.ended_by)
    .outerjoin(_refund, _refund.c.id == _b.c.refund_id)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A booking with its class. `row` has the columns of the booking, `student`, `family_name` and `refunded`, yuan."""

    row: sa.Row
    session: SessionCard
    now: datetime

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def who_booked(self) -> str:
        return self.row.booked_by_name or self.row.real_name or self.row.nickname or "家长"

    @property
    def who_ended(self) -> str | None:
        """None while it has not ended early."""
        if self.row.ended_at is None:
            return None
        if self.session.status == ScheduleStatus.CANCELLED and self.row.status == BookingStatus.CANCELLED:
            return self.row.ended_by_name or "课次取消"
        return self.row.ended_by_name or "家长"

    @property
    def may_cancel(self) -> bool:
        """Whether staff may still cancel it, if only without its money: the cutoff and the start do not stop them."""
        return self.row.status == BookingStatus.BOOKED

    @property
    def may_leave(self) -> bool:
        return rules.can_leave(self.row.status, self.row.kind, self.now, self.session.starts_at)


# ── a family's ──────────────────────────────────────────────────────────────────────────────────────

_AHEAD = sa.and_(_b.c.status == BookingStatus.BOOKED, _s.c.ends_at > sa.bindparam("now", type_=_s.c.ends_at.type))


def ahead(family_id: int) -> list[Line]:
    """The classes that are booked and not over, the next one first."""
    query = _rows.where(_b.c.family_id == family_id, _AHEAD).order_by(_s.c.starts_at, _b.c.id).limit(AHEAD_SHOWN)
    return _lines(list(db.session.execute(query, {"now": clock.now()})))


def past(family_id: int, *, before: int | None = None, after: int | None = None, limit: int = 20) -> Page:
    """All others, the newest booking first."""
    page = keyset(_past(family_id), _b.c.id, before=before, after=after, limit=limit)
    return Page(_lines(page.items), page.newer, page.older)


def _past(family_id: int) -> sa.Select:
    return _rows.where(_b.c.family_id == family_id, ~_AHEAD).params(now=clock.now())


def every(family_id: int) -> Listing:
    """Both lists one after the other, for an export."""
    first, then = ahead(family_id), whole(_past(family_id), _b.c.id, dress=_lines)

    def pieces() -> Iterator[Sequence[Line]]:
        yield first
        yield from then.pieces()

    return Listing(pieces, lambda: len(first) + then.count())


def _lines(rows: Sequence[sa.Row]) -> list[Line]:
    cards = catalog.session_cards(list({row.course_schedule_id for row in rows})) if rows else {}
    now = clock.now()
    return [Line(row, cards[row.course_schedule_id], now) for row in rows]


@dataclass(frozen=True, slots=True)
class Credit:
    """A makeup credit that can still be used, with the class that was given up."""

    row: sa.Row
    session: SessionCard


def open_credits(family_id: int) -> list[Credit]:
    """待补课, what ends first on top."""
    query = (
        sa.select(*_k.c, _p.c.name.label("student"), _b.c.course_schedule_id)
        .join(_p, _p.c.id == _k.c.profile_id)
        .join(_b, _b.c.id == _k.c.booking_id)
        .where(
            _k.c.family_id == family_id,
            _k.c.status == CreditStatus.AVAILABLE,
            _k.c.valid_until > clock.now(),
        )
        .order_by(_k.c.valid_until, _k.c.id)
    )
    rows = list(db.session.execute(query))
    cards = catalog.session_cards([row.course_schedule_id for row in rows]) if rows else {}
    return [Credit(row, cards[row.course_schedule_id]) for row in rows]


# ── one in full ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Ending:
    """What cancelling a booking means now. Nothing is locked: cancelling decides again."""

    #: until when, inclusive, money comes back by itself
    until: datetime
    in_time: bool
    #: yuan that a wallet paid; None where none did
    paid: Decimal | None
    #: whose wallet gets it back, and how it stands now, in yuan
    payer_id: int | None
    payer_name: str | None
    balance: Decimal | None
    #: above the limit of a refund by one person (B3)
    needs_second: bool


@dataclass(frozen=True, slots=True)
class Detail:
    """A booking with its class, its traces, and what may be done with it."""

    line: Line
    ending: Ending
    credit: sa.Row | None
    #: requests to refund it late, the newest first; at most the first one waits
    requests: Sequence[sa.Row]
    history: Sequence[sa.Row]
    own_family: bool

    @property
    def waiting(self) -> sa.Row | None:
        found = self.requests[0] if self.requests else None
        return found if found is not None and found.status == LateRefundStatus.PENDING else None


def detail(booking_id: int, actor: Actor) -> Detail | None:
    """None if there is none."""
    row = db.session.execute(_rows.where(_b.c.id == booking_id)).first()
    if row is None:
        return None
    line = _lines([row])[0]
    return Detail(
        line=line,
        ending=_ending(line),
        credit=db.session.execute(sa.select(_k).where(_k.c.booking_id == booking_id)).first(),
        requests=list(db.session.execute(_requests.where(_r.c.booking_id == booking_id).order_by(_r.c.id.desc()))),
        history=audit_queries.of_target("booking", booking_id),
        own_family=belonging.is_own(actor, row.family_id),
    )


def _ending(line: Line) -> Ending:
    row, starts_at = line.row, line.session.starts_at
    cutoff: timedelta = policy.get(rules.cutoff_policy(row.kind))
    payer = _payer(row.debit_id) if row.debit_id is not None else None
    return Ending(
        until=rules.cancel_until(starts_at, cutoff, free=row.free_cancel),
        in_time=rules.in_time(line.now, starts_at, cutoff, free=row.free_cancel),
        paid=row.price if payer else None,
        payer_id=payer.family_id if payer else None,
        payer_name=payer.name if payer else None,
        balance=payer.balance if payer else None,
        needs_second=payer is not None and row.price > policy.get("late_refund_limit"),
    )


def _payer(debit_id: int) -> sa.Row:
    """The wallet that a refund would go to: the one that paid, or where it was merged into since (P11)."""
    found = sa.select(_wallets.c.id, _wallets.c.balance, _wallets.c.merged_into, _wallets.c.family_id, _f.c.name)
    found = found.join(_f, _f.c.id == _wallets.c.family_id)
    paid_by = sa.select(_tx.c.wallet_id).where(_tx.c.id == debit_id).scalar_subquery()
    row = db.session.execute(found.where(_wallets.c.id == paid_by)).one()
    while row.merged_into is not None:
        row = db.session.execute(found.where(_wallets.c.id == row.merged_into)).one()
    return row


# ── late refunds ────────────────────────────────────────────────────────────────────────────────────

_requests = (
    sa.select(
        *_r.c, _asker.c.display_name.label("asked_by_name"), _decider.c.display_name.label("decided_by_name"),
        _b.c.course_schedule_id, _b.c.status.label("booking_status"), _b.c.family_id,
        _p.c.name.label("student"), _f.c.name.label("family_name"),
    )
    .join(_b, _b.c.id == _r.c.booking_id)
    .join(_p, _p.c.id == _b.c.profile_id)
    .join(_f, _f.c.id == _b.c.family_id)
    .join(_asker, _asker.c.id == _r.c.asked_by)
    .outerjoin(_decider, _decider.c.id == _r.c.decided_by)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A late refund that was asked for, with the class."""

    row: sa.Row
    session: SessionCard

    @property
    def id(self) -> int:
        return self.row.id


def late_refunds(
    *, status: str | None = None, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:
    """Requests of this status, or all, the newest first."""
    page = keyset(_late(status), _r.c.id, before=before, after=after, limit=limit)
    return Page(_asked(page.items), page.newer, page.older)


def every_late_refund(status: str | None) -> Listing:
    """All of them, for an export."""
    return whole(_late(status), _r.c.id, dress=_asked)


def _late(status: str | None) -> sa.Select:
    return _requests if status is None else _requests.where(_r.c.status == status)


def _asked(rows: Sequence[sa.Row]) -> list[Request]:
    cards = catalog.session_cards(list({row.course_schedule_id for row in rows})) if rows else {}
    return [Request(row, cards[row.course_schedule_id]) for row in rows]


def booking_of(request_id: int) -> int | None:
    """The booking that this request is about; None if there is no such request."""
    return db.session.scalar(sa.select(_r.c.booking_id).where(_r.c.id == request_id))
