"""The one door for money: what a posting writes, what it refuses, and what a repeated key gives."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.ledger import service
from app.domain.ledger.errors import OverdraftLimitExceeded
from app.domain.ledger.models import Wallet, WalletTransaction
from app.errors import IdempotencyKeyReused
from tests.domain.ledger.wallets import move


def rows_of(wallet_id: int):
    return list(
        db.session.scalars(
            sa.select(WalletTransaction).where(WalletTransaction.wallet_id == wallet_id).order_by(WalletTransaction.seq)
        )
    )


def test_a_credit_and_a_debit_write_rows_and_balance(wallet):
    first = move(wallet, "500.00")
    second = move(wallet, "-200.00")
    assert (first.seq, first.balance_before, first.balance_after) == (1, Decimal("0.00"), Decimal("500.00"))
    assert (second.seq, second.amount, second.balance_after) == (2, Decimal("-200.00"), Decimal("300.00"))
    held = db.session.get(Wallet, wallet)
    one, two = rows_of(wallet)
    assert held.balance == Decimal("300.00")
    assert held.version == 2
    assert held.head_hash == two.hash
    assert two.prev_hash == one.hash
    assert one.prev_hash is None
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "wallet.posted")) == 2


def test_the_same_key_gives_the_first_posting(wallet):
    first = move(wallet, "500.00", key="k1")
    again = move(wallet, "500.00", key="k1")
    assert again.replayed
    assert not first.replayed
    assert (again.id, again.seq, again.balance_after) == (first.id, first.seq, first.balance_after)
    assert len(rows_of(wallet)) == 1


def test_the_same_key_with_other_facts_is_refused(wallet):
    move(wallet, "500.00", key="k1")
    with pytest.raises(IdempotencyKeyReused):
        move(wallet, "500.01", key="k1")
    assert len(rows_of(wallet)) == 1


def test_the_overdraft_message_of_w7(wallet):
    move(wallet, "-500.00")
    with pytest.raises(OverdraftLimitExceeded) as refused:
        move(wallet, "-600.00")
    assert refused.value.message == "余额不足：当前余额 ¥-500.00，本次需 ¥600.00，超出欠费上限 ¥1000.00"
    assert refused.value.data == {"balance": "-500.00", "limit": "1000.00", "shortfall": "100.00"}
    assert move(wallet, "-500.00").balance_after == Decimal("-1000.00")


def test_a_transfer_moves_both(wallet):
    from tests.domain.ledger.wallets import SYSTEM, make_wallet

    other = make_wallet("0")
    move(wallet, "300.00")
    done = service.transfer(from_wallet_id=wallet, to_wallet_id=other, amount=Decimal("120.00"),
                            idempotency_key="t1", reason="合并", actor=SYSTEM)  # fmt: skip
    assert (done.out.balance_after, done.into.balance_after) == (Decimal("180.00"), Decimal("120.00"))
