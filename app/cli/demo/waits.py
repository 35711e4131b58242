"""Queues of the demo: full classes that children wait for, a seat that is offered right now, and two stories that have
ended, all by the services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from app import clock
from app.cli.demo import story
from app.cli.demo.people import Happening, Made
from app.cli.demo.studio import Lesson
from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import cancel
from app.domain.bookings.models import Booking
from app.domain.catalog import courses
from app.domain.catalog.models import CourseSchedule, CourseType
from app.domain.offers import advance, answer, join, staff
from app.errors import DomainError

#: a class may have begun to be cancelled no longer when it is so near
_AHEAD = timedelta(hours=14)


@dataclass(slots=True)
class Queue:
    """One full class: how many wait, and what happens then (minutes before now → step)."""

    type: str
    waiting: int
    steps: dict[float, str]
    by_staff: bool = False
    session: int | None = None
    waits: list[tuple[int, Made]] = field(default_factory=list)


def _queues() -> list[Queue]:
    return [
        # The one that a visitor sees counting down.
        Queue("regular", 4, {4: "free"}),
        # A seat that went its whole way, and what the desk did about it.
        Queue("regular", 4, {9: "free", 8.5: "begin 1", 8: "confirm 1", 5: "move"}),
        # Declined by the first, given to one alone by the desk.
        Queue("regular", 3, {7: "free", 6.5: "decline 0", 3: "offer"}),
        Queue("regular", 2, {}, by_staff=True),
        Queue("vip", 5, {}),
    ]


def happenings(
    families: dict[int, Made], lessons: list[Lesson], left_out: set[int], actors: dict[str, Actor]
) -> Iterator[Happening]:
    """The last quarter of an hour. Families whose balance is told elsewhere only wait and book nothing here."""
    now = clock.now()
    free = [made for number, made in families.items() if number not in left_out and number not in story.BALANCES]
    taken: set[int] = set()
    yield now - timedelta(minutes=19), partial(_one_by_one, actors["dianzhang"])
    for number, queue in enumerate(_queues()):
        begun = now - timedelta(minutes=18 - number)
        people = free[7 * number :] + free[: 7 * number]
        if number == 0:
            people = [*(families[n] for n in (2, 1) if n in families), *people]
        yield begun, partial(_form, queue, lessons, people, taken, actors["qiantai"], begun)
        for minutes, step in queue.steps.items():
            moment = now - timedelta(minutes=minutes)
            yield (
                moment,
                partial(_play, queue, step, {made.family_id: made for made in free}, actors["qiantai"], moment),
            )


def _one_by_one(manager: Actor) -> None:
    """Lessons for one are offered one by one."""
    vip = db.session.query(CourseType).filter_by(code="vip").one()
    values = {"course_type_id": vip.id, "name": vip.name, "waitlist_capacity": vip.waitlist_capacity}
    db.session.rollback()
    courses.update_course_type(**values, waitlist_policy="sequential", actor=manager)


def _form(
    queue: Queue, lessons: list[Lesson], people: list[Made], taken: set[int], clerk: Actor, moment: datetime
) -> None:
    """The first full class of this type that enough of these people may wait for."""
    for lesson in sorted(lessons, key=lambda one: one.starts_at):
        near = lesson.starts_at < clock.now() + _AHEAD
        if lesson.type != queue.type or near or lesson.id in taken or not _full(lesson.id):
            continue
        taken.add(lesson.id)
        queue.session = lesson.id
        for number, made in enumerate(people):
            if len(queue.waits) == queue.waiting:
                return
            with clock.travel(to=moment + timedelta(seconds=7 * number)):
                _wait(queue, made, clerk)
        if len(queue.waits) == queue.waiting:
            return
        _disband(queue)


def _wait(queue: Queue, made: Made, clerk: Actor) -> None:
    try:
        entry = join.join(
            schedule_id=queue.session, profile_id=made.profile_ids[0], actor=clerk if queue.by_staff else _parent(made),
            auto_accept=not queue.steps and len(queue.waits) == 1,
        )  # fmt: skip
    except DomainError:
        return  # another level, or elsewhere at that time
    queue.waits.append((entry, made))


def _disband(queue: Queue) -> None:
    for entry, made in queue.waits:
        join.leave(entry_id=entry, actor=_parent(made))
    queue.waits.clear()


def _play(queue: Queue, step: str, homes: dict[int, Made], clerk: Actor, moment: datetime) -> None:
    word, _, number = step.partition(" ")
    if not queue.waits:
        return
    entry, made = queue.waits[int(number or 0)]
    last = queue.waits[-1][0]
    acts: dict[str, Callable[[], object]] = {
        "free": partial(_free, queue, homes),
        "begin": partial(answer.begin, entry_id=entry, actor=_parent(made)),
        "confirm": partial(answer.confirm, entry_id=entry, actor=_parent(made)),
        "decline": partial(answer.decline, entry_id=entry, actor=_parent(made)),
        "move": partial(staff.move, entry_id=last, position=1, reason="上周停课，答应过优先", actor=clerk),
        "offer": partial(staff.offer, entry_id=last, reason="第一位家长电话里说让给妹妹班的同学", actor=clerk),
    }
    with clock.travel(to=moment):
        acts[word]()


def _free(queue: Queue, homes: dict[int, Made]) -> None:
    """Somebody whose balance is told nowhere cancels."""
    seated = sa.select(Booking.id, Booking.family_id).where(
        Booking.course_schedule_id == queue.session, Booking.live_profile_id.is_not(None),
        Booking.family_id.in_(homes),
    )  # fmt: skip
    row = db.session.execute(seated.order_by(Booking.id.desc())).first()
    db.session.rollback()
    if row is None:
        return
    cancel.cancel(booking_id=row.id, actor=_parent(homes[row.family_id]), reason="临时有事")
    advance.advance(schedule_id=queue.session)


def _parent(made: Made) -> Actor:
    return Actor(type=ActorType.PARENT, id=made.user_id, name="家长", family_id=made.family_id)


def _full(schedule_id: int) -> bool:
    room = CourseSchedule.capacity - CourseSchedule.booked - CourseSchedule.held - CourseSchedule.kept
    free = db.session.scalar(sa.select(room).where(CourseSchedule.id == schedule_id))
    db.session.rollback()
    return free == 0
