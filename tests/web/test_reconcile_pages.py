"""对账 and 资金健康 in the portal (W24, W26)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import system
from app.domain.catalog.models import CourseSchedule
from app.domain.longjobs.models import LongJob
from app.domain.people.models import User
from app.domain.reconcile import bill, health, queries
from app.domain.reconcile.bill import Line
from app.domain.reconcile.models import BillKind
from app.money import from_fen
from tests.domain.orders.refunds import paid_trial
from tests.domain.reconcile.life import change
from tests.portal import Browser, make_staff

YESTERDAY = clock.today() - timedelta(days=1)
HOSTILE = "<img src=x onerror=alert(1)>"


def text(response) -> str:
    return response.get_data(as_text=True)


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture
def seeded(app):
    """Two differences of yesterday's bill: one with hostile text, one of an order of ours."""
    paid = paid_trial()
    number = db.session.execute(sa.text("SELECT transaction_id, out_trade_no FROM payment_transactions")).one()
    db.session.rollback()
    noon = clock.day_bounds(YESTERDAY)[0] + timedelta(hours=12)
    bill.record(
        day=YESTERDAY, actor=system("test"),
        lines=[Line(BillKind.PAYMENT, "42-unknown", HOSTILE, from_fen(8800), noon, from_fen(53)),
               Line(BillKind.PAYMENT, number.transaction_id, number.out_trade_no, from_fen(19900), noon)],
    )  # fmt: skip
    unknown, amount = sorted(queries.open_ones(), key=lambda row: row.kind == "payment_amount")
    return paid, unknown.id, amount.id


def test_the_list_under_its_filters(seeded, finance):
    paid, unknown, amount = seeded
    page = text(finance.get("/reconcile"))
    assert page.count("data-row>") == 2
    assert "账单付款 2 笔" in page
    assert "¥287.00" in page
    assert "付款金额不一致" in page
    for query, rows in (
        ("kind=payment_amount", 1), ("source=books", 0), ("status=settled", 0), ("status=all", 2),
        (f"family={paid.family.id}", 1), (f"from={clock.today()}", 0), (f"to={YESTERDAY}", 2),
        ("kind=nonsense&before=x", 2),
    ):  # fmt: skip
        assert text(finance.get(f"/reconcile?{query}")).count("data-row>") == rows, query
    assert HOSTILE not in text(finance.get(f"/reconcile/{unknown}"))
    assert f"/orders/{paid.order_id}" in text(finance.get(f"/reconcile/{amount}"))
    assert finance.get("/reconcile/999999").status_code == 404


def test_a_difference_of_ones_own_family_is_for_others(app, seeded):
    paid, _unknown, amount = seeded
    parent = db.session.get(User, paid.family.user_id)
    mother = Browser(app).sign_in(make_staff("finance", openid=parent.openid))
    assert "这是您自己的家庭" in text(mother.get(f"/reconcile/{amount}"))


def test_settled_with_a_note(seeded, finance):
    _, unknown, _ = seeded
    url = f"/reconcile/{unknown}"
    empty = finance.post(f"{url}/settle", {"note": "  "})
    assert (empty.status_code, "请写明核对的结果" in text(empty)) == (422, True)
    done = finance.post(f"{url}/settle", {"note": "商户平台测试付款，已原路退回"})
    assert done.status_code == 303
    page = text(finance.get(url))
    assert "商户平台测试付款，已原路退回" in page
    assert f"{url}/settle" not in page
    assert queries.open_count() == 1


def test_stale_figures_are_not_settled(seeded, finance):
    _, unknown, _ = seeded
    url = f"/reconcile/{unknown}"
    refused = finance.post(f"{url}/settle", {"note": "好", "version": "0" * 64})
    assert (refused.status_code, "内容有了变化" in text(refused)) == (409, True)
    assert queries.difference(unknown).status == "open"


def test_who_only_looks_finds_no_form(seeded, app):
    page = text(Browser(app).sign_in("auditor").get(f"/reconcile/{seeded[1]}"))
    assert "由财务或店长处理" in page
    assert "/settle" not in page


def test_run_now_is_long_work(app, finance):
    key = {"day": YESTERDAY.isoformat(), "request_token": "a" * 32}
    for _ in range(2):  # a double click
        asked = finance.post("/reconcile/run", key)
        job = db.session.query(LongJob).one()
        assert (asked.status_code, asked.location) == (303, f"/long-jobs/{job.id}")
        assert (job.kind, job.status, job.total) == ("reconcile", "queued", 7)
        db.session.rollback()


@pytest.mark.parametrize("day", ["", "gestern", "2001-01-01", "2026-02-30", "9999-12-31"])
def test_a_day_without_a_bill_is_refused_in_place(finance, day):
    refused = finance.post("/reconcile/run", {"day": day})
    assert (refused.status_code, "请选择昨天或更早的日子" in text(refused)) == (422, True)
    assert db.session.query(LongJob).count() == 0


def test_today_has_no_bill_yet(finance):
    refused = finance.post("/reconcile/run", {"day": clock.today().isoformat()})
    assert refused.status_code == 422


def test_exported_as_listed(seeded, finance):
    taken = finance.post("/exports/reconcile", {"format": "csv"})
    assert taken.status_code == 200
    assert "账单有付款，系统没有" in taken.get_data().decode("utf-8-sig")


def test_the_health_of_the_money(seeded, finance):
    assert "还没检查" in text(finance.get("/health-money"))
    health.run(full=True)
    page = text(finance.get("/health-money"))
    assert page.count("data-row><td") == len(health.CHECKS)
    assert "还没检查" not in page
    assert "请勿修改数据" not in page
    session = seeded[0].session
    change(CourseSchedule, session, booked=2)
    health.run(full=True)
    page = text(finance.get("/health-money"))
    assert "不符 1 处" in page
    assert f"/schedule/{session}" in page


def test_the_exceptions_board_leads_here(seeded, finance):
    page = text(finance.get("/exceptions"))
    assert "对账差异 2<" in page
    assert "/reconcile/" in page
