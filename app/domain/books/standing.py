"""What the studio owes at a moment, in four accounts, read from what stood then and not from what moved (W29)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from app.domain.bookings.models import BookingStatus
from app.domain.books.earning import (
    OWED,
    PAID,
    REVIVED,
    TRIALS,
    b,
    back,
    c,
    class_earned,
    credit_earned,
    debit,
    left_of_booking,
    left_of_payment,
    p,
    revived_since,
    s,
    total,
    trial_earned,
    tx,
    yuan,
)
from app.domain.catalog.models import ScheduleStatus
from app.domain.ledger.models import Wallet

_w = Wallet.__table__


class Account(StrEnum):
    """Where money that is owed stands. A wallet below zero is owed to the studio, and counts against the others."""

    WALLET = "wallet"
    PREPAID = "prepaid"
    MAKEUP = "makeup"
    TRIAL = "trial"


def parts(at: datetime) -> Iterator[tuple[Account, sa.Select]]:
    """Statements with one sum each; an account is the sum of its parts. Yuan."""
    yield Account.WALLET, sa.select(total(_w.c.balance))
    # The balances are today's: what moved since is taken off again, which is little for any recent moment.
    yield Account.WALLET, sa.select(yuan(-total(tx.c.amount))).where(tx.c.created_at >= at)
    for of_class in (s.c.ends_at >= at, sa.and_(s.c.status == ScheduleStatus.CANCELLED, s.c.ends_at < at)):
        yield Account.PREPAID, _prepaid(at).where(of_class)
    yield Account.MAKEUP, _makeup(at)
    yield Account.MAKEUP, _not_revived(at)
    yield Account.TRIAL, _trial(at)


def _prepaid(at: datetime) -> sa.Select:
    given_back = sa.and_(back.c.reference_type == "booking", back.c.created_at < at)
    return (
        sa.select(total(left_of_booking(at)))
        .select_from(PAID.join(debit, debit.c.id == b.c.debit_id))
        .where(
            # A class is in the calendar before anybody pays for it: of the years after, few are read.
            s.c.created_at < at,
            debit.c.created_at < at,
            ~class_earned(at),
            sa.or_(b.c.status != BookingStatus.ON_LEAVE, b.c.ended_at >= at),
            sa.or_(back.c.id.is_(None), ~given_back),
        )
    )  # fmt: skip


def _makeup(at: datetime) -> sa.Select:
    return (
        sa.select(total(left_of_booking(at)))
        .select_from(OWED)
        .where(b.c.debit_id.is_not(None), b.c.ended_at < at, ~credit_earned(at))
    )


def _not_revived(at: datetime) -> sa.Select:
    """Off again: credits that had expired by then and were extended later."""
    of_booking = REVIVED.join(b, b.c.id == c.c.booking_id)
    return (
        sa.select(yuan(-total(left_of_booking(at))))
        .select_from(of_booking)
        .where(b.c.debit_id.is_not(None), revived_since(at))
    )


def _trial(at: datetime) -> sa.Select:
    return sa.select(total(left_of_payment(at))).select_from(TRIALS).where(p.c.created_at < at, ~trial_earned(at))
