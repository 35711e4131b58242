"""The adjust form over HTTP: by htmx and as a plain post, honest and hostile (U4, U12, U16, W10, W15)."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.desk.models import Receipt, WalletAdjustment
from app.domain.policy.models import PolicyValue
from tests.domain.desk.desk import ask, balance, movements
from tests.factories import make_family
from tests.gateways.receipt_files import jpeg_with_secrets, png
from tests.portal import Browser, make_staff
from tests.web.desk_forms import PLAIN, Adjuster


@pytest.fixture
def family(app):
    return make_family(balance="120.00", phone="13700001234")


@pytest.fixture
def desk(app, family):
    return Adjuster(Browser(app).sign_in("finance"), family.id)


def text(response) -> str:
    return response.get_data(as_text=True)


def asked() -> list[WalletAdjustment]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(WalletAdjustment).order_by(WalletAdjustment.id)))


def test_find_the_family_and_go_on_without_a_reload(app, family):
    browser = Browser(app).sign_in("finance")
    page = text(browser.get("/adjustments/new"))
    assert "为哪个家庭调整" in page
    found = text(
        browser.client.get("/adjustments/new?q=zxm", headers={"HX-Request": "true", "HX-Target": "families-found"})
    )
    assert "<html" not in found
    assert f'hx-push-url="/families/{family.id}/adjust"' in found
    assert "张女士家庭" in text(browser.get("/adjustments/new?q=zxm")), "the same without script"
    form = text(browser.htmx(f"/families/{family.id}/adjust"))
    assert "<html" not in form
    assert "¥120.00" in form
    assert "137****1234" in form
    assert "13700001234" not in form


def test_confirmed_in_two_steps(desk, family):
    first = desk.send()
    page = text(first)
    assert first.status_code == 200
    for words in ('id="adjust-confirm"', "张女士家庭（张小明）", "伍佰元整", "¥120.00", "¥620.00", "确认增加 ¥500.00"):
        assert words in page
    assert asked() == []
    done = desk.confirm()
    assert "已为 张女士家庭 增加 ¥500.00" in text(done)
    events = json.loads(done.headers["HX-Trigger"])
    assert events["desk:toast"]["undo"]["href"].endswith("/undo")
    assert "desk:adjusted" in events
    assert (balance(family), movements(family)) == (Decimal("620.00"), 1)
    assert 0 <= asked()[0].form_seconds < 60


def test_the_same_without_script(app, family):
    desk = Adjuster(Browser(app).sign_in("finance"), family.id, htmx=False)
    first = desk.send()
    assert "<html" in text(first)
    assert '<dialog id="adjust-confirm"' in text(first)
    done = desk.confirm()
    assert done.status_code == 303
    assert done.location == f"/adjustments/{asked()[0].id}"
    page = text(desk.browser.get(done.location))
    assert "已为 张女士家庭 增加 ¥500.00，余额 ¥620.00" in page
    assert balance(family) == Decimal("620.00")


@pytest.mark.parametrize(
    "amount",
    ["", " ", "0", "0.00", "-5", "+5", "1.234", "1e3", "1E3", "NaN", "Infinity", "１００", "1,000", "100000000",
     "99999999999999999999", "0x10", "5 0", "五百", "5..0", "\u0665", "<b>1</b>"],
)  # fmt: skip
def test_amounts_that_are_none(desk, family, amount):
    answer = desk.confirm(amount=amount)
    assert answer.status_code == 422
    assert "is-invalid" in text(answer)
    assert 'value="前台收现金"' in text(answer), "the form is kept"
    assert (asked(), balance(family)) == ([], Decimal("120.00"))


@pytest.mark.parametrize(("amount", "balance_after"), [("0.01", "120.01"), ("500.5", "620.50"), ("1880", "2000.00")])
def test_amounts_that_are_some(desk, family, amount, balance_after):
    desk.send(amount=amount)
    desk.confirm(amount=amount, typed_amount=amount)
    assert balance(family) == Decimal(balance_after)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"direction": "decrease"}, "充值不能减少余额"),
        ({"direction": None}, "请选择增加或减少"),
        ({"type": "bonus"}, "请选择类型"),
        ({"payment_method": None}, "请选择收款方式"),
        ({"reason_code": "undo"}, "请选择原因"),
        ({"note": "  "}, "请填写说明"),
        ({"payment_method": "alipay", "external_no": "$$"}, "转账单号只能是"),
        (
            {"direction": "decrease", "type": "correction", "payment_method": "none", "amount": "1120.01"},
            "超出欠费上限",
        ),
        ({"amount": "99999999.99"}, "超出系统允许的范围"),
    ],
)
def test_what_is_wrong_is_said_beside_it(desk, family, changes, said):
    answer = desk.confirm(**changes)
    assert answer.status_code in (409, 422)
    assert said in text(answer)
    assert asked() == []


def test_a_large_amount_is_typed_again(desk, family):
    assert 'name="typed_amount"' in text(desk.send(amount="1000"))
    assert 'name="typed_amount"' not in text(desk.send(amount="999.99"))
    for typed in ("", "100", "10000", "abc"):
        answer = desk.confirm(amount="1000", typed_amount=typed)
        assert "不一致" in text(answer)
        assert asked() == []
    desk.confirm(amount="1000", typed_amount="1,000.00")
    assert balance(family) == Decimal("1120.00")


def test_double_click_and_back_button(desk, family):
    desk.send()
    first = desk.confirm()
    again = desk.confirm()
    assert again.headers["HX-Redirect"] == f"/adjustments/{asked()[0].id}"
    assert "没有重复执行" in text(desk.browser.get(again.headers["HX-Redirect"]))
    assert first.status_code == 200
    assert (movements(family), balance(family)) == (1, Decimal("620.00"))
    other = desk.confirm(amount="700")
    assert other.status_code == 409, "another request under a spent token"
    assert movements(family) == 1


def test_the_second_tab_is_told_that_the_balance_moved(app, family):
    browser = Browser(app).sign_in("finance")
    one, two = Adjuster(browser, family.id), Adjuster(browser, family.id)
    one.send()
    two.send()
    one.confirm()
    told = two.confirm()
    assert told.status_code == 409
    assert "余额有变动" in text(told)
    assert "¥1,120.00" in text(told), "the confirmation with the figures of now"
    assert movements(family) == 1
    assert "已为" in text(two.confirm()), "who still wants it, confirms again"
    assert balance(family) == Decimal("1120.00")


def test_an_old_proof_asks_again_before_anything_is_read(app, family):
    browser = Browser(app).sign_in("finance")
    desk = Adjuster(browser, family.id)
    with clock.travel(by=timedelta(minutes=11)):
        answer = desk.send([("a.png", png())])
    assert answer.status_code == 403
    assert "desk:step-up" in answer.headers["HX-Trigger"]
    assert asked() == []


def test_a_missing_or_forged_request_token(desk):
    for token in ("", "0" * 31, "../../x"):
        assert desk.confirm(request_token=token).status_code == 422
    assert asked() == []


def test_forged_notes_about_time_and_files_count_as_none(desk, family):
    desk.send()
    desk.carried["kept"] = ["forged.note.here"]
    desk.confirm(opened="forged", seen_version="x")
    (made,) = asked()
    assert (made.form_seconds, db.session.scalar(sa.select(sa.func.count()).select_from(Receipt))) == (None, 0)


# ── receipts ────────────────────────────────────────────────────────────────────────────────────────


def test_receipts_come_once_and_are_carried(desk, family):
    first = desk.send([("slip.png", png()), ("photo.jpg", jpeg_with_secrets())], payment_method="wechat_transfer")
    assert text(first).count('name="kept"') == 2
    assert "2 个" in text(first)
    done = desk.confirm(payment_method="wechat_transfer")
    assert "已为 张女士家庭" in text(done)
    rows = db.session.scalars(sa.select(Receipt).order_by(Receipt.id)).all()
    assert [row.media_type for row in rows] == ["image/png", "image/jpeg"]
    shown = desk.browser.get(f"/receipts/{rows[1].id}")
    assert shown.headers["Content-Disposition"] == f'attachment; filename="receipt-{rows[1].id}.jpg"'
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert shown.headers["Cache-Control"] == "no-store"
    assert b"script" not in shown.data


def test_a_refused_form_keeps_its_files(desk, family):
    refused = desk.send([("slip.png", png())], payment_method="pos", note="")
    assert refused.status_code == 422
    assert "slip.png" in text(refused)
    desk.send(payment_method="pos")
    assert "已为" in text(desk.confirm(payment_method="pos"))


def test_a_file_taken_out_again_is_not_used(desk, family):
    desk.send([("slip.png", png())], payment_method="pos")
    desk.carried["kept"] = []
    answer = desk.send(payment_method="pos")
    assert "补齐凭证后自动入账" in text(answer)
    assert "已登记，等待凭证" in text(desk.confirm(payment_method="pos"))
    assert balance(family) == Decimal("120.00")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.png", b"", "空文件"),
        ("evil.png", b"<html><script>alert(1)</script>", "按内容判断"),
        ("big.png", b"\x89PNG\r\n\x1a\n" + b"0" * 110_000, "超过 100 KB"),
        ("../../../etc/passwd.png", b"root:x:0", "「passwd.png」"),
        ("<img src=x onerror=alert(1)>.png", b"no picture", "&lt;img src=x onerror=alert(1)&gt;"),
    ],
)
def test_files_that_are_none(desk, name, content, said):
    with transaction():
        limit = PolicyValue(name="receipt_max_bytes", value="102400", updated_at=clock.now(), updated_by="test")
        db.session.add(limit)
    answer = desk.send([(name, content)])
    assert answer.status_code == 422
    assert said in text(answer)
    assert "onerror=alert(1)>" not in text(answer)
    assert 'name="kept"' not in text(answer)


def test_six_files_are_one_too_many(desk):
    answer = desk.send([(f"{i}.png", png(i)) for i in range(6)])
    assert (answer.status_code, "最多 5 个凭证" in text(answer)) == (422, True)


def test_another_persons_files_are_not_mine(app, family):
    one, two = (Adjuster(Browser(app).sign_in("finance"), family.id) for _ in range(2))
    one.send([("slip.png", png())], payment_method="pos")
    two.carried["kept"] = one.carried["kept"]
    assert 'name="kept"' not in text(two.send(payment_method="pos"))


def test_a_receipt_used_before_is_said_in_the_confirmation(desk, app, family):
    desk.send([("slip.png", png())], payment_method="pos")
    desk.confirm(payment_method="pos")
    used = asked()[0].id
    again = Adjuster(desk.browser, make_family().id)
    page = text(again.send([("again.png", png() + b"\0")], payment_method="pos"))
    assert "曾经用过" in page
    assert f"/adjustments/{used}" in page
    assert "提交审批" in page
    assert "已提交审批" in text(again.confirm(payment_method="pos"))


# ── the preview ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "填写金额后"),
        ("direction=increase&type=recharge&amount=500", "确认后立即入账"),
        ("direction=increase&type=recharge&amount=500&payment_method=pos", "附上凭证，确认后立即入账"),
        ("direction=increase&type=gift&amount=500&payment_method=pos", "审批前需要凭证"),
        ("direction=increase&type=gift&amount=500", "需审批：赠送"),
        ("direction=increase&type=recharge&amount=5000", "超过单笔免审批额度"),
        ("direction=decrease&type=recharge&amount=5", "充值不能减少余额"),
        ("direction=decrease&type=correction&amount=5000", "超出欠费上限"),
        ("direction=increase&type=recharge&amount=１", "不超过两位小数"),
    ],
)
def test_the_sentence_while_typing(app, family, query, said):
    browser = Browser(app).sign_in("finance")
    answer = browser.htmx(f"/families/{family.id}/adjust/preview?{query}")
    assert said in text(answer)
    assert answer.status_code == 200
    assert said in text(browser.get(f"/families/{family.id}/adjust/preview?{query}"))


def test_nothing_is_written_by_looking(app, family, statements):
    browser = Browser(app).sign_in("finance")
    browser.get(f"/families/{family.id}/adjust")
    statements.clear()
    browser.htmx(f"/families/{family.id}/adjust/preview?direction=increase&type=recharge&amount=500")
    browser.get(f"/families/{family.id}/adjust")
    browser.get("/adjustments")
    writes = [s for s in statements if s.lstrip().split()[0] in ("INSERT", "UPDATE", "DELETE")]
    assert writes == []


# ── who ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", ["auditor", "admin"])
def test_who_may_not_adjust(app, family, role):
    browser = Browser(app).sign_in(role)
    for answer in (
        browser.get("/adjustments/new"),
        browser.get(f"/families/{family.id}/adjust"),
        browser.post(f"/families/{family.id}/adjust", PLAIN),
        browser.get(f"/families/{family.id}/adjust/preview"),
    ):
        assert answer.status_code == 403


def test_the_front_desk_submits_and_says_so(app, family):
    desk = Adjuster(Browser(app).sign_in("front_desk"), family.id)
    assert "提交审批 ¥500.00" in text(desk.send())
    assert "已提交审批" in text(desk.confirm())
    assert balance(family) == Decimal("120.00")
    assert "您单笔最多可申请" in text(desk.send(amount="2000.01"))


def test_nobody_adjusts_their_own_family(app, family):
    desk = Adjuster(Browser(app).sign_in(make_staff("manager", family_id=family.id)), family.id)
    answer = desk.confirm()
    assert answer.status_code == 403
    assert "您自己的家庭" in text(answer)
    assert "您自己的家庭" in text(desk.browser.htmx(f"{desk.url}/preview?direction=increase&type=recharge&amount=5"))


def test_an_unknown_family(app):
    browser = Browser(app).sign_in("finance")
    for path in ("/families/999999/adjust", "/families/999999/adjust/preview"):
        assert browser.get(path).status_code == 404
    assert browser.post("/families/999999/adjust", PLAIN).status_code == 404


def test_hostile_text_stays_text(app):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    family = make_family(parent=evil[:40], students=("<b>小明</b>",))
    desk = Adjuster(Browser(app).sign_in("finance"), family.id)
    page = text(desk.send(note=evil)) + text(desk.confirm(note=evil))
    page += text(desk.browser.get("/adjustments")) + text(desk.browser.get(f"/adjustments/{asked()[0].id}"))
    for raw in ("<script>alert", "<img src=x", "<b>小明"):
        assert raw not in page


def test_an_adjustment_too_often_in_a_minute(app, family):
    desk = Adjuster(Browser(app).sign_in("finance"), family.id)
    with clock.travel(to=clock.now()):  # the window must not roll on while a slow machine sends them
        answers = [desk.send(amount="").status_code for _ in range(61)]
    assert answers[0] == 422
    assert answers[-1] == 429


def test_recent_adjustments_stand_beside_the_form(app, family):
    browser = Browser(app).sign_in("finance")
    made = ask(browser.staff, family, "77")
    assert f"/adjustments/{made.adjustment_id}" in text(browser.get(f"/families/{family.id}/adjust"))
