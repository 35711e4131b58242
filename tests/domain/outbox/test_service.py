"""What is written into the outbox, for whom, and when it may go."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import transaction, transactional
from app.domain.outbox import service
from tests.domain.outbox.families import make_family, prefer, rows

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # 12:00 at the studio
NIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # 23:00 at the studio
MORNING = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)  # 08:00 the next day
COURSE = {"course": "启蒙课", "starts_at": "2026-11-20T11:00:00+00:00", "student": "小雨", "venue": "一号馆"}


@transactional
def change(family_id, number=1, amount="500.00", balance="620.00", **flags):
    service.balance_changed(
        family_id=family_id,
        transaction_id=number,
        type="recharge",
        amount=Decimal(amount),
        balance=Decimal(balance),
        reason="前台收款",
        **({"low": False, "arrears": False, "first_arrears": False} | flags),
    )


@transactional
def tell(*args, **kwargs):
    return service.tell_family(*args, **kwargs)


def test_every_parent_of_the_family_is_told_of_money(app):
    family, users = make_family(parents=2, consents={"balance_changed": 1})
    with clock.travel(to=NOON):
        change(family)
    made = rows(family_id=family)
    assert [(r.user_id, r.channel, r.status, r.type) for r in made] == [
        (u, "wechat", "pending", "balance_changed") for u in users
    ]
    assert made[0].next_attempt_at == NOON
    assert made[0].payload["amount"] == "500.00"
    assert made[0].payload["change"] == "充值"


def test_without_consent_the_message_is_in_app_at_once(app):
    family, [user] = make_family()
    change(family)
    [row] = rows(family_id=family)
    assert (row.channel, row.status, row.error_code, row.user_id) == ("in_app", "sent", "no_consent", user)
    assert row.title == "余额变动通知"
    assert row.text == "您的钱包充值 ¥500.00，当前余额 ¥620.00。备注：前台收款"
    assert row.page == "pages/wallet/index"


def test_nothing_is_written_outside_a_transaction(app):
    with pytest.raises(RuntimeError):
        service.tell_family(1, "arrears", {}, dedupe="x")
    with pytest.raises(RuntimeError):
        service.tell_staff("money", "t", {"title": "t", "colour": "red"}, dedupe="x")
    with pytest.raises(RuntimeError):
        service.balance_changed(
            family_id=1, transaction_id=1, type="recharge", amount=Decimal(1), balance=Decimal(1), reason=None,
            low=False, arrears=False, first_arrears=False,
        )  # fmt: skip


def test_a_rolled_back_operation_leaves_no_message(app):
    family, _ = make_family(consents={"arrears": 1})

    @transactional
    def fail():
        service.tell_family(family, "arrears", {"owed": "1.00"}, dedupe="x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rows(family_id=family) == []


def test_the_same_event_is_told_once(app):
    family, _ = make_family(parents=2)
    assert len(tell(family, "withdrawal_result", {"amount": "1.00"}, dedupe="w1")) == 2
    assert tell(family, "withdrawal_result", {"amount": "1.00"}, dedupe="w1") == []
    assert len(tell(family, "withdrawal_result", {"amount": "1.00"}, dedupe="w2")) == 2


def test_cooldown_counts_per_family_and_type_and_rolls(app):
    family, _ = make_family(parents=2, consents={"low_balance": 9})
    other, _ = make_family(consents={"low_balance": 9})
    with clock.travel(to=NOON):
        change(family, 1, low=True)
        change(family, 2, low=True)
        change(other, 3, low=True)
    with clock.travel(to=NOON + timedelta(hours=23, minutes=59)):
        change(family, 4, low=True)
    with clock.travel(to=NOON + timedelta(hours=24)):
        change(family, 5, low=True)
        change(family, 6, low=True)
    told = [r.payload["transaction_id"] for r in rows(family_id=family, type="low_balance", status="pending")]
    held = rows(family_id=family, type="low_balance", status="suppressed")
    assert told == [1, 1, 5, 5]
    assert [r.payload["transaction_id"] for r in held] == [2, 2, 4, 4, 6, 6]
    assert {r.error_code for r in held} == {"cooldown"}
    assert len(rows(family_id=other, type="low_balance", status="pending")) == 1


def test_every_change_of_the_balance_is_told(app):
    family, _ = make_family(consents={"balance_changed": 9})
    with clock.travel(to=NOON):
        change(family, 1)
        change(family, 2)
        change(family, 2)
    assert [r.payload["transaction_id"] for r in rows(family_id=family, status="pending")] == [1, 2]


def test_low_balance_and_arrears_are_their_own_types_and_never_both(app):
    family, _ = make_family(consents={"low_balance": 5, "arrears": 5, "balance_changed": 5})
    with clock.travel(to=NOON):
        change(family, 1, "-100.00", "150.00", low=True)
        change(family, 2, "-200.00", "-50.00", low=True, arrears=True, first_arrears=True)
    pending = rows(family_id=family, status="pending")
    assert [r.type for r in pending] == ["balance_changed", "low_balance", "balance_changed", "arrears"]
    assert pending[3].payload["owed"] == "50.00"
    assert pending[3].queue == "urgent"


def test_first_arrears_ignores_cooldown_and_quiet_hours_and_later_ones_share_one(app):
    family, _ = make_family(consents={"arrears": 9})
    with clock.travel(to=NIGHT):
        change(family, 1, "-1.00", "-1.00", arrears=True, first_arrears=True)
        change(family, 2, "-1.00", "-2.00", arrears=True)
        change(family, 3, "-1.00", "-1.00", arrears=True, first_arrears=True)
    told = rows(family_id=family, type="arrears", status="pending")
    assert [r.payload["transaction_id"] for r in told] == [1, 3]
    assert {r.next_attempt_at for r in told} == {NIGHT}


def test_arrears_after_a_debit_says_so_in_the_remark(app):
    family, _ = make_family(consents={"balance_changed": 1})
    change(family, 1, "-200.00", "-80.00")
    assert rows(family_id=family)[0].payload["remark"] == "已欠费¥80.00"


def test_quiet_hours_make_it_wait_till_morning_unless_urgent(app):
    family, [user] = make_family(consents={"balance_changed": 1, "payment_result": 1})
    with clock.travel(to=NIGHT):
        change(family)
        tell(family, "payment_result", {"course": "体验课"}, dedupe="o1")
    waiting, urgent = rows(family_id=family)
    assert waiting.next_attempt_at == MORNING
    assert (urgent.next_attempt_at, urgent.queue) == (NIGHT, "urgent")


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("21:29", "21:29"),
        ("21:30", "08:00+1"),
        ("23:59", "08:00+1"),
        ("00:00", "08:00"),
        ("07:59", "08:00"),
        ("08:00", "08:00"),
        ("12:00", "12:00"),
    ],
)
def test_quiet_hours_over_midnight(local, expected):
    day = datetime(2026, 11, 20, tzinfo=clock.STUDIO_ZONE)
    now = day.replace(hour=int(local[:2]), minute=int(local[3:]))
    wanted = day.replace(hour=int(expected[:2]), minute=int(expected[3:5])) + timedelta(days=expected.endswith("+1"))
    assert service.send_at(now.astimezone(UTC), (time(21, 30), time(8)), urgent=False) == wanted


def test_quiet_hours_within_a_day_and_off():
    noon = datetime(2026, 11, 20, 4, 30, tzinfo=UTC)
    assert service.send_at(noon, (time(12), time(14)), urgent=False) == noon.replace(hour=6, minute=0)
    assert service.send_at(noon, (time(13), time(14)), urgent=False) == noon
    assert service.send_at(noon, None, urgent=False) == noon


def test_a_parent_who_turned_it_off_is_not_told_but_the_other_is(app):
    family, [one, two] = make_family(parents=2, consents={"balance_changed": 1})
    prefer(one, "balance_changed", False)
    with clock.travel(to=NOON):
        change(family)
    assert [(r.user_id, r.status, r.error_code) for r in rows(family_id=family)] == [
        (one, "suppressed", "preference"),
        (two, "pending", None),
    ]


def test_preferences_never_hold_back_what_is_not_switchable(app):
    family, [user] = make_family()
    prefer(user, "payment_result", False)
    assert len(tell(family, "payment_result", {}, dedupe="o")) == 1


def test_all_parents_off_writes_nothing_that_tells(app):
    family, [user] = make_family()
    prefer(user, "balance_changed", False)
    change(family)
    assert [r.status for r in rows(family_id=family)] == ["suppressed"]


def test_booking_messages_go_to_who_acted_and_to_who_opted_in(app):
    family, [one, two, three] = make_family(parents=3)
    prefer(three, "booking_made", True)
    told = tell(family, "booking_made", COURSE | {"booking_id": 7}, dedupe="b7", user_id=one)
    assert [r.user_id for r in rows(family_id=family)] == [one, three]
    assert len(told) == 2
    assert rows(family_id=family)[0].page == "pages/booking/detail?booking_id=7"


def test_a_long_or_foreign_dedupe_key_is_kept_as_its_digest(app):
    family, _ = make_family()
    for name in ("长" * 60, "x" * 200):
        assert len(tell(family, "withdrawal_result", {}, dedupe=name)) == 1
        assert tell(family, "withdrawal_result", {}, dedupe=name) == []
    assert all(r.dedupe_key.startswith("sha:") for r in rows(family_id=family))


def test_an_unknown_type_is_a_bug(app):
    with pytest.raises(KeyError), transaction():
        service.tell_family(1, "nonsense", {}, dedupe="x")


CARD = {
    "title": "余额调整已完成",
    "colour": "green",
    "lines": [["家庭", "张女士家庭"], ["金额", "+¥500.00"]],
    "link": {"text": "查看", "path": "/adjustments/1"},
}


@transactional
def tell_staff(*args, **kwargs):
    return service.tell_staff(*args, **kwargs)


def test_a_card_is_written_once_per_event(app):
    first = tell_staff("money", "staff.adjustment_completed", CARD, dedupe="a1")
    assert tell_staff("money", "staff.adjustment_completed", CARD, dedupe="a1") is None
    [row] = rows(id=first)
    assert (row.channel, row.recipient, row.status, row.queue) == ("feishu", "money", "pending", "default")
    assert row.text == "家庭：张女士家庭\n金额：+¥500.00"
    assert row.payload == CARD


@pytest.mark.parametrize(
    ("group", "card"),
    [
        ("nobody", CARD),
        ("money", CARD | {"title": ""}),
        ("money", CARD | {"colour": "pink"}),
        ("money", CARD | {"lines": [["only"]]}),
        ("money", CARD | {"link": {"text": "x", "path": "https://evil.example"}}),
    ],
)
def test_a_card_without_form_is_refused(app, group, card):
    with pytest.raises(ValueError):
        tell_staff(group, "staff.test", card, dedupe="x")


def test_a_broken_constraint_is_not_taken_for_a_repetition(app):
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError), transaction():
        service.add(dedupe_key="k", channel="wechat", type="arrears", recipient="o", payload={}, user_id=987654321)


def test_the_doorbell_rings_for_what_is_due_and_not_for_the_night(app):
    family, _ = make_family(consents={"balance_changed": 1})
    with clock.travel(to=NIGHT), transaction() as state:
        service.tell_family(family, "balance_changed", {}, dedupe="a")
        assert state.wake == set()
    with clock.travel(to=NOON), transaction() as state:
        row = service.tell_staff("system", "staff.test", CARD, dedupe="b", queue="bulk")
        assert state.wake == {("bulk", row)}
