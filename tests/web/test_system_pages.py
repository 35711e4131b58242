"""系统状态 with what burns and what is reached outside, and the week's service levels (Z11, Z14, U10)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.domain.watch import alerts, findings, hours, week
from app.domain.watch.hours import Counted
from app.flows.outside_checks import Finding
from app.slow_statements import Slow
from tests.portal import Browser


@pytest.fixture
def admin(app):
    return Browser(app).sign_in("admin")


def page(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_what_burns_stands_first_and_what_is_over_below(admin):
    alerts.judge({"desk_money_check_failing": [({"check": "<b>ledger</b>"}, 2.0)]})
    shown = page(admin, "/system")
    assert "资金健康检查不符：&lt;b&gt;ledger&lt;/b&gt; 2 处" in shown
    assert "banner-danger" in shown
    assert "近 7 天已恢复的告警" not in shown
    now = clock.now()
    for minutes in (1, 7):
        with clock.travel(to=now + timedelta(minutes=minutes)):
            alerts.judge({"desk_money_check_failing": []})
    shown = page(admin, "/system")
    assert "banner-danger" not in shown
    assert "近 7 天已恢复的告警" in shown


def test_certificates_and_keys_as_doctor_tells_them(admin):
    assert "还没有检查过" in page(admin, "/system")
    findings.keep(found=[
        Finding("飞书 money", "ok", "open.feishu.cn 可以连接，证书还有 61 天", "", 61),
        Finding("公网地址", "warning", "desk.example.cn 可以连接，证书还有 9 天", "更新证书", 9),
    ])  # fmt: skip
    shown = page(admin, "/system")
    assert shown.index("证书还有 9 天") < shown.index("证书还有 61 天")
    assert "更新证书" in shown


def test_a_week_of_service(admin):
    now = hours.begin(clock.now())
    fast = Counted(990, 0, 9000, [990] * 6)
    slow = Counted(30, 3, 60_000, [0, 0, 0, 0, 0, 30])
    hours.add(
        counted={(now, "http", "POST api.wallet.question"): fast, (now, "http", "POST desk.confirm"): slow},
        slow=[Slow("SELECT * FROM wallets WHERE id = ?", 2, 900, 600)],
    )
    shown = page(admin, "/system/service")
    for words in ("99.7", "POST desk.confirm", "SELECT * FROM wallets WHERE id = ?", "1020 次中出错 3 次", "600</td>"):
        assert words in shown, words
    before = week.monday(clock.today()) - week.WEEK
    assert f"/system/service?week={before}" in shown
    earlier = page(admin, f"/system/service?week={before}")
    assert "没有慢语句" in earlier
    for strange in ("9999-12-31", "nonsense", "0001-01-01"):
        assert "服务水平" in page(admin, f"/system/service?week={strange}")
    assert "<html" not in admin.htmx("/system/service").get_data(as_text=True)


def test_only_those_who_see_the_system(app):
    assert Browser(app).sign_in("front_desk").get("/system/service").status_code == 403
