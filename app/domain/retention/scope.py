"""What a family's personal data hangs on (S8): its numbers, and the words that name its people."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from app.db import db
from app.domain.bookings.models import Booking
from app.domain.ledger.models import Wallet
from app.domain.orders.models import PaymentAttempt, PaymentOrder, Refund
from app.domain.people.models import Family, Profile, User
from app.domain.waitlist.models import WaitlistEntry

#: shorter words name nobody and stand in everybody's text
_SHORTEST = 2


@dataclass(slots=True)
class Scope:
    """Ids by table. `families` has the family itself and those that were merged into it; `words` are names and WeChat
    ids as they stand in the database, the longest first."""

    family_id: int
    families: list[int]
    users: list[int]
    profiles: list[int]
    wallets: list[int]
    orders: list[int]
    bookings: list[int]
    entries: list[int]
    numbers: list[str]
    words: list[str] = field(default_factory=list)


def scope_of(family_id: int) -> Scope:
    """Read it all; the rows are locked by who changes them."""
    families = _with_absorbed(family_id)
    users = db.session.execute(
        sa.select(User.id, User.nickname, User.real_name, User.openid, User.unionid).where(User.family_id.in_(families))
    ).all()
    students = db.session.execute(sa.select(Profile.id, Profile.name).where(Profile.family_id.in_(families))).all()
    named = db.session.execute(sa.select(Family.name, Family.import_key).where(Family.id.in_(families))).all()
    profiles = [row.id for row in students]
    orders = _ids(PaymentOrder.id, PaymentOrder.family_id.in_(families))
    mine = sa.or_(Booking.family_id.in_(families), Booking.profile_id.in_(profiles))
    words = {word for row in (*users, *students, *named) for word in row if isinstance(word, str)}
    return Scope(
        family_id=family_id, families=families, users=[row.id for row in users], profiles=profiles,
        wallets=_ids(Wallet.id, Wallet.family_id.in_(families)), orders=orders, bookings=_ids(Booking.id, mine),
        entries=_ids(WaitlistEntry.id, WaitlistEntry.family_id.in_(families)),
        numbers=[*_ids(PaymentAttempt.out_trade_no, PaymentAttempt.order_id.in_(orders)),
                 *_ids(Refund.refund_no, Refund.family_id.in_(families))],
        words=sorted((word for word in words if len(word) >= _SHORTEST), key=lambda word: (-len(word), word)),
    )  # fmt: skip


def _with_absorbed(family_id: int) -> list[int]:
    found, newest = [family_id], [family_id]
    while newest:
        newest = _ids(Family.id, Family.merged_into.in_(newest))
        found += newest
    return found


def _ids(column, condition) -> list:
    return list(db.session.scalars(sa.select(column).where(condition).order_by(column)))
