"""Opening and closing rows of the exceptions board (O19). Building blocks, within what happened or was done."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, money
from app.db import db, execute
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.cases.models import CaseKind, CaseStatus, MoneyCase
from app.domain.outbox import service as outbox
from app.domain.people.models import Family

_cases = MoneyCase.__table__

KIND_TEXTS: dict[str, str] = {
    CaseKind.UNSEATED: "已付款未占座",
    CaseKind.DUPLICATE_PAYMENT: "重复支付",
    CaseKind.MISMATCH: "支付信息不符",
    CaseKind.UNKNOWN_PAYMENT: "未知订单的付款",
    CaseKind.UNKNOWN_REFUND: "未知退款",
    CaseKind.REFUND_ABNORMAL: "退款异常",
    CaseKind.REFUND_FAILED: "退款失败",
    CaseKind.TRIAL_CANCELLED: "体验课已取消，待退款判断",
}


def open_case(
    kind: str,
    subject: str,
    *,
    title: str,
    facts: dict[str, str],
    actor: Actor,
    family_id: int | None = None,
    order_id: str | None = None,
    refund_no: str | None = None,
    booking_id: int | None = None,
    transaction_id: str | None = None,
    amount: Decimal | None = None,
) -> int | None:
    """Put something on the board and tell the money group; None if the same thing is there already.

    `subject` names it among its kind. `facts` are label → text; names of children do not belong there (S8).
    """
    values = {
        "kind": kind, "subject": subject, "status": CaseStatus.OPEN, "family_id": family_id, "order_id": order_id,
        "refund_no": refund_no, "booking_id": booking_id, "transaction_id": transaction_id, "amount": amount,
        "title": title, "facts": facts, "opened_at": clock.now(),
    }  # fmt: skip
    try:
        case_id = execute(_cases.insert().values(values)).lastrowid
    except IntegrityError:
        return None  # the statement alone is undone, on every database; the transaction goes on
    audit.record(
        actor, "case.opened", target_type="money_case", target_id=case_id, family_id=family_id, order_id=order_id,
        transaction_id=transaction_id, new_status=CaseStatus.OPEN, reason=title, after={"kind": kind, **facts},
    )  # fmt: skip
    family = None if family_id is None else db.session.scalar(sa.select(Family.name).where(Family.id == family_id))
    lines = [["家庭", family]] if family else []
    lines += [["金额", money.yuan(amount)]] if amount is not None else []
    outbox.tell_staff(
        "money", "staff.money_case",
        {"title": f"异常：{KIND_TEXTS[kind]}", "colour": "red", "lines": [*lines, *([k, v] for k, v in facts.items())],
         "text": title, "link": {"text": "去处理", "path": f"/exceptions/{case_id}"}},
        dedupe=f"case{case_id}", queue="urgent",
    )  # fmt: skip
    return case_id


def settle_case(kind: str, subject: str, *, settled_as: str, actor: Actor, note: str | None = None) -> int | None:
    """Take something off the board because it was dealt with; None if it was not there. `settled_as` says how."""
    case = db.session.execute(
        sa.select(_cases.c.id, _cases.c.family_id, _cases.c.order_id)
        .where(_cases.c.kind == kind, _cases.c.live_subject == subject)
        .with_for_update()
    ).first()
    if case is None:
        return None
    execute(
        _cases.update()
        .where(_cases.c.id == case.id)
        .values(status=CaseStatus.SETTLED, settled_at=clock.now(), settled_as=settled_as, settle_note=note,
                settled_by=actor.id if actor.type == "staff" else None)
    )  # fmt: skip
    audit.record(
        actor, "case.settled", target_type="money_case", target_id=case.id, family_id=case.family_id,
        order_id=case.order_id, old_status=CaseStatus.OPEN, new_status=CaseStatus.SETTLED, reason=note,
        after={"how": settled_as},
    )  # fmt: skip
    return case.id
