"""What is forgotten after its time, and what stays because something still names it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock, ids
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.orders.models import PaymentAttempt, PaymentOrder
from app.domain.outbox import service as outbox
from app.domain.outbox.models import Notification
from app.domain.people.models import UserSession
from app.domain.policy.registry import POLICIES
from app.domain.reconcile.models import BillLine
from app.domain.retention import cleanup
from app.domain.seats.models import SeatReservation
from tests import factories

ME = system("测试")
OLD, YOUNG = timedelta(days=800), timedelta(days=300)


def order(family, ago: timedelta, *, status: str = "expired", **columns) -> PaymentOrder:
    """An order with its hold and its attempt, last touched so long ago."""
    session = factories.make_session()
    at = clock.now() - ago
    with transaction():
        row = PaymentOrder(
            order_id=ids.new_hex(), user_id=family.user_id, family_id=family.id, profile_id=family.profile_ids[0],
            course_schedule_id=session, amount=Decimal("200.00"), status=status, description="体验课", expires_at=at,
            created_at=at, updated_at=at, **columns,
        )  # fmt: skip
        db.session.add(row)
        db.session.flush()
        hold = SeatReservation(
            reservation_id=ids.new_hex(), order_id=row.id, course_schedule_id=session, user_id=family.user_id,
            status="expired", expires_at=at, created_at=at, updated_at=at,
        )  # fmt: skip
        db.session.add(hold)
        db.session.flush()
        db.session.add(
            PaymentAttempt(
                order_id=row.id,
                reservation_id=hold.id,
                out_trade_no=row.order_id,
                trade_type="JSAPI",
                status="closed",
                time_expire=at,
                created_at=at,
                updated_at=at,
            )  # fmt: skip
        )
    return row


def tell(ago: timedelta, dedupe: str) -> None:
    with clock.travel(by=-ago), transaction():
        row = outbox.tell_staff("money", "staff.test", {"title": "标题", "colour": "blue", "lines": []}, dedupe=dedupe)
        db.session.execute(sa.update(Notification).where(Notification.id == row).values(status="sent"))


def went(lines) -> dict[str, int]:
    return {line.kind: line.rows for line in lines if line.rows}


def test_old_rows_go_young_ones_stay_and_each_kind_is_recorded_once(app, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 2)
    family = factories.make_family()
    for number in range(3):
        tell(OLD, f"old{number}")
    tell(YOUNG, "young")
    gone, kept = order(family, OLD).id, order(family, YOUNG).id
    expected = {"notifications": 3, "orders": 1}
    assert went(cleanup.look()) == expected
    assert went(cleanup.run(ME)) == expected
    assert list(db.session.scalars(sa.select(PaymentOrder.id))) == [kept]
    assert gone not in list(db.session.scalars(sa.select(PaymentAttempt.order_id)))
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1
    written = db.session.execute(
        sa.select(AuditEntry.target_id, AuditEntry.after).where(AuditEntry.action == "data.cleaned")
    ).all()
    assert {row.target_id: row.after["rows"] for row in written} == expected
    assert went(cleanup.run(ME)) == {}


def test_looking_changes_nothing(app):
    tell(OLD, "old")
    assert went(cleanup.look()) == {"notifications": 1} == went(cleanup.look())


def test_what_a_bill_or_money_names_stays(app):
    family = factories.make_family()
    billed, paid = order(family, OLD), order(family, OLD, status="paid", paid_at=clock.now() - OLD)
    kept = {billed.id, paid.id}
    with transaction():
        db.session.add(
            BillLine(day=clock.today(), line=1, kind="payment", number="4200001", out_trade_no=billed.order_id,
                     at=clock.now(), amount=Decimal("200.00"))
        )  # fmt: skip
    # A paid order stays for ever; what was tried for it in vain does not.
    assert went(cleanup.run(ME)) == {"attempts": 1, "holds": 1}
    assert set(db.session.scalars(sa.select(PaymentOrder.id))) == kept


def test_a_failing_batch_leaves_what_went_before_it_on_record(app, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 1)
    tell(OLD, "a")
    tell(OLD, "b")
    batch, calls = cleanup._batch, []

    def stopped(**span):
        calls.append(span)
        if len(calls) == 2:
            raise OSError("killed")
        return batch(**span)

    with monkeypatch.context() as patch:
        patch.setattr(cleanup, "_batch", stopped)
        with pytest.raises(OSError, match="killed"):
            cleanup.run(ME)
    assert db.session.scalar(sa.select(AuditEntry.after).where(AuditEntry.action == "data.cleaned"))["rows"] == 1
    assert went(cleanup.run(ME)) == {"notifications": 1}


def test_ended_sign_ins_go_and_running_ones_stay(app):
    family, now = factories.make_family(), clock.now()
    with transaction():
        for name, ends in (("a" * 32, now - timedelta(days=91)), ("b" * 32, now + timedelta(days=1))):
            db.session.add(UserSession(id=name, user_id=family.user_id, refresh_hash=name * 2, refresh_expires_at=ends,
                                       created_at=now - OLD, last_used_at=now))  # fmt: skip
    assert went(cleanup.run(ME)) == {"parent_sessions": 1}
    assert list(db.session.scalars(sa.select(UserSession.id))) == ["b" * 32]


@pytest.mark.parametrize(
    ("name", "too_short"),
    [("retention_audit", "9"), ("retention_money", "9"), ("retention_logs", "179d"), ("retention_tokens", "29d"),
     ("retention_notifications", "179d"), ("retention_orders", "179d"), ("retention_offers", "89d")],
)  # fmt: skip
def test_nobody_sets_a_kind_below_its_floor(name, too_short):
    policy = POLICIES[name]
    assert policy.guarded
    policy.parse(policy.default)
    with pytest.raises(ValueError, match=r"最短|之间"):
        policy.parse(too_short)
