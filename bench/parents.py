"""Parents with tokens for the benchmarks of bookings: one child, one wallet and one signed-in phone each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from app import clock
from app.api.v1 import tokens
from app.db import db, transaction
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, Venue
from app.domain.ledger import service as ledger
from app.domain.people import parent_sessions
from app.domain.people.models import Profile
from app.domain.people.registration import add_family_with_parent
from app.domain.policy.models import PolicyValue
from bench.wallet import ACTOR


@dataclass(frozen=True)
class Parent:
    """Ids, and a token that outlives every run."""

    family_id: int
    user_id: int
    profile_ids: list[int]
    token: str


def make_parents(count: int, *, balance: str, children: int = 1) -> list[Parent]:
    """Families with money in their wallets; inside an application context."""
    return [_make_parent(number, Decimal(balance), children) for number in range(count)]


def _make_parent(number: int, balance: Decimal, children: int) -> Parent:
    with transaction():
        user = add_family_with_parent(openid=f"bench-parent-{number}-{clock.now():%H%M%S%f}", nickname=f"家长{number}")
        profiles = [
            Profile(family_id=user.family_id, name=f"学员{number}-{n}", gender="unknown", created_at=clock.now())
            for n in range(children)
        ]
        db.session.add_all(profiles)
        db.session.flush()
        wallet = ledger.lock_wallet(family_id=user.family_id)
        ledger.post(wallet, type="recharge", amount=balance, idempotency_key=f"bench-opening-{user.family_id}",
                    reference_type="import", reference_id=user.family_id, reason="期初", actor=ACTOR)  # fmt: skip
        made = user.family_id, user.id, [profile.id for profile in profiles]
    session_id = parent_sessions.open_session(user_id=made[1], actor=ACTOR).id
    return Parent(*made, tokens.issue(user_id=made[1], session_id=session_id, seconds=360_000))


def make_sessions(count: int, *, capacity: int, price: str) -> list[int]:
    """Ids of sessions of one course, one after the other from the day after tomorrow on, so that none clash."""
    with transaction():
        now = clock.now()
        kind = CourseType(code=f"bench{now:%H%M%S%f}", name="正式课", waitlist_capacity=8, created_at=now)
        coach, venue = (
            Coach(name=f"教练{now:%H%M%S%f}", created_at=now),
            Venue(name=f"馆{now:%H%M%S%f}", created_at=now),
        )
        db.session.add_all([kind, coach, venue])
        db.session.flush()
        course = Course(
            course_type_id=kind.id, name="少儿体操", duration_minutes=60, price=Decimal(price), created_at=now
        )
        db.session.add(course)
        db.session.flush()
        begin = (now + timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
        sessions = [
            CourseSchedule(
                course_id=course.id,
                coach_id=coach.id,
                venue_id=venue.id,
                starts_at=begin + timedelta(hours=n),
                ends_at=begin + timedelta(hours=n + 1),
                capacity=capacity,
                created_at=now,
            )  # fmt: skip
            for n in range(count)
        ]
        db.session.add_all(sessions)
        db.session.flush()
        return [session.id for session in sessions]


def set_policies(**values: str) -> None:
    with transaction():
        for name, value in values.items():
            db.session.add(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="bench"))
