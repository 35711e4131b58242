"""Races of questions about transactions, with real commits: two phones that ask, two people who answer, two schedulers
that remind. The control reads without the lock, and answers twice (W28)."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.ledger.models import WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.questions import service
from tests.at_once import at_once_in
from tests.concurrency.test_approvals import is_mysql
from tests.concurrency.test_refund_races import words
from tests.factories import make_family, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

ROUNDS = 4


def ask(family) -> int:
    mine = sa.select(WalletTransaction.id).where(WalletTransaction.wallet_id == family.wallet_id)
    return service.ask(transaction_id=db.session.scalar(mine), text="为什么？", actor=parent_actor(family))


def told(question_id: int) -> int:
    db.session.rollback()
    rows = db.session.scalars(sa.select(Notification).where(Notification.title == "流水疑问已答复"))
    return sum(1 for row in rows if row.payload["question_id"] == question_id)


def test_two_phones_ask_once(desk):
    for _ in range(ROUNDS):
        family = make_family(balance="100.00")
        assert words(at_once_in(desk, *(lambda f=family: ask(f) for _ in range(3)))) == [
            "QUESTION_OPEN", "QUESTION_OPEN", "ok"
        ]  # fmt: skip


def two_answers(app) -> tuple[list, int]:
    one, two = (actor_of(make_staff("front_desk")) for _ in range(2))
    question = ask(make_family(balance="100.00"))
    answers = at_once_in(app, *(
        lambda who=who: service.answer(question_id=question, text=who.name, actor=who) for who in (one, two)
    ))  # fmt: skip
    return answers, told(question)


def test_two_people_answer_once(desk):
    for _ in range(ROUNDS):
        answers, messages = two_answers(desk)
        assert words(answers) == ["INVALID_STATE", "ok"]
        assert messages == 1


def test_control_without_the_lock_two_answer(desk, monkeypatch):
    """SQLite has one writer at a time whatever is locked, so the control is MySQL's."""
    if not is_mysql(desk):
        pytest.skip("one writer at a time")
    both = threading.Barrier(2)

    def unlocked(model, row_id):
        row = db.session.get(model, row_id)
        both.wait(10)
        return row

    monkeypatch.setattr(service, "lock_row", unlocked)
    answers, _ = two_answers(desk)
    assert words(answers) == ["ok", "ok"]


def test_two_schedulers_remind_once(desk):
    question = ask(make_family(balance="100.00"))
    with clock.travel(by=timedelta(hours=25)):
        at_once_in(desk, service.remind_staff, service.remind_staff)
        db.session.rollback()
        cards = db.session.scalars(sa.select(Notification).where(Notification.type == "wallet.question"))
        mine = [card for card in cards if card.payload["link"]["path"] == f"/questions/{question}"]
    assert len(mine) == 2  # the asking, and one reminder
