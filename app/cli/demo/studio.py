"""What the demo's studio teaches, who teaches it, where, and its week: one week made by hand, four copied from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.catalog import courses, sessions
from app.domain.catalog.models import Course, CourseSchedule, CourseType
from app.domain.people.models import Level

#: code, name, how many may wait, trial
TYPES = (("regular", "正式课", 8, False), ("vip", "私教课", 5, False), ("trial", "体验课", 8, True))
#: type, name, level, minutes, yuan, capacity
COURSES = (
    ("regular", "启蒙体操", "L1", 60, "200.00", 6),
    ("regular", "基础体操", "L1", 60, "200.00", 8),
    ("regular", "少儿体操进阶", "L2", 60, "200.00", 6),
    ("regular", "技巧提升", "L2", 75, "220.00", 6),
    ("regular", "体操综合", "L3", 75, "220.00", 6),
    ("regular", "竞技预备", "L4", 90, "260.00", 6),
    ("regular", "跑酷与弹跳", None, 60, "180.00", 8),
    ("regular", "亲子体操", None, 45, "160.00", 6),
    ("vip", "一对一私教", None, 60, "480.00", 1),
    ("vip", "一对二私教", "L2", 60, "320.00", 2),
    ("trial", "体操体验课", None, 45, "200.00", 4),
)
COACHES = ("江晓燕", "白一凡", "何骏", "苏敏", "韩梦")
VENUES = ("一号馆", "二号馆", "三号馆")
WEEKS = range(-2, 3)
_AFTERNOONS = (time(16), time(17, 30), time(19))
_WEEKENDS = (time(9), time(10, 30), time(14), time(15, 30), time(17))
#: what the three venues hold at a time of day, by place in COURSES, in turns; -1: nothing
_TURNS = ((0, 6, 8), (2, 5, -1), (4, 1, -1), (3, 7, 10), (6, 2, -1), (5, 0, -1), (1, 4, 9))


@dataclass(frozen=True, slots=True)
class Lesson:
    """A session of the demo; `slot` counts through a week and is the same in every week."""

    id: int
    week: int
    slot: int
    type: str
    rank: int | None
    price: Decimal
    capacity: int
    starts_at: datetime
    ends_at: datetime


def monday() -> date:
    """The Monday of this week."""
    today = clock.today()
    return today - timedelta(days=today.weekday())


def opened(week: int, this_monday: date) -> datetime:
    """When the sessions of a week were put into the calendar: sixteen days before it, a Saturday at ten."""
    return clock.day_bounds(this_monday + week * sessions.WEEK - timedelta(days=16))[0] + timedelta(hours=10)


def make(manager: Actor, levels: dict[str, int]) -> list[Lesson]:
    """Courses, coaches, venues and five weeks of sessions; the sessions in the order of time."""
    this_monday = monday()
    with clock.travel(to=clock.now() - timedelta(days=180)):
        taught = _courses(manager, levels)
        coaches = [courses.create_coach(name=name, actor=manager) for name in COACHES]
        venues = [courses.create_venue(name=name, actor=manager) for name in VENUES]
    for week in WEEKS:
        day = this_monday + week * sessions.WEEK
        with clock.travel(to=opened(week, this_monday)):
            if week == WEEKS[0]:
                _first_week(day, manager, taught, coaches, venues)
            else:
                sessions.copy_week(from_monday=day - sessions.WEEK, to_monday=day, actor=manager)
    return _lessons(this_monday)


def _courses(manager: Actor, levels: dict[str, int]) -> list[int]:
    types = {
        code: courses.create_course_type(code=code, name=name, waitlist_capacity=waits, is_trial=trial, actor=manager)
        for code, name, waits, trial in TYPES
    }
    return [
        courses.create_course(
            course_type_id=types[type], name=name, level_id=levels[level] if level else None, minutes=minutes,
            price=Decimal(price), actor=manager,
        )
        for type, name, level, minutes, price, _ in COURSES
    ]  # fmt: skip


def _first_week(day: date, manager: Actor, taught: list[int], coaches: list[int], venues: list[int]) -> None:
    turn = 0
    for weekday in range(7):
        for begins in _WEEKENDS if weekday >= 5 else _AFTERNOONS:
            moment = datetime.combine(day + timedelta(days=weekday), begins, clock.STUDIO_ZONE)
            for room, course in enumerate(_TURNS[turn % len(_TURNS)]):
                if course >= 0:
                    sessions.create(
                        course_id=taught[course], coach_id=coaches[(turn + room) % len(coaches)],
                        venue_id=venues[room], starts_at=moment, capacity=COURSES[course][5], actor=manager,
                    )  # fmt: skip
            turn += 1


def _lessons(this_monday: date) -> list[Lesson]:
    query = (
        sa.select(CourseSchedule, Course.price, CourseType.code, Level.rank)
        .join(Course, Course.id == CourseSchedule.course_id)
        .join(CourseType, CourseType.id == Course.course_type_id)
        .outerjoin(Level, Level.id == Course.level_id)
        .order_by(CourseSchedule.starts_at, CourseSchedule.venue_id)
    )
    lessons, slots = [], dict.fromkeys(WEEKS, 0)
    for row, price, code, rank in db.session.execute(query):
        week = (clock.local(row.starts_at).date() - this_monday).days // 7
        lessons.append(Lesson(row.id, week, slots[week], code, rank, price, row.capacity, row.starts_at, row.ends_at))
        slots[week] += 1
    db.session.rollback()
    return lessons
