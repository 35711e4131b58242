"""What staff do with a withdrawal: approve, pay out by another person, reject, note that it failed (W21, P9, P10)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from app.db import RequestKey, db, db_now, transactional
from app.domain.audit.actor import Actor
from app.domain.desk import persons, receipts
from app.domain.desk.errors import ExternalNumberUsed
from app.domain.desk.receipts import NewReceipt, Owner
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.domain.withdrawals import ending, rules
from app.domain.withdrawals.ending import Held
from app.domain.withdrawals.errors import OwnApproval
from app.domain.withdrawals.rules import Event


@transactional
def approve(
    *, withdrawal_id: int, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> int:
    """Let it be paid out, by somebody else. Returns its id. No money moves: it left the wallet when it was asked for.

    Raises WithdrawalNotFound, InvalidState, Stale, OwnFamily, Forbidden, StepUpRequired.
    """
    held = _hold(withdrawal_id, version, actor, Permission.WITHDRAWAL_APPROVE)
    now = db_now()
    rules.next_status(held.row.status, Event.APPROVE)
    held.row.approved_by, held.row.approved_at = actor.id, now
    ending.move(held, Event.APPROVE, actor, now)
    return held.row.id


@transactional
def reject(
    *, withdrawal_id: int, note: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> int:
    """Say no, also after an approval, as long as nothing was paid; the money returns. Raises as `approve`, and
    Invalid without a reason."""
    note = rules.checked_note(note)
    held = _hold(withdrawal_id, version, actor, Permission.WITHDRAWAL_APPROVE)
    ending.move(held, Event.REJECT, actor, db_now(), note)
    return held.row.id


@transactional
def pay(
    *,
    withdrawal_id: int,
    method: str,
    actor: Actor,
    external_no: str | None = None,
    note: str = "",
    receipts_given: Sequence[NewReceipt] = (),
    version: int | None = None,
    request_key: RequestKey | None = None,
) -> int:
    """Note that the parent got the money: how, the transfer's own number, and its receipt (none for cash, which takes
    a note instead). By another person than who approved it.

    Raises OwnApproval, ExternalNumberUsed, Invalid, and as `approve` does.
    """
    number = rules.checked_method(method, external_no)
    said = rules.checked_payment_note(note, method)
    held = _hold(withdrawal_id, version, actor, Permission.WITHDRAWAL_PAY)
    row = held.row
    rules.next_status(row.status, Event.PAY)
    if row.approved_by == actor.id:
        raise OwnApproval
    receipts.check_given(method, len(receipts_given), "请上传这次打款的回单或截图")
    if receipts_given:
        owner = Owner("withdrawal", row.id, held.family_id)
        receipts.check_unused(receipts.attach(owner, receipts_given, actor))
    row.paid_by, row.method, row.external_no = actor.id, method, number
    try:
        db.session.flush()
    except IntegrityError as error:
        if "external_no" not in str(error.orig):
            raise
        raise ExternalNumberUsed.field("external_no", "这个转账单号已经用于另一笔提现，请核对") from error
    ending.move(held, Event.PAY, actor, db_now(), said)
    return row.id


@transactional
def fail(
    *, withdrawal_id: int, note: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> int:
    """Note that it could not be paid out; the money returns. Raises as `approve`, and Invalid without a reason."""
    note = rules.checked_note(note)
    held = _hold(withdrawal_id, version, actor, Permission.WITHDRAWAL_PAY)
    ending.move(held, Event.FAIL, actor, db_now(), note)
    return held.row.id


def _hold(withdrawal_id: int, version: int | None, actor: Actor, permission: Permission) -> Held:
    roles.require(actor, permission)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    held = ending.hold(withdrawal_id, version=version)
    persons.refuse_own_family(person, held.family_id)
    return held
