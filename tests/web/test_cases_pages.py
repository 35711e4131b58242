"""The exceptions board over HTTP: what waits, how long, what a person can do, and that nothing leaves it silently."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import cancel
from app.domain.cases.models import CaseKind, CaseStatus, MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.orders import settle
from app.domain.orders.models import PaymentOrder
from app.domain.people.models import User
from tests.domain.desk import desk
from tests.domain.orders import steps
from tests.domain.reports.test_board import difference
from tests.factories import make_family
from tests.portal import Browser, actor_of, make_staff


@pytest.fixture
def family(app):
    return make_family(students=("张小明",), phone="13812345678")


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture
def unseated(family):
    """An order whose payment came when its class was full; its session's id and its case's."""
    session = steps.trial_session(capacity=1)
    order_id = steps.order(family, session)
    begun = steps.begin(family, order_id)
    with transaction():
        db.session.execute(sa.update(PaymentOrder).values(expires_at=clock.now() - timedelta(minutes=1)))
        db.session.execute(sa.text("UPDATE seat_reservations SET status = 'expired'"))
        db.session.execute(sa.update(CourseSchedule).values(held=0, booked=1))
    paid = steps.payment(begun.out_trade_no, number="4200009999999999")
    settle.settle(payment=paid, account=steps.ACCOUNT, source="query", actor=steps.WECHAT)
    return order_id, session, case(CaseKind.UNSEATED).id


def case(kind: str) -> MoneyCase:
    db.session.rollback()
    return db.session.query(MoneyCase).filter_by(kind=kind).populate_existing().one()


def text(response) -> str:
    return response.get_data(as_text=True)


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(response)))


def test_a_case_of_ones_own_family_is_for_others(app, family, unseated):
    parent = db.session.get(User, family.user_id)
    mother = Browser(app).sign_in(make_staff("finance", phone_index=parent.phone_index))
    assert "这是您自己的家庭" in text(mother.get(f"/exceptions/{unseated[2]}"))


def test_an_empty_board_says_what_would_be_there(front):
    assert "没有异常" in text(front.get("/exceptions"))
    assert "没有符合条件的异常" in text(front.get("/exceptions?kind=mismatch"))


def test_a_payment_without_a_seat_is_on_the_board_in_the_menu_and_on_the_start_page(front, finance, unseated):
    _, _, case_id = unseated
    page = front.get("/exceptions")
    assert f'href="/exceptions/{case_id}"' in text(page)
    assert "已付款未占座" in words(page)
    assert "¥200.00" in words(page)
    assert re.search(r"待处理的异常\s*</span>\s*<strong[^>]*>1<", text(front.get("/")))
    assert "由财务或店长处理" in words(front.get(f"/exceptions/{case_id}"))
    assert "补排" in words(finance.get(f"/exceptions/{case_id}"))


@pytest.mark.parametrize(("hours", "tone"), [(1, "plain"), (25, "waiting"), (73, "danger")])
def test_what_waits_long_is_seen(front, unseated, hours, tone):
    with transaction():
        db.session.execute(sa.update(MoneyCase).values(opened_at=clock.now() - timedelta(hours=hours, minutes=1)))
    assert f'case-age"><span class="state state-{tone}">' in text(front.get("/exceptions"))


def test_a_seat_is_given_in_another_class(finance, unseated):
    order_id, _, case_id = unseated
    other = steps.trial_session(starts_in=timedelta(days=3))
    assert f'value="{other}"' in text(finance.get(f"/exceptions/{case_id}"))
    assert finance.post(f"/exceptions/{case_id}/reseat", {"session": "moon"}).status_code == 422
    assert finance.post(f"/exceptions/{case_id}/reseat", {"session": str(other)}).status_code == 303
    assert steps.row(order_id).booking_id is not None
    assert case(CaseKind.UNSEATED).status == CaseStatus.SETTLED
    settled = words(finance.get("/exceptions?status=settled"))
    assert "已补排座位" in settled
    assert finance.post(f"/exceptions/{case_id}/reseat", {"session": str(other)}).status_code == 409


def test_a_full_class_gives_no_seat_and_words_do_not_settle_a_payment(finance, unseated):
    _, session, case_id = unseated
    assert f'value="{session}"' not in text(finance.get(f"/exceptions/{case_id}"))
    assert finance.post(f"/exceptions/{case_id}/reseat", {"session": str(session)}).status_code == 409
    assert finance.post(f"/exceptions/{case_id}/note", {"note": "算了"}).status_code == 409
    assert case(CaseKind.UNSEATED).status == CaseStatus.OPEN


def test_a_cancelled_trial_is_settled_by_a_sentence(finance, family):
    order_id = steps.order(family, steps.trial_session())
    booking = steps.pay(family, order_id).booking_id
    cancel.cancel(booking_id=booking, actor=actor_of(finance.staff), reason="家长有事", late_refund=None)
    case_id = case(CaseKind.TRIAL_CANCELLED).id
    page = words(finance.get(f"/exceptions/{case_id}"))
    assert "申请退款" in page
    assert "写明结果" in page
    empty = finance.post(f"/exceptions/{case_id}/note", {"note": " "})
    assert empty.status_code == 422
    assert "请写明核对的结果" in words(empty)
    note = "<b>家长同意不退</b>"
    assert finance.post(f"/exceptions/{case_id}/note", {"note": note}).status_code == 303
    assert "&lt;b&gt;家长同意不退" in text(finance.get(f"/exceptions/{case_id}"))
    assert finance.post(f"/exceptions/{case_id}/note", {"note": note}).status_code == 409


def test_the_front_desk_settles_nothing(front, unseated):
    _, session, case_id = unseated
    assert front.post(f"/exceptions/{case_id}/note", {"note": "好了"}).status_code == 403
    assert front.post(f"/exceptions/{case_id}/reseat", {"session": str(session)}).status_code == 403


def test_a_case_that_does_not_exist_is_not_found(finance):
    assert finance.get("/exceptions/999999").status_code == 404
    assert finance.post("/exceptions/999999/note", {"note": "x"}).status_code == 404


def test_differences_and_missing_receipts_are_rows_for_who_may_see_them(front, finance, family, unseated):
    missing = desk.ask(front.staff, family, payment_method="alipay").adjustment_id
    differing = difference(2)
    page = text(finance.get("/exceptions"))
    assert [path in page for path in (f"/reconcile/{differing}", f"/adjustments/{missing}")] == [True, True]
    assert "应有：100.00；实有：0.00" in page
    assert "共 3 项" in words(finance.get("/exceptions"))
    only = text(finance.get("/exceptions?kind=difference"))
    assert f"/reconcile/{differing}" in only
    assert f"/adjustments/{missing}" not in only
    seen = text(front.get("/exceptions"))
    assert f"/reconcile/{differing}" not in seen
    assert f"/adjustments/{missing}" in seen
    assert "choose-tick" not in seen
    file = text(finance.post("/exports/exceptions", {"format": "csv"})).splitlines()
    assert len(file) == 5
    assert [line.split(",")[2] for line in file[1:4]] == ["对账差异", "已付款未占座", "调整待补凭证"]
