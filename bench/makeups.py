"""Matching credits with classes: many open sessions and credits, and twice as many of both (M2, M9)."""

from __future__ import annotations

import random
import statistics
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, Venue
from app.domain.credits.models import MakeupCredit
from app.domain.makeups import matching
from app.domain.makeups.matching import Filters
from app.domain.people.models import Level
from bench.context import Context, Row, timed
from bench.parents import Parent, make_parents
from tests.portal import Browser

TITLE = "Makeups"
#: open sessions and credits of the first round; the second has twice as many
SESSIONS, CREDITS = 10_000, 5_000
LEVELS, TYPES, COACHES, VENUES = 4, 3, 15, 8
DAYS = 60
#: seconds that a list may take
SOON = 0.2


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        chance = random.Random(1)
        courses = _catalog()
        parents = make_parents(CREDITS // 20, balance="100.00", children=4)
        measured = []
        for _ in range(2):
            _sessions(SESSIONS, courses, chance)
            _credits(CREDITS, courses, parents, chance)
            _analyze()
            measured.append(_measure(context, parents, chance))
        open_credits = db.session.scalar(sa.select(sa.func.count()).select_from(MakeupCredit))
        db.session.rollback()
    context.notes.append(
        f"Pages and JSON by the test client, without a network. {SESSIONS:,} open sessions and {CREDITS:,} open"
        f" credits, then {2 * SESSIONS:,} and {open_credits:,}."
    )
    once, twice = measured
    return [_row(what, taken, twice[what]) for what, taken in once.items()]


def _row(what: str, once: list[float], twice: list[float]) -> Row:
    first, second = statistics.median(once), statistics.median(twice)
    slow = sorted(twice)[int(len(twice) * 0.95)]
    return Row(
        what, f"half the rows: {first * 1000:.1f} ms", f"{second * 1000:.1f} ms, p95 {slow * 1000:.1f} ms",
        second / first, f"p95 < {SOON * 1000:.0f} ms", slow < SOON,
    )  # fmt: skip


def _measure(context: Context, parents: list[Parent], chance: random.Random) -> dict[str, list[float]]:
    """Seconds of each, every call with another credit."""
    query = sa.select(MakeupCredit.id, MakeupCredit.family_id).order_by(MakeupCredit.id)
    found = db.session.execute(query).all()
    chance.shuffle(found)
    tokens = {one.family_id: one.token for one in parents}
    desk, phone = Browser(context.app).sign_in("front_desk"), context.app.test_client()

    def at(n: int) -> tuple[int, int]:
        return tuple(found[n % len(found)])

    def match(call):
        def ask(n: int) -> None:
            call(matching.missed(at(n)[0]), Filters())
            db.session.rollback()

        return ask

    def page(address: str):
        def ask(n: int) -> None:
            response = desk.get(address.format(credit=at(n)[0]))
            assert response.status_code == 200, (address, response.status_code)

        return ask

    def over_json(n: int) -> None:
        credit_id, family_id = at(n)
        headers = {"Authorization": f"Bearer {tokens[family_id]}"}
        response = phone.get(f"/api/v1/makeup/available?credit_id={credit_id}", headers=headers)
        assert response.status_code == 200, response.get_data(as_text=True)

    wanted = {
        "classes for a credit (`matching.available`, 20)": match(matching.available),
        "the best for the desk (`matching.best`, 20)": match(matching.best),
        "`GET /api/v1/makeup/available`": over_json,
        "补课安排, the list": page("/makeups"),
        "补课安排, a credit with its classes": page("/makeups/{credit}"),
        "补课安排, the sessions": page("/makeups/sessions"),
    }
    for ask in wanted.values():
        ask(0)  # what is read once is read now
    return {what: timed(ask, context.seconds) for what, ask in wanted.items()}


# ── a studio with much going on ─────────────────────────────────────────────────────────────────────


def _catalog() -> list[Course]:
    """Courses of each type: of every level and of each, an hour and an hour and a half."""
    now = clock.now()
    with transaction():
        levels = [Level(name=f"L{n}", rank=n) for n in range(1, LEVELS + 1)]
        types = [
            CourseType(code=f"kind{n}", name=f"类型{n}", waitlist_capacity=8, created_at=now) for n in range(TYPES)
        ]
        coaches = [Coach(name=f"教练{n}", created_at=now) for n in range(COACHES)]
        venues = [Venue(name=f"馆{n}", created_at=now) for n in range(VENUES)]
        db.session.add_all([*levels, *types, *coaches, *venues])
        db.session.flush()
        courses = [
            Course(course_type_id=kind.id, name=f"{kind.name}{level.name if level else ''}{minutes}",
                   level_id=level.id if level else None, duration_minutes=minutes, price=Decimal("180.00"),
                   created_at=now)
            for kind in types for level in (None, *levels) for minutes in (60, 90)
        ]  # fmt: skip
        db.session.add_all(courses)
        db.session.flush()
        return courses


def _sessions(count: int, courses: list[Course], chance: random.Random, *, ago: bool = False) -> list[int]:
    """Sessions of the next (or last) days, some of them full; their ids."""
    now, rows = clock.now().replace(minute=0, second=0, microsecond=0), []
    coaches, venues = (list(db.session.scalars(sa.select(one.id))) for one in (Coach, Venue))
    last = db.session.scalar(sa.select(sa.func.coalesce(sa.func.max(CourseSchedule.id), 0)))
    for _ in range(count):
        course, hours = chance.choice(courses), chance.randrange(1, DAYS * 24)
        starts = now + timedelta(hours=-hours if ago else hours)
        rows.append({
            "course_id": course.id, "coach_id": chance.choice(coaches), "venue_id": chance.choice(venues),
            "starts_at": starts, "ends_at": starts + timedelta(minutes=course.duration_minutes), "capacity": 8,
            "booked": chance.choice((3, 5, 7, 8)), "status": "scheduled", "created_at": now,
        })  # fmt: skip
    with transaction():
        db.session.execute(sa.insert(CourseSchedule), rows)
    return list(db.session.scalars(sa.select(CourseSchedule.id).where(CourseSchedule.id > last)))


def _credits(count: int, courses: list[Course], parents: list[Parent], chance: random.Random) -> None:
    """Classes that were given up, each with its credit."""
    past = _sessions(count // 10, courses, chance, ago=True)
    of = dict(db.session.execute(sa.select(CourseSchedule.id, CourseSchedule.course_id)
                                 .where(CourseSchedule.id.in_(past))).all())  # fmt: skip
    kinds = {one.id: one for one in courses}
    students = [(parent.family_id, child) for parent in parents for child in parent.profile_ids]
    last = db.session.scalar(sa.select(sa.func.coalesce(sa.func.max(Booking.id), 0)))
    now = clock.now()
    with transaction():
        db.session.execute(sa.insert(Booking), [
            {"course_schedule_id": chance.choice(past), "profile_id": child, "family_id": family, "kind": "regular",
             "source": "wallet", "status": "on_leave", "price": Decimal("180.00"), "created_at": now}
            for family, child in (students[n % len(students)] for n in range(count))
        ])  # fmt: skip
    query = sa.select(Booking.id, Booking.family_id, Booking.profile_id, Booking.course_schedule_id)
    given_up = db.session.execute(query.where(Booking.id > last)).all()
    with transaction():
        db.session.execute(sa.insert(MakeupCredit), [
            {"family_id": row.family_id, "profile_id": row.profile_id, "booking_id": row.id,
             "course_type_id": kinds[of[row.course_schedule_id]].course_type_id,
             "level_id": kinds[of[row.course_schedule_id]].level_id,
             "minutes": kinds[of[row.course_schedule_id]].duration_minutes, "price": Decimal("180.00"),
             "status": "available", "valid_until": now + timedelta(days=chance.randrange(5, DAYS)),
             "created_at": now, "updated_at": now}
            for row in given_up
        ])  # fmt: skip


def _analyze() -> None:
    """As a database does by itself while rows come slowly."""
    db.session.rollback()
    with db.engine.begin() as connection:
        for table in ("course_schedules", "bookings", "makeup_credits"):
            connection.execute(sa.text(f"ANALYZE TABLE {table}"))
