"""Families for tests, made through the services: what they hold is what the product makes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from decimal import Decimal

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.ledger import service as ledger
from app.domain.people import phones
from app.domain.people.models import Family, Level, Profile, User
from app.domain.people.registration import add_family_with_parent
from app.domain.search.service import index_family

_numbers = itertools.count(1)


@dataclass(frozen=True)
class MadeFamily:
    """Ids of what was made."""

    id: int
    wallet_id: int
    user_id: int
    profile_ids: list[int]


def make_level(name: str = "L1", rank: int = 1) -> int:
    """The level of this name, made if there is none."""
    with transaction():
        level = db.session.query(Level).filter_by(name=name).one_or_none()
        if level is None:
            level = Level(name=name, rank=rank)
            db.session.add(level)
            db.session.flush()
        return level.id


def make_family(
    *,
    parent: str = "张女士",
    students: tuple[str, ...] = ("张小明",),
    phone: str | None = None,
    birthday: str | None = None,
    balance: str = "0.00",
) -> MadeFamily:
    """A family with one parent, its students, and a balance that was credited (or debited) once."""
    number = next(_numbers)
    with transaction():
        user = add_family_with_parent(openid=f"openid-test-{number}", nickname=parent)
        if phone:
            phones.assign(user, phone)
        family = db.session.get(Family, user.family_id)
        profiles = [
            Profile(family_id=family.id, name=name, gender="unknown", birthday=birthday, created_at=clock.now())
            for name in students
        ]
        db.session.add_all(profiles)
        db.session.flush()
        index_family(family.id)
        wallet = ledger.lock_wallet(family_id=family.id)
        amount = Decimal(balance)
        if amount:
            ledger.post(
                wallet, type="adjustment", amount=amount, idempotency_key=f"test-opening-{number}",
                reference_type="import", reference_id=family.id, reason="期初余额", actor=system("test"),
            )  # fmt: skip
        made = MadeFamily(family.id, wallet.id, user.id, [p.id for p in profiles])
        db.session.flush()
    return made


def parent_of(family: MadeFamily) -> User:
    return db.session.get(User, family.user_id)
