"""Whether arrears are settled within a week of a notice (N11). One arrears is from the debit that took the balance
below zero to the movement that brought it back; it belongs to the studio month in which it began."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import HELD_BACK, Notification, Status
from app.domain.reports.notices import WEEK, last_day
from app.money import ZERO

IN_TIME, LATE, OWING, RECENT, UNTOLD = "in_time", "late", "owing", "recent", "untold"
STATES = (IN_TIME, LATE, OWING, RECENT, UNTOLD)

_tx, _wallets, _notes = WalletTransaction.__table__, Wallet.__table__, Notification.__table__
_families = sa.table("families", sa.column("id"), sa.column("name"))
_back = _tx.alias("back")


@dataclass(frozen=True, slots=True)
class Arrears:
    """One arrears. `state`: settled within a week of a notice, later, still owing after that week, told less than a
    week ago, or nobody could be told."""

    family_id: int
    family_name: str
    began_at: datetime
    ended_at: datetime | None
    #: yuan below zero when it began
    owed: Decimal
    last_told_at: datetime | None
    state: str


@dataclass(frozen=True, slots=True)
class Settled:
    """How many arrears of a month are in each state."""

    counts: dict[str, int]

    @property
    def rate(self) -> Decimal | None:
        """Settled within a week ÷ those whose week is over. None if there were none."""
        judged = self.counts[IN_TIME] + self.counts[LATE] + self.counts[OWING]
        return Decimal(self.counts[IN_TIME]) / judged if judged else None


def arrears(month: date) -> list[Arrears]:
    """Every arrears that began in this studio month, the newest first."""
    start, end = clock.day_bounds(month)[0], clock.day_bounds(last_day(month))[1]
    ended = (
        sa.select(sa.func.min(_back.c.seq))
        .where(_back.c.wallet_id == _tx.c.wallet_id, _back.c.seq > _tx.c.seq, _back.c.balance_after >= ZERO)
        .scalar_subquery()
    )
    begun = (
        sa.select(
            _tx.c.id, _tx.c.wallet_id, _tx.c.created_at, _tx.c.balance_after, _wallets.c.family_id,
            _families.c.name, ended.label("end_seq"),
        )
        .join(_wallets, _wallets.c.id == _tx.c.wallet_id)
        .join(_families, _families.c.id == _wallets.c.family_id)
        .where(_tx.c.created_at >= start, _tx.c.created_at < end)
        .where(_tx.c.balance_before >= ZERO, _tx.c.balance_after < ZERO)
        .subquery()
    )  # fmt: skip
    query = sa.select(begun, _tx.c.created_at.label("ended_at")).outerjoin(
        _tx, sa.and_(_tx.c.wallet_id == begun.c.wallet_id, _tx.c.seq == begun.c.end_seq)
    )
    rows = list(db.session.execute(query.order_by(begun.c.created_at.desc(), begun.c.id.desc())))
    told = _told({row.family_id for row in rows}, start)
    return [_judged(row, told[row.family_id]) for row in rows]


def summary(found: list[Arrears]) -> Settled:
    return Settled({state: sum(one.state == state for one in found) for state in STATES})


def _told(family_ids: set[int], since: datetime) -> dict[int, list[datetime]]:
    """Family → when it was told of an arrears, the oldest first."""
    query = (
        sa.select(_notes.c.family_id, _notes.c.created_at)
        .where(
            _notes.c.family_id.in_(family_ids),
            _notes.c.type == "arrears",
            _notes.c.created_at >= since,
            # What went into the app at the moment of sending was told as well.
            sa.or_(_notes.c.status != Status.SUPPRESSED, _notes.c.error_code.not_in(HELD_BACK)),
            _notes.c.follows_id.is_(None),
        )
        .order_by(_notes.c.created_at)
    )
    found: dict[int, list[datetime]] = defaultdict(list)
    for family_id, at in db.session.execute(query):
        found[family_id].append(at)
    return found


def _judged(row: sa.Row, told: list[datetime]) -> Arrears:
    ended_at = row.ended_at
    notices = [at for at in told if row.created_at <= at and (ended_at is None or at <= ended_at)]
    last = notices[-1] if notices else None
    if last is None:
        state = UNTOLD
    elif ended_at is not None:
        state = IN_TIME if ended_at <= last + WEEK else LATE
    else:
        state = RECENT if clock.now() <= last + WEEK else OWING
    return Arrears(row.family_id, row.name, row.created_at, ended_at, -row.balance_after, last, state)
