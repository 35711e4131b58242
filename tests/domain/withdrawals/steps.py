"""Short ways to ask for a withdrawal, decide on it and look, in tests."""

from __future__ import annotations

import json
from decimal import Decimal

import sqlalchemy as sa

from app.db import RequestKey, db
from app.domain.audit.models import AuditEntry
from app.domain.desk.models import Withdrawal
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.withdrawals import asking, deciding
from tests.domain.desk.desk import receipt
from tests.factories import MadeFamily, parent_actor
from tests.portal import actor_of


def request(family: MadeFamily, amount: str = "100.00", reason: str = "搬家了", key: RequestKey | None = None) -> int:
    return asking.request(amount=Decimal(amount), reason=reason, actor=parent_actor(family), request_key=key)


def cancel(withdrawal_id: int, family: MadeFamily) -> int:
    return asking.cancel(withdrawal_id=withdrawal_id, actor=parent_actor(family))


def approve(withdrawal_id: int, staff, **more) -> int:
    return deciding.approve(withdrawal_id=withdrawal_id, actor=actor_of(staff), **more)


def reject(withdrawal_id: int, staff, note: str = "请先还清欠费", **more) -> int:
    return deciding.reject(withdrawal_id=withdrawal_id, note=note, actor=actor_of(staff), **more)


def pay(withdrawal_id: int, staff, method: str = "wechat_transfer", **more) -> int:
    if method != "cash":
        more.setdefault("receipts_given", [receipt()])
    return deciding.pay(withdrawal_id=withdrawal_id, method=method, actor=actor_of(staff), **more)


def fail(withdrawal_id: int, staff, note: str = "账号填错，银行退回", **more) -> int:
    return deciding.fail(withdrawal_id=withdrawal_id, note=note, actor=actor_of(staff), **more)


def row(withdrawal_id: int) -> Withdrawal:
    db.session.rollback()
    return db.session.get(Withdrawal, withdrawal_id, populate_existing=True)


def balance(family: MadeFamily) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == family.id))


def movements(withdrawal_id: int) -> list[tuple[str, Decimal]]:
    """What it moved, in order."""
    db.session.rollback()
    query = sa.select(WalletTransaction.type, WalletTransaction.amount).where(
        WalletTransaction.reference_type == "withdrawal", WalletTransaction.reference_id == str(withdrawal_id)
    )
    return [tuple(found) for found in db.session.execute(query.order_by(WalletTransaction.id))]


def actions(withdrawal_id: int) -> list[str]:
    db.session.rollback()
    query = sa.select(AuditEntry.action).where(
        AuditEntry.target_type == "withdrawal", AuditEntry.target_id == str(withdrawal_id)
    )
    return list(db.session.scalars(query.order_by(AuditEntry.id)))


def cards() -> list[dict]:
    """The money group's cards about withdrawals, oldest first."""
    db.session.rollback()
    found = db.session.scalars(
        sa.select(Notification.payload).where(Notification.type == "withdrawal").order_by(Notification.id)
    )
    return [json.loads(card) if isinstance(card, str) else card for card in found]


def told(family: MadeFamily) -> list[tuple[str, str]]:
    """Result and remark of each message to the family's parents."""
    db.session.rollback()
    found = db.session.scalars(
        sa.select(Notification.payload)
        .where(Notification.type == "withdrawal_result", Notification.family_id == family.id)
        .order_by(Notification.id)
    )
    facts = [json.loads(one) if isinstance(one, str) else one for one in found]
    return [(one["result"], one["remark"]) for one in facts]
