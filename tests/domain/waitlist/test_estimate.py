"""How long waiting takes at a position, against times counted by hand (Q1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from app.domain.waitlist import estimate
from app.ranks import nearest_rank
from tests.domain.waitlist.counted import entry
from tests.factories import make_course, make_session

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def course(app):
    with clock.travel(to=NOW):
        yield make_course()


def got_seat(course: int, *, waited: timedelta, ended: datetime = NOW - DAY, position: int = 2, **more) -> int:
    session = make_session(course, starts_at=ended + HOUR)
    return entry(session, joined=ended - waited, ended=ended, position=position,
                 **{"status": "confirmed", "reason": "confirmed"} | more)  # fmt: skip


def test_the_median_and_four_of_five_of_those_who_waited_at_that_position(course):
    for hours in (5, 1, 2, 9, 3):
        got_seat(course, waited=hours * HOUR)
    session = make_session(course)
    assert estimate.waits(session, 2, NOW) == [hours * 3600 for hours in (1, 2, 3, 5, 9)]
    assert estimate.estimated_wait(session, 2) == "通常约 3 小时，八成在 5 小时内"
    assert estimate.estimated_wait(session, 1) == "暂无数据"


def test_four_are_no_data_and_the_fifth_makes_them(course):
    session = make_session(course)
    for _ in range(4):
        got_seat(course, waited=20 * timedelta(minutes=1))
    assert estimate.estimated_wait(session, 2) == "暂无数据"
    got_seat(course, waited=20 * timedelta(minutes=1))
    assert estimate.estimated_wait(session, 2) == "通常约 20 分钟，八成在 20 分钟内"


def test_only_this_course_this_position_these_days_and_real_seats_count(course):
    session = make_session(course)
    inside = got_seat(course, waited=HOUR, ended=NOW - 90 * DAY)
    assert inside
    got_seat(course, waited=HOUR, ended=NOW - 90 * DAY - timedelta(seconds=1))
    got_seat(course, waited=HOUR, position=3)
    got_seat(make_course(), waited=HOUR)
    for status, reason in (("expired", "cutoff"), ("cancelled", "left"), ("declined", "declined")):
        got_seat(course, waited=HOUR, status=status, reason=reason)
    entry(session, joined=NOW - HOUR, position=2)
    assert estimate.waits(session, 2, NOW) == [3600]


def test_it_is_one_statement(course, statements):
    session = make_session(course)
    statements.clear()
    estimate.estimated_wait(session, 1)
    assert len([sql for sql in statements if sql.startswith("SELECT")]) == 1


@pytest.mark.parametrize(("seconds", "said"), [
    ([0] * 5, "通常约 1 分钟，八成在 1 分钟内"),
    ([61] * 5, "通常约 1 分钟，八成在 2 分钟内"),
    ([3599] * 5, "通常约 60 分钟，八成在 60 分钟内"),
    ([5400] * 5, "通常约 2 小时，八成在 2 小时内"),
    ([3600, 3600, 3600, 3601, 3601], "通常约 1 小时，八成在 2 小时内"),
    ([3600 * 24 * 3] * 5, "通常约 3 天，八成在 3 天内"),
    ([3600 * 47] * 4 + [3600 * 999], "通常约 47 小时，八成在 47 小时内"),
    ([1, 2, 3, 4], "暂无数据"),
    ([], "暂无数据"),
])  # fmt: skip
def test_the_sentence(seconds, said):
    assert estimate.wording(seconds) == said


@pytest.mark.parametrize(("values", "percent", "found"), [
    ([], 50, None), ([7], 50, 7), ([7], 0, 7), ([7], 100, 7), ([1, 2], 50, 1), ([1, 2, 3], 50, 2),
    (list(range(1, 11)), 80, 8), (list(range(1, 11)), 90, 9), (list(range(1, 12)), 80, 9),
    (list(range(1, 101)), 99, 99),
])  # fmt: skip
def test_the_nearest_rank_is_one_of_them(values, percent, found):
    assert nearest_rank(values, percent) == found
