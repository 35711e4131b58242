"""A parent asks the desk to arrange a makeup: asked, answered, reminded of, settled by a booking (M11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db
from app.domain.audit.models import AuditEntry
from app.domain.credits.errors import CreditExpired, CreditNotFound, NoCredit, RequestOpen
from app.domain.credits.models import MakeupRequest
from app.domain.makeups import asking, expiry, manage
from app.domain.outbox.models import Notification
from app.errors import Forbidden, Invalid, InvalidState, NotFound, Replayed
from tests.domain.makeups.steps import Away
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

HOUR = timedelta(hours=1)
HOSTILE = "<script>alert(1)</script> {{7*7}} '; DROP TABLE makeup_requests; --"


def ask(one: Away, text: str = "周六上午，谢谢", **more) -> int:
    return asking.ask(credit_id=one.credits[0], text=text, wishes=more.pop("wishes", None),
                      actor=more.pop("actor", one.actor), **more)  # fmt: skip


def row(request_id: int) -> MakeupRequest:
    return db.session.get(MakeupRequest, request_id, populate_existing=True)


def sent(type_: str) -> list[Notification]:
    return list(db.session.scalars(sa.select(Notification).where(Notification.type == type_).order_by(Notification.id)))


def test_asked_and_answered():
    one, clerk = Away(60), actor_of(make_staff("front_desk"))
    request_id = ask(one, HOSTILE, wishes="女教练")
    asked = row(request_id)
    assert (asked.status, asked.text, asked.wishes, asked.user_id) == ("open", HOSTILE, "女教练", one.actor.id)
    [card] = sent("staff.makeup_asked")
    # What a parent writes stays in the portal (S8).
    assert "script" not in card.text
    assert one.family.id == asked.family_id
    asking.answer(request_id=request_id, text="周六 10:00 有空位", actor=clerk)
    answered = row(request_id)
    assert (answered.status, answered.answer, answered.answered_by) == ("answered", "周六 10:00 有空位", clerk.id)
    assert answered.answered_at is not None
    [told] = [one for one in sent("makeup_credit") if "前台答复" in one.text]
    assert "周六 10:00 有空位" in told.text
    assert told.user_id == one.actor.id
    actions = db.session.scalars(sa.select(AuditEntry.action).where(AuditEntry.action.like("makeup.%")))
    assert sorted(actions) == ["makeup.answered", "makeup.asked"]


def test_twice_is_once_and_after_the_answer_one_may_ask_again():
    one = Away(60)
    key = RequestKey(scope=f"user:{one.actor.id}", key="k" * 16, fingerprint="f")
    first = ask(one, request_key=key)
    with pytest.raises(Replayed):
        ask(one, request_key=key)
    with pytest.raises(RequestOpen):
        ask(one, "再问一次")
    assert len(sent("staff.makeup_asked")) == 1
    clerk = actor_of(make_staff("front_desk"))
    asking.answer(request_id=first, text="好的", actor=clerk)
    with pytest.raises(InvalidState, match="已答复"):
        asking.answer(request_id=first, text="又答", actor=clerk)
    assert row(first).answer == "好的"
    assert ask(one, "还是不行") != first
    assert len(sent("staff.makeup_asked")) == 2


@pytest.mark.parametrize("text", ["", "  ", "​"])
def test_nothing_is_no_question_and_no_answer(text):
    one = Away(60)
    with pytest.raises(Invalid):
        ask(one, text)
    request_id = ask(one)
    with pytest.raises(Invalid) as refusal:
        asking.answer(request_id=request_id, text=text, actor=actor_of(make_staff("front_desk")))
    assert list(refusal.value.errors) == ["answer"]
    assert row(request_id).status == "open"


def test_whose_credit_and_who_answers():
    one, other = Away(60), Away(60)
    with pytest.raises(CreditNotFound):
        ask(one, actor=other.actor)
    with pytest.raises(CreditNotFound):
        asking.ask(credit_id=10**12, text="周六", wishes=None, actor=one.actor)
    request_id = ask(one)
    for nobody in (actor_of(make_staff("auditor")), one.actor):
        with pytest.raises(Forbidden):
            asking.answer(request_id=request_id, text="好", actor=nobody)
    with pytest.raises(NotFound):
        asking.answer(request_id=10**12, text="好", actor=actor_of(make_staff("manager")))
    assert row(request_id).status == "open"


def test_only_for_a_credit_that_can_be_used():
    one = Away(60)
    with clock.travel(by=timedelta(days=60)), pytest.raises(CreditExpired):
        ask(one)
    one.book(one.session(60))
    with pytest.raises(NoCredit):
        ask(one)
    assert sent("staff.makeup_asked") == []


def test_staff_are_reminded_once_after_a_day():
    one, other = Away(60), Away(60)
    waiting, answered = ask(one), ask(other)
    asking.answer(request_id=answered, text="好的", actor=actor_of(make_staff("front_desk")))
    with clock.travel(by=24 * HOUR - timedelta(minutes=1)):
        assert asking.remind_staff() == 0
    with clock.travel(by=24 * HOUR):
        assert [asking.remind_staff() for _ in range(2)] == [1, 0]
        # Chosen by another run before it was reminded of.
        assert not asking._remind(request_id=waiting)
        assert not asking._remind(request_id=answered)
    assert len(sent("staff.makeup_reminded")) == 1
    assert row(waiting).reminded_at is not None


@pytest.mark.parametrize(("end", "status"), [("book", "booked"), ("void", "closed"), ("expire", "closed")])
def test_what_ends_the_credit_settles_the_request(end, status):
    one, manager = Away(60), actor_of(make_staff("manager"))
    request_id = ask(one)
    if end == "book":
        one.book(one.session(60), actor=manager)
    elif end == "void":
        manage.void(credit_id=one.credits[0], reason="转学", actor=manager)
    else:
        with clock.travel(by=timedelta(days=60)):
            expiry.expire()
    settled = row(request_id)
    assert (settled.status, settled.answered_by) == (status, None if end == "expire" else manager.id)
    with clock.travel(by=timedelta(days=61)):
        assert asking.remind_staff() == 0
    with pytest.raises(InvalidState):
        asking.answer(request_id=request_id, text="晚了", actor=manager)
