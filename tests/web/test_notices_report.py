"""通知效果 and the exports of the notification centre: pages, links, who may look, hostile addresses."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.outbox import delivery, service
from app.domain.outbox.outcomes import Outcome, Result
from tests.domain.outbox.families import make_family as consenting_family
from tests.factories import make_family
from tests.portal import Browser

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)

CSV = {"format": "csv"}


def text(response) -> str:
    return response.get_data(as_text=True)


def table(response) -> list[list[str]]:
    assert response.status_code == 200
    assert response.mimetype == "text/csv"
    return list(csv.reader(io.StringIO(response.get_data().decode("utf-8-sig"))))


def settle(row_id: int, outcome: Outcome) -> None:
    delivery.settle(claimed=delivery.claim(notification_id=row_id), outcome=outcome)


@pytest.fixture
def told(app):
    """Four payment results in November: delivered, failed, refused by the parent, waiting; and a family that owes."""
    with clock.travel(to=NOON):
        family, _ = consenting_family(consents={"payment_result": 9})
        ids = []
        for number in range(4):
            with transaction():
                ids += service.tell_family(family, "payment_result", {}, dedupe=f"r{number}")
        settle(ids[0], Outcome(Result.SENT, message_id="m"))
        settle(ids[1], Outcome(Result.REFUSED, "40003", "家长的微信标识无效"))
        settle(ids[2], Outcome(Result.REFUSED, "43101", "家长没有授权", no_consent=True))
        make_family(balance="-320.00", parent="李女士")
        yield ids


def test_the_month_by_type_with_links_to_exactly_the_rows(app, told):
    browser = Browser(app).sign_in("auditor")
    page = text(browser.get("/notices/report?month=2026-11"))
    assert "通知效果" in page
    assert "50%" in page  # one of two that could be delivered
    for outcome, row_id in (("failed", told[1]), ("refused", told[2])):
        link = re.search(rf'href="(/notices\?[^"]*outcome={outcome}[^"]*)"', page)[1].replace("&amp;", "&")
        shown = text(browser.htmx(link))
        assert f'"/notices/{row_id}"' in shown
        assert sum(f'"/notices/{other}"' in shown for other in told) == 1
    assert "没有发给家长的消息" in text(browser.htmx("/notices/report?month=2026-01"))


@pytest.mark.parametrize("month", ["2026-13", "x", "0000-01", "9999-12", "2026-11-05", "1999-01", "２０２６-11"])
def test_a_month_that_makes_no_sense_is_this_one(app, told, month):
    page = text(Browser(app).sign_in("auditor").get(f"/notices/report?month={month}"))
    assert '<option value="2026-11" selected>' in page


def test_the_rows_behind_what_followed(app, told):
    browser = Browser(app).sign_in("finance")
    page = text(browser.get("/notices/report/arrears?month=2026-11&state=open"))
    assert "李女士家庭" in page
    assert "未到期" in page
    assert "没有符合条件的消息" in text(browser.htmx("/notices/report/arrears?month=2026-11&state=done"))
    assert "李女士家庭" in text(browser.htmx("/notices/report/arrears?month=2026-11&state=nonsense&before=x"))
    for kind in ("balance_changed", "nonsense"):
        assert browser.get(f"/notices/report/{kind}").status_code == 404


def test_the_arrears_of_a_month(app, told):
    browser = Browser(app).sign_in("finance")
    page = text(browser.get("/notices/report/settled?month=2026-11"))
    assert "李女士家庭" in page
    assert "通知未满 7 天" in page
    with clock.travel(to=NOON + timedelta(days=8)):
        late = Browser(app).sign_in("finance")
        assert "李女士家庭" in text(late.htmx("/notices/report/settled?month=2026-11&state=owing"))
        assert "没有符合条件的欠费" in text(late.htmx("/notices/report/settled?month=2026-11&state=recent"))


def test_the_report_as_csv_is_recorded(app, told):
    head, *lines, _mark = table(Browser(app).sign_in("manager").post("/exports/notice-report?month=2026-11", CSV))
    [line] = [line for line in lines if line[1] == "支付结果"]
    assert {name: cell for name, cell in zip(head, line, strict=True) if cell} == {
        "统计": "按类型", "项目": "支付结果", "送达率": "50%", "送达": "1", "失败": "1", "家长拒收": "1", "站内": "2",
        "站内已读": "0", "未完成": "1",
    }  # fmt: skip
    assert [line[1] for line in lines if line[0] == "按月"][-1] == "2026-11"
    [owing] = [line for line in lines if line[0] == "欠费"]
    assert owing[-5:] == ["通知后 7 天内结清", "0", "0", "1", ""]
    [row] = db.session.execute(db.text("SELECT target_id FROM audit_log WHERE action = 'export.made'"))
    assert row.target_id == "notice-report"


def test_the_delivery_page_as_csv_is_the_page(app, told):
    browser = Browser(app).sign_in("finance")
    assert "/exports/delivery?type=payment_result" in text(browser.get("/notices/delivery?type=payment_result"))
    asked = "type=payment_result&from=2026-11-19&to=2026-11-20"
    _, *lines, _mark = table(browser.post(f"/exports/delivery?{asked}", CSV))
    assert lines == [
        ["按天", "2026-11-19", "", "0", "0", "0", "0"],
        ["按天", "2026-11-20", "33.3%", "1", "2", "2", "1"],
        ["按类型", "支付结果", "33.3%", "1", "2", "2", "1"],
    ]
    row = db.session.execute(db.text("SELECT target_id, `after` FROM audit_log WHERE action = 'export.made'")).one()
    assert row.target_id == "delivery"
    assert "2026-11-19" in row.after
