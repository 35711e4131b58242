"""欠费跟进: the list, its tabs and count, and its export."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.ledger import control
from tests.factories import make_family
from tests.portal import Browser, actor_of, make_staff


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


def text(response) -> str:
    return response.get_data(as_text=True)


def owing(balance: str, days: int, **more):
    with clock.travel(by=timedelta(days=-days)):
        return make_family(balance=balance, **more)


def test_the_list_with_its_tabs_and_count(front):
    long = owing("-120.00", 20, parent="<b>赵</b>", phone="13812345678")
    short, rich = owing("-700.00", 1), make_family(balance="5.00")
    page = text(front.get("/arrears"))
    assert "合计欠 ¥820.00" in page
    assert page.index(f"/families/{short.id}") < page.index(f"/families/{long.id}")
    assert f'"/families/{rich.id}"' not in page
    assert "138****5678" in page
    assert "13812345678" not in page
    assert "<b>赵</b>" not in page
    assert "暂停预约" in page
    assert "待联系" in page
    assert re.search(r"欠费跟进</span>\s*<span class=\"desk-count num\" title=\"1 项等待处理\">1<", page)
    late = text(front.htmx("/arrears?show=late"))
    assert "<html" not in late
    assert f"/families/{long.id}" in late
    assert f"/families/{short.id}" not in late
    blocked = text(front.get("/arrears?show=blocked"))
    assert f"/families/{short.id}" in blocked
    assert f"/families/{long.id}" not in blocked


def test_a_bypass_is_shown_until_it_ends(front):
    family = owing("-700.00", 1)
    manager = actor_of(make_staff("manager"))
    control.grant_bypass(family_id=family.id, until=clock.today(), reason="下周充值", actor=manager)
    assert "放行至" in text(front.get("/arrears"))
    assert "没有停约的家庭" in text(front.get("/arrears?show=blocked"))


def test_empty_and_nonsense(front):
    assert "没有家庭欠费" in text(front.get("/arrears"))
    assert "没有需要联系的家庭" in text(front.get("/arrears?show=late"))
    owing("-1.00", 0)
    for query in ("show=x", "before=x", "after=1_x", "before=%00", "before=" + "9" * 60):
        assert front.get(f"/arrears?{query}").status_code == 200


def test_the_start_page_leads_to_exactly_those(front):
    owing("-1.00", 20)
    page = text(front.get("/"))
    assert 'href="/arrears?show=late"' in page
    assert 'href="/arrears"' in page


def test_export_is_the_list_recorded_and_safe(front, finance):
    owing("-120.50", 20, parent="=HYPERLINK(1)", phone="13812345678")
    owing("-5.00", 0)
    assert "/exports/arrears" not in text(front.get("/arrears"))
    assert "/exports/arrears" in text(finance.get("/arrears"))
    file = finance.post("/exports/arrears?show=late", {"format": "csv"})
    assert file.headers["Content-Disposition"] == f'attachment; filename="arrears-{clock.today():%Y%m%d}.csv"'
    head, *rows, mark = text(file).strip().splitlines()
    assert head.startswith("\ufeff家庭编号,家庭,欠费")
    assert len(rows) == 1
    assert ",120.50," in rows[0]
    assert ",20,否," in rows[0]
    assert "'=HYPERLINK(1)" in rows[0]
    assert "138****5678" in rows[0]
    assert "分类：需要联系" in mark
    noted = db.session.scalar(sa.select(AuditEntry).where(AuditEntry.action == "export.made"))
    assert (noted.target_id, noted.after["rows"], noted.after["filters"]) == ("arrears", 1, {"分类": "需要联系"})
