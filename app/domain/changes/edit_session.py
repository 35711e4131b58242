"""Changing a session that people may have booked: time, coach, venue, capacity (C6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, db_now, lock_row, lock_rows, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import students
from app.domain.bookings.errors import AlreadyBooked, ScheduleNotFound, TimeConflict
from app.domain.bookings.models import LIVE, Booking, BookingStatus
from app.domain.catalog import rules, sessions
from app.domain.catalog.errors import Archived, CoachNotFound, VenueNotFound
from app.domain.catalog.models import Coach, Course, CourseSchedule, ScheduleStatus, Venue
from app.domain.changes.errors import CapacityTooLow, SessionMoved, StudentsBusy
from app.domain.offers import session as waitlist
from app.domain.orders.models import OrderStatus, PaymentOrder
from app.domain.outbox import service as outbox
from app.domain.people import roles
from app.domain.people.models import Profile
from app.domain.people.roles import Permission
from app.domain.waitlist.freed import seat_freed
from app.domain.waitlist.models import Cause
from app.errors import InvalidState

_b, _o = Booking.__table__, PaymentOrder.__table__
#: students that a refusal names
NAMED = 5


@dataclass(frozen=True, slots=True)
class Edited:
    """`told` is how many bookings' families were told of the change."""

    schedule_id: int
    moved: bool
    told: int


@transactional
def edit_session(
    *,
    schedule_id: int,
    version: int,
    coach_id: int,
    venue_id: int,
    starts_at: datetime,
    capacity: int,
    waitlist_capacity: int | None,
    actor: Actor,
    request_key: RequestKey | None = None,
) -> Edited:
    """Set time, coach, venue, capacity and own waitlist capacity (None: the course's) of a session still ahead.

    Another time checks coach, venue and every booked student again, and lets the families cancel free until the start.
    They, who waits, and who has ordered and not paid yet hear of it; so of another coach or venue. Raises
    ScheduleNotFound, SessionMoved for a stale form, InvalidState, CapacityTooLow, CoachBusy, VenueBusy, StudentsBusy,
    Archived, Invalid, Forbidden.
    """
    roles.require(actor, Permission.SCHEDULE_EDIT)
    capacity, waitlist_capacity = rules.capacity(capacity), rules.waitlist_capacity(waitlist_capacity)
    coach, venue, session = _lock(schedule_id, coach_id, venue_id)
    if session.version != version:
        raise SessionMoved
    now = db_now()
    if session.status != ScheduleStatus.SCHEDULED or now >= session.starts_at:
        raise InvalidState("这节课已经开始、结束或取消，不能再修改")
    taken = session.booked + session.held + session.kept
    if capacity < taken:
        raise CapacityTooLow(
            f"已占用 {taken} 个座位，名额不能少于 {taken}", data={"taken": taken, "capacity": capacity}
        )
    before = _facts(session)
    moved = starts_at != session.starts_at
    lasting = session.ends_at - session.starts_at
    placed = moved or (coach.id, venue.id) != (session.coach_id, session.venue_id)
    if placed:
        _check_place(session, coach, venue, starts_at, lasting, now)
    if moved:
        _check_students(session, starts_at, starts_at + lasting)
    change = _words(session, coach, venue, starts_at)
    session.coach_id, session.venue_id = coach.id, venue.id
    session.starts_at, session.ends_at = starts_at, starts_at + lasting
    session.capacity, session.waitlist_capacity = capacity, waitlist_capacity
    session.version += 1
    db.session.flush()
    audit.record(
        actor, "schedule.updated", target_type="course_schedule", target_id=session.id, before=before,
        after=_facts(session),
    )  # fmt: skip
    told = _tell(session, venue, change, moved=moved) if placed else 0
    if placed:
        waitlist.changed(schedule_id, change, session.version)
    if moved:
        waitlist.move(schedule_id)
    if capacity > before["capacity"]:
        seat_freed(schedule_id, Cause.CAPACITY, count=capacity - before["capacity"], actor=actor)
    return Edited(session.id, moved, told)


def _lock(schedule_id: int, coach_id: int, venue_id: int) -> tuple[Coach, Venue, CourseSchedule]:
    """Coach, venue, students, session: the one order, so that nobody is booked twice while this is decided."""
    coach, venue = lock_row(Coach, coach_id), lock_row(Venue, venue_id)
    if coach is None:
        raise CoachNotFound
    if venue is None:
        raise VenueNotFound
    booked = sa.select(_b.c.profile_id).where(_b.c.course_schedule_id == schedule_id, _b.c.status.in_(LIVE))
    held = set(db.session.scalars(booked))
    lock_rows(Profile, held)
    session = lock_row(CourseSchedule, schedule_id)
    if session is None:
        raise ScheduleNotFound
    if not set(db.session.scalars(booked)) <= held:
        # Somebody booked between our look and our lock: their other classes were not held still.
        raise SessionMoved("刚刚有人预约了这节课，请再提交一次")
    return coach, venue, session


def _check_place(
    session: CourseSchedule, coach: Coach, venue: Venue, starts_at: datetime, lasting: timedelta, now: datetime
) -> None:
    rules.ahead(starts_at, now)
    for new, old, word in ((coach, session.coach_id, "教练"), (venue, session.venue_id, "场馆")):
        if new.archived_at is not None and new.id != old:
            raise Archived(f"{word}「{new.name}」已停用，请另选")
    sessions.check_free(coach.id, venue.id, starts_at, starts_at + lasting, except_schedule_id=session.id)


def _check_students(session: CourseSchedule, starts_at: datetime, ends_at: datetime) -> None:
    query = sa.select(_b.c.profile_id, Profile.name).join_from(_b, Profile, Profile.id == _b.c.profile_id)
    mine = (_b.c.course_schedule_id == session.id, _b.c.status.in_(LIVE))
    busy = []
    for profile_id, name in db.session.execute(query.where(*mine).order_by(_b.c.id)):
        try:
            students.check_free_at(profile_id, session.id, starts_at, ends_at, but=session.id)
        except (TimeConflict, AlreadyBooked):
            busy.append(name)
    if busy:
        more = f"等 {len(busy)} 人" if len(busy) > NAMED else ""
        raise StudentsBusy(
            f"{'、'.join(busy[:NAMED])}{more}在新的时间已有其他课程，请先处理他们的预约", data={"students": busy}
        )


def _words(session: CourseSchedule, coach: Coach, venue: Venue, starts_at: datetime) -> str:
    """What changed, for the families."""
    said = []
    if starts_at != session.starts_at:
        said.append(f"原时间 {clock.local(session.starts_at):%m月%d日 %H:%M}")
    if venue.id != session.venue_id:
        said.append(f"场馆改为{venue.name}")
    if coach.id != session.coach_id:
        said.append(f"教练改为{coach.name}")
    return "，".join(said)


def _tell(session: CourseSchedule, venue: Venue, change: str, *, moved: bool) -> int:
    mine = sa.and_(_b.c.course_schedule_id == session.id, _b.c.status == BookingStatus.BOOKED)
    if moved:
        db.session.execute(_b.update().where(mine).values(free_cancel=True))
        db.session.expire_all()
    course = db.session.scalar(sa.select(Course.name).where(Course.id == session.course_id))
    query = sa.select(_b.c.id, _b.c.family_id, Profile.name).join_from(_b, Profile, Profile.id == _b.c.profile_id)
    rows = db.session.execute(query.where(mine).order_by(_b.c.id)).all()
    for booking_id, family_id, student in rows:
        outbox.tell_family(
            family_id, "class_changed",
            {"course": course, "starts_at": session.starts_at.isoformat(), "student": student, "venue": venue.name,
             "change": change, "booking_id": booking_id},
            dedupe=f"booking{booking_id}:{session.version}",
        )  # fmt: skip
    _tell_unpaid(session, course, venue, change)
    return len(rows)


def _tell_unpaid(session: CourseSchedule, course: str, venue: Venue, change: str) -> None:
    """Whoever has ordered a trial and not paid yet: it may not suit them any more."""
    query = (
        sa.select(_o.c.order_id, _o.c.family_id, _o.c.user_id, Profile.name)
        .join_from(_o, Profile, Profile.id == _o.c.profile_id)
        .where(_o.c.course_schedule_id == session.id, _o.c.status == OrderStatus.PENDING)
    )
    for order_id, family_id, user_id, student in db.session.execute(query.order_by(_o.c.id)).all():
        outbox.tell_family(
            family_id, "class_changed",
            {"course": course, "starts_at": session.starts_at.isoformat(), "student": student, "venue": venue.name,
             "change": change, "occasion": "ordered"},
            dedupe=f"order{order_id}:{session.version}", user_id=user_id,
        )  # fmt: skip


def _facts(session: CourseSchedule) -> dict[str, Any]:
    return {
        "starts_at": session.starts_at.isoformat(), "coach_id": session.coach_id, "venue_id": session.venue_id,
        "capacity": session.capacity, "waitlist_capacity": session.waitlist_capacity,
    }  # fmt: skip
