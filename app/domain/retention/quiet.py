"""Families of whom nobody has heard for years: their personal data goes by itself (S8), unless something is open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db, transactional
from app.domain.audit.actor import Actor
from app.domain.bookings.models import Booking
from app.domain.ledger.control import WalletHasOpenItems, WalletNotEmpty
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.orders.models import PaymentOrder
from app.domain.people.models import Family, User, UserSession
from app.domain.policy import service as policy
from app.domain.retention import erasing
from app.domain.retention.erasing import NotErasable
from app.domain.waitlist.models import WaitlistEntry
from app.money import ZERO

CAUSE = "quiet"
#: families of one night, so that a first run does not take the morning
MOST, PAGE = 200, 100


def erase_due(actor: Actor) -> int:
    """Delete the data of those who are due; returns how many families. Each in a transaction of its own."""
    before = clock.now() - timedelta(days=policy.get("retention_families") * 366)
    done = 0
    for family_id in _due(before):
        done += _erase(family_id=family_id, before=before, actor=actor)
        if done == MOST:
            break
    return done


def _due(before: datetime) -> Iterator[int]:
    last = 0
    while True:
        query = sa.select(Family.id).where(Family.id > last, *_quiet(before)).order_by(Family.id).limit(PAGE)
        page = list(db.session.scalars(query))
        db.session.rollback()
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]


def _quiet(before: datetime) -> list[sa.ColumnElement[bool]]:
    """Nothing moved, was booked, ordered or waited for, and nobody signed in, since then."""
    mine = Wallet.family_id == Family.id
    since = (
        sa.exists().where(mine, WalletTransaction.wallet_id == Wallet.id, WalletTransaction.created_at >= before),
        sa.exists().where(mine, Wallet.balance != ZERO),
        sa.exists().where(Booking.family_id == Family.id, Booking.created_at >= before),
        sa.exists().where(PaymentOrder.family_id == Family.id, PaymentOrder.created_at >= before),
        sa.exists().where(WaitlistEntry.family_id == Family.id, WaitlistEntry.joined_at >= before),
        sa.exists().where(User.family_id == Family.id, User.registered_at >= before),
        sa.exists().where(
            User.family_id == Family.id, UserSession.user_id == User.id, UserSession.last_used_at >= before
        ),
    )
    return [
        Family.created_at < before,
        Family.merged_into.is_(None),
        Family.erased_at.is_(None),
        *(~one for one in since),
    ]


def _erase(*, family_id: int, before: datetime, actor: Actor) -> bool:
    try:
        return _erase_one(family_id=family_id, before=before, actor=actor)
    except (NotErasable, WalletNotEmpty, WalletHasOpenItems):
        return False  # there is something to settle with them, or it came while we looked


@transactional
def _erase_one(*, family_id: int, before: datetime, actor: Actor) -> bool:
    scope = erasing.lock(family_id)
    still = sa.select(Family.id).where(Family.id == family_id, *_quiet(before))
    if db.session.scalar(still) is None:
        return False  # heard of since we looked
    erasing.erase(scope, CAUSE, actor)
    return True
