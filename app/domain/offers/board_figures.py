"""Figures of the staff's board: whether it would show something else, offers under way, fullness by type (Q18, Q23)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.held import HELD, KEPT, WAITING
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.ledger.models import Wallet
from app.domain.offers.board import AHEAD, MESSAGE
from app.domain.outbox.models import MessageConsent, Notification, Status
from app.domain.people.models import User
from app.domain.waitlist.models import (
    OfferStatus,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistNotification,
    WaitlistOffer,
)

_e, _o, _f = WaitlistEntry.__table__, WaitlistOffer.__table__, WaitlistFlow.__table__
_wn, _n, _m = WaitlistNotification.__table__, Notification.__table__, MessageConsent.__table__
_s, _c, _t, _w = CourseSchedule.__table__, Course.__table__, CourseType.__table__, Wallet.__table__


@dataclass(frozen=True, slots=True)
class Fullness:
    """One course type in the days ahead: sessions, seats, and how much of their queues is taken (Q23)."""

    name: str
    sessions: int
    seats: int
    taken: int
    waiting: int
    places: int
    queues_full: int


def revision() -> str:
    """Another word whenever the board would show something else: steps of queues, seats of the sessions ahead, what
    became of messages, the wallets and consents of those who wait."""
    now = clock.now()
    ahead = (_s.c.starts_at > now, _s.c.starts_at <= now + AHEAD)
    waiting = _e.c.live_profile_id.is_not(None)  # in the queue still, by an index
    waits = sa.select(_e.c.family_id).where(waiting)
    asked = sa.select(User.id).where(User.family_id.in_(waits))
    seats = _s.c.booked + 31 * _s.c.held + 961 * _s.c.kept + 29791 * _s.c.capacity
    messages = (
        sa.select(sa.func.count(), sa.func.sum(sa.case((_n.c.status == Status.SENT, 1), else_=0)),
                  sa.func.sum(sa.case((_n.c.status == Status.FAILED, 1), else_=0)))
        .select_from(_wn.join(_n, _n.c.id == _wn.c.notification_id).join(_e, _e.c.id == _wn.c.entry_id))
        .where(waiting)
    )  # fmt: skip
    figures = (
        sa.select(sa.func.max(_f.c.id)),
        sa.select(sa.func.count(), sa.func.sum(seats), sa.func.sum(_s.c.version)).where(*ahead),
        messages,
        sa.select(sa.func.sum(_w.c.version)).where(_w.c.family_id.in_(waits)),
        sa.select(sa.func.sum(_m.c.remaining)).where(_m.c.type == MESSAGE, _m.c.user_id.in_(asked)),
    )
    told = repr([tuple(int(value or 0) for value in db.session.execute(query).one()) for query in figures])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


#: offers that a parent may still answer (at `now`)
RUNNING = (
    sa.select(sa.func.count())
    .select_from(_o)
    .where(_o.c.status == OfferStatus.LIVE, _o.c.ends_at > sa.bindparam("now", type_=_o.c.ends_at.type))
)


def fullness() -> list[Fullness]:
    """Each course type over the sessions of the days ahead."""
    now = clock.now()
    places = sa.func.coalesce(_s.c.waitlist_capacity, _c.c.waitlist_capacity, _t.c.waitlist_capacity)
    each = (
        sa.select(_t.c.id, _t.c.name, _s.c.capacity, (_s.c.booked + HELD + KEPT).label("taken"),
                  WAITING.label("waiting"), places.label("places"))
        .select_from(_s.join(_c, _c.c.id == _s.c.course_id).join(_t, _t.c.id == _c.c.course_type_id))
        .where(_s.c.status == ScheduleStatus.SCHEDULED, _s.c.starts_at > now, _s.c.starts_at <= now + AHEAD)
        .subquery()
    )  # fmt: skip
    full = sa.and_(each.c.waiting > 0, each.c.waiting >= each.c.places)
    query = (
        sa.select(
            each.c.name, sa.func.count(), sa.func.sum(each.c.capacity), sa.func.sum(each.c.taken),
            sa.func.sum(each.c.waiting), sa.func.sum(each.c.places), sa.func.sum(sa.case((full, 1), else_=0)),
        )
        .group_by(each.c.id, each.c.name)
        .order_by(each.c.id)
    )  # fmt: skip
    return [Fullness(row[0], *(int(value or 0) for value in row[1:])) for row in db.session.execute(query)]
