"""What the database holds after a round of the chaos drill, read from the database alone."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import Booking
from app.domain.ledger import verify
from bench.parents import Parent
from tests.drills.chaos_clients import Heard

_COUNTS = {
    "bookings": "SELECT COUNT(*) FROM bookings WHERE status = 'booked' AND course_schedule_id IN :classes",
    "debits": "SELECT COUNT(*) FROM wallet_transactions t JOIN wallets w ON w.id = t.wallet_id"
              " WHERE t.type = 'deduction' AND w.family_id IN :families",
    "pairs": "SELECT COUNT(*) FROM (SELECT DISTINCT course_schedule_id, profile_id FROM bookings"
             " WHERE debit_id IS NOT NULL AND course_schedule_id IN :classes) pairs",
    "seats": "SELECT SUM(booked) FROM course_schedules WHERE id IN :classes",
    "told": "SELECT COUNT(*) FROM notifications WHERE type = 'booking_made' AND family_id IN :families",
}  # fmt: skip
_WRONG_SUMS = (
    "SELECT COUNT(*) FROM wallets w WHERE w.balance <> COALESCE((SELECT SUM(t.amount) FROM wallet_transactions t"
    " WHERE t.wallet_id = w.id), 0)"
)


def count(app, parents: list[Parent], classes: list[int], heard: Heard) -> dict:
    """Counts of this round, and `missing`: acknowledged bookings that are not there, or not as they were said."""
    known = {"classes": classes, "families": [parent.family_id for parent in parents]}
    with app.app_context():
        found = {name: _count(query, known) for name, query in _COUNTS.items()}
        rows = db.session.execute(
            sa.select(Booking.course_schedule_id, Booking.profile_id, Booking.id, Booking.created_at).where(
                Booking.debit_id.is_not(None), Booking.status == "booked", Booking.course_schedule_id.in_(classes)
            )
        )  # fmt: skip
        there = {(schedule_id, profile_id): (booking_id, made) for schedule_id, profile_id, booking_id, made in rows}
        missing = [pair for pair, said in heard.acknowledged.items() if there.get(pair, (None,))[0] != said]
        # Made before the try was sent that was answered: an earlier one had done it, and the key found it.
        replayed = [pair for pair, sent in heard.last_sent.items() if pair in there and there[pair][1] < sent]
        sums = db.session.execute(sa.text(_WRONG_SUMS)).scalar_one() == 0
        db.session.rollback()
        chain = verify.run().sound
        db.session.remove()
    refused = list(heard.refused.values())[:3]
    return {
        **found, "missing": len(missing), "replayed": len(replayed), "refused": refused, "sums_hold": sums,
        "chain_holds": chain,
    }  # fmt: skip


def verify_all() -> bool:
    """Every row of the ledger from the first on."""
    report = verify.run(full=True)
    db.session.remove()
    return report.sound


def _count(query: str, known: dict) -> int:
    names = [name for name in known if f":{name}" in query]
    statement = sa.text(query).bindparams(*(sa.bindparam(name, expanding=True) for name in names))
    return int(db.session.execute(statement, {name: known[name] for name in names}).scalar_one() or 0)
