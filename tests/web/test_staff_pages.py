"""员工与权限: what an administrator may do alone, what takes two, and what is shown (P8, S9)."""

from __future__ import annotations

import re
import secrets

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff, StaffStatus
from app.domain.policy.models import ChangeRequest
from tests.accounts import PASSWORD, make_account, try_password
from tests.factories import make_family
from tests.portal import Browser, make_staff


@pytest.fixture
def admin(app):
    return Browser(app).sign_in("admin")


def fresh(staff_id: int) -> Staff:
    db.session.rollback()
    return db.session.get(Staff, staff_id, populate_existing=True)


def by_name(username: str) -> Staff:
    db.session.rollback()
    return db.session.scalars(sa.select(Staff).where(Staff.username == username)).one()


def open_request() -> ChangeRequest:
    db.session.rollback()
    return db.session.scalars(sa.select(ChangeRequest).where(ChangeRequest.status == "pending")).one()


def cards() -> list[str]:
    return list(db.session.scalars(sa.select(Notification.type).order_by(Notification.id)))


def last_action() -> str:
    return db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id.desc()).limit(1)).one()


def new(admin: Browser, **fields):
    values = {"username": "wanglei", "display_name": "王磊", "role": "front_desk", **fields}
    return admin.post("/staff/new", values)


# ── new accounts ────────────────────────────────────────────────────────────────────────────────────


def test_a_new_account_gets_a_temporary_password_shown_once(app, admin):
    answer = new(admin)
    password = re.search(r"<code>([a-z2-9]{4}(?:-[a-z2-9]{4}){3})</code>", answer.text)[1]
    made = by_name("wanglei")
    assert (made.role, made.must_change_password, made.display_name) == ("front_desk", True, "王磊")
    assert password not in admin.get(f"/staff/{made.id}").text
    browser = Browser(app)
    assert try_password(browser, "wanglei", password).status_code == 303
    assert browser.get("/account").headers["Location"] == "/account/password"
    assert last_action() == "staff.signed_in"
    assert cards() == ["staff.created"]


def test_the_same_form_twice_makes_one_account(admin):
    token = secrets.token_hex(16)
    assert new(admin, request_token=token).status_code == 200
    again = new(admin, request_token=token)
    assert again.headers["Location"] == f"/staff/{by_name('wanglei').id}"
    other = new(admin, request_token=token, display_name="别人")
    assert (other.status_code, "先前已经提交成功" in other.text) == (409, True)


@pytest.mark.parametrize("role", ["finance", "manager", "admin"])
def test_a_role_with_power_starts_as_front_desk_and_waits_for_a_second_person(admin, role):
    answer = new(admin, role=role)
    assert "已按前台开通" in answer.text
    assert by_name("wanglei").role == "front_desk"
    request = open_request()
    assert (request.old_value, request.new_value) == ("front_desk", role)
    assert cards() == ["staff.created", "staff.role_asked"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"username": ""}, "请填写用户名"),
        ({"username": "王磊"}, "小写字母"),
        ({"username": "a b"}, "小写字母"),
        ({"username": "x" * 33}, "最多 32 位"),
        ({"display_name": ""}, "请填写姓名"),
        ({"display_name": "\u202e\u0007"}, "请填写姓名"),
        ({"role": "owner"}, "角色"),
        ({"request_token": "short"}, "页面已过期"),
    ],
)
def test_wrong_fields_are_named_and_nothing_is_made(admin, fields, words):
    answer = new(admin, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Staff)) == 1


def test_a_taken_username_is_named(admin):
    new(admin)
    answer = new(admin, username=" WangLei ")
    assert answer.status_code == 409
    assert "已被使用" in answer.text


def test_hostile_names_stay_text(admin):
    new(admin, display_name="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in admin.get("/staff").text


def test_the_panel_gets_fragments(admin):
    assert "<html" not in admin.htmx("/staff/new").text
    refused = admin.htmx("/staff/new", {"username": ""})
    assert (refused.status_code, "<html" in refused.text, 'hx-target="#panel"' in refused.text) == (422, False, True)
    made = admin.htmx("/staff/new", {"username": "lili", "display_name": "李丽", "role": "auditor"})
    assert "<html" not in made.text
    assert "临时密码" in made.text


# ── one account ─────────────────────────────────────────────────────────────────────────────────────


def test_name_and_own_family(admin):
    family, person = make_family(parent="张女士"), make_staff("front_desk")
    answer = admin.post(f"/staff/{person.id}/edit", {"display_name": "新名字", "family_id": str(family.id)})
    assert answer.status_code == 303
    assert (fresh(person.id).display_name, fresh(person.id).family_id) == ("新名字", family.id)
    assert cards() == ["staff.family_linked"]
    assert f"编号 {family.id}" in admin.get(f"/staff/{person.id}").text
    unlinked = admin.post(f"/staff/{person.id}/edit", {"display_name": "新名字", "family_id": ""})
    assert unlinked.status_code == 303
    assert fresh(person.id).family_id is None
    same = admin.post(f"/staff/{person.id}/edit", {"display_name": "新名字", "family_id": ""})
    assert (same.status_code, len(cards())) == (303, 2)


@pytest.mark.parametrize(
    ("family", "words"), [("999999", "没有编号为 999999 的家庭"), ("x", ""), ("-1", "请填写家庭编号")]
)
def test_a_family_that_is_none(admin, family, words):
    person = make_staff("front_desk")
    answer = admin.post(f"/staff/{person.id}/edit", {"display_name": "甲", "family_id": family})
    assert (answer.status_code, words in answer.text) == (422, True)


def test_disable_and_enable(app, admin):
    person = Browser(app).sign_in("front_desk")
    assert "请填写原因" in admin.post(f"/staff/{person.staff.id}/disable", {"reason": ""}).text
    assert admin.post(f"/staff/{person.staff.id}/disable", {"reason": "离职"}).status_code == 303
    assert fresh(person.staff.id).status == StaffStatus.DISABLED
    assert person.get("/account").status_code == 303
    again = admin.post(f"/staff/{person.staff.id}/disable", {"reason": "离职"})
    assert (again.status_code, "已经停用" in again.text) == (409, True)
    assert admin.post(f"/staff/{person.staff.id}/enable").status_code == 303
    assert admin.post(f"/staff/{person.staff.id}/enable").status_code == 409
    assert cards() == ["staff.disabled", "staff.enabled"]


def test_a_password_reset_leaves_the_second_factor(app, admin):
    person = make_account("finance")
    there = Browser(app).sign_in(person)
    answer = admin.post(f"/staff/{person.id}/password")
    password = re.search(r"<code>([a-z2-9]{4}(?:-[a-z2-9]{4}){3})</code>", answer.text)[1]
    assert there.get("/account").status_code == 303
    assert try_password(Browser(app), person.username, PASSWORD).status_code == 401
    browser = Browser(app)
    assert try_password(browser, person.username, password).headers["Location"] == "/sign-in/code"
    assert cards() == ["staff.password_reset"]


def test_a_second_factor_without_money_is_reset_alone(admin):
    person = make_account("front_desk", second_factor=True)
    path = f"/staff/{person.id}/second-factor"
    assert admin.post(path, {"reason": ""}).status_code == 422
    assert admin.post(path, {"reason": "手机丢失"}).status_code == 303
    assert fresh(person.id).totp_secret is None
    assert admin.post(path, {"reason": "手机丢失"}).status_code == 409
    assert cards() == ["staff.totp_reset"]


def test_a_second_factor_of_a_money_role_takes_two(app, admin):
    person = make_account("finance")
    assert admin.post(f"/staff/{person.id}/second-factor", {"reason": "手机丢失"}).status_code == 303
    assert fresh(person.id).totp_secret is not None
    request = open_request()
    assert admin.post(f"/staff/requests/{request.id}/approve").status_code == 403
    assert "重置动态验证码" in Browser(app).sign_in("manager").get("/staff").text
    assert Browser(app).sign_in("manager").post(f"/staff/requests/{request.id}/approve").status_code == 303
    assert fresh(person.id).totp_secret is None
    assert cards()[-2:] == ["staff.totp_reset", "staff.reset_approved"]


@pytest.mark.parametrize("act", ["disable", "password", "second-factor", "edit", "enable", "role"])
def test_nobody_does_it_to_themselves(admin, act):
    own = admin.staff.id
    fields = {"reason": "试试", "display_name": "我", "role": "finance"}
    answer = admin.post(f"/staff/{own}/{act}", fields)
    assert answer.status_code == 403
    assert "自己" in answer.text
    assert "申请变更角色" not in admin.get(f"/staff/{own}").text


@pytest.mark.parametrize("path", ["", "/edit", "/role", "/disable", "/password", "/second-factor"])
def test_no_such_person(admin, path):
    assert admin.get(f"/staff/999999{path}").status_code == 404


def test_changing_an_account_asks_for_proof(admin):
    from datetime import timedelta

    from app import clock

    person = make_staff("front_desk")
    with clock.travel(by=timedelta(minutes=11)):
        answer = admin.post(f"/staff/{person.id}/disable", {"reason": "离职"})
        assert answer.headers["Location"].startswith("/step-up")
    assert fresh(person.id).status == StaffStatus.ACTIVE


# ── requests ────────────────────────────────────────────────────────────────────────────────────────


def ask(admin: Browser, person: Staff, role: str = "finance", **fields):
    return admin.post(f"/staff/{person.id}/role", {"role": role, "reason": "转岗", **fields})


def test_a_role_change_is_asked_and_then_approved_by_another(app, admin):
    target = Browser(app).sign_in("front_desk")
    assert ask(admin, target.staff).headers["Location"] == f"/staff/{target.staff.id}"
    assert fresh(target.staff.id).role == "front_desk"
    request = open_request()
    manager = Browser(app).sign_in("manager")
    listing = manager.get("/staff").text
    assert "转岗" in listing
    assert "批准" in listing
    assert 'title="1 项等待处理"' in listing
    assert 'title="1 项等待处理"' not in admin.get("/staff").text
    answer = manager.post(f"/staff/requests/{request.id}/approve")
    assert answer.headers["Location"] == f"/staff/{target.staff.id}"
    assert fresh(target.staff.id).role == "finance"
    assert target.get("/account").status_code == 303
    assert last_action() == "staff.role_approved"
    assert cards() == ["staff.role_asked", "staff.role_approved"]
    history = manager.get(f"/staff/{target.staff.id}").text
    assert "已批准" in history
    assert manager.post(f"/staff/requests/{request.id}/approve").status_code == 409


def test_a_second_admin_may_approve_too(app, admin):
    person = make_staff("front_desk")
    ask(admin, person, "auditor")
    assert Browser(app).sign_in("admin").post(f"/staff/requests/{open_request().id}/approve").status_code == 303
    assert fresh(person.id).role == "auditor"


def test_reject_with_a_reason(app, admin):
    person, manager = make_staff("front_desk"), Browser(app).sign_in("manager")
    ask(admin, person)
    path = f"/staff/requests/{open_request().id}/reject"
    assert manager.get(path).status_code == 200
    assert manager.post(path, {"note": ""}).status_code == 422
    assert manager.post(path, {"note": "还在试用期"}).status_code == 303
    assert fresh(person.id).role == "front_desk"
    assert "还在试用期" in manager.get(f"/staff/{person.id}").text
    assert manager.get(path).status_code == 404
    assert manager.get("/staff/requests/999999/reject").status_code == 404
    assert cards()[-1] == "staff.role_rejected"


def test_whoever_asked_neither_approves_nor_rejects_but_may_withdraw(app, admin):
    person = make_staff("front_desk")
    ask(admin, person)
    request = open_request()
    assert "撤回申请" in admin.get("/staff").text
    assert admin.post(f"/staff/requests/{request.id}/approve").status_code == 403
    assert admin.post(f"/staff/requests/{request.id}/reject", {"note": "不"}).status_code == 403
    assert Browser(app).sign_in("admin").post(f"/staff/requests/{request.id}/withdraw").status_code == 403
    assert admin.post(f"/staff/requests/{request.id}/withdraw").status_code == 303
    assert fresh(person.id).role == "front_desk"


def test_one_open_request_per_person(admin):
    person = make_staff("front_desk")
    ask(admin, person)
    answer = ask(admin, person, "auditor")
    assert (answer.status_code, "已有一项待批准的申请" in answer.text) == (409, True)


@pytest.mark.parametrize(("fields", "words"), [({"role": "owner"}, "role"), ({"reason": ""}, "请填写变更原因"),
                                               ({"role": "front_desk"}, "role")])  # fmt: skip
def test_a_wrong_request_is_named(admin, fields, words):
    answer = ask(admin, make_staff("front_desk"), **fields)
    assert (answer.status_code, words in answer.text) == (422, True)


def test_pages_show_only_what_the_role_may(app, admin):
    person = make_staff("front_desk")
    ask(admin, person)
    auditor = Browser(app).sign_in("auditor")
    text = auditor.get("/staff").text + auditor.get(f"/staff/{person.id}").text
    for word in ("新建员工", "批准</button>", "停用账号", "申请变更角色</a>"):
        assert word not in text
