"""Money that came over the counter goes back over it: asked, approved by another, given to the parent, noted (O14)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.ledger.models import WalletTransaction
from app.domain.orders import desk_refunds, offline, refund_hand, refund_progress, refunds
from app.domain.orders.errors import OwnRefund, RefundMoved
from app.domain.orders.models import TrialClaim
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff
from app.errors import Forbidden, Invalid, InvalidState, StepUpRequired
from app.flows import refunds as flow
from tests.domain.desk.desk import receipt
from tests.domain.orders import steps
from tests.domain.orders.refunds import actions, kept_back, paid_trial, row, sent, set_policy
from tests.domain.orders.refunds import approved as by_wechat
from tests.factories import MadeFamily, make_family
from tests.portal import actor_of, make_staff


@dataclass
class AtDesk:
    family: MadeFamily
    order_id: str
    finance: Staff
    manager: Staff


@pytest.fixture
def paid(app) -> AtDesk:
    """A trial whose 200.00 the desk took."""
    family = make_family()
    order_id = steps.order(family, steps.trial_session())
    front, finance, manager = (make_staff(role) for role in ("front_desk", "finance", "manager"))
    entry = offline.ask(order_id=order_id, method="cash", note="当面付现", actor=actor_of(front))
    offline.approve(offline_id=entry, actor=actor_of(manager))
    return AtDesk(family, order_id, finance, manager)


def ask(paid: AtDesk, amount: str = "200.00", **changes) -> str:
    wish = {"reason": "家长改期不来", "refund_to": "cash", "actor": actor_of(paid.finance)} | changes
    return refunds.ask(order_id=paid.order_id, amount=Decimal(amount), **wish)


def approved(paid: AtDesk, amount: str = "200.00") -> str:
    refund_no = ask(paid, amount)
    assert refunds.approve(refund_no=refund_no, actor=actor_of(paid.manager)) == "approved"
    return refund_no


def pay(refund_no: str, staff: Staff, **changes) -> None:
    given = {"method": "cash", "note": "李会计退给张女士，已签收", "actor": actor_of(staff)} | changes
    flow.pay_out(refund_no=refund_no, **given)


def test_asked_approved_and_given_to_the_parent(paid):
    refund_no = approved(paid)
    waiting = row(refund_no)
    assert (waiting.approved_by, waiting.next_try_at, kept_back()) == (paid.manager.id, None, Decimal("200.00"))
    assert desk_refunds.to_pay_out() == 1
    assert db.session.query(Notification).filter_by(type="staff.refund_to_pay").count() == 1
    assert db.session.query(Notification).filter_by(type="refund_result").count() == 0
    pay(refund_no, paid.finance)  # asked for it; another approved
    done = row(refund_no)
    assert (done.status, done.paid_out_method, done.decided_by) == ("succeeded", "cash", paid.finance.id)
    assert (done.approved_by, done.decision_note) == (paid.manager.id, "李会计退给张女士，已签收")
    assert done.succeeded_at is not None
    assert desk_refunds.to_pay_out() == 0
    assert actions(refund_no) == ["refund.asked", "refund.approved", "refund.paid_out"]
    step = db.session.query(AuditEntry).filter_by(action="refund.paid_out").one()
    assert (step.old_status, step.new_status, step.ip) == ("approved", "succeeded", "127.0.0.1")
    told = db.session.query(Notification).filter_by(type="refund_result").one()
    assert "现金" in told.payload["remark"]
    assert db.session.query(WalletTransaction).count() == 0
    assert db.session.query(TrialClaim).count() == 0
    with pytest.raises(InvalidState):
        pay(refund_no, paid.manager)


def test_wechat_is_never_asked_about_it(paid):
    refund_no = approved(paid)
    with clock.travel(by=timedelta(days=1)):
        assert refund_progress.due() == []
        assert refund_progress.claim(refund_no=refund_no, actor=steps.WECHAT) is None
    with pytest.raises(InvalidState):
        refund_hand.retry(refund_no=refund_no, actor=actor_of(paid.manager))


def test_without_credentials_a_failed_refund_is_still_paid_by_hand(app, monkeypatch):
    """There is no WeChat to ask whether it is at it."""
    settings = app.extensions["desk.settings"]
    bare = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, mchid=""))
    monkeypatch.setitem(app.extensions, "desk.settings", bare)
    trial = paid_trial()
    refund_no = sent(trial)
    refund_progress.could_not_start(
        refund_no=refund_no, code="USER_ACCOUNT_ABNORMAL", text="", permanent=True, actor=steps.WECHAT
    )
    flow.pay_out(refund_no=refund_no, method="cash", note="当面退还", actor=actor_of(trial.manager))
    assert row(refund_no).status == "succeeded"


def test_nothing_is_paid_before_another_approved_it(paid):
    refund_no = ask(paid)
    with pytest.raises(OwnRefund):
        refunds.approve(refund_no=refund_no, actor=actor_of(paid.finance))
    for staff in (paid.finance, paid.manager):
        with pytest.raises(InvalidState):
            pay(refund_no, staff)
    assert row(refund_no).status == "requested"


def test_where_nobody_else_approved_another_pays(paid):
    set_policy("refund_approval_from", "50.00")
    refund_no = ask(paid, "20.00")
    assert (row(refund_no).status, row(refund_no).approved_by) == ("approved", None)
    with pytest.raises(OwnRefund):
        pay(refund_no, paid.finance)
    pay(refund_no, paid.manager)
    assert row(refund_no).status == "succeeded"


def test_who_may_not_and_what_was_not_seen(paid):
    refund_no = approved(paid)
    with pytest.raises(Forbidden):
        pay(refund_no, make_staff("front_desk"))
    with pytest.raises(Forbidden):
        pay(refund_no, make_staff("manager", family_id=paid.family.id))
    with pytest.raises(StepUpRequired):
        pay(refund_no, paid.manager, actor=actor_of(paid.manager, proof_age=3600))
    with pytest.raises(RefundMoved):
        pay(refund_no, paid.manager, version=1)
    assert row(refund_no).status == "approved"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"note": " "}, "note"), ({"method": "none"}, "method"), ({"method": "bank_transfer"}, "external_no"),
     ({"method": "cash", "external_no": "1234"}, "external_no")],
)  # fmt: skip
def test_what_is_wrong_is_said(paid, changes, field):
    refund_no = approved(paid)
    with pytest.raises(Invalid) as refusal:
        pay(refund_no, paid.manager, **changes)
    assert list(refusal.value.errors) == [field]
    assert row(refund_no).status == "approved"


def test_paid_with_the_card_reader_s_number(paid):
    refund_no = approved(paid, "80.00")
    pay(refund_no, paid.manager, method="pos", external_no="88-0012 34", receipts_given=[receipt()])
    assert (row(refund_no).paid_out_no, kept_back()) == ("88001234", Decimal("80.00"))


def test_cash_that_nobody_came_for_is_closed_and_free_again(paid):
    refund_no = approved(paid)
    with pytest.raises(Invalid):
        flow.close(refund_no=refund_no, note="", actor=actor_of(paid.manager))
    flow.close(refund_no=refund_no, note="家长改到钱包", actor=actor_of(paid.manager))
    assert (row(refund_no).status, kept_back()) == ("closed", Decimal("0.00"))
    assert ask(paid, refund_to="wallet") != refund_no
    with pytest.raises(InvalidState):
        pay(refund_no, paid.manager)


def test_an_approved_refund_by_wechat_is_not_paid_by_hand(app):
    trial = paid_trial()
    refund_no = by_wechat(trial)
    for act in (
        lambda: refund_hand.pay_out(
            refund_no=refund_no, method="cash", note="退现", actor=actor_of(make_staff("manager"))
        ),
        lambda: refund_hand.close(refund_no=refund_no, note="不退了", actor=actor_of(trial.manager)),
    ):
        with pytest.raises(InvalidState):
            act()
    with pytest.raises(Invalid) as refusal:
        refunds.ask(
            order_id=trial.order_id,
            amount=Decimal("1.00"),
            reason="退",
            refund_to="cash",
            actor=actor_of(trial.finance),
        )
    assert list(refusal.value.errors) == ["refund_to"]
