"""How long waiting takes at a position, told from those who waited there (Q1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog.models import CourseSchedule
from app.domain.waitlist.models import EntryStatus, WaitlistEntry
from app.ranks import nearest_rank

#: how far back the estimate looks
BACK = timedelta(days=90)
#: with fewer it would be a guess
LEAST = 5
UNKNOWN = "暂无数据"

_e, _s = WaitlistEntry.__table__, CourseSchedule.__table__


def estimated_wait(schedule_id: int, position: int) -> str:
    """「通常约 2 小时，八成在 5 小时内」 for one who joins this session's queue at `position`, or 「暂无数据」.

    Half of those who got a seat from this position of the course's queues had it after the first time, four of five
    within the second. Who got none is not in it: it says how long a seat takes where one comes.
    """
    return wording(waits(schedule_id, position, clock.now()))


def waits(schedule_id: int, position: int, now: datetime) -> list[int]:
    """Seconds from joining to the confirmed booking, ascending, of the course's entries of the last 90 days."""
    course = sa.select(_s.c.course_id).where(_s.c.id == schedule_id).scalar_subquery()
    query = (
        sa.select(_e.c.joined_at, _e.c.ended_at)
        .select_from(_s.join(_e, _e.c.course_schedule_id == _s.c.id))
        .where(
            # A seat is confirmed before its class begins: the course's index by start leaves out all older sessions.
            _s.c.course_id == course,
            _s.c.starts_at >= now - BACK,
            _e.c.status == EntryStatus.CONFIRMED,
            _e.c.joined_position == position,
            _e.c.ended_at >= now - BACK,
        )
    )
    found = db.session.execute(query)
    return sorted(max(int((row.ended_at - row.joined_at).total_seconds()), 0) for row in found)


def wording(seconds: Sequence[int]) -> str:
    """The sentence for ascending waiting times."""
    if len(seconds) < LEAST:
        return UNKNOWN
    usual, most = nearest_rank(seconds, 50), nearest_rank(seconds, 80)
    return f"通常约 {_about(usual)}，八成在 {_at_most(most)}内"


#: (from how many seconds on, seconds of one, its word)
_UNITS = ((48 * 3600, 86400, "天"), (3600, 3600, "小时"), (0, 60, "分钟"))


def _about(seconds: int) -> str:
    """To the nearest whole minute, hour or day, at least one."""
    size, word = _unit(seconds)
    return f"{max((seconds + size // 2) // size, 1)} {word}"


def _at_most(seconds: int) -> str:
    """Rounded up, so that what is promised holds."""
    size, word = _unit(seconds)
    return f"{max(-(-seconds // size), 1)} {word}"


def _unit(seconds: int) -> tuple[int, str]:
    return next((size, word) for least, size, word in _UNITS if seconds >= least)
