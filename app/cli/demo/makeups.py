"""Makeups of the demo: classes given up, made up in others, some shorter; minutes that end soon; what parents asked of
the desk. All by the services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from app import clock
from app.cli.demo.classes import Booked
from app.cli.demo.people import Happening, Made
from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import leave
from app.domain.catalog.held import FREE
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import CreditStatus, MakeupCredit, MakeupRequest
from app.domain.makeups import asking, book, manage, matching
from app.domain.makeups.matching import Filters
from app.domain.policy import changes
from app.errors import DomainError

#: how many give up a class of the days ahead, how many makeups are booked, how many of them shorter
LEAVES, MADE_UP, SHORTER = 14, 6, 3
#: family → minutes given by the desk, days ago, why
GIVEN = {2: (30, 12, "教练迟到 30 分钟"), 8: (45, 3, "停电，课程提前结束"), 14: (15, 1, "点名耽误了热身")}
#: place among the open credits, hours ago, what the parent asks and wishes, the desk's answer
ASKED = (
    (
        0,
        30,
        "上周请假的课想补到周末，能不能帮忙看看？",
        "周六或周日上午",
        "周六上午有空位，已发给您，请在小程序里确认。",
    ),
    (1, 5, "孩子最近周三周五要上兴趣班，想请你们安排一个别的时间。", "周一、周二或周末，最好还是原来的教练", None),
    (4, 2, "马上就要到期了，这周哪天都行。", None, None),
)


def happenings(
    families: dict[int, Made], booked: list[Booked], left_out: set[int], actors: dict[str, Actor]
) -> Iterator[Happening]:
    """The last weeks, each as a moment and what to do at it."""
    now, manager, clerk = clock.now(), actors["dianzhang"], actors["qiantai"]
    homes = {made.family_id: made for number, made in families.items() if number not in left_out}
    # Credits were shorter at first: those of then end in the next days.
    for days, value in ((60, "14d"), (3, "60d")):
        moment = now - timedelta(days=days)
        yield moment, partial(_allow, value, moment)
    for number, (minutes, days, why) in GIVEN.items():
        moment = now - timedelta(days=days)
        if number in families:
            yield moment, partial(_give, families[number], minutes, why, manager, moment)
    for number, one in enumerate(_staying(booked, homes, now)[:LEAVES]):
        moment = now - timedelta(hours=28 - number, minutes=7 * number)
        yield moment, partial(_give_up, one, moment)
    for number in range(MADE_UP):
        # Last of all: nobody else of the story is still to book these seats, or these students at these times.
        moment = now - timedelta(seconds=5 * (MADE_UP - number))
        yield moment, partial(_make_up, homes, clerk if number % 2 else None, number < SHORTER, moment)
    for place, hours, text, wishes, answer in ASKED:
        moment = now - timedelta(hours=hours)
        yield moment, partial(_ask, homes, place, text, wishes, answer, clerk, moment)


def _allow(value: str, moment: datetime) -> None:
    with clock.travel(to=moment):
        changes.set_by_command(name="makeup_credit_ttl", value=value, who="demo")


def _give(made: Made, minutes: int, why: str, manager: Actor, moment: datetime) -> None:
    with clock.travel(to=moment):
        manage.adjust_minutes(profile_id=made.profile_ids[0], minutes=minutes, reason=why, actor=manager)


def _staying(booked: list[Booked], homes: dict[int, Made], now: datetime) -> list[Booked]:
    """Bookings of the days ahead that end in no other story, every seventh of them."""
    found = [
        one
        for one in booked
        if not one.ends and one.made.family_id in homes and one.lesson.type == "regular"
        and one.lesson.starts_at > now + timedelta(hours=30) and one.at < now - timedelta(hours=30)
    ]  # fmt: skip
    return found[::7]


def _give_up(one: Booked, moment: datetime) -> None:
    """Not where the class is full: its seats belong to those who wait."""
    free = db.session.scalar(sa.select(FREE).where(CourseSchedule.id == one.lesson.id))
    db.session.rollback()
    if free:
        with clock.travel(to=moment):
            leave.take_leave(booking_id=one.booking_id, actor=_parent(one.made), reason="孩子发烧")


def _make_up(homes: dict[int, Made], clerk: Actor | None, shorter: bool, moment: datetime) -> None:
    """The first open credit with a class of the length asked for."""
    with clock.travel(to=moment):
        asked = set(db.session.scalars(sa.select(MakeupRequest.credit_id)))
        for credit_id in (one for one in _open(homes) if one not in asked):
            one = matching.missed(credit_id)
            wanted = [
                match
                for match in matching.best(one, Filters(free=True), limit=40)
                if (match.exchange.difference < 0 if shorter else match.exchange.difference == 0)
            ]
            db.session.rollback()
            if wanted:
                book.book(
                    schedule_id=wanted[0].session.id, profile_id=one.profile_id, credit_id=credit_id,
                    accept_shorter=shorter, actor=clerk or _parent(homes[one.family_id]),
                )  # fmt: skip
                return


def _ask(
    homes: dict[int, Made], place: int, text: str, wishes: str | None, answer: str | None, clerk: Actor,
    moment: datetime,
) -> None:  # fmt: skip
    with clock.travel(to=moment):
        found = _open(homes)[place:]
        if not found:
            return
        family_id = db.session.scalar(sa.select(MakeupCredit.family_id).where(MakeupCredit.id == found[0]))
        db.session.rollback()
        try:
            request_id = asking.ask(credit_id=found[0], text=text, wishes=wishes, actor=_parent(homes[family_id]))
        except DomainError:
            return  # asked for already
    if answer:
        with clock.travel(to=moment + timedelta(hours=1)):
            asking.answer(request_id=request_id, text=answer, actor=clerk)


def _open(homes: dict[int, Made]) -> list[int]:
    """Credits that can be used now, what ends first at the front."""
    query = (
        sa.select(MakeupCredit.id)
        .where(
            MakeupCredit.status == CreditStatus.AVAILABLE, MakeupCredit.valid_until > clock.now(),
            MakeupCredit.family_id.in_(homes),
        )
        .order_by(MakeupCredit.valid_until, MakeupCredit.id)
    )  # fmt: skip
    found = list(db.session.scalars(query))
    db.session.rollback()
    return found


def _parent(made: Made) -> Actor:
    return Actor(type=ActorType.PARENT, id=made.user_id, name="家长", family_id=made.family_id)
