"""Families with wallets for the ledger's tests, and short ways to move money."""

from __future__ import annotations

import itertools
from decimal import Decimal

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor, system
from app.domain.ledger import service
from app.domain.ledger.models import TransactionType
from app.domain.people.models import Family, User

SYSTEM = system("test")
_numbers = itertools.count(1)


def yuan(text: str) -> Decimal:
    return Decimal(text)


def make_wallet(balance: str = "0", parents: int = 1) -> int:
    """A family with parents and a wallet; returns the wallet's id."""
    number = next(_numbers)
    with transaction():
        family = Family(name=f"家庭{number}", created_at=clock.now())
        db.session.add(family)
        db.session.flush()
        for parent in range(parents):
            db.session.add(User(family_id=family.id, openid=f"ledger-{number}-{parent}", registered_at=clock.now()))
        db.session.flush()
        wallet_id = service.open_wallet(family.id)
        if Decimal(balance):
            locked = service.lock_wallet(wallet_id=wallet_id)
            service.post(locked, type=TransactionType.ADJUSTMENT, amount=Decimal(balance),
                         idempotency_key=f"open-{wallet_id}", reference_type="import", reference_id=family.id,
                         reason="期初余额", actor=SYSTEM, enforce_limit=False)  # fmt: skip
    return wallet_id


def move(wallet_id: int, amount: str, key: str | None = None, **more):
    """Credit or debit by the sign of `amount`."""
    value = Decimal(amount)
    facts = {
        "wallet_id": wallet_id,
        "amount": abs(value),
        "idempotency_key": key or f"move-{next(_numbers)}",
        "reference_type": "booking",
        "reference_id": "1",
        "reason": "测试",
        "actor": SYSTEM,
        **more,
    }
    return service.credit(**facts) if value > 0 else service.debit(**facts)


def staff(role: str = "manager", *, staff_id: int, proof_age: float | None = 1.0) -> Actor:
    return Actor(type="staff", id=staff_id, name="测试员工", role=role, proof_age=proof_age)
