"""The start page: its figures against data counted by hand, and each role's share of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.outbox.models import Notification
from app.domain.reports import home
from tests.factories import make_family
from tests.portal import Browser

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)  # 12:00 in the studio


def test_money_counts_by_studio_day(app):
    # 00:30 in the studio is still the day before in UTC.
    with clock.travel(to=datetime(2026, 11, 20, 16, 30, tzinfo=UTC)):
        make_family(balance="300.00")
    with clock.travel(to=datetime(2026, 11, 20, 15, 30, tzinfo=UTC)):
        make_family(balance="70.00")
    with clock.travel(to=NOON):
        make_family(balance="-50.00")
        days = home.money_by_day(3)
    assert [(str(d.on), d.money_in, d.money_out) for d in days] == [
        ("2026-11-19", Decimal("0.00"), Decimal("0.00")),
        ("2026-11-20", Decimal("70.00"), Decimal("0.00")),
        ("2026-11-21", Decimal("300.00"), Decimal("50.00")),
    ]


def test_arrears_and_groups(app):
    for balance in ("-600.00", "-600.01", "-0.01", "0.00", "199.99", "200.00", "1000.00", "5000.00"):
        make_family(balance=balance)
    owed = home.arrears()
    assert (owed.families, owed.total) == (3, Decimal("1200.02"))
    assert [count for _, count in home.balance_groups()] == [1, 2, 2, 1, 1, 1]


def test_failed_messages_of_a_week(app):
    with transaction():
        for days, status in ((1, "failed"), (8, "failed"), (0, "sent")):
            db.session.add(
                Notification(
                    channel="wechat", type="arrears", recipient="x", payload={}, dedupe_key=f"home-{days}-{status}",
                    status=status, created_at=clock.now() - timedelta(days=days),
                )
            )  # fmt: skip
    assert home.notices_failed() == 1
    today = home.delivery_by_day()[-1]
    assert (today.sent, today.failed, today.waiting) == (1, 0, 0)


@pytest.mark.parametrize(
    ("role", "shown", "hidden"),
    [
        ("finance", ["待审批的调整", "今日入账"], []),
        ("manager", ["待复核的变更", "今日入账"], []),
        ("front_desk", ["待补凭证", "今日入账"], ["待复核的变更"]),
        ("admin", ["待复核的变更"], ["今日入账", "待审批的调整"]),
    ],
)
def test_each_role_sees_its_share(app, role, shown, hidden):
    make_family(balance="10.00")
    text = Browser(app).sign_in(role).get("/").get_data(as_text=True)
    assert all(word in text for word in shown)
    assert not any(word in text for word in hidden)


def test_system_page(app):
    browser = Browser(app).sign_in("admin")
    assert "outbox_sweep" in browser.get("/system").get_data(as_text=True)
    assert "<html" not in browser.htmx("/system").get_data(as_text=True)
