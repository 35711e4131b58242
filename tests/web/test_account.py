"""One's own account: password, second factor, recovery codes, sign-ins, theme, and proving oneself again (P7, P9)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.outbox.models import Notification
from app.domain.people.models import RecoveryCode, Staff
from app.domain.policy.registry import duration
from app.web.wording import device_words, spelled
from tests.accounts import PASSWORD, SECRET, code, make_account, try_password
from tests.portal import Browser

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
LATER = timedelta(minutes=11)
NEW = "purple-otter-lamp"


def last_action() -> str:
    return db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id.desc()).limit(1)).one()


def staff_row(staff: Staff) -> Staff:
    db.session.rollback()
    return db.session.get(Staff, staff.id, populate_existing=True)


# ── password ────────────────────────────────────────────────────────────────────────────────────────


def change(browser: Browser, current=PASSWORD, new=NEW, repeat=None):
    return browser.post("/account/password", {"current": current, "password": new, "repeat": repeat or new})


def test_changing_the_password_ends_the_other_sessions_and_renews_the_token(app):
    staff = make_account()
    here, there = Browser(app).sign_in(staff), Browser(app).sign_in(staff)
    before = here.token
    assert change(here).headers["Location"] == "/account"
    assert here.token != before
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 303
    assert last_action() == "staff.password_changed"
    assert try_password(Browser(app), staff.username).status_code == 401
    assert try_password(Browser(app), staff.username, NEW).status_code == 303


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("short", "至少 10 个字符"),
        ("x" * 129, "最多 128 个字符"),
        ("1234567890", "太容易被猜到"),
        ("aaaaaaaaaaaa", "太容易被猜到"),
        ("Password123", "太容易被猜到"),
        (PASSWORD, "不能与现在的相同"),
    ],
)
def test_a_bad_new_password_is_named(app, new, words):
    answer = change(Browser(app).sign_in(make_account()), new=new)
    assert answer.status_code == 422
    assert words in answer.text


def test_the_username_is_no_password(app):
    staff = make_account(username="zhangxiaoming")
    assert "不能包含用户名" in change(Browser(app).sign_in(staff), new="ZhangXiaoMing-1").text


def test_two_different_new_passwords_and_a_wrong_old_one(app):
    browser = Browser(app).sign_in(make_account())
    assert "两次输入的新密码不一致" in change(browser, repeat="something else").text
    assert "现在的密码不正确" in change(browser, current="wrong password").text
    assert last_action() == "staff.sign_in_failed"
    for _ in range(4):
        change(browser, current="wrong password")
    locked = change(browser)
    assert (locked.status_code, "已暂时锁定" in locked.text) == (429, True)


# ── second factor ───────────────────────────────────────────────────────────────────────────────────


def set_up(browser: Browser) -> tuple[str, list[str]]:
    """Go through the set-up; returns the secret and the recovery codes."""
    assert browser.post("/account/second-factor/begin").headers["Location"] == "/account/second-factor"
    page = browser.get("/account/second-factor").text
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)[1]
    answer = browser.post("/account/second-factor/confirm", {"code": code(secret)})
    assert answer.status_code == 200
    return secret, re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", answer.text)


def test_setting_up_a_second_factor(app):
    staff = make_account("finance", second_factor=False)
    browser, other = Browser(app).sign_in(staff), Browser(app).sign_in(staff)
    assert browser.get("/account/second-factor/qr.svg").status_code == 404
    before = browser.token
    with clock.travel(to=clock.now()):
        secret, codes = set_up(browser)
        assert len(set(codes)) == 10
        assert browser.token != before
        assert browser.get("/account").status_code == 200
        assert other.get("/account").status_code == 303
        assert last_action() == "staff.totp_set"
        assert staff_row(staff).totp_pending_secret is None
        # The code of the set-up is spent.
        third = Browser(app)
        try_password(third, staff.username)
        assert third.post("/sign-in/code", {"code": code(secret)}).status_code == 401


def test_the_qr_code_is_a_picture_of_the_pending_secret(app):
    browser = Browser(app).sign_in(make_account("manager", second_factor=False))
    browser.post("/account/second-factor/begin")
    picture = browser.get("/account/second-factor/qr.svg")
    assert picture.mimetype == "image/svg+xml"
    assert picture.headers["Cache-Control"] == "no-store"
    assert picture.data.startswith(b"<?xml")
    assert b"<script" not in picture.data


@pytest.mark.parametrize(
    ("typed", "words"), [("000000", "验证码不正确"), ("", "请填写验证码"), ("abcdef", "验证码不正确")]
)
def test_a_wrong_first_code_changes_nothing(app, typed, words):
    staff = make_account("finance", second_factor=False)
    browser = Browser(app).sign_in(staff)
    browser.post("/account/second-factor/begin")
    answer = browser.post("/account/second-factor/confirm", {"code": typed})
    assert (answer.status_code, words in answer.text) == (422, True)
    assert staff_row(staff).totp_secret is None


def test_confirming_without_a_set_up_is_refused(app):
    answer = Browser(app).sign_in(make_account()).post("/account/second-factor/confirm", {"code": "123456"})
    assert answer.status_code == 409


def test_the_old_one_stays_in_force_until_the_new_one_is_confirmed(app):
    staff, browser = make_account("finance"), Browser(app)
    browser.sign_in(staff)
    with clock.travel(to=NOON):
        browser.sign_in(staff)
        browser.post("/account/second-factor/begin")
        other = Browser(app)
        try_password(other, staff.username)
        assert other.post("/sign-in/code", {"code": code(SECRET)}).status_code == 303
    assert staff_row(staff).totp_pending_secret not in (None, SECRET)


def test_recovery_codes_stand_in_once_each(app):
    staff, browser = make_account(), Browser(app)
    browser.sign_in(staff)
    _secret, codes = set_up(browser)
    for typed, expected in [(codes[0].upper(), 303), (codes[0], 401), (codes[1].replace("-", " "), 303)]:
        other = Browser(app)
        try_password(other, staff.username)
        assert other.post("/sign-in/code", {"code": typed}).status_code == expected
    assert '还剩 <strong class="num">8</strong>' in other.get("/account").text
    hashes = list(db.session.scalars(sa.select(RecoveryCode.code_hash)))
    assert all(len(h) == 64 for h in hashes)


def test_new_recovery_codes_void_the_old_ones(app):
    staff, browser = make_account(), Browser(app)
    browser.sign_in(staff)
    _secret, codes = set_up(browser)
    answer = browser.post("/account/recovery-codes")
    assert "之前的恢复码已全部作废" in answer.text
    assert codes[0] not in answer.text
    other = Browser(app)
    try_password(other, staff.username)
    assert other.post("/sign-in/code", {"code": codes[0]}).status_code == 401
    assert Browser(app).sign_in("front_desk").post("/account/recovery-codes").status_code == 409


def test_only_a_role_without_money_may_do_without(app):
    desk = Browser(app).sign_in(make_account(second_factor=True))
    assert "关闭动态验证码" in desk.get("/account").text
    assert desk.post("/account/second-factor/remove").status_code == 303
    assert staff_row(desk.staff).totp_secret is None
    assert desk.post("/account/second-factor/remove").status_code == 409
    money = Browser(app).sign_in("finance")
    assert "关闭动态验证码" not in money.get("/account").text
    assert money.post("/account/second-factor/remove").status_code == 409
    assert staff_row(money.staff).totp_secret is not None


def test_each_change_of_what_one_signs_in_with_is_told(app):
    """One's own changes are seen by whoever did not make them (S1)."""
    staff = make_account(second_factor=False)
    browser = Browser(app).sign_in(staff)
    change(browser, current="wrong")
    assert db.session.scalars(sa.select(Notification)).all() == []
    change(browser)
    set_up(browser)
    browser.post("/account/recovery-codes")
    browser.post("/account/second-factor/remove")
    told = db.session.scalars(sa.select(Notification).order_by(Notification.id)).all()
    assert [one.type for one in told] == [
        "staff.password_changed", "staff.totp_set", "staff.recovery_codes_renewed", "staff.totp_removed",
    ]  # fmt: skip
    assert all(staff.username in str(one.payload) and "127.0.0.1" in str(one.payload) for one in told)
    assert all("不是本人操作" in str(one.payload) for one in told)


# ── proving oneself again ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stale(app):
    """Someone whose last proof is eleven minutes old, with time standing still."""
    staff, browser = make_account("finance"), Browser(app)
    with clock.travel(to=NOON - LATER):
        browser.sign_in(staff)
    with clock.travel(to=NOON):
        yield browser


def test_a_plain_post_goes_to_the_page_and_back(stale):
    answer = stale.post("/account/recovery-codes", headers={"Referer": "http://localhost/account?tab=2"})
    assert answer.headers["Location"] == "/step-up?next=/account?tab%3D2"
    page = stale.get(answer.headers["Location"])
    assert 'data-page="auth"' in page.text  # which makes the browser keep the form
    back = stale.post("/step-up", {"secret": PASSWORD, "next": "/account?tab=2"})
    assert back.headers["Location"] == "/account?tab=2"
    assert last_action() == "staff.proved"
    assert stale.post("/account/recovery-codes").status_code == 200


def test_htmx_gets_a_dialog_and_goes_on_by_itself(stale):
    answer = stale.htmx("/account/recovery-codes", {}, page="/account")
    assert answer.status_code == 403
    assert answer.headers["HX-Trigger"] == "desk:step-up"
    assert answer.headers["HX-Retarget"] == "#errors"
    assert "<dialog" in answer.text
    wrong = stale.htmx("/step-up", {"secret": "not it"})
    assert (wrong.status_code, wrong.headers["HX-Retarget"]) == (422, "#errors")
    assert "密码或验证码不正确" in wrong.text
    right = stale.htmx("/step-up", {"secret": PASSWORD})
    assert (right.status_code, right.text) == (200, "")
    assert "desk:proved" in right.headers["HX-Trigger"]


def test_a_code_proves_too_and_only_once(stale):
    used = code()
    assert stale.post("/step-up", {"secret": used, "next": "//evil"}).headers["Location"] == "/"
    assert stale.post("/step-up", {"secret": used}).status_code == 422


def test_six_digits_are_no_password_of_someone_without_second_factor(app):
    browser = Browser(app).sign_in(make_account())
    assert browser.post("/step-up", {"secret": "123456"}).status_code == 422
    assert browser.post("/step-up", {"secret": ""}).status_code == 422


def test_guessing_at_the_proof_is_locked_too(stale):
    for _ in range(5):
        assert stale.post("/step-up", {"secret": "000000"}).status_code == 422
    locked = stale.post("/step-up", {"secret": PASSWORD})
    assert (locked.status_code, "已暂时锁定" in locked.text) == (429, True)
    assert int(locked.headers["Retry-After"]) > 0
    assert stale.htmx("/step-up", {"secret": PASSWORD}).headers["HX-Retarget"] == "#errors"


def test_the_proof_page_says_for_how_long(stale):
    assert "验证后 10 分钟内不再询问" in stale.get("/step-up").text


# ── sign-ins and theme ──────────────────────────────────────────────────────────────────────────────


def test_own_sign_ins_are_listed_and_ended_one_by_one(app):
    staff = make_account()
    here, there = Browser(app).sign_in(staff), Browser(app).sign_in(staff)
    stranger = Browser(app).sign_in("front_desk")
    page = here.get("/account").text
    assert page.count('/end"') == 1
    other = there.session_row().id
    assert here.post(f"/account/sessions/{stranger.session_row().id}/end").status_code == 404
    assert here.post(f"/account/sessions/{other}/end").status_code == 303
    assert there.get("/account").status_code == 303
    assert stranger.get("/account").status_code == 200
    assert here.post(f"/account/sessions/{other}/end").status_code == 404


def test_theme_is_kept_by_the_browser(app):
    browser = Browser(app).sign_in("auditor")
    assert browser.post("/account/theme", {"theme": "dark"}).status_code == 303
    assert 'data-bs-theme="dark"' in browser.get("/account").text
    assert browser.post("/account/theme", {"theme": '"><script>'}).status_code == 422
    browser.client.set_cookie("desk-theme", '"><script>')
    assert 'data-theme-default="light"' in browser.get("/account").text


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131 Safari/537.36 Edg/131", "Edge · Windows"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605 Version/18 Safari/605", "Safari · Mac"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/131 Mobile MicroMessenger/8.0", "微信 · 安卓"),
        ("curl/8", "未知设备"),
        (None, "未知设备"),
    ],
)
def test_browsers_in_words(agent, words):
    assert device_words(agent) == words


@pytest.mark.parametrize(
    ("length", "words"), [("2d", "2 天"), ("12h", "12 小时"), ("30m", "30 分钟"), ("90m", "90 分钟"), ("90s", "90 秒")]
)
def test_lengths_in_words(length, words):
    assert spelled(duration(length)) == words


def test_hostile_user_agent_stays_text(app):
    staff = make_account()
    other = Browser(app)
    other.post("/sign-in", {"username": staff.username, "password": PASSWORD},
               headers={"User-Agent": "<script>alert(1)</script>\u202e" + "x" * 500})  # fmt: skip
    assert "<script>alert(1)" not in Browser(app).sign_in(staff).get("/account").text


def test_the_otpauth_address_names_the_portal():
    from app.domain.people import totp

    uri = totp.otpauth_uri(SECRET, "zhang")
    assert pyotp.parse_uri(uri).secret == SECRET
    assert "zhang" in uri
