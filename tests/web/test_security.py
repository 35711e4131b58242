"""What stands in front of every page (S2, S3): origin, CSRF token, default deny, headers; and the error pages."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import OperationalError

from app.domain.people.roles import Permission
from app.errors import Busy, Conflict, Invalid, NotFound, Replayed, StepUpRequired
from app.web import errors, security
from app.web.errors import page_of_form, safe_next
from app.web.permissions import public, requires
from tests.conftest import committing_app, make_settings
from tests.portal import ORIGIN, PAGE, Browser

FIELDS = {"theme": "dark"}


@pytest.fixture
def browser(app):
    return Browser(app).sign_in("front_desk")


# ── CSRF ────────────────────────────────────────────────────────────────────────────────────────────


def send(browser: Browser, headers: dict, token: str | None = "right"):
    data = {**FIELDS, "csrf_token": browser.csrf_token() if token == "right" else token}
    return browser.client.post("/account/theme", data={k: v for k, v in data.items() if v}, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN},
        {"Referer": f"{ORIGIN}/account"},
        {"Origin": "http://127.0.0.1:8000"},  # DESK_PUBLIC_URL, as the browser sees it behind a proxy
        {},
    ],
)
def test_our_own_page_may_post(browser, headers):
    assert send(browser, headers).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:8001"},
        {"Origin": "https://localhost"},
        {"Origin": "http://[bad"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Referer": "http://evil.example/account"},
        {"HX-Request": "true", "Origin": "http://evil.example"},
    ],
)
def test_another_site_may_not_even_with_the_token(browser, headers):
    answer = send(browser, headers)
    assert answer.status_code == 403
    assert "请求来自其他网站" in answer.text


@pytest.mark.parametrize("token", [None, "", "rubbish", "IjEyMyI.aaaa.bbbb"])
@pytest.mark.parametrize("extra", [{}, {"HX-Request": "true"}])
def test_without_the_token_nothing_happens(browser, token, extra):
    answer = send(browser, {**PAGE, **extra}, token)
    assert answer.status_code == 403
    assert "没有执行" in answer.text


def test_the_token_of_another_browser_is_refused(app, browser):
    assert send(browser, PAGE, Browser(app).sign_in("front_desk").csrf_token()).status_code == 403


def test_htmx_sends_the_token_as_a_header(browser):
    answer = browser.client.post(
        "/account/theme", data=FIELDS, headers={**PAGE, "HX-Request": "true", "X-CSRFToken": browser.csrf_token()}
    )
    assert answer.headers["HX-Redirect"] == "/account"


def test_signing_in_is_protected_as_well(app):
    data = {"username": "x", "password": "y"}
    assert Browser(app).client.post("/sign-in", data=data, headers=PAGE).status_code == 403
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert Browser(app).post("/sign-in", data, headers=foreign).status_code == 403


def test_a_foreign_page_does_not_learn_whether_anyone_is_signed_in(app, browser):
    foreign = {"Origin": "http://evil.example"}
    answers = [b.post("/account/theme", FIELDS, headers=foreign) for b in (browser, Browser(app))]
    assert [a.status_code for a in answers] == [403, 403]


# ── headers ─────────────────────────────────────────────────────────────────────────────────────────


def test_headers_of_a_page(browser):
    headers = browser.get("/account").headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "form-action 'self'",
                 "frame-ancestors 'none'"):  # fmt: skip
        assert part in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "HX-Request" in headers["Vary"]
    assert "Strict-Transport-Security" not in headers


def test_production_asks_for_https_and_a_host_cookie(tmp_path):
    from app import create_app

    environ = {f"DESK_FEISHU_{g}_URL": "https://open.feishu.cn/x" for g in ("MONEY", "WAITLIST", "SYSTEM")}
    environ |= {f"DESK_FEISHU_{g}_SECRET": "s" * 16 for g in ("MONEY", "WAITLIST", "SYSTEM")}
    environ |= {"DESK_ENV": "production", "DESK_WECHAT_APPID": "wx1", "DESK_WECHAT_SECRET": "secret",
                "DESK_PUBLIC_URL": "https://desk.example", "DESK_METRICS_TOKEN": "m" * 32,
                "DESK_REDIS_URL": "redis://127.0.0.1:1/0"}  # fmt: skip
    environ |= {f"DESK_TEMPLATE_{t.upper()}": "t" for t in make_settings("sqlite:////nowhere", tmp_path).templates}
    settings = make_settings("mysql+pymysql://root@127.0.0.1:1/desk", tmp_path, **environ)
    client = create_app(settings).test_client()
    page = client.get("/sign-in", base_url="https://desk.example")
    assert page.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("__Host-desk=")
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie


def test_files_with_a_hash_in_their_address_are_kept_for_ever(app):
    client = app.test_client()
    with client.get("/static/desk.svg?v=abc") as kept, client.get("/static/desk.svg") as plain:
        assert "immutable" in kept.headers["Cache-Control"]
        assert "immutable" not in plain.headers.get("Cache-Control", "")


# ── error pages ─────────────────────────────────────────────────────────────────────────────────────


def test_unknown_address_and_method(browser):
    missing, method = browser.get("/nothing-here"), browser.get("/sign-out")
    assert (missing.status_code, "没有找到" in missing.text) == (404, True)
    assert (method.status_code, method.headers["Allow"]) == (405, "OPTIONS, POST")
    assert browser.get("/staff").status_code == 403


@pytest.mark.parametrize("path", ["/staff/99999999999999999999", "/staff/9223372036854775808", "/staff/0",
                                  "/staff/-1", "/staff/1.5"])  # fmt: skip
def test_an_id_that_no_row_can_have_is_404(app, path):
    assert Browser(app).sign_in("admin").get(path).status_code == 404


@pytest.mark.parametrize("path", ["/orders/张", "/refunds/张", "/choose/张"])
def test_a_code_that_no_row_can_have_is_404(app, path):
    assert Browser(app).sign_in("manager").get(path).status_code == 404


def test_a_filter_of_a_code_that_no_row_can_have_finds_nothing(app):
    browser = Browser(app).sign_in("manager")
    assert "没有符合条件的记录" in browser.get("/audit?family=999999").text
    for name in ("action", "target", "target_id", "request_id"):
        found = browser.get(f"/audit?{name}=张")
        assert (found.status_code, "没有符合条件的记录" in found.text) == (200, True)


def test_an_error_says_its_request_id(app, browser):
    page = browser.get("/nothing-here")
    assert f'data-copy="{page.headers["X-Request-ID"]}"' in page.text


def make_broken(app) -> Flask:
    """The portal's gate and error pages around views that go wrong."""

    @public
    def view(kind):
        raise {
            "invalid": Invalid.field("amount", "金额不对"),
            "missing": NotFound("没有这个家庭"),
            "conflict": Conflict("已被别人修改"),
            "busy": Busy(),
            "bug": RuntimeError("secret detail"),
            "again": Replayed({"location": "/account"}),
            "again-nowhere": Replayed({"location": "//evil.example"}),
            "away": OperationalError("SELECT 1", {}, Exception(2003, "secret host")),
            "wrong-sql": OperationalError("SELECT 1", {}, Exception(1064, "secret sql")),
            "proof": StepUpRequired(),
        }[kind]

    for endpoint, path, view_func in (("boom", "/boom/<kind>", view), ("forgot", "/forgot", lambda: "open door")):
        rule = app.url_rule_class(path, endpoint=endpoint, methods={"GET", "POST"})
        app.url_map.add(rule)
        app.view_functions[endpoint] = view_func
    return app


@pytest.fixture
def broken(tmp_path):
    with committing_app("sqlite", tmp_path / "instance") as whole:
        app = make_broken(whole)
        app.config["PROPAGATE_EXCEPTIONS"] = False
        with app.app_context():
            yield app


CASES = [
    ("invalid", 422, "金额不对"), ("missing", 404, "没有这个家庭"), ("conflict", 409, "已被别人修改"),
    ("busy", 503, "系统繁忙"), ("bug", 500, "系统出错了"), ("away", 503, "服务暂时不可用"),
    ("wrong-sql", 500, "系统出错了"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "words"), CASES)
def test_a_refusal_is_a_page_or_for_htmx_a_banner(broken, kind, status, words):
    browser = Browser(broken).sign_in("front_desk")
    page, part = browser.get(f"/boom/{kind}"), browser.htmx(f"/boom/{kind}")
    assert [page.status_code, part.status_code] == [status, status]
    assert words in page.text
    assert words in part.text
    assert "secret" not in page.text
    assert "<html" in page.text
    assert "<html" not in part.text
    assert part.headers["HX-Retarget"] == "#errors"
    if status == 503:
        assert int(page.headers["Retry-After"]) >= 1


def test_a_submission_done_before_leads_to_what_it_made(broken):
    browser = Browser(broken).sign_in("front_desk")
    assert browser.post("/boom/again").headers["Location"] == "/account"
    assert browser.htmx("/boom/again", {}).headers["HX-Redirect"] == "/account"
    assert "先前已经完成" in browser.get("/account").text
    assert browser.post("/boom/again-nowhere").headers["Location"] == "/"


def test_a_view_that_declares_nothing_is_refused_and_logged(broken, caplog):
    with caplog.at_level(logging.ERROR, "desk.web"):
        answer = Browser(broken).sign_in("admin").get("/forgot")
    assert answer.status_code == 500
    assert "open door" not in answer.text
    assert "without a permission" in caplog.text


def test_when_even_the_error_page_fails_there_is_a_line_of_text(broken, caplog):
    # A template of the frame that is broken: what a bad deployment looks like.
    broken.jinja_env.globals["asset"] = None
    try:
        answer = Browser(broken).get("/boom/bug")
    finally:
        del broken.jinja_env.globals["asset"]
    assert (answer.status_code, answer.mimetype) == (500, "text/plain")
    assert "请求编号" in answer.text


def test_with_the_database_away_a_page_says_so(broken):
    browser = Browser(broken).sign_in("front_desk")
    from app.db import db

    db.session.rollback()
    db.session.execute(sa.text("ALTER TABLE staff_sessions RENAME TO gone"))
    db.session.commit()
    try:
        assert browser.get("/account").status_code == 500
        assert browser.get("/account").text.count("系统出错了") >= 1
    finally:
        db.session.execute(sa.text("ALTER TABLE gone RENAME TO staff_sessions"))
        db.session.commit()


# ── small rules ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["/", "/families/3?tab=x&y=1", "/搜索?q=张", "/a//b", "/x?next=//y"])
def test_addresses_within_the_site(text):
    assert safe_next(text) == text


@pytest.mark.parametrize("text", [None, "", "//x", "///x", "/\\x", "http://x", "x", "/a b", "/a\nb", "/\x00", "/a\x7f"])
def test_addresses_that_are_not(text):
    assert safe_next(text) is None


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({"HX-Current-URL": f"{ORIGIN}/families/3?tab=x"}, "/families/3?tab=x"),
        ({"Referer": f"{ORIGIN}/families/3"}, "/families/3"),
        ({"Referer": "http://evil.example/x"}, "/"),
        ({"Referer": "http://[bad"}, "/"),
        ({}, "/"),
    ],
)
def test_the_page_of_a_form(app, headers, page):
    with app.test_request_context("/x", method="POST", headers=headers):
        assert page_of_form() == page


def test_a_permission_is_declared_once():
    view = requires(Permission.HOME)(lambda: "")
    with pytest.raises(TypeError):
        requires(Permission.SEARCH)(view)


def test_every_kind_of_refusal_has_a_status():
    assert sorted(errors.STATUS.values()) == [401, 403, 404, 409, 422, 429, 503]


def test_money_forms_are_counted_per_person(app, browser):
    from app import clock
    from app.db import db, transaction
    from app.domain.policy.models import PolicyValue
    from app.errors import TooMany

    with transaction():
        db.session.add(PolicyValue(name="limit_staff_money", value="2", updated_at=clock.now(), updated_by="test"))
    cookie = {"Cookie": "desk=" + browser.client.get_cookie("desk").value}
    with clock.travel(to=clock.now()), app.test_request_context("/x", headers=cookie):
        security.limit_money_forms()
        security.limit_money_forms()
        with pytest.raises(TooMany):
            security.limit_money_forms()
