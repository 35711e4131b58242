"""Races of refunds, with real commits: two who approve, two who ask for the last yuan, two jobs, a refund against a
cancelling (O14, O15, O18, I-27). The controls decide by what was read before anything was locked, and go wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db, execute, transaction
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.ledger import verify
from app.domain.ledger.models import Wallet
from app.domain.orders import refund_hand, refund_locking, refund_progress, refunds
from app.domain.orders.models import PaymentOrder, PaymentTransaction, Refund
from tests.at_once import at_once_in
from tests.domain.orders import steps
from tests.domain.orders.refunds import Paid, actions, approved, paid_trial, row
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

ROUNDS = 6


def ask(paid: Paid, staff, amount: str, refund_to: str = "original") -> str:
    return refunds.ask(
        order_id=paid.order_id, amount=Decimal(amount), reason="退", refund_to=refund_to, frees_seat=False,
        actor=actor_of(staff),
    )  # fmt: skip


def words(answers: list) -> list[str]:
    """`ok`, or the code of the refusal; what was no refusal by name, so that it cannot pass for one."""
    said = [getattr(a, "code", type(a).__name__) if isinstance(a, Exception) else "ok" for a in answers]
    return sorted(said)


def asked_and_kept(paid: Paid) -> tuple[Decimal, Decimal]:
    """What live refunds of the order ask for, and what its payment keeps back."""
    db.session.rollback()
    order = steps.row(paid.order_id).id
    live = sa.select(sa.func.coalesce(sa.func.sum(Refund.amount), 0)).where(
        Refund.order_id == order, Refund.status != "rejected"
    )
    kept = sa.select(PaymentTransaction.refunded).where(PaymentTransaction.order_id == order)
    return db.session.scalar(live), db.session.scalar(kept)


def balance(family) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == family.id))


# ── more than was paid ──────────────────────────────────────────────────────────────────────────────


def test_two_who_ask_at_once_do_not_get_more_than_was_paid(desk):
    for _ in range(ROUNDS):
        paid = paid_trial()
        answers = at_once_in(
            desk,
            lambda p=paid: ask(p, p.finance, "150.00"),
            lambda p=paid: ask(p, p.manager, "150.00"),
        )
        assert words(answers) == ["REFUND_TOO_MUCH", "ok"]
        assert asked_and_kept(paid) == (Decimal("150.00"), Decimal("150.00"))


def test_control_what_was_read_before_the_lock_gives_more_than_was_paid(desk, monkeypatch):
    seen = Decimal("0.00")

    def stale(payment, amount):
        table = PaymentTransaction.__table__
        if seen + amount > payment.total_fee:
            return False
        execute(table.update().where(table.c.id == payment.id).values(refunded=seen + amount))
        return True

    monkeypatch.setattr(refund_locking, "reserve", stale)
    paid = paid_trial()
    answers = at_once_in(
        desk, lambda: ask(paid, paid.finance, "150.00"), lambda: ask(paid, paid.manager, "150.00")
    )  # fmt: skip
    assert words(answers) == ["ok", "ok"]
    assert asked_and_kept(paid)[0] == Decimal("300.00")


# ── two who give the parent the cash ────────────────────────────────────────────────────────────────


def _cash(paid: Paid) -> str:
    """Cash that is approved and waits; its number. The trial was paid at WeChat, its payment is made the desk's."""
    with transaction():
        order = sa.select(PaymentOrder.id).where(PaymentOrder.order_id == paid.order_id).scalar_subquery()
        table = PaymentTransaction.__table__
        execute(table.update().where(table.c.order_id == order).values(trade_type="OFFLINE"))
    refund_no = ask(paid, paid.finance, "200.00", "cash")
    refunds.approve(refund_no=refund_no, actor=actor_of(paid.manager))
    return refund_no


def _hand(refund_no: str, staff):
    return lambda: refund_hand.pay_out(refund_no=refund_no, method="cash", note="退给家长", actor=actor_of(staff))


def test_two_who_note_the_same_cash_at_once_note_it_once(desk):
    for _ in range(ROUNDS):
        paid = paid_trial()
        refund_no = _cash(paid)
        assert words(at_once_in(desk, _hand(refund_no, paid.finance), _hand(refund_no, paid.manager))) == [
            "INVALID_STATE", "ok",
        ]  # fmt: skip
        assert actions(refund_no).count("refund.paid_out") == 1


def test_cash_is_given_to_the_parent_or_closed_not_both(desk):
    for _ in range(ROUNDS):
        paid = paid_trial()
        refund_no = _cash(paid)
        answers = at_once_in(
            desk,
            _hand(refund_no, paid.finance),
            lambda n=refund_no, p=paid: refund_hand.close(refund_no=n, note="没有来", actor=actor_of(p.manager)),
        )
        assert words(answers) == ["INVALID_STATE", "ok"]
        given = row(refund_no).status == "succeeded"
        assert asked_and_kept(paid)[1] == (Decimal("200.00") if given else Decimal("0.00"))


# ── two who decide ──────────────────────────────────────────────────────────────────────────────────


def _approvals(desk, paid: Paid, refund_no: str) -> list:
    other = make_staff("manager")
    return at_once_in(
        desk,
        lambda: refunds.approve(refund_no=refund_no, actor=actor_of(paid.manager)),
        lambda: refunds.approve(refund_no=refund_no, actor=actor_of(other)),
    )


def test_two_approvals_at_once_pay_once(desk):
    for _ in range(ROUNDS):
        paid = paid_trial()
        refund_no = ask(paid, paid.finance, "200.00", "wallet")
        assert words(_approvals(desk, paid, refund_no)) == ["INVALID_STATE", "ok"]
        assert balance(paid.family) == Decimal("200.00")
    assert verify.run(full=True).sound


def test_control_a_state_read_before_the_lock_approves_twice(desk, monkeypatch):
    """Both are told that they approved; only the ledger's key still keeps the money right."""
    hold = refund_locking.hold_refund

    def stale(refund_no, actor, **more):
        held = hold(refund_no, actor, **more)
        sa.orm.attributes.set_committed_value(held.refund, "status", "requested")
        return held

    monkeypatch.setattr(refund_locking, "hold_refund", stale)
    paid = paid_trial()
    refund_no = ask(paid, paid.finance, "200.00", "wallet")
    assert words(_approvals(desk, paid, refund_no)) == ["ok", "ok"]
    assert balance(paid.family) == Decimal("200.00")


def test_approved_and_withdrawn_at_once_is_one_of_the_two(desk):
    for _ in range(ROUNDS):
        paid = paid_trial()
        refund_no = ask(paid, paid.finance, "200.00", "wallet")
        answers = at_once_in(
            desk,
            lambda p=paid, r=refund_no: refunds.approve(refund_no=r, actor=actor_of(p.manager)),
            lambda p=paid, r=refund_no: refunds.withdraw(refund_no=r, actor=actor_of(p.finance)),
        )
        assert words(answers) == ["INVALID_STATE", "ok"]
        paid_back = answers[0] == "succeeded"
        assert balance(paid.family) == Decimal("200.00" if paid_back else "0.00")
        assert asked_and_kept(paid)[1] == Decimal("200.00" if paid_back else "0.00")


# ── two jobs ────────────────────────────────────────────────────────────────────────────────────────


def test_a_refund_is_claimed_by_one_job_and_a_payment_s_parts_one_by_one(desk):
    for _ in range(ROUNDS):
        paid = paid_trial()
        first, second = approved(paid, "50.00"), approved(paid, "60.00")
        claims = at_once_in(
            desk,
            *(
                lambda r=refund_no: refund_progress.claim(refund_no=r, actor=steps.WECHAT)
                for refund_no in (first, first, second)
            ),
        )
        assert not [one for one in claims if isinstance(one, Exception)]
        assert sum(one is not None for one in claims) == 1


# ── a class that a wallet paid ──────────────────────────────────────────────────────────────────────


def test_a_refund_and_a_cancelling_at_once_give_the_price_back_once(desk):
    course_id = make_course(price="100.00")
    for amount in ("100.00", "30.00") * (ROUNDS // 2):
        family, finance, manager = make_family(balance="500.00"), make_staff("finance"), make_staff("manager")
        made = place.book(
            schedule_id=make_session(course_id), profile_id=family.profile_ids[0], actor=parent_actor(family)
        )
        refund_no = refunds.ask(
            booking_id=made.booking_id, amount=Decimal(amount), reason="退", refund_to="wallet", actor=actor_of(finance)
        )
        answers = at_once_in(
            desk,
            lambda r=refund_no, m=manager: refunds.approve(refund_no=r, actor=actor_of(m)),
            lambda f=family, b=made: cancel.cancel(booking_id=b.booking_id, actor=parent_actor(f)),
        )
        assert words(answers) in (["ok", "ok"], ["NOTHING_TO_REFUND", "ok"])
        assert balance(family) == Decimal("500.00")
        assert db.session.get(Booking, made.booking_id, populate_existing=True).status == "cancelled"
    assert verify.run(full=True).sound
