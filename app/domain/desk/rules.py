"""What may be asked, what needs another person, and how an adjustment's state moves: pure, without the database."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from app import money
from app.domain.desk.errors import AlreadyUndone, UndoWindowOver
from app.domain.desk.models import AdjustmentCause, AdjustmentStatus, AdjustmentType, PaymentMethod
from app.domain.desk.words import CAUSES, REASON_WORDS, TYPES, UNDO, ApprovalReason
from app.errors import Invalid, InvalidState
from app.money import MAX_AMOUNT
from app.text import clean

MAX_RECEIPTS = 5
NOTE_MAX = 500
#: the rolling window of W12
WINDOW = timedelta(hours=24)
INCREASE, DECREASE = "increase", "decrease"

_WITHOUT_RECEIPT = frozenset({PaymentMethod.CASH, PaymentMethod.NONE})
_ONLY_UP = frozenset({AdjustmentType.RECHARGE, AdjustmentType.GIFT})
_EXTERNAL_NO = re.compile(r"[0-9A-Z_]{4,64}", re.ASCII)


# ── states (W11) ────────────────────────────────────────────────────────────────────────────────────


class Event(StrEnum):
    COMPLETE = "complete"
    WITHDRAW = "withdraw"
    REJECT = "reject"
    LAPSE = "lapse"
    FAIL = "fail"


_PENDING, _CANCELLED = AdjustmentStatus.PENDING, AdjustmentStatus.CANCELLED
TRANSITIONS: dict[tuple[str, str], tuple[str, str | None]] = {
    (_PENDING, Event.COMPLETE): (AdjustmentStatus.COMPLETED, None),
    (_PENDING, Event.WITHDRAW): (_CANCELLED, AdjustmentCause.WITHDRAWN),
    (_PENDING, Event.REJECT): (_CANCELLED, AdjustmentCause.REJECTED),
    (_PENDING, Event.LAPSE): (_CANCELLED, AdjustmentCause.LAPSED),
    (_PENDING, Event.FAIL): (_CANCELLED, AdjustmentCause.FAILED),
}


def next_state(status: str, event: str, *, cause: str | None = None) -> tuple[str, str | None]:
    """The (status, cause) that an event leads to. Raises InvalidState; `cause` is why it was cancelled before."""
    found = TRANSITIONS.get((status, event))
    if found is None:
        what = "已经完成" if status == AdjustmentStatus.COMPLETED else f"已取消（{CAUSES.get(cause or '', '')}）"
        raise InvalidState(f"这笔调整{what}，不能再操作")
    return found


# ── what is asked (W10) ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Wish:
    """An adjustment as a person wants it. `amount` is signed yuan."""

    amount: Decimal
    type: str
    payment_method: str
    reason_code: str
    note: str
    external_no: str | None = None

    @property
    def direction(self) -> str:
        return INCREASE if self.amount > 0 else DECREASE


def checked_wish(
    *, direction: str, amount: Decimal, type: str, payment_method: str, reason_code: str, note: str,
    external_no: str = "",
) -> Wish:  # fmt: skip
    """`amount` is positive yuan. Raises Invalid that names every wrong field at once."""
    errors: dict[str, list[str]] = {}
    if direction not in (INCREASE, DECREASE):
        errors["direction"] = ["请选择增加或减少"]
    if not (amount.is_finite() and 0 < amount <= MAX_AMOUNT):
        errors["amount"] = ["金额必须大于 0，最大 99999999.99"]
    if type not in set(AdjustmentType):
        errors["type"] = ["请选择类型"]
    elif type in _ONLY_UP and direction == DECREASE:
        errors["direction"] = [f"{TYPES[type]}不能减少余额，减少请选择补差或纠错"]
    if payment_method not in set(PaymentMethod):
        errors["payment_method"] = ["请选择收款方式"]
    if reason_code not in REASON_WORDS or reason_code == UNDO[0]:
        errors["reason_code"] = ["请选择原因"]
    note = clean(note, NOTE_MAX + 1)
    if not note:
        errors["note"] = ["请填写说明，例如谁在什么时候交的款"]
    elif len(note) > NOTE_MAX:
        errors["note"] = [f"说明最多 {NOTE_MAX} 个字"]
    number = _external_no(external_no, payment_method, errors)
    if errors:
        raise Invalid(next(iter(errors.values()))[0], errors=errors)
    return Wish(amount if direction == INCREASE else -amount, type, payment_method, reason_code, note, number)


def _external_no(text: str, method: str, errors: dict[str, list[str]]) -> str | None:
    number = payment_number(text)
    if not number:
        return None
    if method in _WITHOUT_RECEIPT:
        errors["external_no"] = ["现金和「无」没有转账单号，请留空"]
    elif not is_payment_number(number):
        errors["external_no"] = ["转账单号只能是 4 到 64 位数字或字母"]
    return number


def payment_number(text: str | None) -> str:
    """A transfer's number without what people and apps put between its digits, so that it is unique as a number."""
    return "".join(unicodedata.normalize("NFKC", text or "").split()).replace("-", "").upper()


def is_payment_number(number: str) -> bool:
    """Whether it could be one, as `payment_number` folds it."""
    return _EXTERNAL_NO.fullmatch(number) is not None


def needs_receipt(payment_method: str) -> bool:
    """Any method but cash and none (W13)."""
    return payment_method not in _WITHOUT_RECEIPT


def check_ask_limit(amount: Decimal, limit: Decimal) -> None:
    """What someone who may only ask may ask for at once (W12). Raises Invalid."""
    if abs(amount) > limit:
        raise Invalid.field("amount", f"您单笔最多可申请 {money.yuan(limit)}，更大的金额请财务或店长办理")


# ── maker and checker (W12) ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DirectLimits:
    """Policies `adjustment_direct_limit`, `adjustment_family_daily_limit`, `adjustment_daily_limit`, in yuan;
    `prepayment` is `prepayment_cap`, None while `prepayment_guard` is off (W27)."""

    single: Decimal
    family: Decimal
    person: Decimal
    prepayment: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DirectSums:
    """What a person completed without approval in the last 24 h: for one family, and for all."""

    family: Decimal
    person: Decimal


def approval_reasons(
    *,
    amount: Decimal,
    type: str,
    may_direct: bool,
    sums: DirectSums,
    limits: DirectLimits,
    receipt_flags: Collection[str] = (),
) -> tuple[ApprovalReason, ...]:
    """Why another person must approve; empty when it may complete at once. Exactly at a limit is within it."""
    found = [
        (not may_direct, ApprovalReason.MAY_ONLY_ASK),
        (amount < 0, ApprovalReason.DECREASE),
        (type == AdjustmentType.CORRECTION, ApprovalReason.CORRECTION),
        (type == AdjustmentType.GIFT, ApprovalReason.GIFT),
        (abs(amount) > limits.single, ApprovalReason.ABOVE_DIRECT_LIMIT),
        (sums.family + amount > limits.family, ApprovalReason.ABOVE_FAMILY_SUM),
        (sums.person + amount > limits.person, ApprovalReason.ABOVE_PERSON_SUM),
        (
            type == AdjustmentType.RECHARGE and limits.prepayment is not None and amount > limits.prepayment,
            ApprovalReason.ABOVE_PREPAYMENT,
        ),
    ]
    return (*(reason for holds, reason in found if holds), *receipt_reasons(receipt_flags))


def receipt_reasons(flags: Collection[str]) -> tuple[ApprovalReason, ...]:
    """What the receipts themselves ask for (W14)."""
    found = [
        ("same" in flags or "same_pixels" in flags, ApprovalReason.RECEIPT_REUSED),
        ("looks_alike" in flags, ApprovalReason.RECEIPT_LOOKS_ALIKE),
    ]
    return tuple(reason for holds, reason in found if holds)


def has_lapsed(lapses_at: datetime | None, now: datetime) -> bool:
    """Exactly at the deadline is still in time."""
    return lapses_at is not None and now > lapses_at


# ── undoing (W19) ───────────────────────────────────────────────────────────────────────────────────


def check_undoable(*, status: str, undoes_id: int | None, undone_by: int | None) -> None:
    """Only what is completed, is no undo itself, and has none yet. Raises InvalidState, AlreadyUndone."""
    if status != AdjustmentStatus.COMPLETED:
        raise InvalidState("只有已完成的调整才能撤销")
    if undoes_id is not None:
        raise InvalidState("这笔调整本身就是撤销，如需恢复请新建一笔调整")
    if undone_by is not None:
        raise AlreadyUndone(data={"adjustment_id": undone_by})


def within_undo_window(decided_at: datetime | None, now: datetime, window: timedelta) -> bool:
    return decided_at is not None and now - decided_at <= window


def check_undo_now(*, is_author: bool, decided_at: datetime | None, now: datetime, window: timedelta) -> None:
    """One click is for the author, for some minutes. Raises UndoWindowOver."""
    if not is_author:
        raise UndoWindowOver("只有经办人本人可以一键撤销，您可以填写原因申请撤销，由同事审批")
    if not within_undo_window(decided_at, now, window):
        raise UndoWindowOver
