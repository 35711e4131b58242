"""The family page: masked until asked, tabs as page and fragment, what a role may not do is not there."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.people.models import Profile, User
from app.domain.policy.models import PolicyValue
from tests.factories import make_family, make_level
from tests.portal import Browser


@pytest.fixture
def family(app):
    return make_family(parent="张女士", students=("张小明", "张小红"), phone="13812345678",
                       birthday="2019-05-01", balance="120.00")  # fmt: skip


def audit_actions() -> list[str]:
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def test_page_shows_who_and_what_masked(app, family):
    page = Browser(app).sign_in("front_desk").get(f"/families/{family.id}")
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "张小明" in text
    assert "138****5678" in text
    assert "13812345678" not in text
    assert "2019-**-**" in text
    assert "2019-05-01" not in text
    assert "¥120.00" in text


def test_unknown_family_is_404(app):
    assert Browser(app).sign_in("finance").get("/families/999999").status_code == 404


@pytest.mark.parametrize("tab", ["", "/adjustments", "/messages", "/audit"])
def test_each_tab_is_a_page_and_a_fragment(app, family, tab):
    browser = Browser(app).sign_in("manager")
    page = browser.get(f"/families/{family.id}{tab}").get_data(as_text=True)
    part = browser.htmx(f"/families/{family.id}{tab}").get_data(as_text=True)
    assert "<html" in page
    assert "<html" not in part
    assert 'id="family-tab"' in part


def test_tabs_follow_the_role(app, family):
    assert "审计" not in Browser(app).sign_in("front_desk").htmx(f"/families/{family.id}").get_data(as_text=True)
    assert Browser(app).sign_in("front_desk").get(f"/families/{family.id}/audit").status_code == 403


def test_reveal_is_a_post_with_a_reason_and_is_recorded(app, family):
    browser = Browser(app).sign_in("front_desk")
    assert browser.get(f"/families/parents/{family.user_id}/phone").status_code == 405
    assert browser.htmx(f"/families/parents/{family.user_id}/phone", {"reason": ""}).status_code == 422
    shown = browser.htmx(f"/families/parents/{family.user_id}/phone", {"reason": "联系家长"})
    assert "13812345678" in shown.get_data(as_text=True)
    birthday = browser.htmx(f"/families/students/{family.profile_ids[0]}/birthday", {"reason": "核对身份"})
    assert "2019-05-01" in birthday.get_data(as_text=True)
    assert audit_actions().count("people.revealed") == 2
    assert "13812345678" not in str(db.session.execute(sa.select(AuditEntry.__table__)).all())


def test_auditor_may_not_reveal(app, family):
    browser = Browser(app).sign_in("auditor")
    assert browser.htmx(f"/families/parents/{family.user_id}/phone", {"reason": "联系家长"}).status_code == 403


def test_reveals_are_counted_per_day(app, family):
    from app import clock
    from app.db import transaction

    with transaction():
        db.session.add(PolicyValue(name="reveal_daily_limit", value="1", updated_at=clock.now(), updated_by="test"))
    browser = Browser(app).sign_in("front_desk")
    url = f"/families/parents/{family.user_id}/phone"
    assert browser.htmx(url, {"reason": "联系家长"}).status_code == 200
    assert browser.htmx(url, {"reason": "联系家长"}).status_code == 429


def test_reveal_of_nothing_is_404(app):
    bare = make_family()
    browser = Browser(app).sign_in("front_desk")
    assert browser.htmx(f"/families/parents/{bare.user_id}/phone", {"reason": "联系家长"}).status_code == 404
    assert browser.htmx(f"/families/students/{bare.profile_ids[0]}/birthday", {"reason": "x"}).status_code == 404


def test_student_level_is_confirmed_by_saving(app, family):
    level = make_level("L2", 2)
    browser = Browser(app).sign_in("front_desk")
    url = f"/families/{family.id}/students/{family.profile_ids[0]}"
    assert browser.get(url).status_code == 200
    saved = browser.post(url, {"level_id": str(level), "status": "active", "notes": "左脚踝旧伤\u202e"})
    assert saved.status_code == 303
    profile = db.session.get(Profile, family.profile_ids[0])
    db.session.refresh(profile)
    assert (profile.level_id, profile.level_confirmed, profile.notes) == (level, True, "左脚踝旧伤")
    assert "profile.updated" in audit_actions()


@pytest.mark.parametrize("data", [{"level_id": "999", "status": "active"}, {"level_id": "", "status": "gone"}])
def test_student_form_refuses_what_is_not_offered(app, family, data):
    browser = Browser(app).sign_in("front_desk")
    answer = browser.post(f"/families/{family.id}/students/{family.profile_ids[0]}", {"notes": "", **data})
    assert answer.status_code == 422
    assert "profile.updated" not in audit_actions()


def test_student_of_another_family_is_404(app, family):
    other = make_family(parent="李先生", students=("李雷",))
    browser = Browser(app).sign_in("front_desk")
    assert browser.get(f"/families/{other.id}/students/{family.profile_ids[0]}").status_code == 404
    assert browser.get(f"/families/{other.id}/parents/{family.user_id}").status_code == 404


def test_member_status(app, family):
    browser = Browser(app).sign_in("front_desk")
    url = f"/families/{family.id}/parents/{family.user_id}"
    assert browser.get(url).status_code == 200
    assert browser.post(url, {"member_status": "formal", "enrolled_on": "2099-01-01"}).status_code == 422
    assert browser.post(url, {"member_status": "formal", "enrolled_on": ""}).status_code == 303
    user = db.session.get(User, family.user_id)
    db.session.refresh(user)
    assert user.member_status == "formal"
    assert user.enrolled_at is not None
    assert browser.post(url, {"member_status": "king"}).status_code == 422


def test_hostile_names_stay_text(app):
    family = make_family(parent='<img src=x onerror="alert(1)">', students=("<script>1</script>",))
    text = Browser(app).sign_in("finance").get(f"/families/{family.id}").get_data(as_text=True)
    assert "<img src=x" not in text
    assert "<script>1" not in text


def test_transactions_page_through(app, family):
    from decimal import Decimal

    from app.db import transaction
    from app.domain.audit.actor import system
    from app.domain.ledger import service as ledger

    with transaction():
        wallet = ledger.lock_wallet(family_id=family.id)
        for n in range(60):
            ledger.post(wallet, type="recharge", amount=Decimal("1.00"), idempotency_key=f"page-{family.id}-{n}",
                        reference_type="import", reference_id=n, reason=f"第{n}笔", actor=system("test"))  # fmt: skip
    browser = Browser(app).sign_in("finance")
    first = browser.htmx(f"/families/{family.id}").get_data(as_text=True)
    assert "第59笔" in first
    assert "第5笔" not in first
    second = browser.htmx(f"/families/{family.id}?before=12").get_data(as_text=True)
    assert "第9笔" in second
    only = browser.htmx(f"/families/{family.id}?type=adjustment").get_data(as_text=True)
    assert "期初余额" in only
    assert "第59笔" not in only
