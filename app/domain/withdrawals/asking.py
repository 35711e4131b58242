"""A parent asks for money back, and takes the wish back (W9, W21)."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from app import money
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.desk.models import Withdrawal, WithdrawalStatus
from app.domain.ledger import rules as wallet_rules
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.domain.withdrawals import ending, rules, telling
from app.domain.withdrawals.errors import WithdrawalNotFound
from app.domain.withdrawals.rules import Event
from app.errors import Forbidden, IdempotencyKeyReused, Replayed


@transactional
def request(*, amount: Decimal, reason: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask for `amount` yuan of the family's wallet back: it leaves the balance at once. Returns the withdrawal's id.

    Raises Invalid, IdempotencyKeyReused, FeatureOff, WalletClosed, WalletFrozen, InsufficientBalance, Forbidden.
    """
    _require_parent(actor)
    rules.check_amount(amount)
    reason = rules.checked_reason(reason)
    wallet = ledger.lock_wallet(family_id=actor.family_id)
    _refuse_done_before(request_key, amount, reason)
    switches.require_for(actor, Capability.WITHDRAWAL)
    wallet_rules.check_status(wallet.status, -amount)
    rules.check_balance(wallet.balance, amount)
    before = wallet.balance
    row = Withdrawal(
        wallet_id=wallet.id, user_id=actor.id, amount=amount, reason=reason, status=WithdrawalStatus.REQUESTED,
        request_key=_kept_as(request_key), created_at=db_now(), version=1,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    posting = ledger.post(
        wallet, type=TransactionType.WITHDRAWAL, amount=-amount, idempotency_key=f"withdrawal:{row.id}:debit",
        reference_type="withdrawal", reference_id=row.id, reason="申请提现", user_id=actor.id, actor=actor,
    )  # fmt: skip
    row.debit_id = posting.id
    db.session.flush()
    audit.record(
        actor, "withdrawal.asked", target_type="withdrawal", target_id=row.id, family_id=wallet.family_id,
        transaction_id=posting.id, new_status=row.status, before={"balance": money.plain(before)},
        after={"balance": money.plain(posting.balance_after), **telling.facts(row)}, reason=reason,
    )  # fmt: skip
    telling.asked(row, wallet.family_id, actor, posting.balance_after)
    return row.id


@transactional
def cancel(*, withdrawal_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Take it back while nobody has approved it; the money returns. Returns its id.

    Raises WithdrawalNotFound for nobody's and for another family's, InvalidState once it was approved or ended.
    """
    _require_parent(actor)
    held = ending.hold(withdrawal_id)
    if held.family_id != actor.family_id:
        raise WithdrawalNotFound
    ending.move(held, Event.CANCEL, actor, db_now())
    return held.row.id


def _require_parent(actor: Actor) -> None:
    if actor.type != ActorType.PARENT or actor.family_id is None:
        raise Forbidden("提现由家长在小程序里申请和取消")


def _kept_as(request_key: RequestKey | None) -> str | None:
    return None if request_key is None else f"{request_key.scope}:{request_key.key}"


def _refuse_done_before(request_key: RequestKey | None, amount: Decimal, reason: str) -> None:
    # Kept answers are cleaned up after a while; for money the key holds for ever (R5), on what it made.
    if request_key is None:
        return
    made = db.session.execute(
        sa.select(Withdrawal.id, Withdrawal.amount, Withdrawal.reason).where(
            Withdrawal.request_key == _kept_as(request_key)
        )
    ).first()
    if made is None:
        return
    if (made.amount, made.reason) != (amount, reason):
        raise IdempotencyKeyReused
    raise Replayed(request_key.present(made.id) if request_key.present else {})
