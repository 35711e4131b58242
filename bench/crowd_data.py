"""What a thousand people look at and change: families with history, a timetable with full classes, signed-in phones and
browsers; and those people themselves."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import requests
import sqlalchemy as sa

from app import clock
from app.cli.demo import large
from app.db import db, transaction
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import place
from app.domain.ledger import bulk
from app.domain.ledger.models import Wallet
from app.domain.outbox.models import MessageConsent
from app.domain.people.models import Family, Profile, User
from bench.context import Context
from bench.parents import Parent, make_parents, make_sessions, set_policies
from bench.studio import Studio
from bench.visitors import Heard, Line, ParentAtPhone, Person, StaffAtDesk
from bench.wallet import ACTOR
from tests.portal import Browser, make_staff

#: of a hundred people
STAFF_SHARE = 10
#: movements that a parent's wallet has already
HISTORY = 20
OPEN_CLASSES, FULL_CLASSES = 400, 40
_TOLD = ("booking_made", "booking_cancelled")


@dataclass(frozen=True)
class Scene:
    """Ids, tokens and cookies; made once, used by any number of people up to as many as there are parents."""

    parents: list[Parent]
    open_classes: list[int]
    full_classes: list[int]
    families: list[int]
    names: list[str]
    cookies: list[dict[str, str]]


def make(context: Context, *, parents: int, families: int) -> Scene:
    """Fill the context's database."""
    with context.app.app_context():
        large.fill(families=families, transactions=families * 5, say=lambda _: None)
        set_policies(totp_required="off", step_up_ttl="12h", adjustment_direct_limit="90000000.00",
                     adjustment_family_daily_limit="90000000.00", adjustment_daily_limit="90000000.00")  # fmt: skip
        people = make_parents(parents, balance="50000.00")
        _history([parent.family_id for parent in people])
        _allow_messages(people)
        classes = make_sessions(OPEN_CLASSES, capacity=12, price="80.00")
        full = make_sessions(FULL_CLASSES, capacity=1, price="80.00")
        for parent, schedule_id in zip(make_parents(FULL_CLASSES, balance="500.00"), full, strict=True):
            actor = Actor(type=ActorType.PARENT, id=parent.user_id, name="家长", family_id=parent.family_id)
            place.book(schedule_id=schedule_id, profile_id=parent.profile_ids[0], actor=actor)
        some = random.Random(3).choices(range(1, families + 1), k=2000)
        known = list(db.session.scalars(sa.select(Family.id).where(Family.id.in_(some))))
        names = list(db.session.scalars(sa.select(Profile.name).where(Profile.family_id.in_(some))))
        cookies = [_cookies(context, role) for role in ("finance", "manager") * (parents * STAFF_SHARE // 180 + 1)]
        db.session.execute(sa.text("ANALYZE TABLE wallet_transactions, wallets, families, users, profiles,"
                                   " search_terms, course_schedules, bookings"))  # fmt: skip
        db.session.commit()
        db.session.remove()
        db.engine.dispose()
    return Scene(people, classes, full, known, names, cookies)


def _history(family_ids: list[int]) -> None:
    wallets = db.session.scalars(sa.select(Wallet.id).where(Wallet.family_id.in_(family_ids))).all()
    db.session.rollback()
    began = clock.now()
    rounds = (
        [
            bulk.Movement(wallet_id, "deduction", Decimal("-80.00"), f"past-{wallet_id}-{number}", "import",
                          str(number), "正式课 · 体操课", began + timedelta(milliseconds=number))
            for wallet_id in wallets
        ]
        for number in range(HISTORY)
    )  # fmt: skip
    bulk.build(rounds, actor=ACTOR)


def _allow_messages(parents: list[Parent]) -> None:
    with transaction():
        db.session.execute(
            MessageConsent.__table__.insert(),
            [{"user_id": parent.user_id, "type": type, "remaining": 10**6, "updated_at": clock.now()}
             for parent in parents for type in _TOLD],
        )  # fmt: skip


def _cookies(context: Context, role: str) -> dict[str, str]:
    """A browser's in which somebody of this role has signed in."""
    browser = Browser(context.app).sign_in(make_staff(role))
    return {cookie.key: cookie.value for cookie in browser.client._cookies.values()}


def allow_at_wechat(context: Context, studio: Studio, scene: Scene, people: int) -> None:
    """The parents' consents on the provider's side, so that messages are sent and not refused."""
    ids = [parent.user_id for parent in scene.parents[:people]]
    with context.app.app_context():
        openids = list(db.session.scalars(sa.select(User.openid).where(User.id.in_(ids))))
        db.session.remove()
    http = requests.Session()
    for openid in openids:
        for type in _TOLD:
            asked = {"openid": openid, "template_id": type, "count": 10**6}
            http.post(f"{studio.sandbox}/_control/consent", json=asked, timeout=30).raise_for_status()


def people(studio: Studio, scene: Scene, heard: Heard, count: int) -> list[Person]:
    """So many, of whom a tenth is staff; the same for the same count."""
    staff = count * STAFF_SHARE // 100
    made: list[Person] = []
    for number in range(count - staff):
        parent, dice = scene.parents[number], random.Random(number)
        line = Line(studio.url, {"Authorization": f"Bearer {parent.token}"}, heard)
        made.append(ParentAtPhone(line, heard, dice, parent, scene.open_classes, scene.full_classes))
    for number in range(staff):
        cookies = scene.cookies[number % len(scene.cookies)]
        line = Line(studio.url, {"Sec-Fetch-Site": "same-origin"}, heard, cookies)
        made.append(
            StaffAtDesk(line, heard, random.Random(-number), scene.families, scene.names, scene.open_classes)
        )  # fmt: skip
    return made
