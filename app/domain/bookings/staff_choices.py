"""What staff may book for a student (B8): the classes of the next days with why not, and what one booking would do.

Nothing here is locked, so nothing here is promised: `place.book` asks the same rules again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import queries, rules
from app.domain.bookings.errors import AlreadyBooked, SeatFull, TimeConflict
from app.domain.bookings.models import Booking
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule
from app.domain.catalog.queries import SessionCard
from app.domain.ledger import queries as ledger_queries
from app.domain.ledger.queries import WalletView
from app.domain.people.models import Level, Profile, ProfileStatus
from app.domain.policy import service as policy
from app.errors import Conflict

AHEAD = timedelta(days=14)
#: sessions of the days ahead that are looked at; a studio of ten rooms has fewer
_LOOKED_AT = 1500

_b, _s = Booking.__table__, CourseSchedule.__table__
_p, _l = Profile.__table__, Level.__table__


@dataclass(frozen=True, slots=True)
class Pupil:
    """A student who may be booked for. `rank` is that of a confirmed level."""

    id: int
    name: str
    level: str | None
    rank: int | None


def pupils(family_id: int) -> list[Pupil]:
    """The family's students who have not left."""
    query = (
        sa.select(_p.c.id, _p.c.name, _p.c.level_confirmed, _l.c.name.label("level"), _l.c.rank)
        .outerjoin(_l, _l.c.id == _p.c.level_id)
        .where(_p.c.family_id == family_id, _p.c.status == ProfileStatus.ACTIVE)
        .order_by(_p.c.id)
    )
    rows = db.session.execute(query)
    return [Pupil(r.id, r.name, r.level, r.rank) if r.level_confirmed else Pupil(r.id, r.name, None, None)
            for r in rows]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """A class, and why this student cannot have a seat in it (`refusal`), money aside."""

    session: SessionCard
    refusal: Conflict | None

    @property
    def full(self) -> bool:
        return isinstance(self.refusal, SeatFull)


@dataclass(frozen=True, slots=True)
class Choices:
    """The classes asked for by time, and what they may be filtered by."""

    fitting: Sequence[Choice]
    others: Sequence[Choice]
    types: Sequence[tuple[str, str]]
    coaches: Sequence[tuple[int, str]]
    days: Sequence[date]


def choices(pupil: Pupil, *, type: str | None = None, on: date | None = None, coach_id: int | None = None) -> Choices:
    """The classes of the next days that are on: those that fit first."""
    now = clock.now()
    sessions = catalog.coming(starts_from=now, starts_before=now + AHEAD, limit=_LOOKED_AT)
    look = _Look.of(pupil, now)
    asked = [
        Choice(one, look.refusal(one))
        for one in sessions
        if (type is None or one.course_type == type)
        and (coach_id is None or one.coach_id == coach_id)
        and (on is None or clock.local(one.starts_at).date() == on)
    ]
    return Choices(
        fitting=[one for one in asked if one.refusal is None],
        others=[one for one in asked if one.refusal is not None],
        types=sorted({(one.course_type, one.type_name) for one in sessions}, key=lambda pair: pair[1]),
        coaches=sorted({(one.coach_id, one.coach_name) for one in sessions}, key=lambda pair: pair[1]),
        days=sorted({clock.local(one.starts_at).date() for one in sessions}),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """What is asked of every session of a list, read once."""

    pupil: Pupil
    now: datetime
    ranks: dict[str, int]
    #: (session, begins, ends) of the student's own classes
    busy: Sequence[tuple[int, datetime, datetime]]

    @classmethod
    def of(cls, pupil: Pupil, now: datetime) -> _Look:
        ranks = {row.name: row.rank for row in db.session.execute(sa.select(_l.c.name, _l.c.rank))}
        busy = (
            sa.select(_s.c.id, _s.c.starts_at, _s.c.ends_at)
            .join(_b, _b.c.course_schedule_id == _s.c.id)
            .where(_b.c.live_profile_id == pupil.id, _s.c.ends_at > now)
        )
        return cls(pupil, now, ranks, [tuple(row) for row in db.session.execute(busy)])

    def refusal(self, session: SessionCard) -> Conflict | None:
        """In the order of 96.28, as far as session, student and seat go."""
        try:
            rules.check_session(session.status, session.starts_at, self.now, is_trial=session.is_trial)
            self._check_free(session)
            lowest = min(self.ranks.values(), default=None)
            rules.check_level(self.ranks.get(session.level), self.pupil.rank, lowest)
        except Conflict as refused:
            return refused
        return SeatFull() if session.available <= 0 else None

    def _check_free(self, session: SessionCard) -> None:
        clashes = {key for key, begins, ends in self.busy if begins < session.ends_at and ends > session.starts_at}
        if session.id in clashes:
            raise AlreadyBooked
        if clashes:
            raise TimeConflict


# ── one of them ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Plan:
    """What booking one class would do now. `after` is the wallet's balance in yuan."""

    pupil: Pupil
    session: SessionCard
    wallet: WalletView
    after: Decimal
    #: why there is no seat for this student
    refusal: Conflict | None
    #: why the wallet does not pay for it
    unpaid: Conflict | None
    bypassed: bool
    #: of a full class: others to choose, and whether one more seat may be added by whoever may
    alternatives: Sequence[SessionCard]
    seat_may_be_added: bool

    @property
    def full(self) -> bool:
        return isinstance(self.refusal, SeatFull)


def plan(pupil: Pupil, schedule_id: int, *, family_id: int) -> Plan | None:
    """None for a session that does not exist. Raises WalletNotFound."""
    session = catalog.session_card(schedule_id)
    if session is None:
        return None
    now = clock.now()
    wallet = ledger_queries.wallet(family_id=family_id)
    bypassed = wallet.bypass_until is not None and now < wallet.bypass_until
    refusal = _Look.of(pupil, now).refusal(session)
    full = isinstance(refusal, SeatFull)
    return Plan(
        pupil=pupil,
        session=session,
        wallet=wallet,
        after=wallet.balance - session.price,
        refusal=refusal,
        unpaid=unpaid(wallet, session.price, threshold=policy.get("arrears_block_threshold"), bypassed=bypassed),
        bypassed=bypassed,
        alternatives=queries.alternatives(schedule_id, profile_id=pupil.id) if full else [],
        seat_may_be_added=full and _added(schedule_id) < policy.get("capacity_override_seats"),
    )


def unpaid(wallet: WalletView, price: Decimal, *, threshold: Decimal, bypassed: bool) -> Conflict | None:
    """Why the wallet does not pay for a class now; None where it does. Of the wallet its status, balance and limit
    are looked at."""
    try:
        rules.check_wallet(
            wallet.status, wallet.balance, price, limit=wallet.overdraft_limit, threshold=threshold, bypassed=bypassed
        )
    except Conflict as refused:
        return refused
    return None


def _added(schedule_id: int) -> int:
    return db.session.scalar(sa.select(_s.c.override_seats).where(_s.c.id == schedule_id))
