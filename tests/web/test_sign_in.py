"""Signing in through the pages: lockout, second factor, fixation, idle and absolute limits, safe return (P7, U12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.outbox.models import Notification
from app.domain.people import passwords
from app.domain.people.models import SignInFailure, Staff, StaffStatus
from app.domain.policy.models import PolicyValue
from app.web.permissions import SESSION_TOKEN
from tests.accounts import PASSWORD, code, make_account, try_password
from tests.portal import PAGE, Browser

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
WRONG = "用户名或密码不正确"


def is_in(browser: Browser) -> bool:
    return browser.get("/account").status_code == 200


def actions() -> list[str]:
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def signed_in_by() -> tuple:
    query = sa.select(AuditEntry.actor_type, AuditEntry.actor_id, AuditEntry.actor_name)
    return tuple(db.session.execute(query.where(AuditEntry.action == "staff.signed_in")).one())


def set_policy(name: str, value: str) -> None:
    with transaction():
        db.session.add(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))


# ── the password ────────────────────────────────────────────────────────────────────────────────────


def test_right_password_signs_in_and_leads_to_the_page_asked_for(app):
    staff, browser = make_account(), Browser(app)
    lost = browser.get("/account?x=1")
    assert lost.status_code == 303
    assert lost.headers["Location"] == "/sign-in?next=/account?x%3D1"
    page = browser.get(lost.headers["Location"])
    assert 'value="/account?x=1"' in page.text
    answer = try_password(browser, staff.username, next="/account?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account?x=1")
    assert is_in(browser)
    assert actions()[-1] == "staff.signed_in"
    assert signed_in_by() == ("staff", staff.id, staff.display_name)
    assert browser.get("/sign-in?next=/staff").headers["Location"] == "/staff"


def test_username_is_taken_with_spaces_and_capitals(app):
    staff, browser = make_account(), Browser(app)
    assert try_password(browser, f"  {staff.username.upper()} ").status_code == 303
    assert is_in(browser)


@pytest.mark.parametrize("name", ["nobody", "张三", "a" * 64, "' OR 1=1 --", "<script>alert(1)</script>"])
def test_wrong_password_and_unknown_name_get_the_same_answer(app, name):
    staff = make_account()
    answers = [try_password(Browser(app), staff.username, "not my password"), try_password(Browser(app), name)]
    assert [a.status_code for a in answers] == [401, 401]
    assert all(WRONG in a.text and a.text.count("form-refusal") == 1 for a in answers)
    assert "<script>alert(1)" not in answers[1].text
    assert actions() == ["staff.sign_in_failed"] * 2


def test_a_failure_does_not_write_down_what_was_typed(app):
    try_password(Browser(app), "my-secret-password")
    row = db.session.scalars(sa.select(AuditEntry)).one()
    assert row.target_id == "-"
    assert "my-secret-password" not in str([getattr(row, column.name) for column in AuditEntry.__table__.c])
    assert "my-secret-password" not in db.session.scalars(sa.select(SignInFailure.account)).one()


def test_a_disabled_account_is_refused_like_a_wrong_password(app):
    staff = make_account(status=StaffStatus.DISABLED)
    answer = try_password(Browser(app), staff.username)
    assert (answer.status_code, WRONG in answer.text) == (401, True)


@pytest.mark.parametrize(("name", "word"), [("", "x"), ("x", ""), ("x" * 65, "x"), ("x", "x" * 129)])
def test_what_is_missing_or_too_long_is_named_and_costs_no_attempt(app, name, word):
    answer = try_password(Browser(app), name, word)
    assert answer.status_code == 422
    assert "field-error" in answer.text
    assert db.session.scalars(sa.select(SignInFailure)).all() == []


def test_the_password_is_never_sent_back(app):
    staff = make_account()
    answer = try_password(Browser(app), staff.username, "a wrong secret!")
    assert staff.username in answer.text
    assert "a wrong secret!" not in answer.text


def test_a_weaker_hash_is_made_anew(app):
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    staff = make_account(password_hash=weak)
    assert try_password(Browser(app), staff.username).status_code == 303
    kept = db.session.scalar(sa.select(Staff.password_hash).where(Staff.id == staff.id))
    assert kept != weak
    assert kept.startswith("$argon2id$")


def test_with_too_many_at_once_everyone_is_told_the_same_and_it_is_no_failure(app, monkeypatch):
    """Also the proof that an unknown name costs a hash, so that the time taken tells nothing."""
    staff = make_account()
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0)
    taken = [passwords._slots.acquire(timeout=0) for _ in range(4)]
    try:
        answers = [try_password(Browser(app), name) for name in (staff.username, "nobody")]
    finally:
        for _ in taken:
            passwords._slots.release()
    assert [a.status_code for a in answers] == [503, 503]
    assert all("登录的人太多" in a.text and a.headers["Retry-After"] for a in answers)
    assert db.session.scalars(sa.select(SignInFailure)).all() == []


# ── lockout ─────────────────────────────────────────────────────────────────────────────────────────


def test_five_failures_lock_the_account_for_a_quarter_of_an_hour(app):
    staff = make_account()
    with clock.travel(to=NOON):
        for _ in range(5):
            assert try_password(Browser(app), staff.username, "wrong password").status_code == 401
    with clock.travel(to=NOON + timedelta(minutes=2)):
        locked = try_password(Browser(app), staff.username)
        assert locked.status_code == 429
        assert "已暂时锁定，请约 13 分钟后再试" in locked.text
        assert locked.headers["Retry-After"] == "780"
        card = db.session.scalars(sa.select(Notification).where(Notification.type == "staff.locked")).one()
        assert card.recipient == "system"
        assert staff.username in card.text
    with clock.travel(to=NOON + timedelta(minutes=15)):
        assert try_password(Browser(app), staff.username).status_code == 303


def test_an_unknown_name_is_locked_in_the_same_words(app):
    with clock.travel(to=NOON):
        for _ in range(5):
            assert try_password(Browser(app), "nobody").status_code == 401
        locked = try_password(Browser(app), "nobody")
    assert locked.status_code == 429
    assert "已暂时锁定，请约 15 分钟后再试" in locked.text
    assert db.session.scalars(sa.select(Notification)).all() == []


def test_five_failures_from_one_address_lock_the_address(app):
    staff = make_account()
    with clock.travel(to=NOON):
        for number in range(5):
            try_password(Browser(app), f"guess{number}")
        assert try_password(Browser(app), staff.username).status_code == 429
        elsewhere = Browser(app)
        elsewhere.client.environ_base["REMOTE_ADDR"] = "10.0.0.9"
        assert try_password(elsewhere, staff.username).status_code == 303


def test_a_success_forgives_mistypings(app):
    staff = make_account()
    for _ in range(4):
        try_password(Browser(app), staff.username, "wrong password")
    assert try_password(Browser(app), staff.username).status_code == 303
    assert db.session.scalars(sa.select(SignInFailure)).all() == []


def test_the_policy_is_effective_at_once(app):
    staff = make_account()
    set_policy("sign_in_max_failures", "3")
    for _ in range(3):
        try_password(Browser(app), staff.username, "wrong password")
    assert try_password(Browser(app), staff.username).status_code == 429


def test_ten_tries_a_minute_per_address(app):
    set_policy("sign_in_max_failures", "20")
    with clock.travel(to=NOON):
        answers = [try_password(Browser(app), f"guess{n}").status_code for n in range(11)]
    assert answers == [401] * 10 + [429]


# ── the second factor ───────────────────────────────────────────────────────────────────────────────


def test_money_roles_give_a_code_after_the_password(app):
    staff, browser = make_account("finance"), Browser(app)
    with clock.travel(to=NOON):
        first = try_password(browser, staff.username, next="/account")
        assert first.headers["Location"] == "/sign-in/code"
        assert not is_in(browser)
        assert browser.get("/sign-in/code").status_code == 200
        second = browser.post("/sign-in/code", {"code": code()})
        assert (second.status_code, second.headers["Location"]) == (303, "/account")
        assert is_in(browser)


def test_a_code_is_good_once_however_it_is_written(app):
    staff = make_account("finance")
    with clock.travel(to=NOON):
        used = code()
        for typed, expected in [(used, 303), (used, 401), (f"{used[:3]} {used[3:]}", 401), (f" {used}\u3000", 401)]:
            browser = Browser(app)
            try_password(browser, staff.username)
            assert browser.post("/sign-in/code", {"code": typed}).status_code == expected
    with clock.travel(to=NOON + timedelta(seconds=30)):
        browser = Browser(app)
        try_password(browser, staff.username)
        wide = code().translate(str.maketrans("0123456789", "０１２３４５６７８９"))
        assert browser.post("/sign-in/code", {"code": f"{wide[:3]} {wide[3:]}"}).status_code == 303


@pytest.mark.parametrize(("steps", "expected"), [(-2, 401), (-1, 303), (0, 303), (1, 303), (2, 401)])
def test_a_clock_may_be_one_step_off(app, steps, expected):
    staff, browser = make_account("finance"), Browser(app)
    with clock.travel(to=NOON):
        try_password(browser, staff.username)
        assert browser.post("/sign-in/code", {"code": code(steps=steps)}).status_code == expected


def test_an_older_code_is_refused_after_a_newer_one(app):
    staff = make_account("finance")
    with clock.travel(to=NOON):
        for steps, expected in [(1, 303), (0, 401), (-1, 401)]:
            browser = Browser(app)
            try_password(browser, staff.username)
            assert browser.post("/sign-in/code", {"code": code(steps=steps)}).status_code == expected


def test_the_password_alone_buys_no_more_guesses_at_the_code(app):
    staff = make_account("finance")
    with clock.travel(to=NOON):
        for number in range(5):
            browser = Browser(app)
            browser.client.environ_base["REMOTE_ADDR"] = f"10.0.0.{number}"
            try_password(browser, staff.username)
            assert browser.post("/sign-in/code", {"code": "000000"}).status_code == 401
        browser = Browser(app)
        browser.client.environ_base["REMOTE_ADDR"] = "10.0.0.77"
        assert try_password(browser, staff.username).status_code == 429


def test_the_wait_for_the_code_ends(app):
    staff, browser = make_account("finance"), Browser(app)
    with clock.travel(to=NOON):
        try_password(browser, staff.username)
    with clock.travel(to=NOON + timedelta(minutes=6)):
        assert browser.get("/sign-in/code").headers["Location"] == "/sign-in"
        assert browser.post("/sign-in/code", {"code": code()}).headers["Location"] == "/sign-in"


def test_a_password_reset_voids_the_wait_for_the_code(app):
    staff, browser = make_account("finance"), Browser(app)
    try_password(browser, staff.username)
    with transaction():
        db.session.get(Staff, staff.id).password_hash = "another"
    answer = browser.post("/sign-in/code", {"code": code()})
    assert answer.headers["Location"] == "/sign-in"
    assert not is_in(browser)
    assert "登录已超时" in browser.get("/sign-in").text


def test_an_empty_code_is_named(app):
    staff, browser = make_account("finance"), Browser(app)
    try_password(browser, staff.username)
    assert "请填写验证码" in browser.post("/sign-in/code", {"code": ""}).text


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────


def test_a_planted_cookie_is_worth_nothing_after_signing_in(app):
    staff, browser = make_account("finance"), Browser(app)
    with browser.client.session_transaction() as cookie:
        cookie[SESSION_TOKEN] = planted = "planted-by-someone-else"
        cookie["csrf_token"] = "planted-csrf"
    with clock.travel(to=NOON):
        try_password(browser, staff.username)
        with browser.client.session_transaction() as cookie:
            assert SESSION_TOKEN not in cookie
            assert cookie.get("csrf_token") != "planted-csrf"
        browser.post("/sign-in/code", {"code": code()})
        with browser.client.session_transaction() as cookie:
            assert cookie[SESSION_TOKEN] not in (None, planted)
            assert set(cookie) == {SESSION_TOKEN}


def test_each_sign_in_has_a_token_of_its_own(app):
    staff, tokens = make_account(), set()
    for _ in range(2):
        browser = Browser(app)
        try_password(browser, staff.username)
        tokens.add(browser.token)
    assert len(tokens) == 2


def test_idle_for_half_an_hour_ends_it(app):
    browser = Browser(app)
    with clock.travel(to=NOON):
        browser.sign_in("front_desk")
    with clock.travel(to=NOON + timedelta(minutes=29)):
        assert is_in(browser)  # which counts as use
    with clock.travel(to=NOON + timedelta(minutes=58)):
        assert is_in(browser)
    with clock.travel(to=NOON + timedelta(minutes=88)):
        assert not is_in(browser)


def test_what_a_page_asks_by_itself_does_not_keep_it_awake(app):
    browser = Browser(app)
    with clock.travel(to=NOON):
        browser.sign_in("front_desk")
    with clock.travel(to=NOON + timedelta(minutes=20)):
        assert browser.get("/account", headers={"X-Desk-Poll": "1"}).status_code == 200
    with clock.travel(to=NOON + timedelta(minutes=30)):
        assert not is_in(browser)


def test_twelve_hours_end_it_however_busy(app):
    browser = Browser(app)
    with clock.travel(to=NOON):
        browser.sign_in("front_desk")
    for minutes in range(25, 720, 25):
        with clock.travel(to=NOON + timedelta(minutes=minutes)):
            assert is_in(browser)
    with clock.travel(to=NOON + timedelta(hours=12)):
        assert not is_in(browser)


def test_signing_out_kills_the_cookie_itself(app):
    browser = Browser(app).sign_in("front_desk")
    stolen = browser.token
    assert browser.post("/sign-out").headers["Location"] == "/sign-in"
    assert not is_in(browser)
    with browser.client.session_transaction() as cookie:
        cookie[SESSION_TOKEN] = stolen
    assert not is_in(browser)
    assert actions()[-1] == "staff.signed_out"


def test_signing_out_everywhere_ends_all_of_ones_own(app):
    staff = make_account()
    here, there, other = Browser(app).sign_in(staff), Browser(app).sign_in(staff), Browser(app).sign_in("front_desk")
    here.post("/account/sign-out-everywhere")
    assert [is_in(b) for b in (here, there, other)] == [False, False, True]


def test_disabling_the_account_ends_its_sessions_at_once(app):
    browser = Browser(app).sign_in("front_desk")
    with transaction():
        db.session.get(Staff, browser.staff.id).status = StaffStatus.DISABLED
    assert not is_in(browser)


# ── a lost session, and where one comes back ────────────────────────────────────────────────────────


def test_htmx_is_told_by_401_and_comes_back_to_the_page_it_was_on(app):
    answer = Browser(app).htmx("/staff", page="/families/7?tab=x")
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/families/7?tab%3Dx"


def test_a_lost_post_comes_back_to_the_page_of_its_form(app):
    browser = Browser(app)
    answer = browser.post("/account/theme", {"theme": "dark"}, headers={"Referer": "http://localhost/account?a=1"})
    assert answer.headers["Location"] == "/sign-in?next=/account?a%3D1"
    foreign = browser.post("/account/theme", headers={"Referer": "http://evil.example/account"})
    assert foreign.headers["Location"] == "/sign-in?next=/"


EVIL = (
    "//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
    "javascript:alert(1)", "evil", "/%0d%0aX: 1\r\n", "/" + "a" * 3000,
)  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_next_never_leaves_the_site(app, evil):
    staff, browser = make_account(), Browser(app)
    answer = try_password(browser, staff.username, next=evil)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


# ── an unfinished account ───────────────────────────────────────────────────────────────────────────


def test_a_temporary_password_opens_nothing_but_its_change(app):
    staff, browser = make_account(must_change_password=True), Browser(app)
    try_password(browser, staff.username)
    assert browser.get("/account").headers["Location"] == "/account/password"
    assert browser.htmx("/search?q=x").headers["HX-Redirect"] == "/account/password"
    page = browser.get("/account/password")
    assert "正在使用临时密码" in page.text
    assert "主导航" not in page.text
    new = {"current": PASSWORD, "password": "purple-otter-lamp", "repeat": "purple-otter-lamp"}
    assert browser.post("/account/password", new).status_code == 303
    assert is_in(browser)


def test_a_money_role_without_second_factor_opens_nothing_but_the_set_up(app):
    staff, browser = make_account("finance", second_factor=False), Browser(app)
    try_password(browser, staff.username)
    assert browser.get("/account").headers["Location"] == "/account/second-factor"
    assert browser.get("/").headers["Location"] == "/account/second-factor"
    assert browser.post("/account/theme", {"theme": "dark"}).headers["Location"] == "/account/second-factor"
    assert browser.get("/account/second-factor").status_code == 200
    set_policy("totp_required", "off")
    assert is_in(browser)


def test_sign_in_pages_are_not_cached_and_carry_no_person(app):
    page = Browser(app).get("/sign-in")
    assert page.headers["Cache-Control"] == "no-store"
    assert "desk-nav" not in page.text
    assert Browser(app).client.post("/sign-in", headers=PAGE).status_code == 403
