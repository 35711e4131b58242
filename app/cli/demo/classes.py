"""Who books what in the demo: planned first, so that each family's history can end where its story wants it, then
played through the services at the hour when it would have happened."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from app import clock
from app.cli.demo import studio
from app.cli.demo.names import LEVELS, PLAYED
from app.cli.demo.people import Happening, Made
from app.cli.demo.studio import Lesson
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import attendance, cancel, leave, place
from app.domain.bookings.rules import Event

#: of a hundred habits, how many are kept in each week: the further ahead, the fewer have booked yet
KEPT = {-2: 92, -1: 94, 0: 92, 1: 68, 2: 26}
#: slots that everybody wants: full this week and next
POPULAR = 12
#: families that also take a lesson of their own
VIP = (8, 10, 14, 17, 30)
#: the parents of the sandbox's phone, who find their own classes there
_FIRST = len(PLAYED)


@dataclass(slots=True)
class Booked:
    """A booking to be. `ends` is leave or cancel at `ended_at`; `mark` what the roll says at `marked_at`."""

    made: Made
    profile_id: int
    lesson: Lesson
    at: datetime
    by_staff: bool
    ends: str = ""
    ended_at: datetime | None = None
    mark: Event | None = None
    marked_at: datetime | None = None
    booking_id: int = 0


def plan(
    families: dict[int, Made], lessons: list[Lesson], left_out: Collection[int], owing: Collection[int]
) -> list[Booked]:
    """The bookings of all five weeks. Families in `left_out` have none; those in `owing` cancel none, since a refund
    between two debits would change what they may book."""
    now, this_monday = clock.now(), studio.monday()
    weeks: dict[int, dict[int, Lesson]] = defaultdict(dict)
    for lesson in lessons:
        weeks[lesson.week][lesson.slot] = lesson
    booked = []
    for made, profile_id, slot in _habits(families, weeks[0], left_out):
        for week in studio.WEEKS:
            lesson = weeks[week][slot]
            dice = random.Random(f"{made.number}-{profile_id}-{slot}-{week}")  # noqa: S311 - a demo's habits
            wanted = week in (0, 1) and slot in _popular(weeks[0])
            if dice.randrange(100) >= KEPT[week] and not wanted:
                continue
            one = _book(made, profile_id, lesson, dice, now, studio.opened(week, this_monday))
            if not wanted:
                _let_end(one, dice, now, may_cancel=made.number not in owing)
            _mark(one, dice, now)
            booked.append(one)
    return booked


def net(booked: list[Booked]) -> dict[int, Decimal]:
    """What each family pays in all, in yuan: a cancelled booking costs nothing in the end."""
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for one in booked:
        if one.ends != "cancel":
            sums[one.made.number] += one.lesson.price
    return sums


def happenings(booked: list[Booked], actors: dict[str, Actor]) -> Iterator[Happening]:
    """What the bookings bring about, each as a moment and what to do at it."""
    for one in booked:
        parent = Actor(type=ActorType.PARENT, id=one.made.user_id, name="家长", family_id=one.made.family_id)
        yield one.at, partial(_make, one, actors["qiantai"] if one.by_staff else parent)
        if one.ends == "leave":
            yield one.ended_at, partial(_leave, one, parent)
        elif one.ends == "cancel":
            yield one.ended_at, partial(_cancel, one, parent)
        if one.mark:
            yield one.marked_at, partial(_sign, one, actors["qiantai"])


# ── planning ────────────────────────────────────────────────────────────────────────────────────────


def _habits(
    families: dict[int, Made], week: dict[int, Lesson], left_out: Collection[int]
) -> Iterator[tuple[Made, int, int]]:
    """Which student comes to which slots, week after week. No slot gets more than its seats, no student two at a
    time."""
    room = {slot: lesson.capacity for slot, lesson in week.items()}
    popular = _popular(week)
    for made in families.values():
        if made.number in left_out:
            continue
        rank = LEVELS.index(made.level) + 1
        for child, profile_id in enumerate(made.profile_ids):
            dice = random.Random(f"{made.number}-{child}")  # noqa: S311 - a demo's habits
            wish = 3 if made.number <= _FIRST or dice.random() < 0.55 else 2
            slots = [slot for slot, lesson in week.items() if lesson.type == "regular" and _suits(lesson, rank)]
            dice.shuffle(slots)
            slots.sort(key=lambda slot: slot not in popular)
            if made.number in VIP and child == 0:
                own = (slot for slot, lesson in week.items() if lesson.type == "vip" and _suits(lesson, rank))
                slots.insert(0, next(slot for slot in own if room[slot]))
            taken: list[Lesson] = []
            for slot in slots:
                lesson = week[slot]
                if len(taken) < wish and room[slot] and not _clashes(lesson, taken):
                    room[slot] -= 1
                    taken.append(lesson)
                    yield made, profile_id, slot


def _popular(week: dict[int, Lesson]) -> set[int]:
    """Weekend classes and those after school, spread over the week, that fill first."""
    regular = [slot for slot, lesson in week.items() if lesson.type == "regular"]
    return set(regular[2 :: max(1, len(regular) // POPULAR)])


def _suits(lesson: Lesson, rank: int) -> bool:
    """Their own level, one below, or a class for all."""
    return lesson.rank is None or rank - 2 <= lesson.rank <= rank


def _clashes(lesson: Lesson, taken: list[Lesson]) -> bool:
    """Also the same day: children do not come twice."""
    day = clock.local(lesson.starts_at).date()
    return any(clock.local(other.starts_at).date() == day for other in taken)


def _book(made: Made, profile_id: int, lesson: Lesson, dice: random.Random, now: datetime, opened: datetime) -> Booked:
    at = lesson.starts_at - timedelta(days=dice.randint(1, 4), minutes=dice.randint(0, 600))
    if at >= now:
        # The class lies further ahead than people book as a rule: they did it in the last days.
        at = now - timedelta(minutes=dice.randint(20, 60 * 50))
    return Booked(made, profile_id, lesson, max(at, opened + timedelta(minutes=dice.randint(1, 300))),
                  by_staff=dice.random() < 0.15)  # fmt: skip


def _let_end(one: Booked, dice: random.Random, now: datetime, *, may_cancel: bool) -> None:
    luck = dice.randrange(100)
    before = timedelta(hours=9 if luck < 4 else 14, minutes=dice.randint(0, 120))
    at = min(one.lesson.starts_at - before, now - timedelta(minutes=dice.randint(1, 15)))
    if at <= one.at + timedelta(minutes=1):
        return
    if luck < 4:
        one.ends, one.ended_at = "leave", at
    elif luck < 8 and may_cancel:
        one.ends, one.ended_at = "cancel", at


def _mark(one: Booked, dice: random.Random, now: datetime) -> None:
    at = one.lesson.starts_at + timedelta(minutes=dice.randint(2, 12))
    today = clock.local(now).date() == clock.local(at).date()
    # Now and then the desk forgets one, and today's roll is half done.
    forgotten = dice.randrange(100) < (40 if today else 2)
    if one.ends or at >= now or forgotten:
        return
    one.mark = Event.MISS if dice.randrange(100) < 7 else Event.ATTEND
    one.marked_at = at


# ── playing ─────────────────────────────────────────────────────────────────────────────────────────


def _make(one: Booked, actor: Actor) -> None:
    with clock.travel(to=one.at):
        done = place.book(schedule_id=one.lesson.id, profile_id=one.profile_id, actor=actor, price=one.lesson.price)
    one.booking_id = done.booking_id


def _leave(one: Booked, parent: Actor) -> None:
    with clock.travel(to=one.ended_at):
        leave.take_leave(booking_id=one.booking_id, actor=parent, reason="孩子感冒")


def _cancel(one: Booked, parent: Actor) -> None:
    with clock.travel(to=one.ended_at):
        cancel.cancel(booking_id=one.booking_id, actor=parent, reason="临时有事")


def _sign(one: Booked, clerk: Actor) -> None:
    with clock.travel(to=one.marked_at):
        attendance.mark(booking_id=one.booking_id, event=one.mark, actor=clerk)
