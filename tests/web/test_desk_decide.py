"""One adjustment over HTTP: approve, reject, withdraw, bring its receipt, undo; lists; receipts; wallet controls."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.domain.desk import queries
from tests.domain.desk.desk import ask, balance, receipt, row
from tests.factories import make_family
from tests.gateways.receipt_files import pdf, png
from tests.portal import Browser, make_staff


@pytest.fixture
def family(app):
    return make_family(balance="120.00", phone="13700001234")


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


def text(response) -> str:
    return response.get_data(as_text=True)


def act(browser, asked, verb, data=None, *, htmx=True, **kwargs):
    url = f"/adjustments/{asked.adjustment_id}/{verb}"
    data = {"version": row(asked.adjustment_id).version, **(data or {})}
    return browser.htmx(url, data, **kwargs) if htmx else browser.post(url, data, **kwargs)


def file(content: bytes, name: str = "slip.png") -> dict:
    return {"receipts": (io.BytesIO(content), name)}


# ── deciding ────────────────────────────────────────────────────────────────────────────────────────


def test_approve_in_place(front, manager, family):
    asked = ask(front.staff, family)
    panel = text(manager.htmx(f"/adjustments/{asked.adjustment_id}"))
    for words in (
        "前台只能申请",
        "批准，增加 ¥500.00",
        "¥120.00",
        "¥620.00",
        "小前台" if False else front.staff.display_name,
    ):
        assert words in panel
    done = act(manager, asked, "approve")
    assert 'id="adjustment-detail"' in text(done)
    assert "已完成" in text(done)
    assert "desk:adjusted" in json.loads(done.headers["HX-Trigger"])
    assert balance(family) == Decimal("620.00")


def test_approve_without_script(front, manager, family):
    asked = ask(front.staff, family)
    done = act(manager, asked, "approve", htmx=False)
    assert (done.status_code, done.location) == (303, f"/adjustments/{asked.adjustment_id}")
    assert "已为 张女士家庭 增加 ¥500.00" in text(manager.get(done.location))


def test_reject_wants_a_reason_and_keeps_the_page(front, manager, family):
    asked = ask(front.staff, family)
    refused = act(manager, asked, "reject", {"reason": " "})
    assert refused.status_code == 422
    assert "请填写原因" in text(refused)
    done = act(manager, asked, "reject", {"reason": "<b>凭证不清</b>"})
    assert "&lt;b&gt;凭证不清&lt;/b&gt;" in text(done)
    assert "已驳回" in text(done)
    late = act(manager, asked, "approve")
    assert late.status_code == 409
    assert "已取消（已驳回）" in text(late)


def test_the_second_person_is_told_what_changed(app, front, manager, family):
    asked = ask(front.staff, family, payment_method="pos", receipts=[receipt()])
    seen = row(asked.adjustment_id).version
    act(front, asked, "receipts", file(png()), content_type="multipart/form-data")
    told = manager.htmx(f"/adjustments/{asked.adjustment_id}/approve", {"version": seen})
    assert told.status_code == 409
    assert "内容有了变化" in text(told)
    assert "补充凭证" in text(told), "what changed stands in its history"
    assert act(manager, asked, "approve").status_code == 200


def test_nobody_is_offered_their_own(manager, family):
    asked = ask(manager.staff, family, "5000")
    panel = text(manager.htmx(f"/adjustments/{asked.adjustment_id}"))
    assert "须由另一位同事审批" in panel
    assert "/approve" not in panel
    refused = act(manager, asked, "approve")
    assert (refused.status_code, "须由另一位同事审批" in text(refused)) == (403, True)
    assert "已撤回" in text(act(manager, asked, "withdraw", {"reason": "写错了"})) or row(asked.adjustment_id).cause
    assert row(asked.adjustment_id).cause == "withdrawn"


def test_own_family_is_said(app, front, family):
    asked = ask(front.staff, family)
    mother = Browser(app).sign_in(make_staff("manager", family_id=family.id))
    panel = text(mother.htmx(f"/adjustments/{asked.adjustment_id}"))
    assert "这是您自己的家庭" in panel
    assert "/approve" not in panel
    assert act(mother, asked, "approve").status_code == 403


def test_an_old_proof(front, manager, family):
    asked = ask(front.staff, family)
    with clock.travel(by=timedelta(minutes=11)):
        answer = act(manager, asked, "approve")
    assert answer.status_code == 403
    assert "desk:step-up" in answer.headers["HX-Trigger"]
    assert row(asked.adjustment_id).status == "pending"


def test_what_lapsed_is_said(front, manager, family):
    asked = ask(front.staff, family)
    with clock.travel(by=timedelta(hours=25)):
        manager.sign_in(manager.staff)
        assert "已超过审批时限" in text(manager.get(f"/adjustments/{asked.adjustment_id}"))
        answer = act(manager, asked, "approve")
        assert (answer.status_code, "自动失效" in text(answer)) == (409, True)
        assert "没有等待审批的调整" in text(manager.get("/approvals"))


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw", "receipts", "undo-request"])
def test_without_a_request_token_nothing_happens(front, manager, family, verb):
    asked = ask(front.staff, family, payment_method="pos")
    browser = front if verb in ("withdraw", "receipts") else manager
    data = {"request_token": "", "reason": "x", **(file(png()) if verb == "receipts" else {})}
    answer = act(browser, asked, verb, data, content_type="multipart/form-data")
    assert answer.status_code in (409, 422)
    assert row(asked.adjustment_id).status == "pending"


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw", "receipts", "undo", "undo-request"])
def test_get_changes_nothing_and_unknown_is_404(manager, family, verb):
    assert manager.get(f"/adjustments/1/{verb}").status_code == 405
    answer = manager.post(f"/adjustments/999999/{verb}", {"reason": "x"})
    assert answer.status_code in (404, 422)


def test_the_same_click_twice(front, manager, family):
    asked = ask(front.staff, family)
    token = {"request_token": "a" * 32}
    assert act(manager, asked, "approve", token | {"version": 1}).status_code == 200
    again = manager.htmx(f"/adjustments/{asked.adjustment_id}/approve", token | {"version": 1})
    assert again.headers["HX-Redirect"] == f"/adjustments/{asked.adjustment_id}"
    assert balance(family) == Decimal("620.00")


# ── receipts to come ────────────────────────────────────────────────────────────────────────────────


def test_upload_in_place(app, family):
    browser = Browser(app).sign_in("finance")
    asked = ask(browser.staff, family, payment_method="pos")
    listed = text(browser.get("/adjustments/missing-receipts"))
    assert f'id="missing-{asked.adjustment_id}"' in listed
    assert "上传凭证并入账" in listed
    here = {"HX-Request": "true", "HX-Target": f"missing-{asked.adjustment_id}"}
    url = f"/adjustments/{asked.adjustment_id}/receipts"
    bad = browser.post(url, file(b"no picture"), headers=here, content_type="multipart/form-data")
    assert bad.status_code == 422
    assert "按内容判断" in text(bad)
    assert f'id="missing-{asked.adjustment_id}"' in text(bad)
    good = browser.post(url, file(png()), headers=here, content_type="multipart/form-data")
    assert "已完成" in text(good)
    assert balance(family) == Decimal("620.00")
    assert "凭证都齐了" in text(browser.get("/adjustments/missing-receipts"))


def test_upload_without_a_file_and_without_script(app, family):
    browser = Browser(app).sign_in("finance")
    asked = ask(browser.staff, family, payment_method="pos")
    empty = act(browser, asked, "receipts", {"receipts": (io.BytesIO(b""), "")}, htmx=False,
                content_type="multipart/form-data")  # fmt: skip
    assert (empty.status_code, "请选择至少一个凭证文件" in text(empty)) == (422, True)
    done = act(browser, asked, "receipts", file(pdf(), "slip.pdf"), htmx=False, content_type="multipart/form-data")
    assert done.status_code == 303
    (kept,) = queries.receipts_of("adjustment", asked.adjustment_id)
    assert browser.get(f"/receipts/{kept.id}/where").location.endswith(f"/adjustments/{asked.adjustment_id}")
    assert browser.get(f"/receipts/{kept.id + 1}/where").status_code == 404
    assert "PDF" in text(browser.get(f"/adjustments/{asked.adjustment_id}"))
    served = browser.get(f"/receipts/{kept.id}")
    assert served.content_type == "application/pdf"
    assert served.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(("role", "status"), [("front_desk", 404), ("auditor", 404), ("manager", 404), ("admin", 403)])
def test_who_may_see_receipts(app, role, status):
    assert Browser(app).sign_in(role).get("/receipts/999999").status_code == status
    assert app.test_client().get("/receipts/1").status_code in (302, 303)


# ── undoing ─────────────────────────────────────────────────────────────────────────────────────────


def test_undo_from_the_toast_the_result_and_the_panel(app, family):
    browser = Browser(app).sign_in("finance")
    done = ask(browser.staff, family)
    assert "撤销这笔调整" in text(browser.get(f"/adjustments/{done.adjustment_id}"))
    bare = {"csrf_token": browser.csrf_token()}  # the toast's button carries no form
    here = {"HX-Request": "true", "HX-Target": "adjust-done", "Sec-Fetch-Site": "same-origin"}
    answer = browser.client.post(f"/adjustments/{done.adjustment_id}/undo", data=bare, headers=here)
    assert 'id="adjust-done"' in text(answer)
    assert "已撤销：张女士家庭 增加 ¥500.00" in text(answer)
    assert balance(family) == Decimal("120.00")
    again = act(browser, done, "undo")
    assert (again.status_code, "不能再次撤销" in text(again)) == (409, True)


def test_later_by_request(app, manager, family):
    browser = Browser(app).sign_in("finance")
    done = ask(browser.staff, family)
    with clock.travel(by=timedelta(minutes=11)):
        browser.sign_in(browser.staff)
        page = text(browser.get(f"/adjustments/{done.adjustment_id}"))
        assert "申请撤销" in page
        assert "撤销这笔调整" not in page
        late = act(browser, done, "undo")
        assert (late.status_code, "已超过一键撤销的时间" in text(late)) == (409, True)
        answer = act(browser, done, "undo-request", {"reason": "家长没付款"})
        assert "撤销待审批" in text(answer)
        manager.sign_in(manager.staff)
        assert "撤销已完成的调整" in text(manager.get("/approvals"))


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────


def test_list_filters_live_in_the_address(app, family):
    browser = Browser(app).sign_in("finance")
    ask(browser.staff, family, "111", form_seconds=20)
    ask(browser.staff, family, "222", payment_method="pos")
    page = text(browser.get("/adjustments"))
    assert "+¥111.00" in page
    assert "+¥222.00" in page
    assert "调整用时" in page
    part = text(browser.htmx("/adjustments?status=awaiting_receipt&method=pos"))
    assert "<html" not in part
    assert "+¥222.00" in part
    assert "+¥111.00" not in part
    assert "没有符合条件" in text(browser.get("/adjustments?type=gift&from=2020-01-01&by=1"))
    for odd in ("status=nope", "from=yesterday", "by=abc", "before=-1", "family=999999999999999999999"):
        assert browser.get(f"/adjustments?{odd}").status_code == 200


def test_empty_lists_say_what_comes_here(app):
    browser = Browser(app).sign_in("finance")
    assert "还没有余额调整" in text(browser.get("/adjustments"))
    assert "没有等待审批的调整" in text(browser.get("/approvals"))


def test_the_family_tab(app, family):
    browser = Browser(app).sign_in("finance")
    assert "还没有余额调整" in text(browser.get(f"/families/{family.id}/adjustments"))
    made = ask(browser.staff, family)
    page = text(browser.get(f"/families/{family.id}/adjustments"))
    assert f"/adjustments/{made.adjustment_id}" in page


def test_the_auditor_reads_and_is_offered_nothing(app, front, family):
    asked = ask(front.staff, family)
    browser = Browser(app).sign_in("auditor")
    page = text(browser.get(f"/adjustments/{asked.adjustment_id}"))
    assert "经过" in page
    for button in ("/approve", "/reject", "/withdraw", "/receipts", "/undo"):
        assert f"/adjustments/{asked.adjustment_id}{button}" not in page
    assert "新建调整" not in text(browser.get("/adjustments"))
    assert browser.get("/approvals").status_code == 403


# ── wallet controls (W30, W23) ──────────────────────────────────────────────────────────────────────


def control(browser, family, **data):
    return browser.htmx(f"/families/{family.id}/wallet-control", {"reason": "店内核实", **data})


def test_wallet_controls(manager, family):
    page = text(manager.htmx(f"/families/{family.id}/wallet-control"))
    assert "冻结钱包" in page
    for act_name, more, said in (
        ("freeze", {}, "已冻结钱包"),
        ("unfreeze", {}, "已解冻钱包"),
        ("limit", {"limit": "2000"}, "已修改欠费上限"),
        ("limit", {"limit": ""}, "已修改欠费上限"),
        ("bypass", {"until": (clock.today() + timedelta(days=3)).isoformat()}, "已放行欠费预约"),
        ("revoke", {}, "已结束放行"),
    ):
        answer = control(manager, family, act=act_name, **more)
        assert answer.status_code == 200, text(answer)
        assert answer.headers["HX-Redirect"] == f"/families/{family.id}"
        assert said in text(manager.get(f"/families/{family.id}"))


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        ({"act": "freeze", "reason": " "}, 422, "原因"),
        ({"act": "unfreeze"}, 409, "没有冻结"),
        ({"act": "close"}, 409, "须先清零"),
        ({"act": "limit", "limit": "１"}, 422, "不超过两位小数"),
        ({"act": "bypass"}, 422, "放行到哪一天"),
        ({"act": "steal"}, 422, ""),
        ({"act": "freeze", "request_token": "x"}, 422, "页面已过期"),
    ],
)
def test_wallet_controls_refuse(manager, family, data, status, said):
    answer = control(manager, family, **data)
    assert answer.status_code == status
    assert said in text(answer)


def test_who_may_not_control(app, family):
    for role in ("front_desk", "finance", "auditor", "admin"):
        browser = Browser(app).sign_in(role)
        assert browser.get(f"/families/{family.id}/wallet-control").status_code == 403
        assert control(browser, family, act="freeze").status_code == 403


def test_controls_of_an_unknown_family(manager):
    assert manager.get("/families/999999/wallet-control").status_code == 404
