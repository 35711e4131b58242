"""Withdrawals over HTTP: the list, one in full, approving, rejecting, paying with its receipt, where they are met."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db
from app.domain.desk.models import Receipt
from app.domain.ledger import control
from tests.domain.withdrawals.steps import approve, balance, pay, request, row
from tests.factories import make_family
from tests.gateways.receipt_files import pdf, png
from tests.portal import Browser, actor_of, make_staff

HOSTILE = "<img src=x onerror=alert(1)>'\"; DROP TABLE withdrawals; --"
FILES = {"content_type": "multipart/form-data"}


@pytest.fixture
def family(app):
    return make_family(parent="章女士", balance="300.00", phone="13812345678")


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


def text(response) -> str:
    return response.get_data(as_text=True)


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(response)))


def act(browser, asked: int, verb: str, data: dict | None = None, *, htmx: bool = True, **kwargs):
    data = {"version": row(asked).version, **(data or {})}
    return (browser.htmx if htmx else browser.post)(f"/withdrawals/{asked}/{verb}", data, **kwargs)


def file(content: bytes, name: str = "slip.png") -> dict:
    return {"receipts": (io.BytesIO(content), name)}


def listed(browser, **args) -> list[int]:
    page = text(browser.get("/withdrawals", query_string=args))
    return [int(number) for number in dict.fromkeys(re.findall(r'href="/withdrawals/(\d+)"', page))]


# ── two persons, one payment ────────────────────────────────────────────────────────────────────────


def test_one_approves_another_pays(finance, manager, family):
    asked = request(family, reason=HOSTILE)
    page = text(finance.get(f"/withdrawals/{asked}"))
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    for said in ("章女士家庭", "待审批", "批准提现 ¥100.00", "¥300.00"):
        assert said in words(finance.get(f"/withdrawals/{asked}"))
    done = act(finance, asked, "approve")
    assert done.status_code == 200
    assert "desk:withdrawal-changed" in done.headers["HX-Trigger"]
    assert "须由另一位同事打款" in words(done)
    assert "/pay" not in text(done)
    own = act(finance, asked, "pay", {"method": "cash", "note": "当面"})
    assert (own.status_code, "须由另一位同事打款" in words(own)) == (403, True)

    paid = act(
        manager, asked, "pay", {"method": "alipay", "external_no": "2026 1121", **file(png())}, htmx=False, **FILES
    )
    assert (paid.status_code, paid.location) == (303, f"/withdrawals/{asked}")
    shown = words(manager.get(paid.location))
    for said in ("已打款", "支付宝", "20261121", "打款凭证"):
        assert said in shown
    kept = row(asked)
    assert (kept.status, kept.paid_by, kept.method) == ("paid", manager.staff.id, "alipay")
    receipt = db.session.query(Receipt).filter_by(withdrawal_id=asked).one()
    assert manager.get(f"/receipts/{receipt.id}").status_code == 200
    assert manager.get(f"/receipts/{receipt.id}/where").location.endswith(f"/withdrawals/{asked}")
    assert act(manager, asked, "pay", {"method": "cash", "note": "再付一次"}).status_code == 409


def test_a_payment_that_is_refused_keeps_its_files_and_words(finance, manager, family):
    asked = request(family)
    approve(asked, finance.staff)
    wrong = {"method": "cash", "external_no": "4200", "note": "说明", **file(pdf(), "回单.pdf")}
    refused = act(manager, asked, "pay", wrong, **FILES)
    assert refused.status_code == 422
    assert "现金没有转账单号" in words(refused)
    assert "回单.pdf" in words(refused)
    assert re.search(r'value="cash"[^>]*checked|checked[^>]*value="cash"', text(refused))
    token = re.search(r'name="kept" value="([^"]+)"', text(refused))[1]
    again = act(manager, asked, "pay", {"method": "bank_transfer", "kept": token})
    assert again.status_code == 200
    assert db.session.query(Receipt).one().media_type == "application/pdf"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "请选择打款方式"),
        ({"method": "pos"}, "请选择打款方式"),
        ({"method": "alipay"}, "请上传这次打款的回单"),
        ({"method": "cash"}, "当面交给了谁"),
        ({"method": "alipay", "external_no": "号"}, "转账单号只能是"),
        ({"method": "alipay", "receipts": (io.BytesIO(b"no picture"), "a.png")}, "按内容判断"),
    ],
)
def test_what_a_payment_lacks(finance, manager, family, data, said):
    asked = request(family)
    approve(asked, finance.staff)
    if "receipts" in data:
        data = data | file(b"no picture")
    refused = act(manager, asked, "pay", data, **FILES)
    assert (refused.status_code, said in words(refused)) == (422, True)
    assert row(asked).status == "approved"
    assert db.session.query(Receipt).count() == 0


def test_a_receipt_that_was_used_before(finance, manager, family):
    first, second = request(family), request(family)
    for asked in (first, second):
        approve(asked, finance.staff)
    assert act(manager, first, "pay", {"method": "alipay", **file(png())}, **FILES).status_code == 200
    refused = act(manager, second, "pay", {"method": "alipay", **file(png())}, **FILES)
    assert (refused.status_code, "这个凭证以前用过" in words(refused)) == (422, True)
    assert row(second).status == "approved"


# ── saying no ───────────────────────────────────────────────────────────────────────────────────────


def test_rejecting_wants_a_reason_and_gives_the_money_back(finance, family):
    asked = request(family)
    refused = act(finance, asked, "reject", {"note": " "})
    assert (refused.status_code, "请填写原因，家长会看到" in words(refused)) == (422, True)
    done = act(finance, asked, "reject", {"note": HOSTILE}, htmx=False)
    assert done.status_code == 303
    shown = finance.get(done.location)
    assert "<img src=x" not in text(shown)
    for said in ("已驳回", "驳回原因", "已退回"):
        assert said in words(shown)
    assert balance(family) == Decimal("300.00")
    late = act(finance, asked, "approve")
    assert (late.status_code, "这笔提现已驳回" in words(late)) == (409, True)


def test_what_could_not_be_paid(finance, manager, family):
    asked = request(family)
    approve(asked, finance.staff)
    assert act(finance, asked, "fail", {"note": ""}).status_code == 422
    done = act(finance, asked, "fail", {"note": "账号不存在"})
    assert "打款失败" in words(done)
    assert balance(family) == Decimal("300.00")


# ── who, when, how often ────────────────────────────────────────────────────────────────────────────


def test_a_stale_page_an_old_proof_and_no_token_decide_nothing(finance, family):
    asked = request(family)
    stale = finance.htmx(f"/withdrawals/{asked}/approve", {"version": "7"})
    assert (stale.status_code, "内容有了变化" in words(stale)) == (409, True)
    for verb in ("approve", "reject", "pay", "fail"):
        assert act(finance, asked, verb, {"request_token": "", "note": "x", "method": "cash"}).status_code == 422
        assert finance.get(f"/withdrawals/{asked}/{verb}").status_code == 405
        assert finance.post(f"/withdrawals/999999/{verb}", {"note": "x", "method": "cash"}).status_code == 404
    with clock.travel(by=timedelta(minutes=11)):
        answer = act(finance, asked, "approve")
    assert answer.status_code == 403
    assert "desk:step-up" in answer.headers["HX-Trigger"]
    assert row(asked).version == 1


def test_the_same_click_twice(finance, family):
    asked = request(family)
    token = {"request_token": "a" * 32, "version": "1"}
    assert finance.htmx(f"/withdrawals/{asked}/approve", token).status_code == 200
    again = finance.htmx(f"/withdrawals/{asked}/approve", token)
    assert again.status_code in (200, 303)
    assert row(asked).version == 2


def test_own_family_is_said_and_the_auditor_only_reads(app, finance, family):
    asked = request(family)
    mother = Browser(app).sign_in(make_staff("manager", family_id=family.id))
    page = text(mother.get(f"/withdrawals/{asked}"))
    assert "这是您自己的家庭" in page
    assert "/approve" not in page
    assert act(mother, asked, "approve").status_code == 403
    auditor = Browser(app).sign_in("auditor")
    for status, said in (("requested", "等待财务或店长审批"), ("approved", "等待财务或店长打款")):
        if status == "approved":
            approve(asked, finance.staff)
        page = text(auditor.get(f"/withdrawals/{asked}"))
        assert said in page
        assert "<form" not in page.split('id="withdrawal-detail"')[1].split("</main>")[0]


def test_a_frozen_wallet_is_said(finance, manager, family):
    asked = request(family)
    control.freeze(family_id=family.id, reason="核实", actor=actor_of(manager.staff))
    assert "请先弄清冻结的原因" in words(finance.get(f"/withdrawals/{asked}"))


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_filters_by_the_address(finance, manager, family):
    assert "还没有提现" in text(finance.get("/withdrawals"))
    assert "没有等待处理的提现" in text(finance.get("/withdrawals?status=open"))
    first, second, third = request(family), request(family), request(make_family(balance="100.00"))
    approve(second, finance.staff)
    approve(third, finance.staff)
    pay(third, manager.staff, "cash", note="当面")
    assert listed(finance) == [third, second, first]
    assert listed(finance, status="open") == [second, first]
    assert listed(finance, status="paid") == [third]
    assert listed(finance, method="cash") == [third]
    assert listed(finance, family=family.id) == [second, first]
    assert listed(finance, before=second) == [first]
    assert listed(finance, status="nonsense", method="pos") == [third, second, first]
    tomorrow = (clock.today() + timedelta(days=1)).isoformat()
    assert "没有符合条件的提现" in text(finance.get("/withdrawals", query_string={"from": tomorrow}))
    fragment = text(finance.htmx("/withdrawals?status=open"))
    assert fragment.lstrip().startswith('<div id="withdrawals"')


def test_counted_on_the_start_page_and_in_the_menu(finance, family):
    request(family)
    approve(request(family), finance.staff)
    page = text(finance.get("/"))
    assert re.search(r"待处理的提现\s*</span>\s*<strong[^>]*>2<", page)
    assert "1 笔待审批，1 笔待打款" in page
    assert re.search(r'href="/withdrawals"[^>]*>(?:(?!</a>).)*提现(?:(?!</a>).)*\b2\b', page, re.DOTALL)


def test_the_family_page_has_them_and_its_transactions_lead_there(app, finance, family):
    assert "没有提现" in text(finance.get(f"/families/{family.id}/withdrawals"))
    asked = request(family)
    page = text(finance.get(f"/families/{family.id}/withdrawals"))
    assert f'href="/withdrawals/{asked}"' in page
    assert "待审批" in words(finance.get(f"/families/{family.id}/withdrawals"))
    assert f'href="/withdrawals/{asked}"' in text(finance.get(f"/families/{family.id}"))
    front = Browser(app).sign_in("front_desk")
    assert f"/families/{family.id}/withdrawals" not in text(front.get(f"/families/{family.id}"))


def test_the_list_as_a_file(finance, family):
    request(family, reason="=HYPERLINK(1)")
    request(make_family(balance="100.00"))
    taken = text(finance.post(f"/exports/withdrawals?status=open&family={family.id}", {"format": "csv"}))
    assert taken.count("待审批") == 1
    assert "100.00" in taken
    assert "\n=HYPERLINK" not in taken
    assert ",=HYPERLINK" not in taken
