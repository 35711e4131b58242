"""A trial's money over the counter, by two persons (O23)."""

from __future__ import annotations

import pytest

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.desk.errors import NotTheAuthor, OwnFamily
from app.domain.desk.queries import receipts_of
from app.domain.orders import offline, refunds
from app.domain.orders.errors import OrderNotPayable, OwnRefund
from app.domain.orders.models import OfflinePayment, PaymentTransaction
from app.domain.outbox.models import Notification
from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound, StepUpRequired
from app.money import parse
from tests.domain.desk.desk import receipt
from tests.domain.orders import steps
from tests.factories import make_family
from tests.portal import actor_of, make_staff


@pytest.fixture
def family(app):
    return make_family()


@pytest.fixture
def front(app):
    return make_staff("front_desk")


@pytest.fixture
def manager(app):
    return make_staff("manager")


@pytest.fixture
def order_id(family):
    return steps.order(family, steps.trial_session())


def ask(staff, order_id, **changes):
    given = {"method": "cash", "note": "家长当面付现金"} | changes
    return offline.ask(order_id=order_id, actor=actor_of(staff, proof_age=given.pop("proof_age", 0.0)), **given)


def test_asked_and_confirmed_it_pays_the_order_and_seats_it(order_id, front, manager):
    entry = ask(front, order_id, method="pos", external_no="88 0012-34", receipts_given=[receipt()])
    assert steps.row(order_id).status == "pending"
    assert db.session.get(OfflinePayment, entry).external_no == "88001234"
    assert db.session.query(Notification).filter_by(type="staff.offline_asked").count() == 1
    settled = offline.approve(offline_id=entry, actor=actor_of(manager))
    order = steps.row(order_id)
    assert (order.status, order.payment_method, order.booking_id) == ("paid", "offline", settled.booking_id)
    assert settled.booking_id is not None
    money_in = db.session.query(PaymentTransaction).one()
    assert (money_in.transaction_id, money_in.trade_type, money_in.source) == (f"offline-{entry}", "OFFLINE", "offline")
    said = [row.action for row in db.session.query(AuditEntry).filter_by(order_id=order_id).order_by(AuditEntry.id)]
    assert [one for one in said if one.startswith("order.offline")] == ["order.offline_asked", "order.offline_approved"]
    with pytest.raises(InvalidState):
        offline.approve(offline_id=entry, actor=actor_of(manager))


def test_it_does_not_go_back_through_wechat(order_id, family, front, manager):
    offline.approve(offline_id=ask(front, order_id), actor=actor_of(manager))
    wish = {"order_id": order_id, "amount": parse("200.00"), "reason": "退", "actor": actor_of(manager)}
    with pytest.raises(Invalid) as refusal:
        refunds.ask(refund_to="original", **wish)
    assert list(refusal.value.errors) == ["refund_to"]
    assert refunds.ask(refund_to="wallet", **wish)


def test_another_person_of_another_family_with_the_right_to(order_id, family, front, manager):
    finance = make_staff("finance")
    entry = ask(finance, order_id)
    with pytest.raises(OwnRefund):
        offline.approve(offline_id=entry, actor=actor_of(finance))
    with pytest.raises(Forbidden):
        offline.approve(offline_id=entry, actor=actor_of(front))
    with pytest.raises(OwnFamily):
        offline.approve(offline_id=entry, actor=actor_of(make_staff("manager", family_id=family.id)))
    with pytest.raises(OwnFamily):
        ask(make_staff("front_desk", family_id=family.id), order_id)
    with pytest.raises(StepUpRequired):
        offline.approve(offline_id=entry, actor=actor_of(manager, proof_age=3600))
    with pytest.raises(Forbidden):
        ask(make_staff("auditor"), order_id)
    with pytest.raises(NotTheAuthor):
        offline.withdraw(offline_id=entry, actor=actor_of(front))
    assert steps.row(order_id).status == "pending"


def test_once_at_a_time_and_after_a_no_again(order_id, front, manager):
    entry = ask(front, order_id)
    with pytest.raises(Conflict) as refusal:
        ask(front, order_id)
    assert refusal.value.code == "ALREADY_ASKED"
    offline.reject(offline_id=entry, note="钱没有收到", actor=actor_of(manager))
    second = ask(front, order_id)
    offline.withdraw(offline_id=second, actor=actor_of(front))
    assert steps.row(order_id).status == "pending"
    assert ask(front, order_id)


def test_a_paid_order_takes_no_more(order_id, family, front, manager):
    entry = ask(front, order_id)
    steps.pay(family, order_id)
    with pytest.raises(OrderNotPayable):
        offline.approve(offline_id=entry, actor=actor_of(manager))
    offline.reject(offline_id=entry, note="家长已用微信付款", actor=actor_of(manager))
    with pytest.raises(OrderNotPayable):
        ask(front, order_id)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"note": ""}, "note"),
        ({"method": "none"}, "method"),
        ({"method": "bitcoin"}, "method"),
        ({"method": "cash", "external_no": "1234"}, "external_no"),
        ({"method": "pos"}, "external_no"),
        ({"method": "pos", "external_no": "<script>"}, "external_no"),
        ({"method": "pos", "external_no": "8800"}, "receipts"),
        ({"receipts_given": [receipt() for _ in range(6)]}, "receipts"),
    ],
)
def test_what_is_wrong_is_said(order_id, front, changes, field):
    with pytest.raises(Invalid) as refusal:
        ask(front, order_id, **changes)
    assert list(refusal.value.errors) == [field]
    assert db.session.query(OfflinePayment).count() == 0


def test_its_receipt_is_kept_and_the_second_person_sees_that_it_was_used(order_id, front, manager):
    first = ask(front, order_id, method="pos", external_no="8800", receipts_given=[receipt("slip")])
    offline.withdraw(offline_id=first, actor=actor_of(front))
    again = ask(front, order_id, method="pos", external_no="8801", receipts_given=[receipt("slip")])
    before, now = receipts_of("offline", first, again)
    assert (before.offline_id, before.flag) == (first, None)
    assert (now.offline_id, now.flag, now.flagged_as) == (again, "same", before.id)
    assert db.session.query(AuditEntry).filter_by(target_id=order_id, action="order.receipt_added").count() == 2
    assert receipts_of("offline") == []


def test_what_is_not_there(front, manager):
    with pytest.raises(NotFound):
        ask(front, "0" * 32)
    with pytest.raises(NotFound):
        offline.approve(offline_id=999999, actor=actor_of(manager))
