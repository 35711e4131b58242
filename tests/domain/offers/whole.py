"""What must hold of a queue at any moment, whoever did what before (Q5, Q16, Q17)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import LIVE as BOOKED
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import WalletTransaction
from app.domain.offers import advance
from app.domain.policy import service as policy
from app.domain.waitlist import queries, queue, rules
from app.domain.waitlist.models import (
    LIVE,
    OfferStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistOffer,
    WaitlistRound,
)


def check(schedule_id: int) -> None:
    """Everything about the queue of this session."""
    db.session.rollback()
    db.session.expire_all()
    session = db.session.get(CourseSchedule, schedule_id)
    entries = db.session.query(WaitlistEntry).filter_by(course_schedule_id=session.id).all()
    releases = db.session.query(SeatRelease).filter_by(course_schedule_id=session.id).all()
    rounds = db.session.query(WaitlistRound).filter_by(course_schedule_id=session.id, ended_at=None).all()
    offers = [one for one in db.session.query(WaitlistOffer).all() if one.entry_id in {entry.id for entry in entries}]
    _check_seats(session, releases)
    _check_offers(session.id, entries, releases, rounds, offers)
    _check_ends(session, entries, offers)
    line = queries.queue(session.id)
    live = [one for one in entries if one.status in LIVE]
    if len(line) == len(live):  # none has lapsed by the clock alone
        assert [one.position for one in line] == list(range(1, len(line) + 1))
        assert [one.id for one in line] == [one.id for one in sorted(live, key=queue.order_key)]


def _check_seats(session, releases) -> None:
    booked = db.session.scalar(
        sa.select(sa.func.count()).where(Booking.course_schedule_id == session.id, Booking.status.in_(BOOKED))
    )
    kept = [one for one in releases if one.status == "kept"]
    assert (session.booked, session.kept) == (booked, len(kept))
    assert session.booked + session.held + session.kept <= session.capacity
    ends = db.session.execute(
        sa.select(WaitlistFlow.release_id, sa.func.count())
        .where(WaitlistFlow.step.in_(("filled", "returned")))
        .group_by(WaitlistFlow.release_id)
    )
    told = {row[0]: row[1] for row in ends}
    for one in releases:
        assert told.get(one.id, 0) == (one.status != "kept"), "each seat's waiting ends once"
        assert (one.entry_id is not None) == (one.status == "filled")


def _check_offers(session_id, entries, releases, rounds, offers) -> None:
    live = [one for one in offers if one.status == OfferStatus.LIVE]
    assert {one.entry_id for one in live} == {one.id for one in entries if one.status == "offered"}
    for one in rounds:
        asked = [offer for offer in live if offer.round_id == one.id]
        seats = [seat for seat in releases if seat.round_id == one.id and seat.status == "kept"]
        if not asked:  # the last one asked was booked in another way: the job ends it at once
            assert session_id in advance.due()
            continue
        assert seats, "and has a seat"
        if one.kind == "exclusive":
            assert (len(asked), len(seats)) == (1, 1)


def _check_ends(session, entries, offers) -> None:
    cutoff = rules.cutoff_at(session.starts_at, policy.get("waitlist_cutoff"), None)
    for entry in entries:
        mine = [one for one in offers if one.entry_id == entry.id]
        if entry.end_reason == "lapsed":
            assert mine[-1].kind == "exclusive", "nobody's wait ends who was not asked alone"
        if entry.end_reason == "cutoff":
            assert entry.ended_at >= cutoff
        if entry.status == "confirmed":
            assert entry.booking_id is not None
            debits = db.session.scalar(
                sa.select(sa.func.count()).where(
                    WalletTransaction.reference_type == "booking", WalletTransaction.type == "deduction",
                    WalletTransaction.reference_id == str(entry.booking_id),
                )
            )  # fmt: skip
            assert debits == 1
        for one in mine:
            if one.status == OfferStatus.LAPSED:
                assert one.ends_at <= one.ended_at
