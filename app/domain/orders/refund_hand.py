"""What a person does by hand: give back cash that came over the counter; and where WeChat could not, try again, pay it
out, close it (O16)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.db import RequestKey, db_now, transactional
from app.domain.audit.actor import Actor
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind
from app.domain.desk import persons, receipts
from app.domain.desk.models import PaymentMethod
from app.domain.desk.receipts import NewReceipt, Owner
from app.domain.desk.rules import is_payment_number, payment_number
from app.domain.desk.words import METHODS
from app.domain.orders import refund_ending, refund_locking, refund_rules
from app.domain.orders.errors import OwnRefund
from app.domain.orders.models import RefundTo
from app.domain.orders.refund_locking import HeldRefund
from app.domain.orders.refund_rules import Event
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.errors import Invalid

_KINDS = (CaseKind.REFUND_ABNORMAL, CaseKind.REFUND_FAILED)


@transactional
def retry(*, refund_no: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None) -> None:
    """Let the job send it once more, under the same number. Raises RefundNotFound, RefundMoved, InvalidState,
    OwnFamily, Forbidden, StepUpRequired."""
    held, now = _hold(refund_no, version, actor)
    before = refund_ending.move(
        held, Event.RETRY, now, next_try_at=now, queries=0, wechat_status=None, error_code=None, error=None
    )
    refund_ending.record(held, "retried", actor, old_status=before)
    _off_the_board(held, "retried", actor, None)


@transactional
def pay_out(
    *,
    refund_no: str,
    method: str,
    note: str,
    actor: Actor,
    external_no: str | None = None,
    receipts_given: Sequence[NewReceipt] = (),
    version: int | None = None,
    request_key: RequestKey | None = None,
) -> None:
    """Record that the money was given back by hand: approved cash, or what WeChat could not give back. By another
    person than who asked for it; cash also by them, once another approved it.

    `external_no` is the transfer's number, needed with a receipt of its own for every method but cash. Raises Invalid,
    OwnRefund, and as `retry` does.
    """
    note = refund_rules.checked_note(note, "请填写说明，例如谁在什么时候退给了谁")
    number = checked_number(method, external_no)
    receipts.check_given(method, len(receipts_given), "请上传这次退款的回单或截图")
    held, now = _hold(refund_no, version, actor)
    refund = held.refund
    cash = refund.refund_to == RefundTo.CASH
    event = Event.HAND_OVER if cash else Event.PAY_OUT
    refund_rules.next_status(refund.status, event)
    # Whoever approved cash knew that it is paid by hand; whoever approved a refund by WeChat did not.
    if refund.asked_by == actor.id and not (cash and refund.approved_by is not None):
        raise OwnRefund("这是您自己申请的，须由另一位同事登记人工退款")
    before = refund_ending.move(
        held, event, now, paid_out_method=method, paid_out_no=number, succeeded_at=now, next_try_at=None,
        decided_by=actor.id, decided_at=now, decision_note=note,
    )  # fmt: skip
    if receipts_given:
        owner = Owner("refund", refund.id, held.family_id, ("refund", refund.refund_no))
        receipts.check_unused(receipts.attach(owner, receipts_given, actor))
    _off_the_board(held, "paid_out", actor, note)
    refund_ending.succeeded(held, actor, before, remark=f"已由馆方以{METHODS[method]}退回", action="paid_out")


@transactional
def close(
    *, refund_no: str, note: str, actor: Actor, version: int | None = None, request_key: RequestKey | None = None
) -> None:
    """Give up a failed refund, or cash that nobody came for: nothing was paid, and its amount may be asked for again.
    Raises Invalid, and as `retry` does."""
    note = refund_rules.checked_note(note, "请填写关闭原因")
    held, now = _hold(refund_no, version, actor)
    event = Event.FORGO if held.refund.refund_to == RefundTo.CASH else Event.GIVE_UP
    before = refund_ending.move(
        held, event, now, next_try_at=None, decided_by=actor.id, decided_at=now, decision_note=note
    )
    refund_ending.give_up_amount(held)
    refund_ending.record(held, "closed", actor, old_status=before, reason=note)
    _off_the_board(held, "closed", actor, note)


def checked_number(method: str, external_no: str | None) -> str | None:
    """The number of a payment by hand, as it is kept. Raises Invalid."""
    if method not in set(PaymentMethod) - {PaymentMethod.NONE}:
        raise Invalid.field("method", "请选择收付款方式")
    number = payment_number(external_no)
    if method == PaymentMethod.CASH:
        if number:
            raise Invalid.field("external_no", "现金没有单号，请留空")
        return None
    if not is_payment_number(number):
        raise Invalid.field("external_no", "请填写转账或刷卡单号，4 到 64 位数字或字母")
    return number


def _hold(refund_no: str, version: int | None, actor: Actor) -> tuple[HeldRefund, datetime]:
    roles.require(actor, Permission.CASE_SETTLE)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    held = refund_locking.hold_refund(refund_no, actor, version=version)
    persons.refuse_own_family(person, held.family_id)
    return held, db_now()


def _off_the_board(held: HeldRefund, how: str, actor: Actor, note: str | None) -> None:
    for kind in _KINDS:
        cases.settle_case(kind, held.refund.refund_no, settled_as=how, actor=actor, note=note)
