"""Attempts to book for the races: who asks for what, what they hear, and what is there afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.audit.actor import Actor
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import Wallet, WalletTransaction
from app.errors import DomainError
from tests.concurrency.processes import together
from tests.factories import MadeFamily

#: how often a race of two is run
ROUNDS = 12


@dataclass(frozen=True)
class Asked:
    """One attempt to book: who, into what."""

    schedule_id: int
    profile_id: int
    actor: Actor


def book(asked: Asked) -> str:
    """`ok`, or the code of the refusal; what was no refusal by name, so that it cannot pass for one."""
    try:
        place.book(schedule_id=asked.schedule_id, profile_id=asked.profile_id, actor=asked.actor)
    except DomainError as refusal:
        return refusal.code
    except sa.exc.DBAPIError as error:
        return f"ERROR {type(error).__name__}"
    return "ok"


def by_turns(attempts: list[Asked]) -> list[str]:
    """Start together, then as fast as one can."""
    together()
    return [book(asked) for asked in attempts]


def in_rounds(attempts: list[Asked]) -> list[str]:
    """Start together for each attempt."""
    codes = []
    for asked in attempts:
        together()
        codes.append(book(asked))
    return codes


# ── what is there ──


def live(schedule_id: int) -> int:
    """Live bookings of a session, counted."""
    query = sa.select(sa.func.count(Booking.id)).where(
        Booking.course_schedule_id == schedule_id, Booking.live_profile_id.is_not(None)
    )
    return db.session.scalar(query)


def booked(schedule_id: int) -> int:
    """What the session's counter says of them."""
    return db.session.scalar(sa.select(CourseSchedule.booked).where(CourseSchedule.id == schedule_id))


def moves(type_: str) -> int:
    """Movements of this type in all wallets."""
    query = sa.select(sa.func.count()).select_from(WalletTransaction).where(WalletTransaction.type == type_)
    return db.session.scalar(query)


def balance(family: MadeFamily) -> Decimal:
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id))
