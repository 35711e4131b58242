"""What the desk sees: open credits by their end, filters, counts, pages; sessions and the credits that fit them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import clock, paging
from app.db import db, transaction
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import Course
from app.domain.credits.models import CompensationLot, MakeupCredit
from app.domain.makeups import asking, desk_queries, manage, session_queries
from app.domain.makeups.desk_queries import CreditFilter
from app.domain.makeups.session_queries import SessionFilter
from app.domain.people.models import Family, Level, Profile
from tests.domain.makeups.steps import Away
from tests.factories import make_course, make_level
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

DAY = timedelta(days=1)


def ends_in(one: Away, days: float, number: int = 0) -> int:
    """The credit ends so many days from now; its id."""
    with transaction():
        db.session.get(MakeupCredit, one.credits[number]).valid_until = clock.now() + days * DAY
    return one.credits[number]


def lot(one: Away, minutes: int, *, ends_in: timedelta = 5 * DAY) -> None:
    with transaction():
        now = clock.now()
        db.session.add(CompensationLot(profile_id=one.profile_id, family_id=one.family.id, minutes=minutes,
                                       minutes_left=minutes, earned_at=now, expires_at=now + ends_in))  # fmt: skip


def level(one: Away, name: str, *, confirmed: bool = True) -> Away:
    with transaction():
        student = db.session.get(Profile, one.profile_id)
        student.level_id, student.level_confirmed = make_level_id(name), confirmed
    return one


def make_level_id(name: str) -> int:
    return db.session.query(Level.id).filter_by(name=name).scalar()


def ids(asked: CreditFilter | None = None) -> list[int]:
    return [row.id for row in desk_queries.page(asked or CreditFilter()).items]


# ── the list ────────────────────────────────────────────────────────────────────────────────────────


def test_open_credits_by_their_end_and_no_others():
    one, two, gone, void = Away(), Away(), Away(), Away()
    later, sooner = ends_in(one, 9), ends_in(two, 2)
    ends_in(gone, -1)
    manage.void(credit_id=void.credits[0], reason="家长退费", actor=actor_of(make_staff("manager")))
    assert ids() == [sooner, later]
    [first, _] = desk_queries.page(CreditFilter()).items
    assert (first.student, first.family_name, first.minutes, first.balance, first.request_id) == (
        "张小明", "张女士家庭", 60, 0, None,
    )  # fmt: skip


def test_every_filter_and_the_counts():
    soon, asked, rich = Away(), Away(), Away(90)
    ends_in(soon, 2)
    ends_in(asked, 20)
    ends_in(rich, 30)
    lot(rich, 30)
    lot(soon, 45, ends_in=-DAY)  # ended: not of use
    asking.ask(credit_id=asked.credits[0], text="周末可以吗", wishes="上午", actor=asked.actor)
    with transaction():
        db.session.get(Profile, rich.profile_id).name = "欧阳_一%"
        db.session.get(Family, asked.family.id).name = "特别家庭"
    counts = desk_queries.counts()
    assert (counts.open, counts.asked, counts.ending, counts.with_minutes) == (3, 1, 1, 1)
    assert (db.session.scalar(desk_queries.ASKED), desk_queries.ending_count()) == (1, 1)
    for asked_for, found in (
        (CreditFilter(ending=7), soon), (CreditFilter(asked=True), asked), (CreditFilter(with_minutes=True), rich),
        (CreditFilter(text="阳_一%"), rich), (CreditFilter(text="特别"), asked),
        (CreditFilter(text="nobody", families=(soon.family.id,)), soon), (CreditFilter(family_id=rich.family.id), rich),
    ):  # fmt: skip
        assert ids(asked_for) == [found.credits[0]], asked_for
        assert desk_queries.count(asked_for) == 1
    assert ids(CreditFilter(text="_")) == [rich.credits[0]], "a wildcard of LIKE is only a character"
    assert len(ids(CreditFilter(type="regular"))) == 3
    assert ids(CreditFilter(type="vip")) == ids(CreditFilter(level="L9")) == []
    [row] = desk_queries.page(CreditFilter(asked=True)).items
    assert (row.text, row.wishes) == ("周末可以吗", "上午")


def test_pages_go_there_and_back_even_where_many_end_at_once():
    one, end = Away(*[60] * 5), clock.now() + 9 * DAY
    with transaction():
        for credit_id in one.credits[:4]:
            db.session.get(MakeupCredit, credit_id).valid_until = end
    first = desk_queries.page(CreditFilter(), limit=2)
    assert ([row.id for row in first.items], first.older) == (one.credits[:2], None)
    second = desk_queries.page(CreditFilter(), after=first.newer, limit=2)
    assert [row.id for row in second.items] == one.credits[2:4]
    last = desk_queries.page(CreditFilter(), after=second.newer, limit=2)
    assert ([row.id for row in last.items], last.newer) == (one.credits[4:], None)
    back = desk_queries.page(CreditFilter(), before=last.older, limit=2)
    assert [row.id for row in back.items] == one.credits[2:4]
    top = desk_queries.page(CreditFilter(), before=back.older, limit=2)
    assert ([row.id for row in top.items], top.older) == (one.credits[:2], None)
    assert ids(CreditFilter()) == [row.id for row in desk_queries.page(CreditFilter(), after="1-x", before="-").items]
    whole = desk_queries.every(CreditFilter())
    assert (whole.count(), [row.id for piece in whole.pieces() for row in piece]) == (5, one.credits)


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────


def test_sessions_with_free_seats_and_how_many_credits_fit_them():
    make_level("L1", 1), make_level("L2", 2)
    low, high = level(Away(), "L1"), level(Away(), "L2")
    with transaction():
        db.session.get(MakeupCredit, low.credits[0]).level_id = make_level_id("L1")
        db.session.get(MakeupCredit, high.credits[0]).level_id = make_level_id("L2")
    ends_in(high, 4)
    easy = low.session(level="L1", starts_in=3 * DAY)
    hard = low.session(level="L2", starts_in=3 * DAY + timedelta(hours=2))
    late = low.session(level="L1", starts_in=5 * DAY)
    low.session(starts_in=3 * DAY, capacity=1, booked=1)
    low.session(starts_in=3 * DAY, type_code="trial", is_trial=True)
    offers, after = session_queries.offers(SessionFilter())
    assert {one.session.id: one.fits for one in offers if one.session.id in (easy, hard, late)} == {
        easy: 2, hard: 1, late: 1,
    }  # fmt: skip
    assert after is None
    assert all(one.session.available > 0 and not one.session.is_trial for one in offers)
    assert [one.session.id for one in session_queries.offers(SessionFilter(level="L1"))[0]] == [easy, late]
    at = clock.local(clock.now() + 5 * DAY)
    same = session_queries.offers(SessionFilter(level="L1", weekday=at.isoweekday(), hour=at.hour))[0]
    assert [one.session.id for one in same] == [late]
    page, after = session_queries.offers(SessionFilter(level="L1"), limit=1)
    assert [one.session.id for one in page] == [easy]
    rest, after = session_queries.offers(SessionFilter(level="L1"), after=after, limit=1)
    assert ([one.session.id for one in rest], after) == ([late], None)


def test_who_fits_a_session():
    make_level("L1", 1), make_level("L2", 2)
    fits, lower, unconfirmed, other, ending, left = (level(Away(), "L2") for _ in range(6))
    busy = level(Away(60, 60), "L2")
    level(unconfirmed, "L2", confirmed=False)
    start, vip = clock.now() + 6 * DAY, make_course(type_code="vip")
    schedule_id = fits.session(level="L2", starts_at=start)
    busy.book(busy.session(starts_at=start + timedelta(minutes=30)))
    with transaction():
        db.session.get(MakeupCredit, lower.credits[0]).level_id = make_level_id("L1")
        db.session.get(MakeupCredit, other.credits[0]).course_type_id = db.session.get(Course, vip).course_type_id
        db.session.get(Profile, left.profile_id).status = "left"
    ends_in(ending, 5)
    found, total = session_queries.fitting_credits(catalog.session_card(schedule_id))
    assert ([one.profile_id for one in found], total) == ([fits.profile_id], 1)
    next_day = catalog.session_card(fits.session(level="L2", starts_at=start + DAY))
    assert {one.profile_id for one in session_queries.fitting_credits(next_day)[0]} == {
        fits.profile_id, busy.profile_id,
    }  # fmt: skip
    some, total = session_queries.fitting_credits(next_day, limit=1)
    assert (len(some), total) == (1, 2)


def test_each_student_once_with_a_credit_of_the_right_length_first():
    one = Away(45, 60, 90)
    ends_in(one, 30, 0)
    ends_in(one, 40, 1)
    ends_in(one, 50, 2)
    lot(one, 15)
    asking.ask(credit_id=one.credits[1], text="请安排", wishes=None, actor=one.actor)
    [fit], total = session_queries.fitting_credits(catalog.session_card(one.session(60)))
    assert (fit.credit_id, fit.exchange.difference, fit.balance, fit.asked, total) == (one.credits[1], 0, 15, True, 1)
    [fit], _ = session_queries.fitting_credits(catalog.session_card(one.session(75)))
    assert (fit.credit_id, fit.exchange.needed, fit.affordable) == (one.credits[0], 30, False)


def test_nobody_fits_a_trial_a_cancelled_or_a_past_session():
    one = Away()
    for schedule_id in (
        one.session(type_code="trial", is_trial=True), one.session(status="cancelled"), one.session(starts_in=-DAY),
    ):  # fmt: skip
        assert session_queries.fitting_credits(catalog.session_card(schedule_id)) == ([], 0)


def test_positions_that_make_no_sense_are_none():
    for text in (None, "", "5", "5-", "-5", "²-1", "1-1-1", "99999999999999999-1"):
        assert paging._position(text) is None
    assert paging._position("1000000-7") == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 7)
