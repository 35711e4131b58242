"""A parent asks about a transaction, the desk answers, and the money group is reminded of what waits (W28)."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, money
from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.desk.cards import family_line
from app.domain.ledger import rules as wallet_rules
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox import service as outbox
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.domain.questions.errors import QuestionNotFound, QuestionOpen, TransactionNotFound
from app.domain.questions.models import QuestionStatus, TransactionQuestion
from app.errors import Forbidden, Invalid, InvalidState
from app.text import clean

TEXT_LENGTH = 500
AGAIN_AFTER = timedelta(hours=24)
BATCH = 200

_tx, _w, _q = WalletTransaction.__table__, Wallet.__table__, TransactionQuestion.__table__


@transactional
def ask(*, transaction_id: int, text: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask about a transaction of the family's wallet; returns the question's id. The money group gets a card.

    Raises TransactionNotFound for nobody's and for another family's, QuestionOpen while one waits, FeatureOff, Invalid,
    Forbidden.
    """
    if actor.type != ActorType.PARENT or actor.family_id is None:
        raise Forbidden("疑问由家长在小程序里提出")
    text = checked_text(text)
    moved = _transaction(transaction_id)
    if moved is None or moved.family_id != actor.family_id:
        raise TransactionNotFound
    switches.require_for(actor, Capability.QUESTION)
    question = TransactionQuestion(
        transaction_id=transaction_id, wallet_id=moved.wallet_id, user_id=actor.id, text=text,
        status=QuestionStatus.OPEN, asked_at=db_now(),
    )  # fmt: skip
    db.session.add(question)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise QuestionOpen from error
    audit.record(
        actor, "question.asked", target_type="question", target_id=question.id, family_id=moved.family_id,
        transaction_id=transaction_id, new_status=QuestionStatus.OPEN,
    )  # fmt: skip
    _card(question, moved, "家长对流水有疑问", [["提问人", actor.name]], f"question{question.id}:asked")
    return question.id


@transactional
def answer(*, question_id: int, text: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Answer it; who asked reads it in the mini program's messages and under the transaction.

    No template of WeChat's fits such an answer, and the wording of one for changes of money must not carry it, so it
    is an in-app message (N8). Raises QuestionNotFound, InvalidState, Invalid, Forbidden.
    """
    roles.require(actor, Permission.QUESTION_ANSWER)
    text = checked_text(text, name="note", missing="请填写给家长的答复")
    question = lock_row(TransactionQuestion, question_id)
    if question is None:
        raise QuestionNotFound
    if question.status != QuestionStatus.OPEN:
        raise InvalidState("这个疑问已经答复过了")
    moved, now = _transaction(question.transaction_id), db_now()
    question.status, question.answer = QuestionStatus.ANSWERED, text
    question.answered_by, question.answered_at = actor.id, now
    db.session.flush()
    audit.record(
        actor, "question.answered", target_type="question", target_id=question_id, family_id=moved.family_id,
        transaction_id=question.transaction_id, old_status=QuestionStatus.OPEN, new_status=QuestionStatus.ANSWERED,
    )  # fmt: skip
    outbox.tell_in_app(
        family_id=moved.family_id, user_id=question.user_id, type="balance_changed", title="流水疑问已答复",
        text=f"您问的{_words(moved)}，前台答复：{text}", page="pages/wallet/index",
        payload={"question_id": question_id, "transaction_id": question.transaction_id},
        dedupe=f"question{question_id}",
    )  # fmt: skip


def checked_text(text: str, *, name: str = "text", missing: str = "请写下您的疑问") -> str:
    """A question or an answer without what no honest text contains. Raises Invalid naming `name`."""
    plain = clean(text, TEXT_LENGTH + 1)
    if not plain:
        raise Invalid.field(name, missing)
    if len(plain) > TEXT_LENGTH:
        raise Invalid.field(name, f"最多 {TEXT_LENGTH} 个字")
    return plain


# ── what nobody answered ────────────────────────────────────────────────────────────────────────────


def remind_staff() -> int:
    """Remind of each question that waits for longer than the policy says, then daily; returns how many."""
    now = db_now()
    due = (
        sa.select(_q.c.id)
        .where(
            _q.c.status == QuestionStatus.OPEN, _q.c.asked_at <= now - policy.get("question_reminder_after"),
            sa.or_(_q.c.reminded_at.is_(None), _q.c.reminded_at <= now - AGAIN_AFTER),
        )
        .order_by(_q.c.id)
        .limit(BATCH)
    )  # fmt: skip
    found = list(db.session.scalars(due))
    db.session.rollback()
    return sum(_remind(question_id=question_id) for question_id in found)


@transactional
def _remind(*, question_id: int) -> bool:
    question, now = lock_row(TransactionQuestion, question_id), db_now()
    again = question.reminded_at is None or question.reminded_at <= now - AGAIN_AFTER
    if question.status != QuestionStatus.OPEN or not again:
        return False  # somebody answered, or reminded of it, between our look and our lock
    question.reminded_at = now
    db.session.flush()
    lines = [["已等待", _waited(question.asked_at, now)]]
    moved = _transaction(question.transaction_id)
    _card(question, moved, "流水疑问还没有答复", lines, f"question{question_id}:{now.isoformat()}")
    return True


def _waited(since: datetime, now: datetime) -> str:
    hours = int((now - since).total_seconds() // 3600)
    return f"{hours // 24} 天" if hours >= 24 else f"{hours} 小时"


def _card(question: TransactionQuestion, moved: sa.Row, title: str, lines: list, dedupe: str) -> None:
    # The parent's own words stay in the portal: a group chat is no place for them (S8).
    outbox.tell_staff(
        "money", "wallet.question",
        {"title": title, "colour": "orange",
         "lines": [["家庭", family_line(moved.family_id)], ["流水", _words(moved)], *lines],
         "link": {"text": "去答复", "path": f"/questions/{question.id}"}},
        dedupe=dedupe,
    )  # fmt: skip


def _transaction(transaction_id: int) -> sa.Row | None:
    query = sa.select(_tx.c.wallet_id, _tx.c.type, _tx.c.amount, _tx.c.created_at, _w.c.family_id)
    return db.session.execute(
        query.join(_w, _w.c.id == _tx.c.wallet_id).where(_tx.c.id == transaction_id)
    ).first()  # fmt: skip


def _words(moved: sa.Row) -> str:
    at = clock.local(moved.created_at)
    kind = wallet_rules.TYPE_TEXTS[moved.type]
    return f"{at.month}月{at.day}日{kind} {money.yuan(moved.amount)}"
