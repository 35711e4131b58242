"""Staff, levels and families of the demo, made by the services that make real ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock
from app.cli.demo.names import LEVELS, PASSWORD, PLAYED, STAFF, Household, birthday
from app.db import db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.audit.models import AuditEntry
from app.domain.outbox import consents
from app.domain.people import phones, staff
from app.domain.people.models import Family, Level, MemberStatus, Profile, ProfileStatus, Staff, User
from app.domain.people.registration import add_family_with_parent, record_consent
from app.domain.search.service import index_family

ACTOR = system("演示数据")
CONSENT_VERSION = "2026-01"
SEEDED = "demo.seeded"


#: something of the demo's past: when it was, and what to do at that moment
Happening = tuple[datetime, Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Made:
    """A demo family as the rest of the story needs it."""

    number: int
    family_id: int
    wallet_id: int
    user_id: int
    profile_ids: tuple[int, ...]
    level: str


def make_staff() -> None:
    """One account per role, and a second manager: money limits take two."""
    known = set(db.session.scalars(sa.select(Staff.username)))
    db.session.rollback()
    for username, name, role in STAFF:
        if username not in known:
            staff.create(
                username=username, display_name=name, role=role, password=PASSWORD, must_change=False, actor=ACTOR
            )


def staff_actors() -> dict[str, Actor]:
    """The demo staff by username, each with a fresh proof, at one address."""
    rows = db.session.scalars(sa.select(Staff).where(Staff.username.in_([name for name, _, _ in STAFF]))).all()
    actors = {
        row.username: Actor(
            type="staff", id=row.id, name=row.display_name, role=row.role, family_id=row.family_id, ip="127.0.0.1",
            user_agent=f"demo/{row.username}", proof_age=0.0,
        )
        for row in rows
    }  # fmt: skip
    db.session.rollback()
    return actors


@transactional
def make_levels() -> dict[str, int]:
    """L1 to L6 in order; name → id of every level."""
    found = {level.name: level for level in db.session.scalars(sa.select(Level))}
    rank = max((level.rank for level in found.values()), default=0)
    for name in LEVELS:
        if name not in found:
            rank += 1
            found[name] = Level(name=name, rank=rank)
            db.session.add(found[name])
    db.session.flush()
    return {name: level.id for name, level in found.items()}


def make_family(home: Household, levels: dict[str, int]) -> Made:
    """Register a family as it would have come in, some months ago."""
    dice = random.Random(home.number)  # noqa: S311
    began = clock.now() - timedelta(days=200 + dice.randint(0, 160), hours=dice.randint(0, 9))
    with clock.travel(to=began):
        return _make_family(home=home, levels=levels)


@transactional
def _make_family(*, home: Household, levels: dict[str, int]) -> Made:
    user = add_family_with_parent(openid=home.openid)
    family = db.session.get(Family, user.family_id)
    family.name, user.real_name = home.family, home.parent
    phones.assign(user, home.phone)
    user.member_status = status(home.number)
    user.enrolled_at = clock.now() if user.member_status == MemberStatus.FORMAL else None
    level = LEVELS[home.number % len(LEVELS)]
    profiles = [
        Profile(
            family_id=family.id, name=name, birthday=birthday(home.number, child), level_id=levels[level],
            level_confirmed=True, gender=("female", "male")[(home.number + child) % 2],
            notes="膝盖旧伤，避免高台落地" if home.number % 17 == 0 else None, status=ProfileStatus.ACTIVE,
            created_at=clock.now(),
        )
        for child, name in enumerate(home.students)
    ]  # fmt: skip
    db.session.add_all(profiles)
    db.session.flush()
    index_family(family.id)
    audit.record(ACTOR, "user.registered", target_type="user", target_id=user.id, family_id=family.id,
                 new_status=user.member_status)  # fmt: skip
    record_consent(user, CONSENT_VERSION, ACTOR)
    if home.number > len(PLAYED):
        # The sandbox begins without any consent of those whose phone it plays; they tap for themselves.
        for type in ("balance_changed", "low_balance", "arrears"):
            consents.change(user.id, type, 3)
        if home.number % 4:
            # The others' phones must be called when a seat comes free.
            consents.change(user.id, "waitlist_offer", 2)
    wallet_id = db.session.execute(
        sa.text("SELECT id FROM wallets WHERE family_id = :family"), {"family": family.id}
    ).scalar_one()
    return Made(home.number, family.id, wallet_id, user.id, tuple(p.id for p in profiles), level)


def status(number: int) -> MemberStatus:
    if number % 11 == 0:
        return MemberStatus.TRIAL
    return MemberStatus.LEFT if number % 23 == 0 else MemberStatus.FORMAL


def state() -> str:
    """`none`, `done`, or `broken` where making the demo was interrupted."""
    made = db.session.scalar(sa.select(sa.exists().where(User.openid == "demo-parent-01")))
    finished = db.session.scalar(sa.select(sa.exists().where(AuditEntry.action == SEEDED)))
    db.session.rollback()
    return "done" if finished else "broken" if made else "none"


@transactional
def finish(*, families: int) -> None:
    """Write down that the demo is whole."""
    audit.record(ACTOR, SEEDED, target_type="demo", target_id="families", after={"families": families})
