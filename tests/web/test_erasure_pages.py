"""删除个人信息: the page of a family, asked by one, decided by another; and what it says where it is not possible."""

from __future__ import annotations

import pytest

from app.db import db
from app.domain.people.models import Family
from app.domain.retention import requests
from tests.factories import make_family
from tests.portal import Browser, actor_of, make_staff


def text(response) -> str:
    return response.get_data(as_text=True)


@pytest.fixture
def desk(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


def test_asked_at_the_desk_and_done_by_a_manager(desk, manager):
    family = make_family(parent="欧阳慕容", students=("欧阳小禾",))
    page = f"/families/{family.id}/erasure"
    assert f'href="{page}"' in text(desk.get(f"/families/{family.id}"))
    assert "提交删除申请" in text(desk.get(page))
    answer = desk.post(page, {"reason": "parent_asked"})
    assert answer.status_code in (200, 303)
    waiting = requests.pending(family.id)
    assert "撤回申请" in text(desk.get(page))
    assert "删除不能恢复" in text(manager.get(page))
    assert desk.post(f"{page}/{waiting.id}/approve", {}).status_code == 403
    assert manager.post(f"{page}/{waiting.id + 1}/approve", {}).status_code == 404
    assert manager.post(f"{page}/{waiting.id}/approve", {}).status_code in (200, 303)
    done = text(manager.get(page))
    assert "删除证明" in done
    assert "欧阳" not in done
    assert "欧阳" not in text(manager.get(f"/families/{family.id}"))
    assert db.session.get(Family, family.id).erased_at is not None


def test_what_is_in_the_way_is_said_and_nothing_is_offered(desk):
    family = make_family(balance="20.00")
    page = text(desk.get(f"/families/{family.id}/erasure"))
    assert "余额 ¥20.00" in page
    assert "提交删除申请" not in page
    refused = desk.post(f"/families/{family.id}/erasure", {"reason": "left"})
    assert refused.status_code == 409
    assert "余额 ¥20.00" in text(refused)


def test_a_reason_that_is_not_on_the_list_and_a_family_that_is_not_there(desk):
    family = make_family()
    assert desk.post(f"/families/{family.id}/erasure", {"reason": "<script>"}).status_code == 422
    assert desk.get("/families/999999/erasure").status_code == 404
    assert requests.pending(family.id) is None


def test_rejecting_and_withdrawing(desk, manager):
    family = make_family()
    page = f"/families/{family.id}/erasure"
    asked = requests.ask(family_id=family.id, reason="left", actor=actor_of(make_staff("front_desk")))
    assert desk.post(f"{page}/{asked}/withdraw", {}).status_code == 403  # somebody else's
    assert manager.post(f"{page}/{asked}/reject", {}).status_code in (200, 303)
    assert requests.pending(family.id) is None
