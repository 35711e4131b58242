"""Whether the waitlist keeps its word: offers told in time, queues closed at their cutoff (Q25).

An offer is told once WeChat took its message or the mini program shows it. A queue is closed exactly when all who still
waited ended within ten seconds of its cutoff, and no round began after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import Course, CourseSchedule, ScheduleStatus
from app.domain.outbox.models import Notification, Status
from app.domain.people.models import Profile
from app.domain.policy.past import Past
from app.domain.reports.payments import Span
from app.domain.waitlist import rules
from app.domain.waitlist.models import (
    WaitlistEntry,
    WaitlistNotification,
    WaitlistOffer,
    WaitlistRound,
)

#: of the spec: an offer's message goes out (Q6), and a queue ends (96.61), within this
WITHIN = timedelta(seconds=10)
NOTICE_GOAL, CUTOFF_GOAL = Decimal("0.95"), Decimal("1")

_e, _o, _w = WaitlistEntry.__table__, WaitlistOffer.__table__, WaitlistRound.__table__
_m, _n = WaitlistNotification.__table__, Notification.__table__
_next = _n.alias("follow_up")
_s, _c, _p = CourseSchedule.__table__, Course.__table__, Profile.__table__


@dataclass(frozen=True, slots=True)
class Promise:
    """One offer or one queue: when it was due, what kept it, or how it failed."""

    schedule_id: int
    course_name: str
    starts_at: datetime
    #: the offer, or the cutoff
    at: datetime
    done_at: datetime | None
    kept: bool
    family_id: int | None = None
    student: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """`goal` is a share of one; below it is an alarm."""

    promises: list[Promise]
    goal: Decimal

    @property
    def judged(self) -> int:
        return len(self.promises)

    @property
    def kept(self) -> int:
        return sum(1 for one in self.promises if one.kept)

    @property
    def broken(self) -> list[Promise]:
        return [one for one in self.promises if not one.kept]

    @property
    def rate(self) -> Decimal | None:
        return Decimal(self.kept) / len(self.promises) if self.promises else None

    @property
    def alarm(self) -> bool:
        return self.rate is not None and self.rate < self.goal


def notices(span: Span, type_id: int | None = None) -> Check:
    """The offers made in these days, newest first: a message of theirs taken within ten seconds.

    An offer that ended sooner needed none, and the last ten seconds are not judged yet. Messages sent once more by
    hand don't count.
    """
    start, end = span.bounds
    taken = sa.func.min(
        sa.case(
            (_n.c.status == Status.SENT, _n.c.sent_at),
            # what WeChat refused and the mini program shows instead
            (_next.c.status == Status.SENT, _next.c.sent_at),
        )
    ).label("taken_at")
    query = (
        sa.select(
            _o.c.id, _o.c.offered_at, _o.c.ended_at, _e.c.family_id, _p.c.name.label("student"),
            _s.c.id.label("schedule_id"), _c.c.name.label("course_name"), _s.c.starts_at,
            sa.type_coerce(taken, _n.c.sent_at.type).label("taken_at"),
        )
        .select_from(
            _o.join(_e, _e.c.id == _o.c.entry_id)
            .join(_p, _p.c.id == _e.c.profile_id)
            .join(_s, _s.c.id == _e.c.course_schedule_id)
            .join(_c, _c.c.id == _s.c.course_id)
            .outerjoin(_m, sa.and_(_m.c.offer_id == _o.c.id, _m.c.resent_by.is_(None)))
            .outerjoin(_n, _n.c.id == _m.c.notification_id)
            .outerjoin(_next, sa.and_(_next.c.follows_id == _n.c.id, _next.c.channel == "in_app"))
        )
        .where(_o.c.offered_at >= start, _o.c.offered_at < end)
        .group_by(_o.c.id, _o.c.offered_at, _o.c.ended_at, _e.c.family_id, _p.c.name, _s.c.id, _c.c.name,
                  _s.c.starts_at)
        .order_by(_o.c.offered_at.desc(), _o.c.id.desc())
    )  # fmt: skip
    if type_id is not None:
        query = query.where(_c.c.course_type_id == type_id)
    now = clock.now()
    return Check(
        [
            Promise(row.schedule_id, row.course_name, row.starts_at, row.offered_at, row.taken_at,
                    _within(row.offered_at, row.taken_at), row.family_id, row.student)
            for row in db.session.execute(query)
            if row.taken_at or not (_within(row.offered_at, row.ended_at) or _within(row.offered_at, now))
        ],
        NOTICE_GOAL,
    )  # fmt: skip


def _within(since: datetime, moment: datetime | None) -> bool:
    return moment is not None and moment - since <= WITHIN


def cutoffs(span: Span, type_id: int | None = None) -> Check:
    """The queues whose cutoff lay in these days and in which somebody still waited then, newest first.

    The cutoff is reckoned by the rule of that time; a session that was moved is judged by its last start.
    """
    start, end = span.bounds
    now = clock.now()
    before = Past("waitlist_cutoff", "waitlist_quiet_hours", "waitlist_begin_grace")
    found = []
    for session, rows in _sessions(start, end, type_id):
        cutoff = _cutoff(session, before)
        if not start <= cutoff < min(end, now - WITHIN):
            continue
        waited = [row for row in rows if row.joined_at < cutoff and (row.ended_at is None or row.ended_at >= cutoff)]
        if not waited:
            continue
        latest = cutoff + WITHIN
        spare = before.get("waitlist_begin_grace", cutoff)
        late = [row for row in waited if not _closed_in_time(row, latest, spare, now)]
        begun = [row.round_at for row in rows if row.round_at is not None and row.round_at >= cutoff]
        last = max((row.ended_at for row in waited if row.ended_at), default=None)
        found.append(
            Promise(session.schedule_id, session.course_name, session.starts_at, cutoff, last, not late and not begun)
        )
    return Check(sorted(found, key=lambda one: one.at, reverse=True), CUTOFF_GOAL)


def _closed_in_time(row: sa.Row, latest: datetime, grace: timedelta, now: datetime) -> bool:
    """Who began before the cutoff has until the end of their grace (96.58)."""
    until = latest if row.begun_at is None else max(latest, row.begun_at + grace + WITHIN)
    return (row.ended_at or now) <= until


def _cutoff(session: sa.Row, past: Past) -> datetime:
    """By the rules in force when the cutoff of the present rules came; one that moved itself is told by one step."""
    moment = session.starts_at - past.get("waitlist_cutoff", session.starts_at)
    return rules.cutoff_at(
        session.starts_at, past.get("waitlist_cutoff", moment), past.get("waitlist_quiet_hours", moment)
    )


def _sessions(start: datetime, end: datetime, type_id: int | None) -> list[tuple[sa.Row, list[sa.Row]]]:
    """Sessions that start soon enough after these days for their cutoff to lie in them, each with its entries."""
    began = sa.select(sa.func.max(_o.c.begun_at)).where(_o.c.entry_id == _e.c.id).scalar_subquery().label("begun_at")
    last_round = (
        sa.select(sa.func.max(_w.c.started_at))
        .where(_w.c.course_schedule_id == _e.c.course_schedule_id)
        .scalar_subquery()
        .label("round_at")
    )
    query = (
        sa.select(
            _s.c.id.label("schedule_id"), _s.c.starts_at, _c.c.name.label("course_name"), _e.c.id, _e.c.joined_at,
            _e.c.ended_at, began, last_round,
        )
        .select_from(_s.join(_c, _c.c.id == _s.c.course_id).join(_e, _e.c.course_schedule_id == _s.c.id))
        .where(_s.c.starts_at >= start, _s.c.starts_at < end + _LONGEST, _s.c.status != ScheduleStatus.CANCELLED)
        .order_by(_s.c.starts_at.desc(), _e.c.id)
    )  # fmt: skip
    if type_id is not None:
        query = query.where(_c.c.course_type_id == type_id)
    found: dict[int, tuple[sa.Row, list[sa.Row]]] = {}
    for row in db.session.execute(query):
        found.setdefault(row.schedule_id, (row, []))[1].append(row)
    return list(found.values())


#: no cutoff is longer before its class than this
_LONGEST = timedelta(days=7)

CHECKS: dict[str, Callable[..., Check]] = {"notices": notices, "cutoffs": cutoffs}
