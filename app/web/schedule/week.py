"""The week calendar, and one day of it on a phone. What it shows lives in the address."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from flask import url_for

from app import clock
from app.domain.bookings import roll
from app.domain.catalog import lists, queries
from app.domain.catalog.lists import NamedLine
from app.domain.catalog.models import ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.people import family_queries
from app.domain.people.roles import Permission
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg
from app.web.permissions import requires
from app.web.rendering import render
from app.web.schedule import grid
from app.web.schedule.blueprint import bp

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Options:
    """What the filter row offers, as (value, word) pairs."""

    types: list[tuple[str, str]]
    levels: list[tuple[str, str]]
    venues: list[tuple[int, str]]
    coaches: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the strip and of the table's head."""

    date: date
    sessions: list[SessionCard]


@dataclass(frozen=True, slots=True)
class Week:
    """The sessions of a week in all, without the cancelled ones."""

    days: list[Day]

    @property
    def _on(self) -> list[SessionCard]:
        return [one for day in self.days for one in day.sessions if one.status != ScheduleStatus.CANCELLED]

    @property
    def count(self) -> int:
        return len(self._on)

    @property
    def capacity(self) -> int:
        return sum(one.capacity for one in self._on)

    @property
    def taken(self) -> int:
        return self.capacity - sum(one.available for one in self._on)


@bp.get("/schedule")
@requires(Permission.SCHEDULE_VIEW)
def week():
    """The week of any day in the address, filtered; for htmx only the calendar itself."""
    monday, options = _asked_monday(), _options(int_arg("coach"), int_arg("venue"))
    filters = _filters(options)
    sessions = _sessions(monday, filters)
    by_day = grid.by_day(sessions)
    days = [Day(day, by_day.get(day, [])) for day in (monday + timedelta(days=n) for n in range(grid.DAYS))]
    over = [one.id for one in sessions if one.status == ScheduleStatus.FINISHED and one.booked]
    kept = {name: value for name, value in filters.items() if value}
    return render(
        "schedule/week.html", "schedule/_week.html", week=Week(days), rows=grid.rows(sessions, monday), monday=monday,
        earlier=monday - WEEK, sunday=days[-1].date, today=clock.today(), chosen=_chosen(monday), filters=filters,
        kept=kept, options=options, unmarked=roll.unmarked(over),
        here=url_for("schedule.week", week=monday, day=date_arg("day"), **kept),
        links={word: url_for("schedule.week", week=day, **kept) for word, day in _other_weeks(monday).items()},
    )  # fmt: skip


def _taken() -> Taking:
    """The sessions of the week that is shown, under its filters."""
    monday, options = _asked_monday(), _options(None, None)
    filters = _filters(options)
    words = {"自": monday.isoformat(), "至": (monday + WEEK - timedelta(days=1)).isoformat()}
    return Taking(_sessions(monday, filters), words | in_words(filters))


offer("schedule", "课表", Permission.SCHEDULE_VIEW, _taken, (
    Column("课次编号", "id", Kind.NUMBER), Column("开始", "starts_at", Kind.TIME), Column("结束", "ends_at", Kind.TIME),
    Column("课程", "course_name"), Column("类型", "type_name"), Column("级别", "level"), Column("教练", "coach_name"),
    Column("场馆", "venue_name"), Column("价格", "price", Kind.MONEY), labelled("状态", "status", "session_state"),
    Column("名额", "capacity", Kind.NUMBER), Column("已预约", "booked", Kind.NUMBER),
    Column("待支付", "held", Kind.NUMBER), Column("为候补保留", "kept", Kind.NUMBER),
    Column("空位", "available", Kind.NUMBER), Column("候补", "waitlist_count", Kind.NUMBER),
))  # fmt: skip


def _asked_monday() -> date:
    return monday_of(date_arg("week") or date_arg("day") or clock.today())


def _filters(options: Options) -> dict[str, Any]:
    return {
        "type": choice_arg("type", [code for code, _ in options.types]),
        "level": choice_arg("level", [name for name, _ in options.levels]),
        "coach": int_arg("coach"),
        "venue": int_arg("venue"),
    }


def _sessions(monday: date, filters: dict[str, Any]) -> list[SessionCard]:
    return queries.between(
        clock.day_bounds(monday)[0], clock.day_bounds(monday + WEEK)[0],
        type=filters["type"], level=filters["level"], coach_id=filters["coach"], venue_id=filters["venue"],
    )  # fmt: skip


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _other_weeks(monday: date) -> dict[str, date]:
    return {"before": monday - WEEK, "now": monday_of(clock.today()), "after": monday + WEEK}


def _chosen(monday: date) -> date:
    """The day that a phone shows: the one asked for, else today, else the Monday."""
    for day in (date_arg("day"), clock.today()):
        if day is not None and monday_of(day) == monday:
            return day
    return monday


def _options(coach_id: int | None, venue_id: int | None) -> Options:
    return Options(
        types=[(line.code, line.name) for line in lists.types()],
        levels=[(name, name) for _, name in family_queries.levels()],
        venues=_current(lists.venues(), [venue_id]),
        coaches=_current(lists.coaches(), [coach_id]),
    )


def _current(lines: Collection[NamedLine], chosen: Collection[int | None]) -> list[tuple[int, str]]:
    """Those that are not archived, and whoever is chosen all the same."""
    return [(line.id, line.name) for line in lines if line.archived_at is None or line.id in chosen]
