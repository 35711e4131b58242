"""Course types, courses, coaches, venues and dated sessions (spec 10, C1)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, ExactText, Money, UTCDateTime
from app.db import db


class ScheduleStatus(StrEnum):
    """What the table holds, and `finished`, which follows the clock and is never written (C6)."""

    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"
    FINISHED = "finished"


class CourseType(db.Model):
    """A kind of course: what a makeup must match, and what a trial is (C1)."""

    __tablename__ = "course_types"
    __table_args__ = (sa.CheckConstraint("waitlist_capacity BETWEEN 0 AND 99", name="waitlist_capacity"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: stands in the JSON contract and in import files (96.20)
    code = sa.Column(Ascii(32), nullable=False, unique=True)
    name = sa.Column(sa.String(64), nullable=False)
    #: how many may wait where neither session nor course says otherwise (Q2)
    waitlist_capacity = sa.Column(sa.Integer, nullable=False, default=8)
    #: a first class, paid by WeChat Pay and not by the wallet
    is_trial = sa.Column(sa.Boolean, nullable=False, default=False)
    #: how a freed seat goes round its queues (Q8); one of waitlist/models.py WaitlistPolicy
    waitlist_policy = sa.Column(
        Ascii(24), nullable=False, default="open_then_sequential", server_default="open_then_sequential"
    )
    created_at = sa.Column(UTCDateTime, nullable=False)


class Course(db.Model):
    """What is taught, how long and for how much."""

    __tablename__ = "courses"
    __table_args__ = (
        sa.UniqueConstraint("course_type_id", "name", name="uq_courses_name"),
        sa.CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration_minutes"),
        sa.CheckConstraint("price >= 0", name="price"),
        sa.CheckConstraint("waitlist_capacity BETWEEN 0 AND 99", name="waitlist_capacity"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_type_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_types.id"), nullable=False)
    name = sa.Column(ExactText(64), nullable=False)
    #: NULL for courses of every level
    level_id = sa.Column(sa.BigInteger, sa.ForeignKey("levels.id"), nullable=True, index=True)
    duration_minutes = sa.Column(sa.Integer, nullable=False)
    #: yuan, what a booking costs from now on; bookings keep what they cost
    price = sa.Column(Money, nullable=False)
    waitlist_capacity = sa.Column(sa.Integer, nullable=True)
    #: raised by every edit: two people who set a price must not overwrite each other unseen
    version = sa.Column(sa.Integer, nullable=False, default=1)
    #: an archived course has no new sessions
    archived_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class Coach(db.Model):
    __tablename__ = "coaches"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    name = sa.Column(ExactText(64), nullable=False, unique=True)
    archived_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class Venue(db.Model):
    __tablename__ = "venues"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    name = sa.Column(ExactText(64), nullable=False, unique=True)
    archived_at = sa.Column(UTCDateTime, nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)


class CourseSchedule(db.Model):
    """One dated class. The three counters say where its seats are; only `domain/seats` writes them (Z3, C4)."""

    __tablename__ = "course_schedules"
    __table_args__ = (
        sa.CheckConstraint("ends_at > starts_at", name="times"),
        sa.CheckConstraint("capacity BETWEEN 1 AND 999", name="capacity"),
        sa.CheckConstraint("booked >= 0 AND held >= 0 AND kept >= 0", name="counters"),
        # C4 itself: whatever a program gets wrong, a class is not oversold.
        sa.CheckConstraint("booked + held + kept <= capacity", name="seats"),
        sa.CheckConstraint("waitlist_capacity BETWEEN 0 AND 99", name="waitlist_capacity"),
        sa.CheckConstraint("status IN ('scheduled', 'cancelled')", name="status"),
        sa.Index("ix_course_schedules_starts_at", "starts_at", "id"),
        sa.Index("ix_course_schedules_coach", "coach_id", "starts_at"),
        sa.Index("ix_course_schedules_venue", "venue_id", "starts_at"),
        sa.Index("ix_course_schedules_course", "course_id", "starts_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_id = sa.Column(sa.BigInteger, sa.ForeignKey("courses.id"), nullable=False)
    coach_id = sa.Column(sa.BigInteger, sa.ForeignKey("coaches.id"), nullable=False)
    venue_id = sa.Column(sa.BigInteger, sa.ForeignKey("venues.id"), nullable=False)
    starts_at = sa.Column(UTCDateTime, nullable=False)
    ends_at = sa.Column(UTCDateTime, nullable=False)
    capacity = sa.Column(sa.Integer, nullable=False)
    #: live bookings
    booked = sa.Column(sa.Integer, nullable=False, default=0)
    #: seats of unpaid orders
    held = sa.Column(sa.Integer, nullable=False, default=0)
    #: seats kept for the waitlist
    kept = sa.Column(sa.Integer, nullable=False, default=0)
    #: seats that a manager added for one student each; part of `capacity` (96.37)
    override_seats = sa.Column(sa.Integer, nullable=False, default=0)
    #: NULL: the course's, else the type's (Q2)
    waitlist_capacity = sa.Column(sa.Integer, nullable=True)
    status = sa.Column(Ascii(16), nullable=False, default=ScheduleStatus.SCHEDULED)
    cancelled_at = sa.Column(UTCDateTime, nullable=True)
    cancelled_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    cancel_reason = sa.Column(sa.String(200), nullable=True)
    #: raised by every edit: the fence for stale forms (Z2)
    version = sa.Column(sa.Integer, nullable=False, default=1)
    created_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
