"""Reading the queue, by the clock: a lapsed offer counts for nothing, marked or not (Q13, Q15)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog import queries as catalog
from app.domain.catalog.queries import SessionCard
from app.domain.orders.models import PaymentOrder
from app.domain.outbox.models import Notification
from app.domain.people.models import Profile
from app.domain.policy import service as policy
from app.domain.waitlist import rules
from app.domain.waitlist.models import (
    LIVE,
    EntryStatus,
    OfferKind,
    OfferStatus,
    WaitlistEntry,
    WaitlistNotification,
    WaitlistOffer,
)

_e, _o, _p = WaitlistEntry.__table__, WaitlistOffer.__table__, Profile.__table__
_n, _links, _orders = Notification.__table__, WaitlistNotification.__table__, PaymentOrder.__table__


@dataclass(frozen=True, slots=True)
class OfferView:
    """An offer that stands. `deadline` is when an answer must have come: who began has until the end of the grace."""

    id: int
    kind: str
    deadline: datetime
    begun_at: datetime | None
    server_time: datetime

    @property
    def decision_seconds_left(self) -> int:
        """Whole seconds, rounded down: a countdown never promises more than there is."""
        return max(0, int((self.deadline - self.server_time).total_seconds()))


@dataclass(frozen=True, slots=True)
class EntryView:
    """A wait as it is at this moment. `position` is None once it has ended; `order_id` is the public number."""

    id: int
    status: str
    position: int | None
    queue_length: int
    schedule: SessionCard
    profile_id: int
    profile_name: str
    family_id: int
    user_id: int | None
    joined_at: datetime
    auto_accept: bool
    credit_id: int | None
    accept_shorter: bool
    use_compensation: bool
    offer: OfferView | None
    skip_reason: str | None
    staff_note: str | None
    booking_id: int | None
    order_id: str | None
    ended_at: datetime | None
    end_reason: str | None

    @property
    def status_text(self) -> str:
        return rules.ENTRY_TEXTS[EntryStatus(self.status)]


@dataclass(frozen=True, slots=True)
class NotificationView:
    """One message about an offer (96.63): what the outbox knows of it, and the answer to its offer."""

    id: int
    kind: str
    status: str
    queued_at: datetime
    sent_at: datetime | None
    deadline: datetime
    answer: str | None
    answered_at: datetime | None


def entry(entry_id: int, *, family_id: int | None = None) -> EntryView | None:
    """One entry; None for nobody's, and for another family's where one is named."""
    mine = [_e.c.id == entry_id]
    if family_id is not None:
        mine.append(_e.c.family_id == family_id)
    found = _views(_select().where(*mine))
    return found[0] if found else None


def of_family(family_id: int, *, status: str | None = None, live_only: bool = False) -> list[EntryView]:
    """A family's waits, newest first. `status` is as the entry stands by the clock."""
    return _some(_e.c.family_id == family_id, status, live_only)


def of_profile(profile_id: int, *, live_only: bool = False) -> list[EntryView]:
    """A student's waits, newest first."""
    return _some(_e.c.profile_id == profile_id, None, live_only)


def _some(whose: sa.ColumnElement[bool], status: str | None, live_only: bool) -> list[EntryView]:
    query = _select().where(whose).order_by(_e.c.id.desc())
    if live_only:
        query = query.where(_e.c.status.in_(LIVE))
    found = [one for one in _views(query) if not live_only or one.status in LIVE]
    return found if status is None else [one for one in found if one.status == status]


def queue(schedule_id: int) -> list[EntryView]:
    """Who waits for a session, in order."""
    query = _select().where(_e.c.course_schedule_id == schedule_id, _e.c.live_profile_id.is_not(None))
    found = _views(query.order_by(_e.c.rank, _e.c.joined_at, _e.c.id))
    return [one for one in found if one.status in LIVE]


def notifications(entry_id: int) -> list[NotificationView]:
    """What told the parent of this entry's offers, newest first."""
    query = (
        sa.select(
            _links.c.id, _o.c.kind, _n.c.status, _n.c.created_at, _n.c.sent_at, _o.c.deadline, _o.c.answer,
            _o.c.answered_at,
        )
        .select_from(_links.join(_n, _n.c.id == _links.c.notification_id).join(_o, _o.c.id == _links.c.offer_id))
        .where(_links.c.entry_id == entry_id)
        .order_by(_links.c.id.desc())
    )  # fmt: skip
    return [NotificationView(*row) for row in db.session.execute(query)]


# ── how rows become views ───────────────────────────────────────────────────────────────────────────


def _select() -> sa.Select:
    return (
        sa.select(
            _e, _p.c.name.label("profile_name"), _orders.c.order_id.label("order_number"), _o.c.id.label("offer_id"),
            _o.c.kind, _o.c.begun_at, _o.c.ends_at.label("offer_ends_at"),
        )
        .select_from(
            _e.join(_p, _p.c.id == _e.c.profile_id)
            .outerjoin(_o, sa.and_(_o.c.live_entry_id == _e.c.id, _o.c.status == OfferStatus.LIVE))
            .outerjoin(_orders, _orders.c.id == _e.c.order_id)
        )
    )  # fmt: skip


def _views(query: sa.Select) -> list[EntryView]:
    rows = db.session.execute(query).all()
    if not rows:
        return []
    now = clock.now()
    cards = catalog.session_cards(list({row.course_schedule_id for row in rows}))
    lines = _lines([row.course_schedule_id for row in rows if row.status in LIVE])
    before, quiet = policy.get("waitlist_cutoff"), policy.get("waitlist_quiet_hours")
    return [
        _view(row, cards[row.course_schedule_id], lines.get(row.course_schedule_id, []), now, before, quiet)
        for row in rows
    ]


def _lines(schedule_ids: list[int]) -> dict[int, list[int]]:
    """Session → its live entries in order, by their rows."""
    query = (
        sa.select(_e.c.course_schedule_id, _e.c.id)
        .where(_e.c.course_schedule_id.in_(set(schedule_ids)), _e.c.live_profile_id.is_not(None))
        .order_by(_e.c.rank, _e.c.joined_at, _e.c.id)
    )
    found: dict[int, list[int]] = {}
    for schedule_id, entry_id in db.session.execute(query) if schedule_ids else ():
        found.setdefault(schedule_id, []).append(entry_id)
    return found


def _view(
    row: Any, card: SessionCard, line: list[int], now: datetime, before: timedelta, quiet: rules.Quiet
) -> EntryView:
    status, stands = row.status, row.offer_id is not None and now < row.offer_ends_at
    if status in LIVE and not stands:
        if now >= rules.cutoff_at(card.starts_at, before, quiet) or (
            row.offer_id is not None and row.kind == OfferKind.EXCLUSIVE
        ):
            status = EntryStatus.EXPIRED
        else:
            status = EntryStatus.WAITING
    offer = OfferView(row.offer_id, row.kind, row.offer_ends_at, row.begun_at, now) if stands else None
    return EntryView(
        id=row.id, status=status, position=line.index(row.id) + 1 if status in LIVE else None,
        queue_length=len(line) if status in LIVE else card.waitlist_count, schedule=card, profile_id=row.profile_id,
        profile_name=row.profile_name, family_id=row.family_id, user_id=row.user_id, joined_at=row.joined_at,
        auto_accept=row.auto_accept, credit_id=row.credit_id, accept_shorter=row.accept_shorter,
        use_compensation=row.use_compensation, offer=offer, skip_reason=row.skip_reason, staff_note=row.staff_note,
        booking_id=row.booking_id, order_id=row.order_number, ended_at=row.ended_at, end_reason=row.end_reason,
    )  # fmt: skip
