"""Course types, courses, coaches, venues (C1): names, archiving, and what the audit log says of a price."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import RequestKey, db
from app.domain.audit.models import AuditEntry
from app.domain.catalog import courses, records, rules
from app.domain.catalog.errors import (
    CoachNotFound,
    CourseNotFound,
    CourseTypeNotFound,
    NameTaken,
    Stale,
    VenueNotFound,
)
from app.domain.catalog.models import Coach, Course, CourseType, Venue
from app.domain.waitlist.models import WaitlistPolicy
from app.errors import Forbidden, Invalid, Replayed
from tests.factories import make_level
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def manager():
    return actor_of(make_staff("manager"))


@pytest.fixture
def type_id(manager):
    return courses.create_course_type(code="regular", name="正式课", actor=manager)


def course(type_id, manager, name="少儿体操", **more) -> int:
    values = {"level_id": None, "minutes": 60, "price": Decimal("200.00"), "actor": manager} | more
    return courses.create_course(course_type_id=type_id, name=name, **values)


def update(course_id, manager, **more) -> None:
    values = {
        "version": 1, "name": "少儿体操", "level_id": None, "minutes": 60, "price": Decimal("200.00"),
        "waitlist_capacity": None, "actor": manager,
    }  # fmt: skip
    courses.update_course(course_id=course_id, **(values | more))


def entries(action: str) -> list[AuditEntry]:
    return list(db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id)))


def test_a_course_type_and_a_course(type_id, manager):
    level_id = make_level("L2", 2)
    made = db.session.get(Course, course(type_id, manager, level_id=level_id, waitlist_capacity=4))
    assert (made.name, made.level_id, made.duration_minutes, made.price) == ("少儿体操", level_id, 60, Decimal(200))
    assert (made.waitlist_capacity, made.archived_at, made.version) == (4, None, 1)
    kind = db.session.get(CourseType, type_id)
    assert (kind.code, kind.waitlist_capacity, kind.is_trial) == ("regular", 8, False)
    (row,) = entries("course.created")
    assert row.after["price"] == "200.00"


def test_a_new_price_is_audited_with_the_old_one(type_id, manager):
    made = course(type_id, manager)
    update(made, manager, price=Decimal("240"))
    assert db.session.get(Course, made).price == Decimal("240.00")
    (row,) = entries("course.updated")
    assert (row.before, row.after, row.actor_id) == ({"price": "200.00"}, {"price": "240.00"}, manager.id)


def test_what_does_not_change_leaves_no_trace(type_id, manager):
    made = course(type_id, manager)
    update(made, manager)
    assert not entries("course.updated")
    assert db.session.get(Course, made).version == 1


def test_a_form_made_before_anothers_edit_changes_nothing(type_id, manager):
    made = course(type_id, manager)
    update(made, manager, price=Decimal("240.00"))
    with pytest.raises(Stale):
        update(made, manager, minutes=90)
    db.session.rollback()
    assert (db.session.get(Course, made).duration_minutes, db.session.get(Course, made).version) == (60, 2)
    update(made, manager, version=2, price=Decimal("240.00"), minutes=90)
    assert db.session.get(Course, made).duration_minutes == 90


def test_names_are_unique_within_a_type(type_id, manager):
    first = course(type_id, manager)
    with pytest.raises(NameTaken) as refusal:
        course(type_id, manager, " 少儿\u202e体操 ")
    assert (refusal.value.code, set(refusal.value.errors)) == ("NAME_TAKEN", {"name"})
    vip = courses.create_course_type(code="vip", name="私教课", actor=manager)
    other = course(vip, manager)
    second = course(type_id, manager, "竞技体操")
    with pytest.raises(NameTaken):
        update(second, manager, name="少儿体操")
    assert db.session.get(Course, other).name == db.session.get(Course, first).name


def test_codes_and_names_of_types_are_unique(type_id, manager):
    with pytest.raises(NameTaken) as refusal:
        courses.create_course_type(code="regular", name="另一种", actor=manager)
    assert set(refusal.value.errors) == {"code"}
    with pytest.raises(NameTaken):
        courses.create_course_type(code="regular2", name="正式课", actor=manager)
    vip = courses.create_course_type(code="vip", name="私教课", waitlist_capacity=5, actor=manager)
    with pytest.raises(NameTaken):
        courses.update_course_type(course_type_id=vip, name="正式课", waitlist_capacity=5, actor=manager)
    courses.update_course_type(course_type_id=vip, name="私教课", waitlist_capacity=6, actor=manager)
    (row,) = entries("course_type.updated")
    assert (row.before, row.after) == ({"waitlist_capacity": 5}, {"waitlist_capacity": 6})


def test_two_names_of_emoji_are_two(manager):
    courses.create_course_type(code="a", name="🤸", actor=manager)
    assert courses.create_course_type(code="b", name="🎪", actor=manager)
    assert courses.create_coach(name="江🤸", actor=manager) != courses.create_coach(name="江🎪", actor=manager)


PEOPLE_AND_ROOMS = [
    (Coach, courses.create_coach, courses.rename_coach, courses.archive_coach, courses.restore_coach, CoachNotFound),
    (Venue, courses.create_venue, courses.rename_venue, courses.archive_venue, courses.restore_venue, VenueNotFound),
]


@pytest.mark.parametrize(("model", "create", "rename", "archive", "restore", "missing"), PEOPLE_AND_ROOMS)
def test_coaches_and_venues(manager, model, create, rename, archive, restore, missing):
    key = "coach_id" if model is Coach else "venue_id"
    one = create(name="  大 厅\x07 ", actor=manager)
    assert db.session.get(model, one).name == "大 厅"
    two = create(name="小厅", actor=manager)
    with pytest.raises(NameTaken):
        rename(**{key: two}, name="大 厅", actor=manager)
    rename(**{key: two}, name="小厅", actor=manager)
    rename(**{key: two}, name="舞蹈厅", actor=manager)
    archive(**{key: one}, actor=manager)
    archive(**{key: one}, actor=manager)
    assert db.session.get(model, one).archived_at is not None
    with pytest.raises(NameTaken, match="可以恢复"):
        create(name="大 厅", actor=manager)
    db.session.rollback()
    restore(**{key: one}, actor=manager)
    restore(**{key: one}, actor=manager)
    assert db.session.get(model, one).archived_at is None
    word = key.removesuffix("_id")
    assert [len(entries(f"{word}.{act}")) for act in ("created", "updated", "archived", "restored")] == [2, 1, 1, 1]
    with pytest.raises(missing):
        rename(**{key: 999_999}, name="无", actor=manager)
    with pytest.raises(missing):
        archive(**{key: 999_999}, actor=manager)


def test_a_course_is_archived_and_restored(type_id, manager):
    made = course(type_id, manager)
    courses.archive_course(course_id=made, actor=manager)
    assert db.session.get(Course, made).archived_at is not None
    courses.restore_course(course_id=made, actor=manager)
    assert db.session.get(Course, made).archived_at is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"), ({"name": "\u202e"}, "name"), ({"name": "课" * 65}, "name"),
        ({"minutes": 0}, "minutes"), ({"minutes": 1441}, "minutes"),
        ({"price": Decimal("-0.01")}, "price"), ({"price": Decimal("1.001")}, "price"),
        ({"price": Decimal("NaN")}, "price"), ({"price": Decimal("100000000")}, "price"),
        ({"waitlist_capacity": 100}, "waitlist_capacity"), ({"level_id": 999_999}, "level_id"),
    ],
)  # fmt: skip
def test_what_no_course_may_be(type_id, manager, wrong, field):
    with pytest.raises(Invalid) as refusal:
        course(type_id, manager, **wrong)
    assert set(refusal.value.errors) == {field}
    made = course(type_id, manager)
    with pytest.raises(Invalid):
        update(made, manager, **wrong)


@pytest.mark.parametrize("code", ["", "正式", "a" * 33, "-a", "a b", None])
def test_what_no_code_may_be(manager, code):
    with pytest.raises(Invalid) as refusal:
        courses.create_course_type(code=code, name="某课", actor=manager)
    assert set(refusal.value.errors) == {"code"}


def test_a_type_says_how_many_wait(type_id, manager):
    for wrong in (None, -1, 100):
        with pytest.raises(Invalid):
            courses.update_course_type(course_type_id=type_id, name="正式课", waitlist_capacity=wrong, actor=manager)


def test_what_is_not_there(manager):
    with pytest.raises(CourseTypeNotFound):
        course(999_999, manager)
    with pytest.raises(CourseTypeNotFound):
        courses.update_course_type(course_type_id=999_999, name="x", waitlist_capacity=0, actor=manager)
    with pytest.raises(CourseNotFound):
        update(999_999, manager)
    with pytest.raises(CourseNotFound):
        courses.archive_course(course_id=999_999, actor=manager)


@pytest.mark.parametrize("role", ["front_desk", "finance", "auditor", "admin"])
def test_only_who_may_edit_the_schedule(type_id, manager, role):
    made, coach, venue = (
        course(type_id, manager), courses.create_coach(name="江", actor=manager),
        courses.create_venue(name="厅", actor=manager),
    )  # fmt: skip
    actor = actor_of(make_staff(role))
    for act in (
        lambda: courses.create_course_type(code="x", name="x", actor=actor),
        lambda: courses.update_course_type(course_type_id=type_id, name="x", waitlist_capacity=0, actor=actor),
        lambda: course(type_id, actor, "x"),
        lambda: update(made, actor, price=Decimal("1.00")),
        lambda: courses.archive_course(course_id=made, actor=actor),
        lambda: courses.restore_course(course_id=made, actor=actor),
        lambda: courses.create_coach(name="x", actor=actor),
        lambda: courses.rename_coach(coach_id=coach, name="x", actor=actor),
        lambda: courses.archive_coach(coach_id=coach, actor=actor),
        lambda: courses.restore_coach(coach_id=coach, actor=actor),
        lambda: courses.create_venue(name="x", actor=actor),
        lambda: courses.rename_venue(venue_id=venue, name="x", actor=actor),
        lambda: courses.archive_venue(venue_id=venue, actor=actor),
        lambda: courses.restore_venue(venue_id=venue, actor=actor),
    ):
        with pytest.raises(Forbidden):
            act()


def test_one_form_sent_twice_makes_one(manager):
    key = RequestKey("staff:1", "k", "print", present=lambda made: {"id": made})
    made = courses.create_coach(name="江", actor=manager, request_key=key)
    with pytest.raises(Replayed) as replay:
        courses.create_coach(name="江", actor=manager, request_key=key)
    assert replay.value.answer == {"id": made}


def test_the_constraint_has_the_last_word(manager, monkeypatch):
    """The other one committed between our look and our write."""
    courses.create_coach(name="江", actor=manager)
    monkeypatch.setattr(records, "check_unique", lambda *_args, **_more: None)
    with pytest.raises(NameTaken):
        courses.create_coach(name="江", actor=manager)


def test_a_type_says_how_a_freed_seat_goes_round(type_id, manager):
    kind = db.session.get(CourseType, type_id)
    assert kind.waitlist_policy == "open_then_sequential"
    courses.update_course_type(
        course_type_id=type_id, name="正式课", waitlist_capacity=8, waitlist_policy="sequential", actor=manager
    )
    courses.update_course_type(course_type_id=type_id, name="正式课", waitlist_capacity=6, actor=manager)
    db.session.expire_all()
    assert (kind.waitlist_policy, kind.waitlist_capacity) == ("sequential", 6)
    assert set(rules.WAITLIST_POLICIES) == set(WaitlistPolicy)
    with pytest.raises(Invalid):
        courses.update_course_type(
            course_type_id=type_id, name="正式课", waitlist_capacity=8, waitlist_policy="lottery", actor=manager
        )
