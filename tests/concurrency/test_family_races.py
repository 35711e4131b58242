"""Merges against merges, moves, bookings and cancellations at one moment: sums hold, nobody is left behind (P11)."""

from __future__ import annotations

import importlib
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import cancel, place
from app.domain.bookings.models import Booking
from app.domain.changes import families
from app.domain.ledger import verify
from app.domain.ledger.models import Wallet
from app.domain.people import profiles
from app.domain.people.models import Family, Profile, User
from app.errors import DomainError
from tests.concurrency.processes import pool, together
from tests.factories import make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

TURNS = 8


def act(asked) -> tuple[str, int]:
    """What became of it, and how often the database made it begin anew. Who is told to try again does so."""
    what, actor, facts = asked
    outcomes: list[str] = []
    importlib.import_module("app.db").metrics_hook = lambda outcome, _name: outcomes.append(outcome)
    together()
    for _ in range(5):
        try:
            _ACTS[what](actor, facts)
        except DomainError as refusal:
            if refusal.code == "BUSY_TRY_AGAIN" and "exhausted" in outcomes:
                outcomes.remove("exhausted")
                continue
            return refusal.code, outcomes.count("retried")
        assert "committed" in outcomes
        return "ok", outcomes.count("retried")
    raise AssertionError(f"{what} found no way through: {outcomes}")


_ACTS = {
    "merge": lambda actor, pair: families.merge_families(
        from_family_id=pair[0], into_family_id=pair[1], reason="同一家人", actor=actor
    ),
    "move": lambda actor, f: families.move_profile(
        profile_id=f[0], from_family_id=f[1], to_family_id=f[2], reason="随妈妈", amount=Decimal("10.00"), actor=actor
    ),
    "book": lambda actor, f: place.book(schedule_id=f[0], profile_id=f[1], actor=actor),
    "cancel": lambda actor, booking_id: cancel.cancel(booking_id=booking_id, actor=actor),
    "add": lambda actor, name: profiles.add_profile(facts=profiles.StudentFacts(name=name), actor=actor),
    "rename": lambda actor, name: profiles.update_me(changes={"nickname": name}, actor=actor),
}


def total() -> Decimal:
    db.session.rollback()
    return sum(db.session.scalars(sa.select(Wallet.balance)), Decimal("0.00"))


def left_behind() -> list[str]:
    """Whoever and whatever still belongs to a family that was merged away."""
    db.session.rollback()
    merged = sa.select(Family.id).where(Family.merged_into.is_not(None))
    found = [
        f"{model.__tablename__} {row_id}"
        for model in (User, Profile, Booking)
        for row_id in db.session.scalars(sa.select(model.id).where(model.family_id.in_(merged)))
    ]
    money = sa.select(Wallet.id).where(
        Wallet.family_id.in_(merged), sa.or_(Wallet.balance != Decimal("0.00"), Wallet.status != "closed")
    )
    return found + [f"wallet {row_id}" for row_id in db.session.scalars(money)]


def test_two_families_into_each_other(live_app):
    with pool(live_app, 2) as members, live_app.app_context():
        one, two = (actor_of(make_staff("finance")) for _ in range(2))
        for turn in range(TURNS):
            left, right = make_family(balance="300.00"), make_family(balance="-80.00")
            before = total()
            pair = (left.id, right.id)
            said = members.map(act, [("merge", one, pair), ("merge", two, pair[::-1])], 1)
            assert sorted(code for code, _ in said) == ["FAMILY_MERGED", "ok"], turn
            assert [retries for _, retries in said] == [0, 0], turn  # locks in one order: no deadlock
            assert total() == before
            assert left_behind() == []
        assert verify.run(full=True, keep_anchor=False).sound


def test_a_merge_against_all_that_the_families_do(live_app):
    with pool(live_app, 6) as members, live_app.app_context():
        one, two, desk = (actor_of(make_staff("finance")) for _ in range(3))
        for turn in range(TURNS):
            source, target, third = (make_family(balance="500.00", students=("甲", "乙")) for _ in range(3))
            old, new = make_session(), make_session()
            # Paid from the source's wallet, though its student belongs to the third family since.
            strayed = place.book(schedule_id=old, profile_id=source.profile_ids[0], actor=parent_actor(source))
            families.move_profile(profile_id=source.profile_ids[0], from_family_id=source.id, to_family_id=third.id,
                                  reason="随爸爸", actor=desk)  # fmt: skip
            before = total()
            staff = Actor(ActorType.STAFF, desk.id, desk.name, role="finance", proof_age=0.0)
            said = members.map(
                act,
                [
                    ("merge", one, (source.id, target.id)),
                    ("move", two, (third.profile_ids[1], third.id, source.id)),
                    ("cancel", staff, strayed.booking_id),
                    ("book", parent_actor(source), (new, source.profile_ids[1])),
                    ("add", parent_actor(source), f"新生{turn}"),
                    ("rename", parent_actor(source), f"家长{turn}"),
                ],
                1,
            )
            merge, move, back, booked, added, renamed = (code for code, _ in said)
            assert (merge, back) == ("ok", "ok"), said
            assert move in ("ok", "FAMILY_MERGED"), said
            assert booked in ("ok", "NOT_FOUND"), said
            assert added in ("ok", "BUSY_TRY_AGAIN"), said
            assert renamed in ("ok", "BUSY_TRY_AGAIN"), said
            paid = Decimal("200.00") if booked == "ok" else Decimal("0.00")
            assert total() == before + Decimal("200.00") - paid, said
            assert left_behind() == [], said
        assert verify.run(full=True, keep_anchor=False).sound
