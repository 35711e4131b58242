"""Asking for a change of a family's balance, and taking back what one asked (W10–W13, W15)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import ids
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import cards, completion, persons, receipts, rules
from app.domain.desk.completion import Outcome
from app.domain.desk.errors import AlreadyUndone, BalanceMoved, ExternalNumberUsed, NotTheAuthor
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment
from app.domain.desk.receipts import NewReceipt
from app.domain.desk.rules import Event, Wish
from app.domain.ledger import rules as wallet_rules
from app.domain.ledger import service as ledger
from app.domain.ledger.service import LockedWallet
from app.domain.people import proof, roles
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Invalid, Replayed
from app.text import clean

#: what a form may have taken, in seconds; a tab left open overnight measures nothing
FORM_SECONDS_MAX = 4 * 3600


@transactional
def ask(
    *,
    family_id: int,
    wish: Wish,
    actor: Actor,
    receipts_given: Sequence[NewReceipt] = (),
    seen_version: int | None = None,
    form_seconds: int | None = None,
    request_key: RequestKey | None = None,
) -> Outcome:
    """Ask for an adjustment; it completes at once where W12 allows it and its receipt is there.

    `seen_version` is the wallet's version that the confirmation showed. Raises WalletNotFound, WalletClosed,
    WalletFrozen, OverdraftLimitExceeded, BalanceOutOfRange, BalanceMoved, OwnFamily, Invalid, ExternalNumberUsed,
    Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.ADJUSTMENT_ASK)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    persons.refuse_own_family(person, family_id)
    check_ask(person, wish)
    wallet = ledger.lock_wallet(family_id=family_id)
    if seen_version is not None and wallet.version != seen_version:
        raise BalanceMoved(data={"balance": f"{wallet.balance:.2f}", "version": wallet.version})
    check_wallet(wallet, wish)
    now = db_now()
    adjustment = insert(wallet, wish, actor, now, request_key, form_seconds=form_seconds)
    flags = receipts.attach(receipts.of_adjustment(adjustment), receipts_given, actor) if receipts_given else set()
    reasons = rules.approval_reasons(
        amount=wish.amount, type=wish.type, may_direct=persons.may_direct(person),
        sums=persons.direct_sums(person.id, family_id, now), limits=persons.limits(), receipt_flags=flags,
    )  # fmt: skip
    missing = adjustment.needs_receipt and not receipts_given
    wait(adjustment, reasons, now, missing)
    if not reasons and not missing:
        return completion.complete(adjustment, wallet, actor, now)
    return completion.outcome(adjustment, missing_receipt=missing)


@transactional
def withdraw(
    *, adjustment_id: int, reason: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> Outcome:
    """Take back what one asked for. Raises AdjustmentNotFound, NotTheAuthor, InvalidState, Stale, Invalid."""
    roles.require(actor, Permission.ADJUSTMENT_ASK)
    reason = checked_reason(reason)
    persons.hold(actor)
    adjustment = completion.lock(adjustment_id, version=version)
    if adjustment.asked_by != actor.id:
        raise NotTheAuthor
    return completion.cancel(adjustment, Event.WITHDRAW, actor, db_now(), reason)


# ── building blocks, shared with undoing ────────────────────────────────────────────────────────────


def check_ask(person: Staff, wish: Wish) -> None:
    """Raises Invalid above what someone who may only ask may ask for."""
    if not persons.may_direct(person):
        rules.check_ask_limit(wish.amount, policy.get("front_desk_ask_limit"))


def check_wallet(wallet: LockedWallet, wish: Wish) -> None:
    """What the wallet would refuse now, told before anybody waits for an approval in vain (W6, W7, W30)."""
    wallet_rules.check_status(wallet.status, wish.amount)
    wallet_rules.check_range(wallet.balance, wish.amount)
    wallet_rules.check_limit(wallet.balance, wish.amount, wallet.limit)


def insert(
    wallet: LockedWallet,
    wish: Wish,
    actor: Actor,
    now: datetime,
    request_key: RequestKey | None,
    *,
    form_seconds: int | None = None,
    undoes_id: int | None = None,
) -> WalletAdjustment:
    """The row, pending, with its audit row. Raises ExternalNumberUsed, AlreadyUndone; Replayed for a request whose
    kept answer is gone while what it made is not."""
    _refuse_done_before(request_key)
    if form_seconds is not None and not 0 <= form_seconds <= FORM_SECONDS_MAX:
        form_seconds = None
    adjustment = WalletAdjustment(
        wallet_id=wallet.id, family_id=wallet.family_id, amount=wish.amount, type=wish.type,
        payment_method=wish.payment_method, external_no=wish.external_no, external_no_live=wish.external_no,
        reason_code=wish.reason_code, note=wish.note, status=AdjustmentStatus.PENDING, needs_approval=True,
        approval_reasons="", needs_receipt=undoes_id is None and rules.needs_receipt(wish.payment_method),
        asked_by=actor.id, asked_at=now, undoes_id=undoes_id, undoes_live=undoes_id,
        request_key=f"{request_key.scope}:{request_key.key}" if request_key else f"once:{ids.new_hex()}",
        form_seconds=form_seconds, created_at=now, version=1,
    )  # fmt: skip
    db.session.add(adjustment)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise _taken(error) from error
    audit.record(
        actor, "adjustment.asked", target_type="adjustment", target_id=adjustment.id,
        family_id=adjustment.family_id, new_status=AdjustmentStatus.PENDING,
        before={"balance": f"{wallet.balance:.2f}"}, after=cards.facts(adjustment), reason=wish.note,
    )  # fmt: skip
    return adjustment


def wait(adjustment: WalletAdjustment, reasons: Sequence[str], now: datetime, missing_receipt: bool) -> None:
    """Say what a pending adjustment waits for. The wait for approval is counted from the receipt on (W12)."""
    adjustment.needs_approval = bool(reasons)
    adjustment.approval_reasons = ",".join(reasons)
    if reasons and not missing_receipt:
        adjustment.lapses_at = now + policy.get("adjustment_approval_ttl")
    db.session.flush()


def checked_reason(reason: str) -> str:
    """Cancelling needs a reason (W11). Raises Invalid."""
    reason = clean(reason, rules.NOTE_MAX)
    if not reason:
        raise Invalid.field("reason", "请填写原因")
    return reason


def _refuse_done_before(request_key: RequestKey | None) -> None:
    # Kept answers are cleaned up after a while; for money the key holds for ever (R5), on what it made. The person's
    # row is locked and the key's scope is the person, so nobody inserts it between this look and our insert.
    if request_key is None:
        return
    made = db.session.scalar(
        sa.select(WalletAdjustment).where(WalletAdjustment.request_key == f"{request_key.scope}:{request_key.key}")
    )
    if made is not None:
        raise Replayed(request_key.present(completion.outcome(made)) if request_key.present else {})


def _taken(error: IntegrityError) -> Exception:
    """What a unique key's refusal means; another constraint is a bug of ours and stays what it is."""
    text = str(error.orig)
    if "external_no" in text:
        return ExternalNumberUsed.field("external_no", "这个转账单号已经用过，请核对是否重复入账")
    if "undoes_live" in text:
        return AlreadyUndone()
    return error
