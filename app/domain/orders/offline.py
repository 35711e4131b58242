"""A trial's money taken at the desk while WeChat Pay is away; a second person confirms it (O23)."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import money
from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import persons, receipts
from app.domain.desk.errors import NotTheAuthor
from app.domain.desk.receipts import NewReceipt, Owner
from app.domain.desk.words import METHODS
from app.domain.orders import refund_rules, rules, settle
from app.domain.orders.errors import OrderNotPayable, OwnRefund
from app.domain.orders.locking import HeldOrder, hold_order
from app.domain.orders.models import OfflinePayment, OrderStatus, PaymentOrder
from app.domain.orders.payment import Settled
from app.domain.orders.refund_hand import checked_number
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.models import Family, Staff
from app.domain.people.roles import Permission
from app.errors import Conflict, InvalidState, NotFound

_o = PaymentOrder.__table__

PENDING, APPROVED, REJECTED, WITHDRAWN = "pending", "approved", "rejected", "withdrawn"
STATUS_TEXTS = {PENDING: "待确认", APPROVED: "已确认", REJECTED: "已驳回", WITHDRAWN: "已撤回"}


@transactional
def ask(
    *,
    order_id: str,
    method: str,
    note: str,
    actor: Actor,
    external_no: str | None = None,
    receipts_given: Sequence[NewReceipt] = (),
    request_key: RequestKey | None = None,
) -> int:
    """Say that the order's 200.00 were taken at the desk; returns the entry's id. Nothing is paid until another
    confirms it. `external_no` and a receipt are needed for every method but cash; who confirms sees whether a receipt
    was used before, since one that was withdrawn for a slip is entered again with the same.

    Raises OrderNotFound, OrderNotPayable for a paid order, Conflict ALREADY_ASKED, Invalid, OwnFamily, Forbidden,
    StepUpRequired.
    """
    roles.require(actor, Permission.ORDER_ASK)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    number = checked_number(method, external_no)
    note = refund_rules.checked_note(note, "请填写说明，例如谁在什么时候收的款", most=refund_rules.NOTE_MAX)
    receipts.check_given(method, len(receipts_given), "请上传这次收款的回单或截图")
    held = _hold(order_id, person, actor)
    entry = OfflinePayment(
        order_id=held.order.id, method=method, external_no=number, note=note, status=PENDING, asked_by=actor.id,
        asked_at=held.now,
    )  # fmt: skip
    db.session.add(entry)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise Conflict("这个订单已登记线下收款，等待另一人确认", code="ALREADY_ASKED") from error
    owner = Owner("offline", entry.id, held.order.family_id, ("order", held.order.order_id))
    receipts.attach(owner, receipts_given, actor)
    _note(entry, held, actor, "asked", note)
    _tell(entry, held, actor)
    return entry.id


@transactional
def approve(*, offline_id: int, actor: Actor, request_key: RequestKey | None = None) -> Settled:
    """Confirm another's entry: the order is paid, by the same way as WeChat's payments. Raises NotFound,
    InvalidState, OrderNotPayable, OwnRefund (SELF_APPROVAL), OwnFamily, Forbidden, StepUpRequired."""
    entry, held = _to_decide(offline_id, actor)
    if held.order.status == OrderStatus.PAID:
        raise OrderNotPayable("这个订单已经支付，请核实后驳回，避免重复收款")
    _decide(entry, APPROVED, actor, None)
    _note(entry, held, actor, "approved", None)
    return settle.settle_offline(order_id=held.order.order_id, offline_id=entry.id, actor=actor)


@transactional
def reject(*, offline_id: int, note: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Refuse another's entry, with a reason: the order stays as it is. Raises as `approve`, and Invalid."""
    note = refund_rules.checked_note(note, "请填写驳回原因")
    entry, held = _to_decide(offline_id, actor)
    _decide(entry, REJECTED, actor, note)
    _note(entry, held, actor, "rejected", note)


@transactional
def withdraw(*, offline_id: int, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Take back one's own entry. Raises NotFound, InvalidState, NotTheAuthor, Forbidden."""
    roles.require(actor, Permission.ORDER_ASK)
    persons.hold(actor)
    entry, held = _pending(offline_id, actor)
    if entry.asked_by != actor.id:
        raise NotTheAuthor
    _decide(entry, WITHDRAWN, actor, None)
    _note(entry, held, actor, "withdrawn", None)


# ── the steps ───────────────────────────────────────────────────────────────────────────────────────


def _hold(order_id: str, person: Staff, actor: Actor) -> HeldOrder:
    held = hold_order(order_id, actor)
    persons.refuse_own_family(person, held.order.family_id)
    if held.order.status == OrderStatus.PAID:
        raise OrderNotPayable(f"订单{rules.STATUS_TEXTS[OrderStatus.PAID]}，不需要再收款")
    return held


def _pending(offline_id: int, actor: Actor) -> tuple[OfflinePayment, HeldOrder]:
    order_id = db.session.scalar(
        sa.select(_o.c.order_id).join(OfflinePayment, OfflinePayment.order_id == _o.c.id).where(
            OfflinePayment.id == offline_id
        )
    )  # fmt: skip
    if order_id is None:
        raise NotFound("没有这笔线下收款登记")
    held = hold_order(order_id, actor)
    entry = lock_row(OfflinePayment, offline_id)
    if entry.status != PENDING:
        raise InvalidState(f"这笔线下收款{STATUS_TEXTS[entry.status]}，不能再操作")
    return entry, held


def _to_decide(offline_id: int, actor: Actor) -> tuple[OfflinePayment, HeldOrder]:
    roles.require(actor, Permission.ORDER_CONFIRM)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    entry, held = _pending(offline_id, actor)
    if entry.asked_by == actor.id:
        raise OwnRefund("这是您自己登记的收款，须由另一位同事确认")
    persons.refuse_own_family(person, held.order.family_id)
    return entry, held


def _decide(entry: OfflinePayment, status: str, actor: Actor, note: str | None) -> None:
    entry.status, entry.decided_by, entry.decided_at, entry.decision_note = status, actor.id, db_now(), note
    db.session.flush()


def _note(entry: OfflinePayment, held: HeldOrder, actor: Actor, event: str, reason: str | None) -> None:
    order = held.order
    audit.record(
        actor, f"order.offline_{event}", target_type="order", target_id=order.order_id, order_id=order.order_id,
        family_id=order.family_id, new_status=entry.status, reason=reason,
        after={"entry": entry.id, "method": entry.method, "external_no": entry.external_no,
               "amount": money.plain(order.amount)},
    )  # fmt: skip


def _tell(entry: OfflinePayment, held: HeldOrder, actor: Actor) -> None:
    order = held.order
    family = db.session.scalar(sa.select(Family.name).where(Family.id == order.family_id))
    outbox.tell_staff(
        "money", "staff.offline_asked",
        {"title": "待确认：线下收体验课费", "colour": "orange",
         "lines": [["家庭", family], ["项目", order.description], ["金额", money.yuan(order.amount)],
                   ["方式", METHODS[entry.method]], ["登记人", actor.name], ["说明", entry.note]],
         "link": {"text": "去确认", "path": f"/orders/{order.order_id}"}},
        dedupe=f"offline{entry.id}",
    )  # fmt: skip
