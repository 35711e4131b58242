"""Questions about transactions: asked once at a time, answered once, reminded of after a day (W28)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db
from app.domain.audit import queries as audit
from app.domain.audit.actor import system
from app.domain.ledger.models import WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.policy import changes
from app.domain.questions import queries, service
from app.domain.questions.errors import QuestionNotFound, QuestionOpen, TransactionNotFound
from app.domain.questions.models import TransactionQuestion
from app.domain.questions.queries import QuestionFilter
from app.errors import Forbidden, Invalid, InvalidState, Replayed
from tests.factories import make_family, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def family():
    return make_family(balance="100.00", phone="13712345678")


def moved(family) -> int:
    return db.session.scalar(sa.select(WalletTransaction.id).where(WalletTransaction.wallet_id == family.wallet_id))


def ask(family, text: str = "为什么扣费？", **more) -> int:
    return service.ask(transaction_id=moved(family), text=text, actor=parent_actor(family), **more)


def desk():
    return actor_of(make_staff("front_desk"))


def cards() -> list[Notification]:
    query = sa.select(Notification).where(Notification.type == "wallet.question").order_by(Notification.id)
    return list(db.session.scalars(query))


def test_asking_tells_the_money_group_without_the_parents_words(family):
    question = ask(family, "小雨请假了 =1+1 为什么扣费？")
    row = db.session.get(TransactionQuestion, question)
    assert (row.status, row.text, row.answer) == ("open", "小雨请假了 =1+1 为什么扣费？", None)
    [card] = cards()
    assert "小雨" not in str(card.payload)
    assert "137****5678" in str(card.payload)
    assert "13712345678" not in str(card.payload)
    assert card.payload["link"]["path"] == f"/questions/{question}"
    [entry] = audit.of_target("question", question)
    assert (entry.action, entry.family_id, entry.transaction_id) == ("question.asked", family.id, str(moved(family)))


def test_one_at_a_time_and_again_after_the_answer(family):
    first = ask(family)
    with pytest.raises(QuestionOpen):
        ask(family, "还是不明白")
    service.answer(question_id=first, text="已核对", actor=desk())
    second = ask(family, "还是不明白")
    assert [row.id for row in queries.of_family(family.id)] == [second, first]
    assert queries.of_transactions([moved(family)])[moved(family)].id == second
    assert db.session.scalar(queries.OPEN) == 1


def test_the_same_key_asks_once(family):
    key = RequestKey("user:1", "k", "f", lambda made: {"id": made})
    made = ask(family, request_key=key)
    with pytest.raises(Replayed) as again:
        ask(family, request_key=key)
    assert again.value.answer == {"id": made}
    assert len(cards()) == 1


@pytest.mark.parametrize("text", ["", "   ", "\u202e\u200f", "长" * 501])
def test_what_is_no_question_is_refused(family, text):
    with pytest.raises(Invalid) as error:
        ask(family, text)
    assert set(error.value.errors) == {"text"}
    assert cards() == []


def test_nobody_asks_about_another_familys_money(family):
    stranger = parent_actor(make_family(balance="1.00"))
    for transaction_id, actor in ((moved(family), stranger), (10**15, parent_actor(family))):
        with pytest.raises(TransactionNotFound):
            service.ask(transaction_id=transaction_id, text="?", actor=actor)
    for actor in (desk(), system("test")):
        with pytest.raises(Forbidden):
            service.ask(transaction_id=moved(family), text="?", actor=actor)
    assert db.session.scalar(queries.OPEN) == 0


def test_the_answer_reaches_who_asked_and_nobody_else(family):
    question, clerk = ask(family), desk()
    service.answer(question_id=question, text=" 这节课没有请假，\n已请教练核对 ", actor=clerk)
    row = db.session.get(TransactionQuestion, question, populate_existing=True)
    assert (row.status, row.answer, row.answered_by) == ("answered", "这节课没有请假， 已请教练核对", clerk.id)
    [told] = db.session.scalars(sa.select(Notification).where(Notification.title == "流水疑问已答复"))
    assert (told.channel, told.user_id, told.status, told.page) == (
        "in_app", family.user_id, "sent", "pages/wallet/index"
    )  # fmt: skip
    assert "这节课没有请假， 已请教练核对" in told.text
    assert "¥100.00" in told.text
    with pytest.raises(InvalidState):
        service.answer(question_id=question, text="再答一次", actor=clerk)
    assert [entry.action for entry in audit.of_target("question", question)] == ["question.asked", "question.answered"]


def test_who_may_not_answer_and_what_is_no_answer(family):
    question = ask(family)
    for role in ("auditor", "admin"):
        with pytest.raises(Forbidden):
            service.answer(question_id=question, text="好", actor=actor_of(make_staff(role)))
    with pytest.raises(Forbidden):
        service.answer(question_id=question, text="好", actor=parent_actor(family))
    for text in ("", "x" * 501):
        with pytest.raises(Invalid) as error:
            service.answer(question_id=question, text=text, actor=desk())
        assert set(error.value.errors) == {"note"}
    with pytest.raises(QuestionNotFound):
        service.answer(question_id=10**15, text="好", actor=desk())
    assert db.session.scalar(queries.OPEN) == 1


def test_staff_are_reminded_after_a_day_then_daily_until_it_is_answered(family):
    question, now = ask(family), clock.now()
    told = []
    for hours in (23, 25, 26, 48, 50, 75):
        with clock.travel(to=now + timedelta(hours=hours)):
            told.append(service.remind_staff())
    assert told == [0, 1, 0, 0, 1, 1]
    assert [card.payload["title"] for card in cards()] == ["家长对流水有疑问"] + ["流水疑问还没有答复"] * 3
    assert ["已等待", "1 天"] in cards()[1].payload["lines"]
    service.answer(question_id=question, text="好", actor=desk())
    with clock.travel(to=now + timedelta(days=9)):
        assert service.remind_staff() == 0


def test_the_policy_says_how_long(family):
    ask(family)
    changes.set_by_command(name="question_reminder_after", value="1h", who="test")
    with clock.travel(by=timedelta(hours=2)):
        assert service.remind_staff() == 1
    assert ["已等待", "2 小时"] in cards()[-1].payload["lines"]


def test_the_list_its_filters_and_its_whole(family):
    other = make_family(balance="5.00")
    first, second = ask(family), ask(other)
    assert [row.id for row in queries.page(QuestionFilter()).items] == [first, second]
    service.answer(question_id=first, text="好", actor=desk())
    assert [row.id for row in queries.page(QuestionFilter(status="answered")).items] == [first]
    assert [row.id for row in queries.page(QuestionFilter(status=None)).items] == [second, first]
    assert [row.id for row in queries.page(QuestionFilter(family_id=other.id)).items] == [second]
    today = clock.today()
    assert queries.page(QuestionFilter(date_from=today + timedelta(days=1))).items == []
    assert len(queries.page(QuestionFilter(date_from=today, date_to=today)).items) == 1
    listing = queries.every(QuestionFilter(status=None))
    assert listing.count() == 2
    assert [row.id for piece in listing.pieces() for row in piece] == [second, first]
