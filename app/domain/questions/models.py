"""What parents ask about a transaction, and the answers (W28)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, UTCDateTime
from app.db import db


class QuestionStatus(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"


class TransactionQuestion(db.Model):
    """One question of one parent. A transaction has at most one that is open; it may be asked again once answered."""

    __tablename__ = "transaction_questions"
    __table_args__ = (
        sa.UniqueConstraint("live_transaction_id", name="uq_transaction_questions_live"),
        sa.CheckConstraint("status IN ('open', 'answered')", name="status"),
        sa.CheckConstraint(
            "(status = 'answered') = (answer IS NOT NULL AND answered_by IS NOT NULL AND answered_at IS NOT NULL)",
            name="answered",
        ),
        sa.Index("ix_transaction_questions_status", "status", "id"),
        sa.Index("ix_transaction_questions_wallet", "wallet_id", "id"),
        sa.Index("ix_transaction_questions_transaction_id", "transaction_id"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    transaction_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallet_transactions.id"), nullable=False)
    #: the transaction's; it stays where the transaction lies, whoever a family is merged into
    wallet_id = sa.Column(sa.BigInteger, sa.ForeignKey("wallets.id"), nullable=False)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=False)
    text = sa.Column(sa.String(500), nullable=False)
    status = sa.Column(Ascii(16), nullable=False)
    live_transaction_id = sa.Column(
        sa.BigInteger, sa.Computed("CASE WHEN status = 'open' THEN transaction_id END", persisted=True)
    )
    asked_at = sa.Column(UTCDateTime, nullable=False)
    #: when staff were last reminded of it
    reminded_at = sa.Column(UTCDateTime, nullable=True)
    answer = sa.Column(sa.String(500), nullable=True)
    answered_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    answered_at = sa.Column(UTCDateTime, nullable=True)
