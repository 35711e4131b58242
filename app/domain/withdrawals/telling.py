"""What parents and the money group are told of a withdrawal, and the facts that its audit rows carry."""

from __future__ import annotations

from decimal import Decimal

from app import clock, money
from app.domain.audit.actor import Actor
from app.domain.desk.cards import family_line
from app.domain.desk.models import Withdrawal, WithdrawalStatus
from app.domain.desk.words import METHODS
from app.domain.outbox import service as outbox

#: how the parent's message calls an end (WeChat: at most five characters), and what became of the money
_RESULTS = {
    WithdrawalStatus.PAID: "提现成功",
    WithdrawalStatus.REJECTED: "提现驳回",
    WithdrawalStatus.FAILED: "提现失败",
}
_CARDS = {
    WithdrawalStatus.PAID: ("提现已打款", "green"),
    WithdrawalStatus.REJECTED: ("提现已驳回", "grey"),
    WithdrawalStatus.FAILED: ("提现打款失败", "red"),
    WithdrawalStatus.CANCELLED: ("家长取消提现", "grey"),
}


def facts(row: Withdrawal) -> dict:
    """A withdrawal as plain data for the audit log."""
    kept = {
        "amount": money.plain(row.amount),
        "reason": row.reason,
        "payment_method": row.method,
        "external_no": row.external_no,
    }
    return {name: value for name, value in kept.items() if value is not None}


def asked(row: Withdrawal, family_id: int, actor: Actor, balance: Decimal) -> None:
    """The money group hears of a new one; the parent's own message is that of the balance."""
    lines = [*_lines(row, family_id), ["原因", row.reason], ["提现后余额", money.yuan(balance)], ["申请人", actor.name]]
    _card(row, f"申请提现 {_sum(row)}", "orange", lines, f"withdrawal:{row.id}:asked")


def decided(row: Withdrawal, family_id: int, actor: Actor, note: str | None) -> None:
    """An end is told to the money group and, unless they made it themselves, to the parents."""
    if row.status in _CARDS:
        title, colour = _CARDS[row.status]
        lines = [*_lines(row, family_id), ["处理", actor.name]]
        if row.method:
            lines.append(["方式", METHODS[row.method]])
        if note:
            lines.append(["说明" if row.status == WithdrawalStatus.PAID else "原因", note])
        _card(row, f"{title} {_sum(row)}", colour, lines, f"withdrawal:{row.id}:{row.status}")
    if row.status in _RESULTS:
        outbox.tell_family(
            family_id, "withdrawal_result",
            {"amount": money.plain(row.amount), "result": _RESULTS[row.status], "time": clock.now().isoformat(),
             "remark": _remark(row, note)},
            dedupe=f"withdrawal:{row.id}:{row.status}", user_id=row.user_id,
        )  # fmt: skip


def waits(row: Withdrawal, family_id: int, waited: str, dedupe: str) -> None:
    """The money group is reminded of one that nobody dealt with."""
    what = "等待审批" if row.status == WithdrawalStatus.REQUESTED else "等待打款"
    lines = [*_lines(row, family_id), ["状态", what], ["已等待", waited]]
    _card(row, f"提现{what} {_sum(row)}", "orange", lines, dedupe)


def _remark(row: Withdrawal, note: str | None) -> str:
    if row.status == WithdrawalStatus.PAID:
        return "已当面付现金" if row.method == "cash" else f"已通过{METHODS[row.method]}打款"
    return f"已退回钱包，原因：{note}"


def _lines(row: Withdrawal, family_id: int) -> list[list[str]]:
    return [["家庭", family_line(family_id)], ["金额", _sum(row)]]


def _sum(row: Withdrawal) -> str:
    return f"¥{row.amount:,.2f}"


def _card(row: Withdrawal, title: str, colour: str, lines: list, dedupe: str) -> None:
    link = {"text": "查看这笔提现", "path": f"/withdrawals/{row.id}"}
    outbox.tell_staff(
        "money", "withdrawal", {"title": title, "colour": colour, "lines": lines, "link": link}, dedupe=dedupe
    )
