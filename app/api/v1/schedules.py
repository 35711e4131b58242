"""The studio's classes as parents see them (C3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from flask import Blueprint

from app import clock
from app.api.v1 import class_schemas as schemas
from app.api.v1 import cursors
from app.api.v1.contract import Call, endpoint
from app.domain.bookings import queries as bookings
from app.domain.bookings.errors import ScheduleNotFound
from app.domain.catalog import queries
from app.domain.catalog.queries import Position, SessionCard
from app.domain.makeups import matching
from app.domain.people import queries as people
from app.errors import Conflict, NotFound

Refusal = TypeVar("Refusal", bound=Conflict)

bp = Blueprint("schedules", __name__, url_prefix="/schedules")
_LIST = "s"


@endpoint(
    bp, "GET", "", summary="课程表", query=schemas.SchedulesQuery, data=schemas.Schedules, errors=("NOT_FOUND",),
)  # fmt: skip
def list_schedules(call: Call) -> schemas.Schedules:
    """未取消的课次，按开始时间排列。"""
    asked = call.query
    check_profile(call, asked.profile_id)
    position = cursors.decode_pair(_LIST, asked.cursor)
    found = queries.coming(
        starts_from=clock.day_bounds(asked.date_from)[0] if asked.date_from else clock.now(),
        starts_before=clock.day_bounds(asked.date_to)[1] if asked.date_to else None,
        available=asked.available, type=asked.type, level=asked.level, venue_id=asked.venue_id,
        coach_id=asked.coach_id, limit=asked.limit,
        after=None if position is None else Position(cursors.moment(position[0]), position[1]),
    )  # fmt: skip
    page = found[: asked.limit]
    more = None
    if len(found) > asked.limit:
        more = cursors.encode(_LIST, cursors.ticks(page[-1].starts_at), page[-1].id)
    return schemas.Schedules(
        items=present(page, family_id=call.parent.family_id, profile_id=asked.profile_id), next_cursor=more
    )


@endpoint(
    bp, "GET", "/<id:schedule_id>",
    summary="一节课", query=schemas.ScheduleQuery, data=schemas.Schedule, errors=("SCHEDULE_NOT_FOUND", "NOT_FOUND"),
)  # fmt: skip
def get_schedule(call: Call, schedule_id: int) -> schemas.Schedule:
    """一节课的详情和名额；已取消的也能读到。"""
    return _one(call, schedule_id)


@endpoint(
    bp, "GET", "/<id:schedule_id>/availability",
    summary="名额", query=schemas.ScheduleQuery, data=schemas.Availability,
    errors=("SCHEDULE_NOT_FOUND", "NOT_FOUND"),
)  # fmt: skip
def get_availability(call: Call, schedule_id: int) -> schemas.Availability:
    """只有名额，适合频繁刷新。空位 = 名额 − 已预约 − 支付中 − 为候补保留。"""
    check_profile(call, call.query.profile_id)
    card = queries.session_card(schedule_id)
    if card is None:
        raise ScheduleNotFound
    states = bookings.my_states([card], family_id=call.parent.family_id, profile_id=call.query.profile_id)
    return schemas.Availability(
        capacity=card.capacity, booked=card.booked, held=card.held, kept_for_waitlist=card.kept,
        available=card.available, waitlist_count=card.waitlist_count, waitlist_capacity=card.waitlist_capacity,
        my_state=states[card.id],
    )  # fmt: skip


def _one(call: Call, schedule_id: int) -> schemas.Schedule:
    check_profile(call, call.query.profile_id)
    card = queries.session_card(schedule_id)
    if card is None:
        raise ScheduleNotFound
    return present([card], family_id=call.parent.family_id, profile_id=call.query.profile_id)[0]


def check_profile(call: Call, profile_id: int | None) -> None:
    """Raises NotFound for a student of another family, as for nobody."""
    if profile_id is not None and not people.has_profile(call.parent.family_id, profile_id):
        raise NotFound("没有这位学员")


def present(cards: Sequence[SessionCard], *, family_id: int, profile_id: int | None = None) -> list[schemas.Schedule]:
    """Sessions in the contract's form, with what each is to the family; one query for all."""
    states = bookings.my_states(cards, family_id=family_id, profile_id=profile_id)
    return [
        schemas.Schedule(
            id=card.id, course_name=card.course_name, course_type=card.course_type, level=card.level,
            coach=schemas.Named(id=card.coach_id, name=card.coach_name),
            venue=schemas.Named(id=card.venue_id, name=card.venue_name),
            starts_at=card.starts_at, ends_at=card.ends_at, duration_minutes=card.duration_minutes, price=card.price,
            status=card.status, capacity=card.capacity, booked=card.booked, held=card.held,
            available=card.available, waitlist_count=card.waitlist_count, waitlist_capacity=card.waitlist_capacity,
            my_state=states[card.id],
        )
        for card in cards
    ]  # fmt: skip


def alternatives(
    schedule_id: int, *, profile_id: int, family_id: int, credit_id: int | None = None
) -> list[schemas.Schedule]:
    """What could be booked instead of a full class (B2); with a credit only what it can be used for."""
    others = bookings.alternatives(schedule_id, profile_id=profile_id)
    if credit_id is not None:
        fitting = matching.fitting(credit_id, [one.id for one in others])
        others = [one for one in others if one.id in fitting]
    return present(others, family_id=family_id, profile_id=profile_id)


def with_alternatives(
    refusal: Refusal, schedule_id: int, profile_id: int, family_id: int, *, credit_id: int | None = None
) -> Refusal:
    """The refusal of a full class or queue, with what could be booked instead (96.35, Q24)."""
    shown = alternatives(schedule_id, profile_id=profile_id, family_id=family_id, credit_id=credit_id)
    refusal.data = {**(refusal.data or {}), "alternatives": [one.model_dump(mode="json") for one in shown]}
    return refusal
