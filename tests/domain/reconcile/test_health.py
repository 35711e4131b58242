"""Money health (W26): each invariant holds in a life through the services, and fails where a row is wrong."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import families
from app.domain.credits.models import CompensationHistory, CompensationLot, HistoryKind
from app.domain.ledger import arrears, control
from app.domain.ledger import service as ledger
from app.domain.ledger.models import Wallet
from app.domain.orders.models import PaymentOrder, PaymentTransaction, Refund
from app.domain.outbox import service as outbox
from app.domain.outbox.models import Notification
from app.domain.people.models import User
from app.domain.policy.models import PolicyValue
from app.domain.reconcile import books, health, health_checks
from app.domain.reconcile.models import HealthCheck
from tests.domain.reconcile.life import Life, book, change, id_of, live
from tests.factories import make_family
from tests.portal import actor_of, make_staff

JOB = system("test")


def failing(name: str) -> list[str]:
    """The keys of the failing rows of one check, looked at in full."""
    keys = [one.key for one in health.BY_NAME[name].look(None).failing]
    db.session.rollback()
    return keys


def post(family, amount: str, key: str, **more) -> int:
    with transaction():
        return ledger.post(
            ledger.lock_wallet(wallet_id=family.wallet_id), type="adjustment", amount=Decimal(amount),
            idempotency_key=key.replace(" ", "-"), reference_type="adjustment", reference_id=1, reason="试", actor=JOB,
            **more,
        ).id  # fmt: skip


def cards() -> int:
    db.session.rollback()
    return db.session.query(Notification).filter_by(type="staff.money_health", queue="urgent").count()


@pytest.fixture
def life(app) -> Life:
    made = live()
    assert health.run(full=True) == []
    return made


def test_all_hold_and_say_how_much_they_saw(life):
    states = health.states()
    assert all(one.holds and one.last_held_at == one.last_full_at == one.last_run_at for one in states)
    seen = {one.name: one.rows_checked for one in states}
    assert (seen["paid_orders"], seen["refund_sums"]) == (1, 3)
    assert min(seen[name] for name in ("ledger", "seats", "notices")) > 3


def test_before_the_first_run_nothing_is_claimed(app):
    assert {one.holds for one in health.states()} == {None}


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_balance_below_its_limit(app):
    family = make_family()
    post(family, "-1000.00", "to the limit")
    assert failing("limits") == []
    post(family, "-0.01", "past it", enforce_limit=False)
    assert failing("limits") == [str(family.wallet_id)]


def test_a_limit_that_was_lowered_later_is_no_failure(app):
    family = make_family()
    post(family, "-900.00", "within")
    with clock.travel(by=timedelta(minutes=1)):
        control.set_overdraft_limit(
            family_id=family.id, limit=Decimal("100.00"), reason="限额", actor=actor_of(make_staff("manager"))
        )
        assert failing("limits") == []
    with clock.travel(by=timedelta(minutes=2)):
        post(family, "-1.00", "past it", enforce_limit=False)
        assert failing("limits") == [str(family.wallet_id)]


def test_debts_that_came_with_merged_families_were_owed_already(app):
    """Into a wallet with a debit of its own, and into one without any."""
    finance = actor_of(make_staff("finance"))
    for family in (make_family(balance="-900.00"), make_family()):
        for owed in ("-800.00", "-900.00"):
            source = make_family(balance=owed).id
            families.merge_families(from_family_id=source, into_family_id=family.id, actor=finance, reason="同一家")
        assert db.session.get(Wallet, family.wallet_id, populate_existing=True).balance <= Decimal("-1700.00")
        db.session.rollback()
    assert failing("limits") == []


# ── orders and refunds ──────────────────────────────────────────────────────────────────────────────


def test_a_paid_order_without_anything(life):
    order = db.session.query(PaymentOrder).one()
    db.session.rollback()
    change(Refund, id_of(life.into_wallet), status="closed", order_id=None)
    change(PaymentOrder, order.id, booking_id=None)
    assert failing("paid_orders") == [life.trial.order_id]
    with transaction():
        case = MoneyCase(kind="unseated", subject="x", status="open", order_id=life.trial.order_id, title="x", facts={},
                         opened_at=clock.now())  # fmt: skip
        db.session.add(case)
    assert failing("paid_orders") == []


def test_more_refunded_than_paid(life):
    paid = db.session.query(PaymentTransaction).one()
    number = f"payment:{paid.transaction_id}"
    db.session.rollback()
    change(Refund, id_of(life.into_wallet), amount=Decimal("200.01"))
    assert failing("refund_sums") == [number]
    change(Refund, id_of(life.into_wallet), amount=Decimal("79.00"))  # the payment says 80.00
    assert failing("refund_sums") == [number]
    change(Refund, id_of(life.into_wallet), amount=Decimal("80.00"))
    booking = db.session.scalar(sa.select(Refund.booking_id).where(Refund.refund_no == life.booking_refund))
    change(Refund, id_of(life.booking_refund), amount=Decimal("200.01"))
    assert failing("refund_sums") == [f"booking:{booking}"]


# ── minutes and seats ───────────────────────────────────────────────────────────────────────────────


def test_minutes_that_are_not_their_history(app):
    family, now = make_family(), clock.now()
    with transaction():
        lot = CompensationLot(profile_id=family.profile_ids[0], family_id=family.id, minutes=30, minutes_left=20,
                              earned_at=now, expires_at=now + timedelta(days=30))  # fmt: skip
        db.session.add(lot)
        db.session.flush()
        for kind, minutes in ((HistoryKind.EARNED, 30), (HistoryKind.USED, -10)):
            db.session.add(CompensationHistory(lot_id=lot.id, profile_id=lot.profile_id, kind=kind, minutes=minutes,
                                               actor_type="system", note="", created_at=now))  # fmt: skip
        lot_id = lot.id
    assert failing("minutes") == []
    change(CompensationLot, lot_id, minutes_left=21)
    assert failing("minutes") == [str(lot_id)]
    assert [one.key for one in health_checks.minutes(now - timedelta(minutes=1)).failing] == [str(lot_id)]
    assert health_checks.minutes(now + timedelta(minutes=1)).judged == 0


@pytest.mark.parametrize("counter", ["booked", "held", "kept"])
def test_seats_that_are_not_their_rows(life, counter):
    session = life.trial.session
    db.session.rollback()
    change(CourseSchedule, session, **{counter: getattr(CourseSchedule, counter) + 1})
    assert failing("seats") == [str(session)]
    assert [one.key for one in health_checks.seats(clock.now()).failing] == [str(session)]
    with clock.travel(by=timedelta(days=4)):
        assert health_checks.seats(clock.now()).failing == []  # long over: only the nightly look sees it
        assert failing("seats") == [str(session)]


def test_sessions_are_read_in_stretches(life, monkeypatch):
    monkeypatch.setattr(health_checks, "STRETCH", 1)
    change(CourseSchedule, life.trial.session, booked=2)
    assert failing("seats") == [str(life.trial.session)]


# ── notices ─────────────────────────────────────────────────────────────────────────────────────────


def test_crossings_tell_also_those_that_are_held_back(app):
    family = make_family(balance="1000.00")
    for n, amount in enumerate(("-850.00", "-10.00", "-200.00", "-5.00", "100.00", "600.00"), 1):
        post(family, amount, f"step {n}")
    assert {"low_balance", "arrears"} <= {row.type for row in db.session.query(Notification)}
    assert failing("notices") == []


def test_a_crossing_without_its_notice_and_a_notice_without_its_crossing(app):
    family = make_family(balance="500.00")
    crossing = post(family, "-450.00", "crossing")
    notice = db.session.query(Notification).filter_by(type="low_balance").one()
    notice_id, payload = notice.id, notice.payload
    db.session.rollback()
    assert failing("notices") == []
    quiet = post(family, "450.00", "above again")
    change(Notification, notice_id, payload=payload | {"transaction_id": quiet})
    assert failing("notices") == [f"untold:{crossing}", f"extra:{notice_id}"]
    change(Notification, notice_id, payload={"balance": "1.00"})
    assert failing("notices") == [f"untold:{crossing}", f"extra:{notice_id}"]
    change(Notification, notice_id, payload=payload | {"transaction_id": crossing}, type="arrears")
    assert failing("notices") == [f"untold:{crossing}", f"extra:{notice_id}"]


def test_the_threshold_is_that_of_the_moment(app):
    """Raised later, it makes no old balance low."""
    family = make_family(balance="1000.00")
    post(family, "-100.00", "far above")
    with clock.travel(by=timedelta(minutes=5)):
        _raise_threshold()
        assert failing("notices") == []


def _raise_threshold() -> None:
    with transaction():
        db.session.add(PolicyValue(name="low_balance_threshold", value="950.00", updated_at=clock.now(),
                                   updated_by="test"))  # fmt: skip
        audit.record(JOB, "policy.changed", target_type="policy", target_id="low_balance_threshold",
                     before={"value": "200.00"}, after={"value": "950.00"})  # fmt: skip


def test_who_has_no_parent_cannot_be_told(app):
    family = make_family(balance="500.00")
    change(User, family.user_id, registered_at=clock.now() + timedelta(hours=1))
    crossing = post(family, "-450.00", "crossing")
    db.session.execute(Notification.__table__.delete().where(Notification.family_id == family.id))
    db.session.commit()
    assert failing("notices") == []
    change(User, family.user_id, registered_at=clock.now() - timedelta(hours=1))
    assert failing("notices") == [f"untold:{crossing}"]


def test_later_steps_of_an_arrears_are_no_crossings(app):
    family = make_family(balance="100.00")
    post(family, "-200.00", "owing")
    with clock.travel(by=timedelta(days=8)):
        assert arrears.escalate().told >= 1
        assert failing("notices") == []
    with clock.travel(by=timedelta(days=8, hours=2)):
        with transaction():
            (lone,) = outbox.tell_family(
                family.id, "arrears", {"owed": "1.00", "time": clock.now().isoformat(), "occasion": "third", "days": 9},
                dedupe="lone", cooled=False,
            )  # fmt: skip
        assert failing("notices") == [f"extra:{lone}"]


@pytest.mark.parametrize("occasion", ["refused", "before_class"])
def test_what_a_family_is_told_while_it_owes_is_no_crossing(app, occasion):
    """A refused booking and the evening before a class tell of arrears as well; of what nobody owes they may not."""

    def tell(family) -> int:
        facts = {"owed": "200.00", "time": clock.now().isoformat(), "occasion": occasion}
        with transaction():
            return outbox.tell_family(family.id, "arrears", facts, dedupe=occasion)[0]

    owing, paid = make_family(balance="100.00"), make_family(balance="100.00")
    for family in (owing, paid):
        post(family, "-300.00", f"owing {family.id}")
    post(paid, "300.00", "paid")
    with clock.travel(by=timedelta(days=2)):
        tell(owing)
        assert failing("notices") == []
        wrong = tell(paid)
        assert failing("notices") == [f"extra:{wrong}"]


def test_parents_who_came_later_could_not_be_told_before(app):
    """An imported family has no parent until the desk puts one there, who registered before that."""
    imported, other = make_family(balance="500.00"), make_family()
    change(User, imported.user_id, family_id=other.id)
    post(imported, "-450.00", "crossing")
    assert failing("notices") == []
    finance = actor_of(make_staff("finance"))
    with clock.travel(by=timedelta(minutes=5)):
        families.move_parent(user_id=other.user_id, from_family_id=other.id, to_family_id=imported.id,
                             reason="导入的家庭", actor=finance)  # fmt: skip
    with clock.travel(by=timedelta(minutes=10)):
        assert failing("notices") == []
        crossing = post(imported, "-10.00", "told")
        db.session.execute(Notification.__table__.delete().where(Notification.family_id == imported.id))
        db.session.commit()
        assert failing("notices") == [f"untold:{crossing}"]


# ── running ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_told_once_a_day_kept_and_looked_at_until_it_is_mended(life):
    held_at = {one.name: one.last_held_at for one in health.states()}["seats"]
    change(CourseSchedule, life.trial.session, booked=2)
    with clock.travel(by=timedelta(days=4)):
        assert health.run(full=False) == []  # over for days, and nothing new: not seen before night
        held_at = {one.name: one.last_held_at for one in health.states()}["seats"]
        assert health.run(full=True) == ["seats"]
        assert (health.run(full=False), cards()) == (["seats"], 1)
        state = {one.name: one for one in health.states()}["seats"]
        assert (state.holds, state.failing, state.last_held_at) == (False, 1, held_at)
        (row,) = state.sample
        assert (row.target_type, row.target_id) == ("session", str(life.trial.session))
    with clock.travel(by=timedelta(days=5)):
        assert (health.run(full=False), cards()) == (["seats"], 2)
        change(CourseSchedule, life.trial.session, booked=1)
        assert health.run(full=False) == []
        assert {one.holds for one in health.states()} == {True}


def test_what_came_in_since_is_seen_by_the_next_run(life):
    with clock.travel(by=timedelta(minutes=20)):
        post(life.family, "-5000.00", "far past the limit", enforce_limit=False)
        assert health.run(full=False, only=["limits", "notices"]) == ["limits"]
        db.session.execute(Notification.__table__.delete().where(Notification.type == "arrears"))
        db.session.commit()
        assert health.run(full=False, only=["notices"]) == ["notices"]
    assert db.session.query(HealthCheck).count() == len(health.CHECKS)


def test_a_forged_balance_is_named_by_health_and_by_the_books(live_app):
    with live_app.app_context():
        family = make_family(balance="10.00")
        book(make_family(balance="500.00"))
        assert health.run(full=True) == []
        with db.engine.begin() as connection:
            for name in _triggers(connection):
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.exec_driver_sql(f"UPDATE wallets SET balance = balance + 1 WHERE id = {family.wallet_id}")
        assert health.run(full=False) == ["ledger"]
        (found,) = books.ledger().found
        assert (found.key.split(":")[0], found.family_id) == (str(family.wallet_id), family.id)


def _triggers(connection) -> list[str]:
    if connection.dialect.name == "sqlite":
        return list(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='trigger'").scalars())
    return [row[0] for row in connection.exec_driver_sql("SHOW TRIGGERS")]
