"""Large ledgers built fast: true for the verifier, refused where a movement could not be, and every filter of the
history has its index in them (Z17)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import db
from app.domain.ledger import bulk, queries, verify
from app.domain.ledger.errors import WalletNotFound
from app.domain.ledger.models import Wallet, WalletTransaction
from tests.domain.ledger.wallets import SYSTEM, make_wallet, move

BEGAN = datetime(2026, 3, 1, 4, tzinfo=UTC)


def movement(wallet_id: int, number: int, /, **more) -> bulk.Movement:
    kind, amount = ("recharge", "400.00") if number % 3 == 0 else ("deduction", "-200.00")
    facts = {
        "wallet_id": wallet_id, "type": kind, "amount": Decimal(amount), "idempotency_key": f"b{wallet_id}-{number}",
        "reference_type": "booking", "reference_id": str(number), "reason": "正式课扣费，第 1 次｜😀",
        "created_at": BEGAN + timedelta(hours=number), "details": {"n": number} if number % 2 else None,
    }  # fmt: skip
    return bulk.Movement(**(facts | more))


def test_a_built_ledger_is_sound_and_goes_on(app):
    wallets = [make_wallet(parents=0) for _ in range(5)]
    move(wallets[0], "7.00")
    rounds = ([movement(wallet_id, number) for wallet_id in reversed(wallets)] for number in range(6))
    assert bulk.build(rounds, actor=SYSTEM) == 30
    assert verify.run(full=True).sound
    assert queries.get_balance(wallet_id=wallets[0]) == Decimal("7.00")
    assert move(wallets[1], "1.00").seq == 7
    assert verify.run().sound
    assert db.session.get(Wallet, wallets[2]).updated_at == BEGAN + timedelta(hours=5)


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ({"amount": Decimal("-1.00"), "type": "recharge"}, ValueError),
        ({"reference_type": "gift"}, ValueError),
        ({"wallet_id": 10**9}, WalletNotFound),
        ({"idempotency_key": "taken"}, IntegrityError),
    ],
)
def test_a_faulty_round_writes_nothing(app, faults, error):
    one, two = make_wallet(parents=0), make_wallet(parents=0)
    move(one, "1.00", key="taken")
    with pytest.raises(error):
        bulk.build([[movement(one, 0), movement(two, 0, **faults)]], actor=SYSTEM)
    db.session.rollback()
    assert queries.get_balance(wallet_id=one) == Decimal("1.00")
    assert verify.run(full=True).sound


def test_a_round_moves_a_wallet_once(wallet):
    with pytest.raises(ValueError, match="once"):
        bulk.build([[movement(wallet, 0), movement(wallet, 1)]], actor=SYSTEM)


def test_a_wallet_that_does_not_follow_is_an_error(wallet, monkeypatch):
    for name in ("_FOLLOW_MYSQL", "_FOLLOW_SQLITE"):
        monkeypatch.setattr(bulk, name, getattr(bulk, name) + " AND 1 = 0")
    with pytest.raises(RuntimeError, match="0 of 1"):
        bulk.build([[movement(wallet, 0)]], actor=SYSTEM)


@pytest.mark.parametrize("fen", [0, 1, -1, 99, -99, 100, -12345, 9999999999])
def test_fen_as_text(fen):
    assert Decimal(bulk.yuan_text(fen)) * 100 == fen


FILTERS = [
    ({}, {"uq_wallet_transactions_seq"}),
    ({"type": "deduction"}, {"ix_wallet_transactions_type", "uq_wallet_transactions_seq"}),
    ({"profile_id": 1}, {"ix_wallet_transactions_profile", "uq_wallet_transactions_seq"}),
    (
        {"date_from": date(2026, 3, 1), "date_to": date(2026, 3, 2)},
        {"ix_wallet_transactions_wallet_created", "uq_wallet_transactions_seq"},
    ),
]


def test_each_filter_has_its_index(live_app):
    with live_app.app_context():
        wallets = [make_wallet(parents=0) for _ in range(60)]
        bulk.build(([movement(w, number) for w in wallets] for number in range(50)), actor=SYSTEM)
        rows, dialect = WalletTransaction.__table__, db.engine.dialect
        sqlite = dialect.name == "sqlite"
        db.session.execute(sa.text("ANALYZE" if sqlite else "ANALYZE TABLE wallet_transactions")).close()
        for asked, indexes in FILTERS:
            query = queries.select_history(wallets[3], **asked).where(rows.c.seq < 40)
            query = query.order_by(rows.c.seq.desc()).limit(20)
            text = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
            if sqlite:
                plan = " ".join(row[-1] for row in db.session.execute(sa.text(f"EXPLAIN QUERY PLAN {text}")))
                assert "SEARCH wallet_transactions USING INDEX" in plan, plan
            else:
                plan = db.session.connection().exec_driver_sql(f"EXPLAIN {text}").mappings().all()
                first = next(row for row in plan if row["table"] == "wallet_transactions")
                assert (first["key"] or "").split("|")[0] in indexes, dict(first)
