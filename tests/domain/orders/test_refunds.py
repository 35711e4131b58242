"""Refunds by two persons: what may be asked, what a decision does, what is never given back twice (O14–O18)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.cases.models import CaseKind, MoneyCase
from app.domain.desk.errors import NotTheAuthor, OwnFamily
from app.domain.ledger import control, verify
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.orders import checkout, refunds
from app.domain.orders.errors import NothingToRefund, OwnRefund, RefundMoved, RefundTooMuch
from app.domain.orders.models import PaymentTransaction, Refund, TrialClaim
from app.domain.outbox.models import Notification
from app.errors import Forbidden, Invalid, InvalidState, StepUpRequired
from tests.domain.orders import steps
from tests.domain.orders.refunds import set_policy
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff


@pytest.fixture
def family(app):
    return make_family(phone="13700001234")


@pytest.fixture
def finance(app):
    return make_staff("finance", display_name="钱会计")


@pytest.fixture
def manager(app):
    return make_staff("manager", display_name="李店长")


@pytest.fixture
def session(app):
    return steps.trial_session()


@pytest.fixture
def paid(family, session):
    """A trial that was paid and has its seat; the order's number."""
    order_id = steps.order(family, session)
    assert steps.pay(family, order_id).booking_id
    return order_id


def ask(staff, order_id=None, amount="200.00", **changes):
    plain = {"reason": "家长改期不来", "note": "电话确认", "refund_to": "original", "frees_seat": True}
    return refunds.ask(
        order_id=order_id, amount=Decimal(amount), actor=actor_of(staff, proof_age=changes.pop("proof_age", 0.0)),
        **plain | changes,
    )  # fmt: skip


def row(refund_no: str) -> Refund:
    db.session.rollback()
    return db.session.query(Refund).filter_by(refund_no=refund_no).populate_existing().one()


def kept_back() -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.sum(PaymentTransaction.refunded)))


def balance(family) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == family.id))


def actions(refund_no: str) -> list[str]:
    db.session.rollback()
    query = sa.select(AuditEntry.action).where(AuditEntry.target_type == "refund", AuditEntry.target_id == refund_no)
    return list(db.session.scalars(query.order_by(AuditEntry.id)))


# ── the plain path ──────────────────────────────────────────────────────────────────────────────────


def test_two_persons_send_the_money_back_by_its_route(paid, family, session, finance, manager):
    refund_no = ask(finance, paid)
    asked = row(refund_no)
    assert (asked.status, asked.amount, asked.verdict, asked.verdict_rule) == (
        "requested", Decimal("200.00"), "refund", "first_trial",
    )  # fmt: skip
    assert asked.facts["会员状态"] == "体验"
    assert kept_back() == Decimal("200.00")
    assert steps.seats(session) == (1, 0)
    card = db.session.scalar(sa.select(Notification).where(Notification.type == "staff.refund_asked"))
    assert card.title == "待审批：退款"
    assert "张小明" not in card.text
    assert refunds.approve(refund_no=refund_no, actor=actor_of(manager)) == "approved"
    approved = row(refund_no)
    assert (approved.approved_by, approved.next_try_at is not None) == (manager.id, True)
    assert steps.seats(session) == (0, 0)
    assert db.session.query(Booking).one().status == "cancelled"
    assert actions(refund_no) == ["refund.asked", "refund.approved"]
    entry = db.session.query(AuditEntry).filter_by(action="refund.approved").one()
    assert (entry.ip, entry.user_agent, entry.order_id) == ("127.0.0.1", "pytest", paid)


def test_into_the_wallet_it_is_there_at_once(paid, family, finance, manager):
    refund_no = ask(finance, paid, refund_to="wallet")
    assert refunds.approve(refund_no=refund_no, actor=actor_of(manager)) == "succeeded"
    done = row(refund_no)
    assert balance(family) == Decimal("200.00")
    movement = db.session.get(WalletTransaction, done.wallet_transaction_id)
    assert (movement.type, movement.reference_type, movement.reference_id) == ("refund", "refund", refund_no)
    assert actions(refund_no) == ["refund.asked", "refund.approved", "refund.succeeded"]
    told = db.session.scalars(sa.select(Notification.type).where(Notification.family_id == family.id)).all()
    assert "refund_result" in told
    assert verify.run(full=True).sound


def test_what_was_given_back_whole_gives_the_trial_back(paid, family, session, finance, manager):
    for amount, left in (("50.00", 2), ("150.00", 0)):
        assert db.session.scalar(sa.select(sa.func.count()).select_from(TrialClaim)) > 0
        refunds.approve(refund_no=ask(finance, paid, amount, refund_to="wallet"), actor=actor_of(manager))
        db.session.rollback()
        assert (db.session.scalar(sa.select(sa.func.count()).select_from(TrialClaim)) > 0) == bool(left)
    assert checkout.create(
        schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family)
    ).created  # fmt: skip


def test_the_trial_stays_spent_where_the_policy_says_so(paid, finance, manager):
    set_policy("refund_restores_trial", "off")
    refunds.approve(refund_no=ask(finance, paid, refund_to="wallet"), actor=actor_of(manager))
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(TrialClaim)) > 0


def test_up_to_the_policy_one_person_is_enough(paid, finance):
    set_policy("refund_approval_from", "50.00")
    small, large = ask(finance, paid, "50.00"), ask(finance, paid, "50.01")
    assert (row(small).status, row(small).approved_by) == ("approved", None)
    assert row(large).status == "requested"


def test_a_seat_that_is_to_stay_stays(paid, session, finance, manager):
    refunds.approve(refund_no=ask(finance, paid, "100.00", frees_seat=False), actor=actor_of(manager))
    assert steps.seats(session) == (1, 0)


# ── who, and how much ───────────────────────────────────────────────────────────────────────────────


def test_never_more_than_was_paid(paid, finance, manager):
    first = ask(finance, paid, "150.00")
    with pytest.raises(RefundTooMuch) as refusal:
        ask(finance, paid, "50.01")
    assert refusal.value.data == {"left": "50.00"}
    refunds.reject(refund_no=first, note="先核实", actor=actor_of(manager))
    assert kept_back() == Decimal("0.00")
    second = ask(finance, paid, "200.00")
    with pytest.raises(NothingToRefund):
        ask(finance, paid, "0.01")
    refunds.withdraw(refund_no=second, actor=actor_of(finance))
    assert (row(second).status, kept_back()) == ("rejected", Decimal("0.00"))
    assert actions(second) == ["refund.asked", "refund.withdrawn"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "0.00"}, "amount"),
        ({"amount": "-1.00"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"reason": "\u202e "}, "reason"),
        ({"reason": "长" * 81}, "reason"),
        ({"note": "长" * 501}, "note"),
        ({"refund_to": "cash"}, "refund_to"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(paid, finance, changes, field):
    with pytest.raises(Invalid) as refusal:
        ask(finance, paid, **changes)
    assert list(refusal.value.errors) == [field]
    assert (kept_back(), db.session.query(Refund).count()) == (Decimal("0.00"), 0)


def test_nobody_decides_alone_or_for_their_own(paid, family, finance, manager):
    refund_no = ask(finance, paid)
    with pytest.raises(OwnRefund) as refusal:
        refunds.approve(refund_no=refund_no, actor=actor_of(finance))
    assert refusal.value.code == "SELF_APPROVAL"
    with pytest.raises(OwnRefund):
        refunds.reject(refund_no=refund_no, note="不", actor=actor_of(finance))
    mother = make_staff("manager", family_id=family.id)
    with pytest.raises(OwnFamily):
        refunds.approve(refund_no=refund_no, actor=actor_of(mother))
    with pytest.raises(OwnFamily):
        ask(mother, paid, "1.00")
    with pytest.raises(StepUpRequired):
        refunds.approve(refund_no=refund_no, actor=actor_of(manager, proof_age=3600))
    with pytest.raises(StepUpRequired):
        ask(finance, paid, "1.00", proof_age=3600)
    for role in ("front_desk", "auditor", "admin"):
        with pytest.raises(Forbidden):
            refunds.approve(refund_no=refund_no, actor=actor_of(make_staff(role)))
        with pytest.raises(Forbidden):
            ask(make_staff(role), paid, "1.00")
    with pytest.raises(NotTheAuthor):
        refunds.withdraw(refund_no=refund_no, actor=actor_of(manager))
    assert row(refund_no).status == "requested"


def test_a_refund_is_decided_once_and_on_what_was_seen(paid, finance, manager):
    refund_no = ask(finance, paid)
    with pytest.raises(RefundMoved):
        refunds.approve(refund_no=refund_no, version=7, actor=actor_of(manager))
    refunds.approve(refund_no=refund_no, version=1, actor=actor_of(manager))
    for act in (refunds.approve, refunds.withdraw):
        with pytest.raises(InvalidState):
            act(refund_no=refund_no, actor=actor_of(finance))
    with pytest.raises(InvalidState):
        refunds.reject(refund_no=refund_no, note="晚了", actor=actor_of(manager))


def test_wechat_s_own_limits_are_told_before(paid, finance, manager):
    with clock.travel(by=timedelta(days=366)), pytest.raises(Invalid) as refusal:
        ask(finance, paid)
    assert "超过一年" in refusal.value.message
    for _ in range(50):
        ask(finance, paid, "0.01")
    with pytest.raises(Invalid) as refusal:
        ask(finance, paid, "0.01")
    assert "50 次" in refusal.value.message
    assert ask(finance, paid, "0.01", refund_to="wallet")


def test_an_unpaid_order_has_nothing_to_give(family, session, finance):
    with pytest.raises(NothingToRefund):
        ask(finance, steps.order(family, session))


# ── bookings that a wallet paid (O18) ───────────────────────────────────────────────────────────────


@pytest.fixture
def booked(app):
    family = make_family(balance="500.00")
    schedule_id = make_session(make_course(price="100.00"))
    done = place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family))
    return family, done.booking_id


def from_wallet(staff, booking_id, amount="100.00", **changes):
    return ask(staff, None, amount, booking_id=booking_id, **{"refund_to": "wallet", "frees_seat": False} | changes)


def test_a_wallet_s_class_goes_back_to_the_wallet_only(booked, finance, manager):
    family, booking_id = booked
    with pytest.raises(Invalid):
        from_wallet(finance, booking_id, refund_to="original")
    refund_no = from_wallet(finance, booking_id, frees_seat=True)
    refunds.approve(refund_no=refund_no, actor=actor_of(manager))
    assert balance(family) == Decimal("500.00")
    booking = db.session.get(Booking, booking_id, populate_existing=True)
    assert (booking.status, booking.refund_id) == ("cancelled", row(refund_no).wallet_transaction_id)
    assert db.session.get(WalletTransaction, booking.refund_id).reverses_id == booking.debit_id
    assert row(refund_no).verdict is None
    with pytest.raises(NothingToRefund):
        from_wallet(finance, booking_id, "0.01")
    assert verify.run(full=True).sound


def test_a_part_given_back_is_not_given_again_when_the_class_is_cancelled(booked, finance, manager):
    family, booking_id = booked
    refunds.approve(refund_no=from_wallet(finance, booking_id, "30.00"), actor=actor_of(manager))
    assert balance(family) == Decimal("430.00")
    assert cancel.cancel(booking_id=booking_id, actor=parent_actor(family)).refund == Decimal("70.00")
    assert balance(family) == Decimal("500.00")
    with pytest.raises(NothingToRefund):
        from_wallet(finance, booking_id, "0.01")
    assert verify.run(full=True).sound


def test_what_the_wallet_got_meanwhile_is_not_paid_again(booked, finance, manager):
    family, booking_id = booked
    refund_no = from_wallet(finance, booking_id)
    cancel.cancel(booking_id=booking_id, actor=parent_actor(family))
    with pytest.raises(NothingToRefund):
        refunds.approve(refund_no=refund_no, actor=actor_of(manager))
    refunds.reject(refund_no=refund_no, note="已随取消退回", actor=actor_of(manager))
    assert balance(family) == Decimal("500.00")


def test_a_wallet_that_waits_for_a_refund_stays_open(booked, finance, manager):
    family, booking_id = booked
    cancel.cancel(booking_id=booking_id, actor=parent_actor(family))
    other = place.book(
        schedule_id=make_session(make_course(price="500.00")), profile_id=family.profile_ids[0],
        actor=parent_actor(family),
    )  # fmt: skip
    with clock.travel(by=timedelta(days=3)):
        refund_no = from_wallet(finance, other.booking_id, "500.00")
        closing = {"family_id": family.id, "reason": "不再上课", "actor": actor_of(manager)}
        with pytest.raises(control.WalletHasOpenItems) as refusal:
            control.close(**closing)
        assert "退款" in refusal.value.message
        refunds.reject(refund_no=refund_no, note="不退", actor=actor_of(manager))
        control.close(**closing)


# ── the board ───────────────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_trial_leaves_the_board_when_its_refund_is_decided(paid, family, finance, manager):
    booking_id = steps.row(paid).booking_id
    cancel.cancel(booking_id=booking_id, actor=parent_actor(family))
    assert steps.open_cases() == [CaseKind.TRIAL_CANCELLED]
    refund_no = ask(finance, paid)
    assert steps.open_cases() == [CaseKind.TRIAL_CANCELLED]
    refunds.approve(refund_no=refund_no, actor=actor_of(manager))
    assert steps.open_cases() == []
    case = db.session.query(MoneyCase).one()
    assert (case.settled_as, case.settled_by, case.order_id) == ("refund", manager.id, paid)


@pytest.mark.parametrize(("amount", "cases"), [("200.00", []), ("199.99", [CaseKind.TRIAL_CANCELLED])])
def test_a_trial_whose_money_is_on_its_way_needs_no_judgement(paid, family, finance, manager, amount, cases):
    refunds.approve(refund_no=ask(finance, paid, amount, frees_seat=False), actor=actor_of(manager))
    cancel.cancel(booking_id=steps.row(paid).booking_id, actor=parent_actor(family))
    assert steps.open_cases() == cases


def test_a_second_payment_is_given_back_by_its_own_number(paid, family, finance, manager):
    attempt = steps.payment(paid, number="4200000099")
    steps.settle.settle(payment=attempt, account=steps.ACCOUNT, source="query", actor=steps.WECHAT)
    assert steps.open_cases() == [CaseKind.DUPLICATE_PAYMENT]
    refund_no = ask(finance, paid, refund_to="wallet", transaction_id="4200000099", frees_seat=False)
    refunds.approve(refund_no=refund_no, actor=actor_of(manager))
    assert steps.open_cases() == []
    assert db.session.scalar(sa.select(sa.func.count()).select_from(TrialClaim)) > 0
    assert ask(finance, paid)
