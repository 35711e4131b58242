"""/me and /profiles."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.people.models import Family, Level, Profile, User
from app.domain.search.models import SearchTerm
from tests.api.conftest import ok, refused


@pytest.fixture
def levels(app):
    db.session.add_all([Level(name="L1", rank=1), Level(name="L2", rank=2)])
    db.session.commit()


def test_me(parent):
    data = ok(parent.get("/me"), "get_me")
    assert (data["id"], data["family_id"], data["nickname"]) == (parent.user_id, parent.family_id, "小雨妈妈")
    assert data["registered_at"].endswith("+08:00")


def test_patch_me_changes_what_is_named(parent):
    assert ok(parent.patch("/me", {"real_name": " 张\u202e敏 "}), "patch_me")["real_name"] == "张敏"
    data = ok(parent.patch("/me", {"nickname": None}), "patch_me")
    assert (data["nickname"], data["real_name"]) == (None, "张敏")
    assert ok(parent.patch("/me", {"unknown": 1}), "patch_me") == data
    assert ok(parent.get("/me"), "get_me") == data


def test_the_familys_name_follows_until_staff_name_it(parent):
    ok(parent.patch("/me", {"real_name": "张敏"}), "patch_me")
    family = db.session.get(Family, parent.family_id)
    assert family.name == "张敏家庭"
    family.name = "张女士家庭"
    db.session.commit()
    ok(parent.patch("/me", {"real_name": "张小敏"}), "patch_me")
    assert db.session.get(Family, parent.family_id).name == "张女士家庭"
    names = {row.name for row in db.session.query(SearchTerm).filter_by(family_id=parent.family_id)}
    assert "张小敏" in names


def test_nothing_changed_leaves_no_audit_row(parent):
    ok(parent.patch("/me", {"nickname": "小雨妈妈"}), "patch_me")
    assert db.session.query(AuditEntry).filter_by(action="user.updated").count() == 0


@pytest.mark.parametrize("body", [{"nickname": 5}, {"nickname": "x" * 65}, {"real_name": "名" * 65}, {"real_name": []}])
def test_patch_me_refuses(parent, body):
    refused(parent.patch("/me", body), 422, "VALIDATION_FAILED", *body)
    assert db.session.get(User, parent.user_id).nickname == "小雨妈妈"


def test_profiles_begin_empty(parent):
    assert ok(parent.get("/profiles"), "list_profiles") == {"items": [], "next_cursor": None}


def test_add_and_list(parent, other, levels):
    body = {"name": "小雨🌧️", "birthday": "2018-05-01", "gender": "female", "level": "L1"}
    made = ok(parent.post("/profiles", body), "add_profile")
    assert made == {"id": made["id"], "status": "active", **body}
    plain = ok(
        parent.post("/profiles", {"name": "乐乐", "birthday": None, "gender": None, "level": None}), "add_profile"
    )
    assert plain == {"id": plain["id"], "name": "乐乐", "birthday": None, "gender": "unknown", "level": None,
                     "status": "active"}  # fmt: skip
    assert ok(parent.get("/profiles"), "list_profiles")["items"] == [made, plain]
    assert ok(other.get("/profiles"), "list_profiles")["items"] == []
    stored = db.session.execute(db.text("SELECT birthday FROM profiles WHERE birthday IS NOT NULL")).scalar_one()
    assert b"2018" not in bytes(stored)


def test_a_birthday_today_is_fine(parent):
    today = clock.today()
    ok(parent.post("/profiles", {"name": "新生", "birthday": today.isoformat()}), "add_profile")
    tomorrow = (today + timedelta(days=1)).isoformat()
    refused(parent.post("/profiles", {"name": "新生", "birthday": tomorrow}), 422, "VALIDATION_FAILED", "birthday")


def test_patch_changes_what_is_named(parent, levels):
    made = ok(parent.post("/profiles", {"name": "小雨", "birthday": "2018-05-01", "gender": "female"}), "add_profile")
    path = f"/profiles/{made['id']}"
    assert ok(parent.patch(path, {"name": "大雨"}), "patch_profile") == made | {"name": "大雨"}
    assert ok(parent.patch(path, {"birthday": None, "gender": None}), "patch_profile") == made | {
        "name": "大雨", "birthday": None, "gender": "unknown",
    }  # fmt: skip
    assert ok(parent.patch(path, {"level": "L2"}), "patch_profile")["level"] == "L2"
    assert ok(parent.patch(path, {"level": None}), "patch_profile")["level"] is None
    refused(parent.patch(path, {"name": None}), 422, "VALIDATION_FAILED", "name")


def test_a_confirmed_level_is_not_a_wish_any_more(parent, levels):
    made = ok(parent.post("/profiles", {"name": "小雨", "level": "L1"}), "add_profile")
    profile = db.session.get(Profile, made["id"])
    assert profile.level_confirmed is False
    profile.level_confirmed = True
    db.session.commit()
    for wish in ("L2", None):
        changed = ok(parent.patch(f"/profiles/{made['id']}", {"level": wish, "name": "大雨"}), "patch_profile")
        assert (changed["level"], changed["name"]) == ("L1", "大雨")


def test_level_names_are_exact(parent, levels):
    refused(parent.post("/profiles", {"name": "小雨", "level": "l1"}), 422, "VALIDATION_FAILED", "level")


def test_another_familys_student_is_not_there(parent, other):
    theirs = ok(other.post("/profiles", {"name": "别人"}), "add_profile")
    refused(parent.patch(f"/profiles/{theirs['id']}", {"name": "我的"}), 404, "NOT_FOUND")
    assert db.session.get(Profile, theirs["id"]).name == "别人"


def test_twenty_students_are_enough(parent):
    for n in range(20):
        ok(parent.post("/profiles", {"name": f"学员{n}"}), "add_profile")
    refused(parent.post("/profiles", {"name": "第二十一"}), 409, "TOO_MANY_PROFILES")


def test_names_of_children_stay_out_of_the_log(parent):
    made = ok(parent.post("/profiles", {"name": "小雨", "birthday": "2018-05-01"}), "add_profile")
    ok(parent.patch(f"/profiles/{made['id']}", {"name": "大雨", "birthday": "2018-05-02"}), "patch_profile")
    rows = db.session.query(AuditEntry).filter_by(target_type="profile").order_by(AuditEntry.id).all()
    assert [row.action for row in rows] == ["profile.added", "profile.updated"]
    assert rows[1].after["fields"] == ["name", "birthday"]
    assert all(word not in str(row.after) for row in rows for word in ("雨", "2018"))
