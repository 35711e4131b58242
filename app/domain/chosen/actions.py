"""What may be done to several rows of a list at once, and to which of them: one table (U5, U15).

Only what needs no more than one person's yes, or one sentence for all, is here. Paying out has a receipt of its own
for each row, giving a seat or a makeup a choice of its own, and rejecting a reason that one parent reads: those are
done one by one. Each row goes through the use case of its own page, with its checks, its audit row and its messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import within
from app.domain.audit.actor import Actor
from app.domain.cases import rules as case_rules
from app.domain.cases.models import CaseStatus, MoneyCase
from app.domain.credits.models import MakeupCredit
from app.domain.desk import approvals
from app.domain.desk.completion import Outcome
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment, Withdrawal, WithdrawalStatus
from app.domain.ledger.models import Wallet
from app.domain.makeups import manage
from app.domain.orders import refund_rules, refunds, resolve
from app.domain.orders.models import Refund, RefundStatus
from app.domain.outbox import resending
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.people.roles import Permission
from app.domain.withdrawals import deciding
from app.errors import Invalid
from app.text import clean

_adj, _w, _r, _c = WalletAdjustment.__table__, Withdrawal.__table__, Refund.__table__, MoneyCase.__table__
_n, _k = Notification.__table__, MakeupCredit.__table__

#: characters of a sentence for all rows
NOTE_MAX = 200


@dataclass(frozen=True, slots=True)
class Given:
    """What a person says once for all rows."""

    note: str = ""
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One chosen row: what its use case calls it, and the version that the person saw."""

    key: Any
    version: int | None


@dataclass(frozen=True, slots=True)
class Unsuccessful:
    """The row was dealt with, and what was wished for did not happen: a stable code and why."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that may be done to several rows.

    `eligible` leaves of a list's rows those that it makes sense for. `act` does one row within the open transaction and
    raises what its use case refuses; where the row ended without success it returns why. `check` raises Invalid for
    what is missing in what was given.
    """

    name: str
    title: str
    unit: str
    permission: Permission
    id: sa.Column
    key: sa.Column
    family_id: sa.ColumnElement | None
    eligible: Callable[[], tuple[sa.ColumnElement[bool], ...]]
    act: Callable[[Row, Actor, Given], Unsuccessful | None]
    #: counts up with every change of the row; None where rows carry none
    version: sa.Column | None = None
    amount: sa.Column | None = None
    #: whether money or power moves, so that the person proves who they are first (P9)
    proves: bool = True
    check: Callable[[Given], None] = lambda given: None
    asks_note: str = ""
    asks_until: str = ""


# ── each row's own use case, as a step ──────────────────────────────────────────────────────────────


def _approve_adjustment(row: Row, actor: Actor, _given: Given) -> Unsuccessful | None:
    done: Outcome = within(approvals.approve)(adjustment_id=row.key, version=row.version, actor=actor)
    if done.status == AdjustmentStatus.COMPLETED:
        return None
    return Unsuccessful("WALLET_CLOSED", "钱包已关闭，没有入账，这笔申请已按执行失败结束")


def _approve_withdrawal(row: Row, actor: Actor, _given: Given) -> None:
    within(deciding.approve)(withdrawal_id=row.key, version=row.version, actor=actor)


def _approve_refund(row: Row, actor: Actor, _given: Given) -> None:
    within(refunds.approve)(refund_no=row.key, version=row.version, actor=actor)


def _settle_case(row: Row, actor: Actor, given: Given) -> None:
    within(resolve.settle_with_note)(case_id=row.key, note=given.note, actor=actor)


def _send_again(row: Row, actor: Actor, _given: Given) -> None:
    within(resending.resend)(notification_id=row.key, actor=actor)


def _extend_credit(row: Row, actor: Actor, given: Given) -> None:
    if given.until is None:
        raise Invalid.field("until", "请选择新的有效期")
    within(manage.extend)(credit_id=row.key, until=given.until, reason=given.note, actor=actor)


# ── what must be given ──────────────────────────────────────────────────────────────────────────────


def _needs_note(given: Given) -> None:
    refund_rules.checked_note(given.note, "请写明核对的结果和处理方式", most=NOTE_MAX)


def _needs_until(given: Given) -> None:
    if not clean(given.note, NOTE_MAX):
        raise Invalid.field("note", "请填写原因，家长会收到通知")
    if given.until is None or given.until <= clock.today():
        raise Invalid.field("until", "请选择今天以后的日子")


_ALL = (
    Action(
        "adjustments-approve", "批准余额调整", "笔", Permission.ADJUSTMENT_APPROVE, _adj.c.id, _adj.c.id,
        _adj.c.family_id, lambda: (_adj.c.status == AdjustmentStatus.PENDING, _adj.c.needs_approval),
        _approve_adjustment, _adj.c.version, _adj.c.amount,
    ),
    Action(
        "withdrawals-approve", "批准提现", "笔", Permission.WITHDRAWAL_APPROVE, _w.c.id, _w.c.id,
        Wallet.__table__.c.family_id, lambda: (_w.c.status == WithdrawalStatus.REQUESTED,), _approve_withdrawal,
        _w.c.version, _w.c.amount,
    ),
    Action(
        "refunds-approve", "批准退款", "笔", Permission.REFUND_APPROVE, _r.c.id, _r.c.refund_no, _r.c.family_id,
        lambda: (_r.c.status == RefundStatus.REQUESTED,), _approve_refund, _r.c.version, _r.c.amount,
    ),
    Action(
        "cases-settle", "写明结果，移出异常", "项", Permission.CASE_SETTLE, _c.c.id, _c.c.id, _c.c.family_id,
        lambda: (_c.c.status == CaseStatus.OPEN, _c.c.kind.in_(sorted(case_rules.NOTE_IS_ENOUGH))), _settle_case,
        None, _c.c.amount, check=_needs_note, asks_note="核对的结果和处理方式",
    ),
    Action(
        "notices-resend", "重新发送消息", "条", Permission.NOTICE_RESEND, _n.c.id, _n.c.id, _n.c.family_id,
        lambda: (_n.c.status == Status.FAILED, _n.c.channel != Channel.IN_APP), _send_again, proves=False,
    ),
    Action(
        "makeups-extend", "延长待补课", "个", Permission.MAKEUP_MANAGE, _k.c.id, _k.c.id, _k.c.family_id, lambda: (),
        _extend_credit, proves=False, check=_needs_until, asks_note="延长的原因", asks_until="新的有效期至",
    ),
)  # fmt: skip
ACTIONS: dict[str, Action] = {action.name: action for action in _ALL}
