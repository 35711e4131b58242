"""An arrears that lasts: who hears when, how often, that it ends by itself, and the money group's list (N7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.ledger import arrears
from app.domain.ledger import service as ledger
from app.domain.ledger.models import ArrearsStep, Wallet
from app.domain.outbox.models import MessageConsent, Notification
from app.domain.people.models import User
from app.domain.policy.models import PolicyValue
from tests.factories import make_family

pytestmark = pytest.mark.usefixtures("app")

#: 12:00 in the studio
DAY0 = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)


def post(family, amount: str, key: str, at: datetime) -> None:
    with clock.travel(to=at), transaction():
        ledger.post(
            ledger.lock_wallet(wallet_id=family.wallet_id), type="adjustment", amount=Decimal(amount),
            idempotency_key=f"{key}:{family.id}", reference_type="adjustment", reference_id=1, reason="测试",
            actor=system("test"),
        )  # fmt: skip


def owing(amount: str = "-320.00", at: datetime = DAY0, **more):
    with clock.travel(to=at):
        return make_family(balance=amount, **more)


def escalate(days: float = 0, *, at: datetime | None = None) -> arrears.Escalated:
    with clock.travel(to=at or DAY0 + timedelta(days=days)):
        return arrears.escalate()


def told(family) -> list[Notification]:
    query = sa.select(Notification).where(Notification.family_id == family.id, Notification.type == "arrears")
    return list(db.session.scalars(query.where(Notification.status != "suppressed").order_by(Notification.id)))


def occasions(family) -> list[str]:
    return [row.payload["occasion"] for row in told(family)]


def cards() -> list[Notification]:
    return list(db.session.scalars(sa.select(Notification).where(Notification.type == "wallet.arrears_list")))


def test_day_0_then_3_then_7_and_no_more():
    family = owing()
    assert occasions(family) == ["first"]
    for days, expected in (
        (2.99, ["first"]),
        (3, ["first", "second"]),
        (3.1, ["first", "second"]),
        (6.99, ["first", "second"]),
        (7, ["first", "second", "third"]),
        (8, ["first", "second", "third"]),
        (60, ["first", "second", "third"]),
    ):
        escalate(days)
        assert occasions(family) == expected, days
    second, third = told(family)[1:]
    assert second.text == "您的钱包欠费 ¥320.00 已有 3 天，请尽快充值，以免影响孩子上课。"
    assert third.text.startswith("您的钱包欠费 ¥320.00 已有 7 天，请立即充值")


def test_it_ends_by_itself_and_begins_anew():
    family = owing()
    escalate(3)
    post(family, "320.00", "paid", DAY0 + timedelta(days=4))
    escalate(7)
    assert occasions(family) == ["first", "second"]
    post(family, "-10.00", "again", DAY0 + timedelta(days=8))
    escalate(9)
    assert occasions(family) == ["first", "second", "first"]
    escalate(11)
    escalate(15)
    assert occasions(family) == ["first", "second", "first", "second", "third"]
    steps = db.session.execute(sa.select(ArrearsStep.step, ArrearsStep.owed).order_by(ArrearsStep.told_at)).all()
    assert [tuple(step) for step in steps] == [
        ("second", Decimal("320.00")), ("second", Decimal("10.00")), ("third", Decimal("10.00")),
    ]  # fmt: skip


def test_a_part_paid_leaves_the_arrears_as_old_as_it_is():
    family = owing()
    post(family, "300.00", "part", DAY0 + timedelta(days=2))
    escalate(3)
    assert told(family)[-1].payload | {"time": ""} == {"owed": "20.00", "time": "", "occasion": "second", "days": 3}


def test_steps_are_free_of_the_cooldown_and_others_are_not():
    family = owing()
    post(family, "-5.00", "more", DAY0 + timedelta(days=2, hours=23))
    assert occasions(family) == ["first", "again"]  # a day has passed since day 0
    escalate(3)  # an hour later
    assert occasions(family) == ["first", "again", "second"]
    post(family, "-5.00", "still-more", DAY0 + timedelta(days=3, hours=1))
    assert occasions(family) == ["first", "again", "second"]


def test_steps_wait_for_the_morning_and_day_0_does_not():
    night = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)  # 23:00 in the studio
    family = owing("10.00", at=night)
    with transaction():
        db.session.add(MessageConsent(user_id=family.user_id, type="arrears", remaining=5, updated_at=night))
    post(family, "-50.00", "debit", night)
    escalate(at=night + timedelta(days=3))
    first, second = told(family)
    assert (first.queue, first.next_attempt_at) == ("urgent", night)
    assert (second.queue, second.next_attempt_at) == ("default", datetime(2026, 11, 6, 0, 0, tzinfo=UTC))


def test_after_a_standstill_only_the_newest_step_is_told():
    family = owing()
    assert escalate(30).told == 1
    assert occasions(family) == ["first", "third"]
    assert escalate(30).told == 0


def test_every_parent_is_told_and_a_family_without_parents_is_no_obstacle():
    family, lonely = owing(), owing()
    with transaction():
        db.session.add(User(family_id=family.id, openid="openid-second", nickname="爸爸", registered_at=clock.now()))
        db.session.get(User, lonely.user_id).family_id = family.id
    assert escalate(3).told == 2
    assert [row.payload["occasion"] for row in told(family)].count("second") == 3
    assert escalate(3.5).told == 0


def test_paid_between_the_look_and_the_lock(monkeypatch):
    family = owing()
    since = db.session.scalar(sa.select(Wallet.arrears_since))
    post(family, "320.00", "paid", DAY0 + timedelta(days=3))
    monkeypatch.setattr(arrears, "_due", lambda *_: [(family.wallet_id, since)])
    assert escalate(3).told == 0
    assert occasions(family) == ["first"]


def test_two_runs_that_saw_the_same_tell_once(monkeypatch):
    family = owing()
    since = db.session.scalar(sa.select(Wallet.arrears_since))
    monkeypatch.setattr(arrears, "_due", lambda step, *_: [(family.wallet_id, since)] if step == "second" else [])
    assert [escalate(3).told, escalate(3).told] == [1, 0]
    assert occasions(family) == ["first", "second"]


def test_the_days_are_policies():
    family = owing()
    with transaction():
        db.session.add_all(
            PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test")
            for name, value in (("arrears_second_after", "1d"), ("arrears_third_after", "36h"))
        )
    escalate(1)
    escalate(1.5)
    assert occasions(family) == ["first", "second", "third"]


# ── the money group's list ──────────────────────────────────────────────────────────────────────────


def test_the_list_begins_on_day_7_and_comes_once_a_day_from_nine():
    owing(phone="13700001234", parent="李女士")
    assert not escalate(6.9).listed
    nine = datetime(2026, 11, 10, 1, 0, tzinfo=UTC)  # 09:00 in the studio, day 7 and more
    assert not escalate(at=nine - timedelta(seconds=1)).listed
    assert escalate(at=nine).listed
    assert not escalate(at=nine + timedelta(hours=5)).listed
    assert escalate(at=nine + timedelta(days=1, hours=9)).listed
    first, second = cards()
    assert (first.recipient, first.payload["title"]) == ("money", "欠费满 7 天：1 户，共 ¥320.00")
    assert first.payload["lines"] == [["李女士家庭 137****1234", "¥320.00 · 7 天"]]
    assert first.payload["link"]["path"] == "/arrears"
    assert second.payload["lines"][0][1] == "¥320.00 · 9 天"


def test_the_list_names_the_oldest_and_counts_the_rest():
    for number in range(13):
        owing(f"-{number + 1}.00", at=DAY0 + timedelta(hours=number), parent=f"家长{number:02d}")
    owing("-900.00", at=DAY0 + timedelta(days=10))  # too young
    paid = owing("-1000.00")
    post(paid, "1000.00", "paid", DAY0 + timedelta(days=1))
    escalate(9)
    [card] = cards()
    assert card.payload["title"] == "欠费满 7 天：13 户，共 ¥91.00"
    lines = card.payload["lines"]
    assert [line[0] for line in lines[:10]] == [f"家长{number:02d}家庭" for number in range(10)]
    assert lines[10] == ["还有", "3 户，见完整名单"]
    assert len(lines) == 11


def test_a_hostile_name_stays_on_its_line():
    owing(parent="<at id=all></at>\n欠费：0")
    escalate(8)
    [card] = cards()
    assert card.text.splitlines()[0] == "<at id=all></at> 欠费：0家庭：¥320.00 · 8 天"
