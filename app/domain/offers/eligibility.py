"""Who of a queue could take a seat at this moment, by the rules of a booking (Q11, 96.59)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.db import execute
from app.domain.bookings import rules as booking_rules
from app.domain.bookings.models import Booking
from app.domain.catalog.facts import SessionFacts
from app.domain.catalog.models import CourseSchedule
from app.domain.credits import minutes
from app.domain.ledger.models import Wallet
from app.domain.makeups import book as makeups
from app.domain.orders import claims
from app.domain.people.models import Level, Profile, ProfileStatus
from app.domain.policy import service as policy
from app.domain.policy import switches
from app.domain.policy.switches import Capability, FeatureOff
from app.domain.waitlist.models import WaitlistEntry
from app.domain.waitlist.queue import HeldQueue
from app.errors import DomainError

_p, _l, _w = Profile.__table__, Level.__table__, Wallet.__table__
_b, _s = Booking.__table__, CourseSchedule.__table__


def refusals(held: HeldQueue) -> dict[int, str]:
    """Entry → the code that a booking would be refused with now; who could book is not in it. Nothing is locked: the
    confirmation checks again."""
    if not held.entries:
        return {}
    students = _students(held.entries)
    busy = _busy(held.session, list(students))
    wallets = {} if held.session.is_trial else _wallets([one.family_id for one in held.entries])
    found = {}
    for entry in held.entries:
        code = _refusal(held, entry, students[entry.profile_id], busy.get(entry.profile_id, set()), wallets)
        if code is None and not _is_open(entry, held.session):
            code = FeatureOff.code
        if code is not None:
            found[entry.id] = code
    return found


def _refusal(held: HeldQueue, entry: WaitlistEntry, student: Any, busy: set[int], wallets: dict) -> str | None:
    session = held.session
    if student.status != ProfileStatus.ACTIVE:
        return "PROFILE_INACTIVE"
    if busy:
        return "ALREADY_BOOKED" if session.id in busy else "TIME_CONFLICT"
    try:
        if session.is_trial:
            return _trial_refusal(held, entry)
        if entry.credit_id is not None:
            _check_makeup(held, entry, student)
            return None
        booking_rules.check_level(session.course_rank, student.rank, session.lowest_rank)
        _check_wallet(wallets[entry.family_id], session.price, held)
    except DomainError as refusal:
        return refusal.code
    return None


def _is_open(entry: WaitlistEntry, session: SessionFacts) -> bool:
    """Whether the family is told of seats now, and can pay one that costs money by phone (Z15)."""
    needs = (Capability.OFFERS, Capability.PAYMENT) if session.is_trial else (Capability.OFFERS,)
    return all(switches.is_open(which, entry.family_id) for which in needs)


def _check_makeup(held: HeldQueue, entry: WaitlistEntry, student: Any) -> None:
    """The credit counts, never money (Q22)."""
    credit = makeups.credit_facts(credit_id=entry.credit_id)
    makeups.check_credit(credit, held.session, student, held.now)
    wishes = makeups.Wishes(entry.accept_shorter, entry.use_compensation)
    makeups.check_minutes(credit.minutes, held.session, wishes, minutes.available(entry.profile_id, held.now))


def _check_wallet(wallet: Any, price: Decimal, held: HeldQueue) -> None:
    own = wallet.overdraft_limit
    booking_rules.check_wallet(
        wallet.status, wallet.balance, price, limit=policy.get("overdraft_limit") if own is None else own,
        threshold=policy.get("arrears_block_threshold"),
        bypassed=wallet.bypass_until is not None and held.now < wallet.bypass_until,
    )  # fmt: skip


def _trial_refusal(held: HeldQueue, entry: WaitlistEntry) -> str | None:
    if entry.user_id is None:
        return None
    holders = claims.holders(claims.identities(entry.user_id, entry.profile_id))
    return "TRIAL_ALREADY_BOOKED" if any(one.live(held.now) for one in holders) else None


def _students(entries: list[WaitlistEntry]) -> dict[int, Any]:
    rank = sa.select(_l.c.rank).where(_l.c.id == _p.c.level_id, _p.c.level_confirmed).scalar_subquery()
    query = sa.select(_p.c.id, _p.c.status, rank.label("rank"))
    return {row.id: row for row in execute(query.where(_p.c.id.in_([one.profile_id for one in entries])))}


def _busy(session: SessionFacts, profile_ids: list[int]) -> dict[int, set[int]]:
    """Student → sessions at this time in which they have a seat."""
    query = (
        sa.select(_b.c.live_profile_id, _b.c.course_schedule_id)
        .select_from(_b.join(_s, _s.c.id == _b.c.course_schedule_id))
        .where(
            _b.c.live_profile_id.in_(profile_ids), _s.c.starts_at < session.ends_at, _s.c.ends_at > session.starts_at
        )
    )  # fmt: skip
    found: dict[int, set[int]] = {}
    for profile_id, schedule_id in execute(query):
        found.setdefault(profile_id, set()).add(schedule_id)
    return found


def _wallets(family_ids: list[int]) -> dict[int, Any]:
    query = sa.select(_w.c.family_id, _w.c.balance, _w.c.status, _w.c.overdraft_limit, _w.c.bypass_until)
    return {row.family_id: row for row in execute(query.where(_w.c.family_id.in_(family_ids)))}
