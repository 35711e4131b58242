"""Short ways to ask, approve and look in tests of the money desk."""

from __future__ import annotations

import hashlib
import itertools
import json
from decimal import Decimal

import sqlalchemy as sa

from app.db import RequestKey, db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.desk import adjustments, rules
from app.domain.desk.models import WalletAdjustment
from app.domain.desk.receipts import NewReceipt
from app.domain.ledger import service as ledger
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from tests.portal import actor_of

_numbers = itertools.count(1)


def wish(amount: str = "500", **changes) -> rules.Wish:
    """A cash recharge, unless the test says otherwise."""
    plain = {
        "direction": "increase",
        "type": "recharge",
        "payment_method": "cash",
        "reason_code": "offline_recharge",
        "note": "前台收现金",
    }
    return rules.checked_wish(amount=Decimal(amount), **(plain | changes))


def ask(staff, family, amount: str = "500", *, proof_age: float | None = 0.0, receipts=(), key=None, **changes):
    more = {name: changes.pop(name) for name in ("seen_version", "form_seconds") if name in changes}
    return adjustments.ask(
        family_id=family.id, wish=wish(amount, **changes), actor=actor_of(staff, proof_age=proof_age),
        receipts_given=receipts, request_key=key, **more,
    )  # fmt: skip


def key_of(staff, key: str = "0" * 32, fingerprint: str = "same") -> RequestKey:
    return RequestKey(f"staff:{staff.id}", key, fingerprint, lambda outcome: {"id": outcome.adjustment_id})


def receipt(
    content: str | None = None, *, pixels: str | None = None, look: tuple[str, str] | None = None
) -> NewReceipt:
    """A stored file; a new one each time unless told what it holds."""
    number = next(_numbers)
    content = content or f"receipt {number}"
    coarse, detail = look or (None, None)
    return NewReceipt(
        storage_key=f"aa/{number:040x}", media_type="image/png", bytes=100, sha256=_hex(content),
        stored_sha256=_hex(content), pixel_hash=_hex(pixels or content), lookalike_hash=coarse, detail_hash=detail,
    )  # fmt: skip


def spend(family, staff, amount: str) -> None:
    """Money leaves the wallet for a class."""
    with transaction():
        ledger.post(
            ledger.lock_wallet(family_id=family.id), type="deduction", amount=-Decimal(amount),
            idempotency_key=f"class-{next(_numbers)}", reference_type="booking", reference_id=1, reason="上课",
            actor=actor_of(staff),
        )  # fmt: skip


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def row(adjustment_id: int) -> WalletAdjustment:
    db.session.rollback()
    return db.session.get(WalletAdjustment, adjustment_id, populate_existing=True)


def balance(family) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == family.id))


def movements(family) -> int:
    """Rows caused by the desk, not the opening balance."""
    db.session.rollback()
    query = sa.select(sa.func.count()).select_from(WalletTransaction)
    return db.session.scalar(
        query.where(WalletTransaction.wallet_id == family.wallet_id, WalletTransaction.reference_type == "adjustment")
    )


def actions(adjustment_id: int) -> list[str]:
    """What the audit log says happened to it, in order."""
    db.session.rollback()
    query = sa.select(AuditEntry.action).where(
        AuditEntry.target_type == "adjustment", AuditEntry.target_id == str(adjustment_id)
    )
    return list(db.session.scalars(query.order_by(AuditEntry.id)))


def cards() -> list[dict]:
    """The money group's cards, oldest first."""
    db.session.rollback()
    query = sa.select(Notification.payload).where(Notification.recipient == "money", Notification.type == "adjustment")
    found = db.session.scalars(query.order_by(Notification.id))
    return [json.loads(card) if isinstance(card, str) else card for card in found]
