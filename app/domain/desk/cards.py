"""What the money group in Feishu is told of an adjustment (W17), and the facts that its audit rows carry (W18)."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from app import money
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.desk.models import Receipt, WalletAdjustment
from app.domain.desk.words import METHODS, REASON_WORDS, TYPES
from app.domain.outbox import service as outbox
from app.domain.people.models import Family, Staff, User
from app.vault import mask_phone


def facts(adjustment: WalletAdjustment) -> dict:
    """An adjustment as plain data for the audit log."""
    kept = {
        "amount": money.plain(adjustment.amount),
        "type": str(adjustment.type),
        "payment_method": str(adjustment.payment_method),
        "reason_code": adjustment.reason_code,
        "note": adjustment.note,
        "external_no": adjustment.external_no,
        "approval_reasons": adjustment.approval_reasons or None,
        "undoes_id": adjustment.undoes_id,
    }
    return {name: value for name, value in kept.items() if value is not None}


def completed(adjustment: WalletAdjustment, actor: Actor, before: Decimal, after: Decimal, note: str | None) -> None:
    """Tell of money that moved."""
    word = "撤销" if adjustment.undoes_id else TYPES[adjustment.type]
    lines = [
        *_lines(adjustment),
        ["余额", f"{money.yuan(before)} → {money.yuan(after)}"],
        ["经办", _people(adjustment)],
    ]
    if actor.id != adjustment.asked_by:
        lines.append(["完成", actor.name])
    if note:
        lines.append(["注意", note])
    _tell(
        adjustment, f"{word}已完成 {_signed(adjustment.amount)}", "green" if adjustment.amount > 0 else "orange", lines
    )


def cancelled(adjustment: WalletAdjustment, actor: Actor, title: str, colour: str) -> None:
    """Tell of one that was rejected or failed."""
    lines = [*_lines(adjustment), ["申请", _people(adjustment)], ["处理", actor.name]]
    lines.append(["原因", adjustment.cause_note or "未填写"])
    _tell(adjustment, f"{title} {_signed(adjustment.amount)}", colour, lines)


def receipt_missing(adjustment: WalletAdjustment, waited: str, dedupe: str) -> None:
    """Remind of a receipt that is still to come (W13)."""
    lines = [*_lines(adjustment), ["申请", _people(adjustment)], ["已等待", waited]]
    _tell(adjustment, f"待补凭证 {_signed(adjustment.amount)}", "orange", lines, dedupe=dedupe)


def family_line(family_id: int) -> str:
    """`张女士家庭 137****1234`: the family's name and its first masked number."""
    name = db.session.scalar(sa.select(Family.name).where(Family.id == family_id))
    phone = db.session.scalar(
        sa.select(User.phone).where(User.family_id == family_id, User.phone.is_not(None)).order_by(User.id).limit(1)
    )
    return " ".join(filter(None, (name, mask_phone(phone))))


def _lines(adjustment: WalletAdjustment) -> list[list[str]]:
    count = db.session.scalar(
        sa.select(sa.func.count()).select_from(Receipt).where(Receipt.adjustment_id == adjustment.id)
    )
    return [
        ["家庭", family_line(adjustment.family_id)],
        ["金额", _signed(adjustment.amount)],
        ["类型", f"{TYPES[adjustment.type]} · {REASON_WORDS[adjustment.reason_code]}"],
        ["方式", METHODS[adjustment.payment_method]],
        ["凭证", f"{count} 个" if count else ("待补" if adjustment.needs_receipt else "无")],
    ]


def _people(adjustment: WalletAdjustment) -> str:
    rows = db.session.execute(
        sa.select(Staff.id, Staff.display_name).where(Staff.id.in_([adjustment.asked_by, adjustment.decided_by]))
    )
    names = {row.id: row.display_name for row in rows}
    asked = names[adjustment.asked_by]
    decided = names.get(adjustment.decided_by)
    return f"{asked}，由 {decided} 批准" if decided and adjustment.cause is None else asked


def _signed(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else '-'}¥{abs(amount):,.2f}"


def _tell(adjustment: WalletAdjustment, title: str, colour: str, lines: list, dedupe: str | None = None) -> None:
    card = {
        "title": title,
        "colour": colour,
        "lines": lines,
        "link": {"text": "查看这笔调整", "path": f"/adjustments/{adjustment.id}"},
    }
    outbox.tell_staff("money", "adjustment", card, dedupe=dedupe or f"adjustment:{adjustment.id}:{adjustment.status}")
