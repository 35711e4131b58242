"""A refund on its way through WeChat: handed over, asked about, and what WeChat said (O15, O16, I-26, I-27).

The number is fixed when the refund is asked for, and every try uses it: WeChat refunds it once, however often it is
sent. Whatever brings WeChat's word — answer, callback, question — ends in `note_state`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from app import money
from app.db import db, db_now, transactional
from app.domain.audit.actor import Actor
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind
from app.domain.orders import notifications, refund_ending, refund_locking, refund_rules
from app.domain.orders.models import Refund, RefundStatus, RefundTo
from app.domain.orders.notifications import Received
from app.domain.orders.refund_locking import HeldRefund
from app.domain.orders.refund_rules import Event

_r = Refund.__table__

#: what WeChat calls the states of a refund
PROCESSING, SUCCESS, ABNORMAL, CLOSED = "PROCESSING", "SUCCESS", "ABNORMAL", "CLOSED"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the gateway needs. `asked_before`: WeChat may know it, and is asked first. Amounts in yuan."""

    refund_no: str
    transaction_id: str
    amount: Decimal
    total: Decimal
    reason: str
    asked_before: bool


@dataclass(frozen=True, slots=True)
class Word:
    """WeChat's word on a refund. Amounts in yuan; `success_at` aware UTC."""

    refund_no: str
    status: str
    refund_id: str | None = None
    transaction_id: str | None = None
    amount: Decimal | None = None
    success_at: datetime | None = None
    account: str | None = None

    def said(self) -> dict[str, str | None]:
        """What WeChat said, as audit rows keep it (R7). The account is WeChat's own short text, such as 零钱."""
        return {
            "refund_no": self.refund_no, "status": self.status, "refund_id": self.refund_id,
            "transaction_id": self.transaction_id, "amount": None if self.amount is None else money.plain(self.amount),
            "success_at": None if self.success_at is None else self.success_at.isoformat(), "account": self.account,
        }  # fmt: skip


def goes_by_wechat(refund_no: str) -> bool:
    """Whether WeChat is to make it; what goes into a wallet or over the counter it never hears of."""
    found = db.session.scalar(sa.select(_r.c.refund_to).where(_r.c.refund_no == refund_no))
    db.session.rollback()
    return found == RefundTo.ORIGINAL


def due(limit: int = 50) -> list[str]:
    """The numbers of refunds whose next try or question has come."""
    query = (
        sa.select(_r.c.refund_no)
        .where(
            _r.c.status.in_((RefundStatus.APPROVED, RefundStatus.PROCESSING)),
            _r.c.refund_to == RefundTo.ORIGINAL,
            _r.c.next_try_at <= db_now(),
        )
        .order_by(_r.c.next_try_at)
        .limit(limit)
    )
    found = list(db.session.scalars(query))
    db.session.rollback()
    return found


@transactional
def claim(*, refund_no: str, actor: Actor) -> Claimed | None:
    """Take a due refund for one try; None where it is not due any more, or where another refund of its payment went
    to WeChat within the last minute. The next moment is written first: two runs do not try twice at once, and one
    that dies only delays. Raises RefundNotFound."""
    held = refund_locking.hold_refund(refund_no, actor)
    refund, now = held.refund, db_now()
    if refund.status not in (RefundStatus.APPROVED, RefundStatus.PROCESSING):
        return None
    if refund.next_try_at is None or refund.next_try_at > now:
        return None
    before = refund.attempts > 0
    if not before and (free_at := _free_at(refund, now)) is not None:
        refund.next_try_at = free_at
        db.session.flush()
        return None
    again = refund_rules.backoff(refund.queries + 1) if before else refund_rules.PAUSE
    if before:
        refund.queries, refund.next_try_at = refund.queries + 1, now + again
        db.session.flush()
    else:
        old = refund_ending.move(held, Event.START, now, attempts=1, next_try_at=now + again)
        refund_ending.record(held, "submitted", actor, old_status=old, request=_asked(held))
    return Claimed(
        refund_no, held.payment.transaction_id, refund.amount, held.payment.total_fee, refund.reason, before
    )  # fmt: skip


def _asked(held: HeldRefund) -> dict[str, str]:
    """What WeChat is asked to do, as the audit row keeps it (R7)."""
    refund, payment = held.refund, held.payment
    return {
        "call": "refund/domestic/refunds", "refund_no": refund.refund_no, "transaction_id": payment.transaction_id,
        "amount": money.plain(refund.amount), "total": money.plain(payment.total_fee), "reason": refund.reason,
    }  # fmt: skip


def _free_at(refund: Refund, now: datetime) -> datetime | None:
    """When WeChat takes another refund of this payment: a minute after the last; None if it does now."""
    last = db.session.scalar(
        sa.select(sa.func.max(_r.c.updated_at)).where(
            _r.c.payment_id == refund.payment_id, _r.c.id != refund.id, _r.c.attempts > 0
        )
    )
    free_at = None if last is None else last + refund_rules.PAUSE
    return free_at if free_at is not None and free_at > now else None


@transactional
def tried_again(*, refund_no: str, actor: Actor) -> None:
    """WeChat does not know it yet, so the same is sent once more. Raises RefundNotFound."""
    held = refund_locking.hold_refund(refund_no, actor)
    if held.refund.status == RefundStatus.PROCESSING:
        held.refund.attempts += 1
        db.session.flush()
        refund_ending.record(
            held, "submitted", actor, old_status=RefundStatus.PROCESSING, attempt=held.refund.attempts,
            request=_asked(held),
        )  # fmt: skip


@transactional
def could_not_start(*, refund_no: str, code: str, text: str, permanent: bool, actor: Actor) -> None:
    """WeChat refused it for good, or nobody knows whether it took it. A refusal fails it and puts it on the board;
    the amount stays kept back until a person retries, pays out or closes it. Raises RefundNotFound."""
    held = refund_locking.hold_refund(refund_no, actor)
    refund, now = held.refund, db_now()
    if refund.status != RefundStatus.PROCESSING:
        return  # another way was faster
    refund.error_code, refund.error = code[:64], text[:300] or None
    if permanent:
        before = refund_ending.move(held, Event.FAIL, now, next_try_at=None)
        refund_ending.record(held, "failed", actor, old_status=before, error=f"{code} {text}".strip(),
                             answer={"code": code[:64], "message": text[:300]})  # fmt: skip
        _board(held, CaseKind.REFUND_FAILED, "微信拒绝了这笔退款", actor)
        return
    db.session.flush()
    if refund.attempts + refund.queries >= refund_rules.TRIES_BEFORE_BOARD:
        _board(held, CaseKind.REFUND_FAILED, "多次提交微信没有结果，系统仍在重试", actor)


@transactional
def note_state(*, word: Word, actor: Actor, received: Received | None = None) -> str:
    """Act on WeChat's word; returns settled, repeated, mismatch or unknown. A hundred times is once, in any order.

    `received` is the callback that brought it, stored in the same transaction. Raises nothing of its own.
    """
    known = db.session.scalar(sa.select(_r.c.id).where(_r.c.refund_no == word.refund_no)) is not None
    held = refund_locking.hold_refund(word.refund_no, actor) if known else None
    # Under the refund's lock: of its hundred twins the first has committed when the others look.
    if received is not None and notifications.known(received):
        return "repeated"
    outcome = _unknown(word, actor) if held is None else _act(held, word, actor)
    if received is not None:
        notifications.store(received, outcome, number=word.refund_no, transaction_id=word.transaction_id)
    return outcome


# ── what a word means ───────────────────────────────────────────────────────────────────────────────


def _act(held: HeldRefund, word: Word, actor: Actor) -> str:
    refund, now = held.refund, db_now()
    if _differs(held, word):
        _board(held, CaseKind.MISMATCH, "微信退款的金额或单号与系统不符", actor)
        return "mismatch"
    if refund.status not in (RefundStatus.PROCESSING, RefundStatus.FAILED):
        return _too_late(held, word, actor)
    refund.wechat_refund_id = word.refund_id or refund.wechat_refund_id
    if refund.wechat_status == word.status == ABNORMAL:
        return "repeated"
    if word.status == SUCCESS:
        _succeed(held, word, actor, now)
    elif word.status == ABNORMAL:
        _fail(held, word, actor, now)
    elif word.status == CLOSED:
        _close(held, word, actor, now)
    else:
        return _accepted(held, word, actor, now)
    return "settled"


def _accepted(held: HeldRefund, word: Word, actor: Actor, now: datetime) -> str:
    refund = held.refund
    if refund.status == RefundStatus.FAILED:
        if refund.wechat_status == ABNORMAL:
            return "repeated"  # an old word: WeChat has said since that it failed
        # WeChat has it after all, whatever it said to the try.
        before = refund_ending.move(held, Event.RETRY, now, next_try_at=now + refund_rules.PAUSE, queries=0)
        refund_ending.record(held, "submitted", actor, old_status=before, answer=word.said())
        cases.settle_case(CaseKind.REFUND_FAILED, refund.refund_no, settled_as="accepted", actor=actor)
    elif refund.wechat_status is None:
        refund_ending.record(held, "accepted", actor, old_status=refund.status, answer=word.said())
    refund.wechat_status, refund.error_code, refund.error = word.status, None, None
    db.session.flush()
    if now - refund.decided_at > refund_rules.LONGEST:
        _board(held, CaseKind.REFUND_FAILED, "微信受理已超过 7 天，还没有退出", actor)
    return "settled"


def _differs(held: HeldRefund, word: Word) -> bool:
    payment = held.payment
    if payment is None:
        return True  # it never went to WeChat
    wrong_payment = word.transaction_id is not None and word.transaction_id != payment.transaction_id
    return wrong_payment or (word.amount is not None and word.amount != held.refund.amount)


def _succeed(held: HeldRefund, word: Word, actor: Actor, now: datetime) -> None:
    before = refund_ending.move(
        held, Event.SUCCEED, now, wechat_status=SUCCESS, succeeded_at=word.success_at or now, next_try_at=None,
        received_account=(word.account or "")[:64] or None, error_code=None, error=None,
    )  # fmt: skip
    refund_ending.succeeded(held, actor, before, remark=f"已退回{word.account or '原支付账户'}"[:20],
                            answer=word.said())  # fmt: skip


def _fail(held: HeldRefund, word: Word, actor: Actor, now: datetime) -> None:
    before = refund_ending.move(
        held, Event.FAIL, now, wechat_status=ABNORMAL, next_try_at=None, error_code=ABNORMAL,
        error="收款账户异常，须在商户平台处理，或人工退款",
    )  # fmt: skip
    refund_ending.record(held, "failed", actor, old_status=before, error=ABNORMAL, answer=word.said())
    cases.settle_case(CaseKind.REFUND_FAILED, held.refund.refund_no, settled_as="abnormal", actor=actor)
    _board(held, CaseKind.REFUND_ABNORMAL, "微信退款异常：收款账户不可用", actor)


def _close(held: HeldRefund, word: Word, actor: Actor, now: datetime) -> None:
    before = refund_ending.move(
        held, Event.CLOSE, now, wechat_status=CLOSED, next_try_at=None, error_code=CLOSED, error="微信已关闭这笔退款"
    )
    refund_ending.give_up_amount(held)
    refund_ending.record(held, "closed", actor, old_status=before, error=CLOSED, answer=word.said())
    _board(held, CaseKind.REFUND_FAILED, "微信关闭了这笔退款，没有退出，可重新申请", actor)


def _too_late(held: HeldRefund, word: Word, actor: Actor) -> str:
    """The refund has ended here. Money that WeChat moved all the same is a person's business."""
    refund = held.refund
    by_wechat = refund.status == RefundStatus.SUCCEEDED and refund.paid_out_method is None
    if word.status == SUCCESS and not by_wechat:
        what = refund_rules.STATUS_TEXTS[refund.status]
        _board(held, CaseKind.UNKNOWN_REFUND, f"这笔退款{what}后，微信又退款成功", actor)
    return "repeated"


def _unknown(word: Word, actor: Actor) -> str:
    cases.open_case(
        CaseKind.UNKNOWN_REFUND, word.refund_no[:80], title="微信通知了一笔系统里没有的退款",
        facts={"退款单号": word.refund_no[:64], "微信单号": word.transaction_id or "—", "微信状态": word.status},
        actor=actor, transaction_id=word.transaction_id, amount=word.amount,
    )  # fmt: skip
    return "unknown"


def _board(held: HeldRefund, kind: str, title: str, actor: Actor) -> None:
    refund = held.refund
    facts = {"退款单号": refund.refund_no, "项目": held.item}
    if refund.error_code:
        facts["原因"] = f"{refund.error_code} {refund.error or ''}".strip()
    cases.open_case(
        kind, refund.refund_no, title=title, facts=facts, actor=actor, family_id=refund.family_id,
        order_id=None if held.order is None else held.order.order_id, refund_no=refund.refund_no,
        transaction_id=None if held.payment is None else held.payment.transaction_id, amount=refund.amount,
    )  # fmt: skip
