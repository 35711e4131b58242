"""The queue of a full session, the seats kept for it, whom they were offered to, and every step of it (spec 50).

The row of `course_schedules` is the lock of its whole queue: whoever writes one of these rows holds it.
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, UTCDateTime
from app.db import db


class EntryStatus(StrEnum):
    WAITING = "waiting"
    OFFERED = "offered"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


#: still in the queue
LIVE = (EntryStatus.WAITING, EntryStatus.OFFERED)


class ReleaseStatus(StrEnum):
    KEPT = "kept"
    FILLED = "filled"
    RETURNED = "returned"


class Cause(StrEnum):
    """Why a seat came free."""

    CANCELLED = "cancelled"
    LEAVE = "leave"
    HOLD_LAPSED = "hold_lapsed"
    HOLD_RELEASED = "hold_released"
    REFUND = "refund"
    CAPACITY = "capacity"


class OfferKind(StrEnum):
    OPEN = "open"
    EXCLUSIVE = "exclusive"


class OfferStatus(StrEnum):
    LIVE = "live"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    #: its time ran out
    LAPSED = "lapsed"
    #: another parent was first
    TAKEN = "taken"
    #: the queue, the seat or the session ended under it
    WITHDRAWN = "withdrawn"


class WaitlistPolicy(StrEnum):
    """How a freed seat goes round, per course type (Q8)."""

    OPEN_THEN_SEQUENTIAL = "open_then_sequential"
    SEQUENTIAL = "sequential"
    AUTO_PROMOTE = "auto_promote"


class WaitlistEntry(db.Model):
    """One student's place in the queue of one session."""

    __tablename__ = "waitlist_entries"
    __table_args__ = (
        # One live entry per student and session; NULLs are not equal, so only live ones meet.
        sa.UniqueConstraint("course_schedule_id", "live_profile_id", name="uq_waitlist_entries_live"),
        sa.CheckConstraint(
            "status IN ('waiting', 'offered', 'confirmed', 'declined', 'expired', 'cancelled')", name="status"
        ),
        sa.CheckConstraint("(status IN ('waiting', 'offered')) = (ended_at IS NULL)", name="ended"),
        sa.Index("ix_waitlist_entries_family", "family_id", "id"),
        # who still waits, wherever: the job asks each second
        sa.Index("ix_waitlist_entries_live", "live_profile_id"),
        sa.Index("ix_waitlist_entries_profile", "profile_id", "status"),
        sa.Index("ix_waitlist_entries_joined_at", "joined_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    profile_id = sa.Column(sa.BigInteger, sa.ForeignKey("profiles.id"), nullable=False)
    #: follows a merge or a move (P11)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False)
    #: the parent who joined, or who is told where staff added the student; NULL for a family without one
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=True, index=True)
    status = sa.Column(Ascii(16), nullable=False, default=EntryStatus.WAITING)
    live_profile_id = sa.Column(
        sa.BigInteger, sa.Computed("CASE WHEN status IN ('waiting', 'offered') THEN profile_id END", persisted=True)
    )
    #: 0 unless staff moved it; the queue's order is (rank, joined_at, id) (Q3)
    rank = sa.Column(sa.Integer, nullable=False, default=0)
    joined_at = sa.Column(UTCDateTime, nullable=False)
    #: 1..n when it joined: what the estimate of the waiting time learns from (Q1)
    joined_position = sa.Column(sa.Integer, nullable=False)
    #: consent in advance: book and charge as soon as the seat would be theirs (Q9)
    auto_accept = sa.Column(sa.Boolean, nullable=False, default=False)
    #: how a makeup would be paid (Q22)
    credit_id = sa.Column(sa.BigInteger, sa.ForeignKey("makeup_credits.id"), nullable=True)
    use_compensation = sa.Column(sa.Boolean, nullable=False, default=False)
    accept_shorter = sa.Column(sa.Boolean, nullable=False, default=False)
    #: why it could not be offered the last seat (Q11), as an error code
    skip_reason = sa.Column(Ascii(32), nullable=True)
    skipped_at = sa.Column(UTCDateTime, nullable=True)
    #: staff who added or moved it, and why
    added_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    staff_note = sa.Column(sa.String(200), nullable=True)
    #: when staff told that they reached the parent by phone
    called_at = sa.Column(UTCDateTime, nullable=True)
    called_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=True)
    #: the trial order that a confirmation made, by its row (96.62)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=True)
    ended_at = sa.Column(UTCDateTime, nullable=True)
    #: cutoff, lapsed, declined, left, removed, booked, session_cancelled
    end_reason = sa.Column(Ascii(32), nullable=True)


class SeatRelease(db.Model):
    """One freed seat that is kept for the queue, until it is filled or returned to free sale (Q5)."""

    __tablename__ = "seat_releases"
    __table_args__ = (
        sa.CheckConstraint("status IN ('kept', 'filled', 'returned')", name="status"),
        sa.CheckConstraint("(status = 'kept') = (ended_at IS NULL)", name="ended"),
        sa.CheckConstraint("status <> 'filled' OR entry_id IS NOT NULL", name="filled"),
        sa.Index("ix_seat_releases_session", "course_schedule_id", "status"),
        sa.Index("ix_seat_releases_status", "status", "id"),
        sa.Index("ix_seat_releases_freed_at", "freed_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=ReleaseStatus.KEPT)
    cause = sa.Column(Ascii(16), nullable=False)
    #: whose booking or order (by its row) freed it
    booking_id = sa.Column(sa.BigInteger, sa.ForeignKey("bookings.id"), nullable=True)
    order_id = sa.Column(sa.BigInteger, sa.ForeignKey("payment_orders.id"), nullable=True)
    freed_at = sa.Column(UTCDateTime, nullable=False)
    #: the round that it is offered in now; NULL while it waits for one
    round_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_rounds.id"), nullable=True)
    #: it was in an open round already: from then on one by one (Q7)
    opened = sa.Column(sa.Boolean, nullable=False, default=False)
    #: who filled it
    entry_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_entries.id"), nullable=True)
    ended_at = sa.Column(UTCDateTime, nullable=True)
    #: confirmed, promoted, staff, no_waiters, all_skipped, cutoff, session_cancelled
    end_reason = sa.Column(Ascii(32), nullable=True)


class WaitlistRound(db.Model):
    """One asking with one deadline: of everybody (`open`), or of one parent for one seat (`exclusive`) (Q6, Q7)."""

    __tablename__ = "waitlist_rounds"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('open', 'exclusive')", name="kind"),
        sa.Index("ix_waitlist_rounds_session", "course_schedule_id", "ended_at"),
        sa.Index("ix_waitlist_rounds_live", "ended_at", "deadline"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    kind = sa.Column(Ascii(16), nullable=False)
    started_at = sa.Column(UTCDateTime, nullable=False)
    deadline = sa.Column(UTCDateTime, nullable=False)
    #: when the first of its messages was taken, once known; and whether the deadline was moved for it (Q13)
    first_taken_at = sa.Column(UTCDateTime, nullable=True)
    extended = sa.Column(sa.Boolean, nullable=False, default=False)
    ended_at = sa.Column(UTCDateTime, nullable=True)


class WaitlistOffer(db.Model):
    """A seat offered to one entry; its round's deadline is its own."""

    __tablename__ = "waitlist_offers"
    __table_args__ = (
        sa.UniqueConstraint("live_entry_id", name="uq_waitlist_offers_live"),
        sa.CheckConstraint("kind IN ('open', 'exclusive')", name="kind"),
        sa.CheckConstraint(
            "status IN ('live', 'confirmed', 'declined', 'lapsed', 'taken', 'withdrawn')", name="status"
        ),
        sa.CheckConstraint("(status = 'live') = (ended_at IS NULL)", name="ended"),
        sa.Index("ix_waitlist_offers_due", "status", "ends_at"),
        sa.Index("ix_waitlist_offers_round", "round_id"),
        sa.Index("ix_waitlist_offers_entry", "entry_id", "id"),
        sa.Index("ix_waitlist_offers_offered_at", "offered_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    round_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_rounds.id"), nullable=False)
    entry_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_entries.id"), nullable=False)
    kind = sa.Column(Ascii(16), nullable=False)
    status = sa.Column(Ascii(16), nullable=False, default=OfferStatus.LIVE)
    live_entry_id = sa.Column(sa.BigInteger, sa.Computed("CASE WHEN status = 'live' THEN entry_id END", persisted=True))
    offered_at = sa.Column(UTCDateTime, nullable=False)
    deadline = sa.Column(UTCDateTime, nullable=False)
    #: when the parent began to book, and until when they may finish: the deadline, or the grace after `begun_at`
    begun_at = sa.Column(UTCDateTime, nullable=True)
    ends_at = sa.Column(UTCDateTime, nullable=False)
    #: begin, confirm, decline
    answer = sa.Column(Ascii(16), nullable=True)
    answered_at = sa.Column(UTCDateTime, nullable=True)
    ended_at = sa.Column(UTCDateTime, nullable=True)
    #: when the desk was asked to phone this parent, whom no message reached (Q14)
    call_asked_at = sa.Column(UTCDateTime, nullable=True)


class WaitlistFlow(db.Model):
    """One step: what happened to an entry, an offer, a round or a seat, when, and by whom (Q16, Q19)."""

    __tablename__ = "waitlist_flows"
    __table_args__ = (
        sa.Index("ix_waitlist_flows_session", "course_schedule_id", "id"),
        sa.Index("ix_waitlist_flows_entry", "entry_id", "id"),
        sa.Index("ix_waitlist_flows_release", "release_id", "id"),
        sa.Index("ix_waitlist_flows_round", "round_id", "id"),
        sa.Index("ix_waitlist_flows_at", "at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    course_schedule_id = sa.Column(sa.BigInteger, sa.ForeignKey("course_schedules.id"), nullable=False)
    at = sa.Column(UTCDateTime, nullable=False)
    #: one of waitlist/rules.py STEPS
    step = sa.Column(Ascii(32), nullable=False)
    entry_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_entries.id"), nullable=True)
    offer_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_offers.id"), nullable=True)
    round_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_rounds.id"), nullable=True)
    release_id = sa.Column(sa.BigInteger, sa.ForeignKey("seat_releases.id"), nullable=True)
    actor_type = sa.Column(Ascii(16), nullable=False)
    actor_id = sa.Column(sa.BigInteger, nullable=True)
    #: why, as a code or in a person's words
    reason = sa.Column(sa.String(200), nullable=True)
    #: what more there is to know, as plain JSON
    facts = sa.Column(JSONText, nullable=True)


class WaitlistNotification(db.Model):
    """Which message of the outbox told whom of which offer (Q16): queued, sent and failed stand in the outbox."""

    __tablename__ = "waitlist_notifications"
    __table_args__ = (sa.Index("ix_waitlist_notifications_entry", "entry_id", "id"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: the message's row in the outbox
    notification_id = sa.Column(sa.BigInteger, sa.ForeignKey("notifications.id"), nullable=False, unique=True)
    entry_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_entries.id"), nullable=False)
    offer_id = sa.Column(sa.BigInteger, sa.ForeignKey("waitlist_offers.id"), nullable=False, index=True)
    #: staff who sent it once more
    resent_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
