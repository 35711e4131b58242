"""A parent whom staff moved, or whose family was merged, sees the other family from the next call on (P11)."""

from __future__ import annotations

import pytest

from app.domain.bookings import place
from app.domain.changes import families
from app.domain.people import profiles
from app.errors import Busy
from tests.api.conftest import ok, refused, sign_in
from tests.api.test_bookings import add_student, set_balance
from tests.factories import make_session
from tests.portal import actor_of, make_staff


@pytest.fixture
def two(client):
    one, other = sign_in(client, "openid-mother", "妈妈"), sign_in(client, "openid-father", "爸爸")
    set_balance(one, "500.00")
    set_balance(other, "120.00")
    return one, other


def merge(source, target):
    families.merge_families(from_family_id=source.family_id, into_family_id=target.family_id, reason="同一家人",
                            actor=actor_of(make_staff("finance")))  # fmt: skip


def test_both_parents_share_the_merged_wallet_at_once(two):
    mother, father = two
    child, brother = add_student(mother), add_student(father, "弟弟")
    done = place.book(schedule_id=make_session(), profile_id=child, actor=mother.actor)
    merge(mother, father)
    for parent in two:  # the same tokens as before
        assert ok(parent.get("/wallet/balance"), "get_balance")["balance"] == "420.00"
        assert {one["id"] for one in ok(parent.get("/profiles"), "list_profiles")["items"]} == {child, brother}
        assert parent.get(f"/bookings/{done.booking_id}").status_code == 200
    assert mother.get("/me").get_json()["data"]["family_id"] == father.family_id
    cancelled = father.post(f"/bookings/{done.booking_id}/cancel")
    assert cancelled.status_code == 200
    assert ok(mother.get("/wallet/balance"), "get_balance")["balance"] == "620.00"


def test_a_moved_parent_leaves_the_old_family_behind(two):
    mother, father = two
    child, brother = add_student(mother), add_student(father, "弟弟")
    booked = place.book(schedule_id=make_session(), profile_id=child, actor=mother.actor)
    families.move_parent(user_id=mother.user_id, from_family_id=mother.family_id, to_family_id=father.family_id,
                         reason="再婚", actor=actor_of(make_staff("finance")))  # fmt: skip
    assert ok(mother.get("/wallet/balance"), "get_balance")["balance"] == "120.00"
    assert [one["id"] for one in ok(mother.get("/profiles"), "list_profiles")["items"]] == [brother]
    refused(mother.get(f"/bookings/{booked.booking_id}"), 404, "NOT_FOUND")
    refused(mother.patch(f"/profiles/{child}", {"name": "改名"}), 404, "NOT_FOUND")


def test_a_call_that_came_before_the_move_is_asked_again(two):
    mother, father = two
    before = mother.actor
    merge(mother, father)
    with pytest.raises(Busy):
        profiles.add_profile(facts=profiles.StudentFacts(name="小雨"), actor=before)
    with pytest.raises(Busy):
        profiles.update_me(changes={"nickname": "新名字"}, actor=before)
    assert mother.post("/profiles", {"name": "小雨"}).status_code == 201
    assert len(ok(father.get("/profiles"), "list_profiles")["items"]) == 1
