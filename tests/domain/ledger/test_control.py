"""Freeze, close, own limit, bypass (W30, W23): who may, what it asks for, what it leaves behind."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, execute, transaction
from app.domain.audit.models import AuditEntry
from app.domain.bookings import cancel, late, leave, place
from app.domain.bookings.models import Booking
from app.domain.desk.models import WalletAdjustment
from app.domain.ledger import control, queries
from app.domain.ledger.errors import OverdraftLimitExceeded, WalletClosed, WalletFrozen
from app.domain.ledger.models import Wallet
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff
from app.errors import Forbidden, Invalid, InvalidState, Replayed, StepUpRequired
from tests.domain.ledger.wallets import make_wallet, move, staff
from tests.domain.offers.steps import Full
from tests.factories import BELONGING, belonging_to, make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

REASON = "家长要求"


@pytest.fixture
def manager(app):
    with transaction():
        person = Staff(username="manager", display_name="店长", password_hash="x", role="manager",
                       created_at=clock.now())  # fmt: skip
        db.session.add(person)
    return staff("manager", staff_id=person.id)


@pytest.fixture
def family(wallet):
    return db.session.get(Wallet, wallet).family_id


def wallet_of(family_id: int):
    return queries.wallet(family_id=family_id)


def last_audit():
    return db.session.scalar(sa.select(AuditEntry).order_by(AuditEntry.id.desc()).limit(1))


def last_card():
    return db.session.scalar(
        sa.select(Notification).where(Notification.channel == "feishu").order_by(Notification.id.desc()).limit(1)
    )


def test_freezing_stops_debits_and_unfreezing_lets_them(wallet, family, manager):
    move(wallet, "100.00")
    control.freeze(family_id=family, reason=REASON, actor=manager)
    assert wallet_of(family).status == "frozen"
    with pytest.raises(WalletFrozen) as refused:
        move(wallet, "-1.00")
    assert refused.value.code == "WALLET_FROZEN"
    assert move(wallet, "1.00").balance_after == Decimal("101.00")
    entry = last_audit_of("wallet.frozen")
    assert (entry.old_status, entry.new_status, entry.reason, entry.actor_id) == (
        "active",
        "frozen",
        REASON,
        manager.id,
    )
    card = last_card()
    assert (card.recipient, card.title) == ("money", "冻结钱包")
    assert REASON in card.text
    control.unfreeze(family_id=family, reason=REASON, actor=manager)
    assert move(wallet, "-1.00").balance_after == Decimal("100.00")


def last_audit_of(action: str):
    return db.session.scalar(
        sa.select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id.desc()).limit(1)
    )


def test_an_empty_wallet_closes_for_good(wallet, family, manager):
    control.close(family_id=family, reason=REASON, actor=manager)
    assert last_audit().action == "wallet.closed"
    for change in ("1.00", "-1.00"):
        with pytest.raises(WalletClosed) as refused:
            move(wallet, change)
        assert refused.value.code == "WALLET_CLOSED"
    for again in (control.close, control.freeze, control.unfreeze, control.revoke_bypass):
        with pytest.raises(WalletClosed):
            again(family_id=family, reason=REASON, actor=manager)


def test_a_frozen_wallet_closes_too(family, manager):
    control.freeze(family_id=family, reason=REASON, actor=manager)
    control.close(family_id=family, reason=REASON, actor=manager)
    assert last_audit().old_status == "frozen"


@pytest.mark.parametrize("amount", ["0.01", "-0.01"])
def test_a_wallet_with_money_or_debt_stays_open(wallet, family, manager, amount):
    move(wallet, amount)
    with pytest.raises(control.WalletNotEmpty) as refused:
        control.close(family_id=family, reason=REASON, actor=manager)
    assert refused.value.data == {"balance": amount}
    assert wallet_of(family).status == "active"


def test_a_wallet_with_a_pending_adjustment_stays_open(wallet, family, manager):
    now = clock.now()
    fields = {"wallet_id": wallet, "family_id": family, "amount": Decimal("10.00"), "type": "recharge",
              "payment_method": "cash", "reason_code": "other", "note": "x", "status": "pending",
              "asked_by": manager.id, "asked_at": now, "created_at": now, "updated_at": now}  # fmt: skip
    columns = WalletAdjustment.__table__.c
    filler = {"BOOLEAN": False, "INTEGER": 1, "BIGINT": 1}
    for column in columns:
        if not column.nullable and column.default is None and column.name not in (*fields, "id"):
            fields[column.name] = filler.get(str(column.type), "x")
    with transaction():
        execute(WalletAdjustment.__table__.insert(), {name: v for name, v in fields.items() if name in columns})
    with pytest.raises(control.WalletHasOpenItems) as refused:
        control.close(family_id=family, reason=REASON, actor=manager)
    assert refused.value.code == "WALLET_HAS_OPEN_ITEMS"
    assert "余额调整" in refused.value.message


def test_an_own_limit_counts_and_goes_back_to_the_policy(wallet, family, manager):
    move(wallet, "-500.00")
    control.set_overdraft_limit(family_id=family, limit=Decimal("300.00"), reason=REASON, actor=manager)
    view = wallet_of(family)
    assert (view.overdraft_limit, view.own_limit, view.available) == (Decimal("300.00"), True, Decimal("-200.00"))
    with pytest.raises(OverdraftLimitExceeded):
        move(wallet, "-0.01")
    assert move(wallet, "1.00").balance_after == Decimal("-499.00")
    assert "按统一规则 → 300.00" in last_card().text
    control.set_overdraft_limit(family_id=family, limit=None, reason=REASON, actor=manager)
    assert move(wallet, "-501.00").balance_after == Decimal("-1000.00")


@pytest.mark.parametrize("limit", ["-0.01", "100000000.00"])
def test_limits_out_of_range(family, manager, limit):
    with pytest.raises(Invalid) as refused:
        control.set_overdraft_limit(family_id=family, limit=Decimal(limit), reason=REASON, actor=manager)
    assert list(refused.value.errors) == ["limit"]


def test_a_limit_that_does_not_change_is_refused(family, manager):
    with pytest.raises(InvalidState):
        control.set_overdraft_limit(family_id=family, limit=None, reason=REASON, actor=manager)


def test_a_bypass_lets_bookings_through_until_its_day_ends(wallet, family, manager):
    move(wallet, "-700.00")
    assert wallet_of(family).state == "blocked"
    until = clock.today() + timedelta(days=1)
    control.grant_bypass(family_id=family, until=until, reason=REASON, actor=manager)
    view = wallet_of(family)
    assert (view.state, view.bypass_reason, view.booking_allowed) == ("arrears", REASON, True)
    assert until.isoformat() in last_card().text
    end = clock.day_bounds(until)[1]
    with clock.travel(to=end - timedelta(microseconds=1)):
        assert wallet_of(family).state == "arrears"
    with clock.travel(to=end):
        assert wallet_of(family).state == "blocked"
        with pytest.raises(InvalidState):
            control.revoke_bypass(family_id=family, reason=REASON, actor=manager)
    control.revoke_bypass(family_id=family, reason=REASON, actor=manager)
    assert wallet_of(family).state == "blocked"
    with pytest.raises(InvalidState):
        control.revoke_bypass(family_id=family, reason=REASON, actor=manager)


@pytest.mark.parametrize("days", [-1, 367])
def test_a_bypass_ends_within_a_year(family, manager, days):
    with pytest.raises(Invalid) as refused:
        control.grant_bypass(family_id=family, until=clock.today() + timedelta(days=days), reason=REASON, actor=manager)
    assert list(refused.value.errors) == ["until"]


USES = {
    "freeze": control.freeze,
    "unfreeze": control.unfreeze,
    "close": control.close,
    "limit": lambda **k: control.set_overdraft_limit(limit=Decimal("1.00"), **k),
    "grant": lambda **k: control.grant_bypass(until=clock.today(), **k),
    "revoke": control.revoke_bypass,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("role", ["front_desk", "finance", "auditor", "admin"])
def test_only_a_manager_may(family, manager, use, role):
    with pytest.raises(Forbidden):
        USES[use](family_id=family, reason=REASON, actor=staff(role, staff_id=manager.id))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("age", [None, 601.0])
def test_a_fresh_proof_is_asked_for(family, manager, use, age):
    with pytest.raises(StepUpRequired):
        USES[use](family_id=family, reason=REASON, actor=staff(staff_id=manager.id, proof_age=age))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("reason", ["", "  ", "\u202e\x00"])
def test_a_reason_is_asked_for(family, manager, use, reason):
    with pytest.raises(Invalid) as refused:
        USES[use](family_id=family, reason=reason, actor=manager)
    assert list(refused.value.errors) == ["reason"]


@pytest.mark.parametrize("how", BELONGING)
@pytest.mark.parametrize("use", USES)
def test_nobody_manages_the_own_family(app, use, how):
    family = make_family(phone="13700001234")
    mother = actor_of(make_staff("manager", **belonging_to(family, how)))
    with pytest.raises(Forbidden) as refused:
        USES[use](family_id=family.id, reason=REASON, actor=mother)
    assert refused.value.code == "OWN_FAMILY"


def test_states_that_do_not_fit(family, manager):
    with pytest.raises(InvalidState):
        control.unfreeze(family_id=family, reason=REASON, actor=manager)
    control.freeze(family_id=family, reason=REASON, actor=manager)
    with pytest.raises(InvalidState):
        control.freeze(family_id=family, reason=REASON, actor=manager)


def test_the_same_form_twice_is_done_once(family, manager):
    key = RequestKey("staff:1", "token", "f")
    control.freeze(family_id=family, reason=REASON, actor=manager, request_key=key)
    with pytest.raises(Replayed):
        control.freeze(family_id=family, reason=REASON, actor=manager, request_key=key)


def test_another_family_is_left_alone(family, manager):
    other = db.session.get(Wallet, make_wallet()).family_id
    control.freeze(family_id=family, reason=REASON, actor=manager)
    assert wallet_of(other).status == "active"


# ── closing while bookings or credits are open (W30) ────────────────────────────────────────────────


def booked(family, **session):
    """A class of 100.00 that this family booked and has paid, with 0.00 left."""
    schedule_id = make_session(make_course(price="100.00"), **session)
    return place.book(schedule_id=schedule_id, profile_id=family.profile_ids[0], actor=parent_actor(family)).booking_id


def refused_for(family, manager) -> str:
    with pytest.raises(control.WalletHasOpenItems) as refused:
        control.close(family_id=family.id, reason=REASON, actor=manager)
    assert wallet_of(family.id).status == "active"
    return refused.value.message


def test_a_wallet_with_a_class_ahead_stays_open(manager):
    family, other = make_family(balance="100.00"), make_family()
    booking_id = booked(family)
    assert "还有未上的预约" in refused_for(family, manager)
    control.close(family_id=other.id, reason=REASON, actor=manager)
    with clock.travel(by=timedelta(days=2, minutes=30)):
        assert "还有未上的预约" in refused_for(family, manager), "it runs"
    with clock.travel(by=timedelta(days=2, minutes=61)):
        control.close(family_id=family.id, reason=REASON, actor=manager)
    assert db.session.get(Booking, booking_id).status == "booked"


def test_a_wallet_stays_open_for_the_refund_of_a_student_who_moved_on(manager):
    family, other = make_family(balance="100.00"), make_family()
    booking_id = booked(family)
    with transaction():
        db.session.get(Booking, booking_id).family_id = other.id
    assert "从这个钱包扣费" in refused_for(family, manager)
    assert "还有未上的预约" in refused_for(other, manager)
    cancel.cancel(booking_id=booking_id, actor=parent_actor(other))
    assert wallet_of(family.id).balance == Decimal("100.00")


def test_a_wallet_with_a_credit_stays_open_until_it_ends(manager):
    family = make_family(balance="100.00")
    leave.take_leave(booking_id=booked(family), actor=parent_actor(family))
    assert "还有未用的待补课" in refused_for(family, manager)
    with clock.travel(by=timedelta(days=61)):
        control.close(family_id=family.id, reason=REASON, actor=manager)


def test_a_wallet_of_who_waits_stays_open(manager):
    """A seat that comes free would be paid from it."""
    family, full = make_family(), Full()
    full.wait(family=family)
    assert "还有未结束的候补" in refused_for(family, manager)
    full.leave(0)
    control.close(family_id=family.id, reason=REASON, actor=manager)


def test_a_wallet_with_a_late_refund_that_waits_stays_open(manager):
    family = make_family(balance="100.00")
    booking_id = booked(family, starts_in=timedelta(minutes=30))
    finance = actor_of(make_staff("finance"))
    with clock.travel(by=timedelta(hours=2)):
        request_id = late.ask(booking_id=booking_id, reason="生病", actor=finance)
        assert "还有待复核的逾时退款" in refused_for(family, manager)
        late.withdraw(request_id=request_id, actor=finance)
        control.close(family_id=family.id, reason=REASON, actor=manager)


def test_the_family_page_knows_since_when_it_owes(wallet, family):
    assert wallet_of(family).arrears_days is None
    move(wallet, "-1.00")
    with clock.travel(by=timedelta(days=18, hours=1)):
        view = wallet_of(family)
        assert (view.arrears_days, view.arrears_since < clock.now()) == (18, True)
        move(wallet, "1.00")
        assert wallet_of(family).arrears_since is None
