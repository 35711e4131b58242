"""Families that owe (N7, W23): who, how much, since when, what they were told last. Whoever owes most stands first.

The list goes by the index of the balances: wallets below zero are few among all, and (balance, id) is its order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import clock, money
from app.db import db
from app.domain.ledger.models import Wallet, WalletStatus
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.people.models import Family, User
from app.domain.policy import service as policy
from app.errors import Invalid
from app.money import ZERO
from app.paging import PIECE, Listing, Page
from app.vault import mask_phone

_w, _f, _n, _u = Wallet.__table__, Family.__table__, Notification.__table__, User.__table__


class Show(StrEnum):
    """Which of them: all, those that owe for so long that somebody should call, those that can't book."""

    ALL = "all"
    LATE = "late"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Told:
    """The newest message about this arrears that was not held back."""

    at: datetime
    channel: str
    status: str


@dataclass(frozen=True, slots=True)
class Owing:
    """One family. `owed` in positive yuan; `id` is its wallet's."""

    id: int
    family_id: int
    family_name: str
    balance: Decimal
    since: datetime
    blocked: bool
    bypass_until: datetime | None
    late: bool
    parent: str | None
    phone_masked: str | None
    told: Told | None

    @property
    def owed(self) -> Decimal:
        return -self.balance

    @property
    def days(self) -> int:
        """Whole days, as the reminders count them."""
        return (clock.now() - self.since).days

    @property
    def place(self) -> str:
        """Where the list goes on after or before this family."""
        return f"{money.plain(self.owed)}_{self.id}"


@dataclass(frozen=True, slots=True)
class Sums:
    """How many families each choice shows, and what all of those in arrears owe together, in positive yuan."""

    families: dict[str, int]
    owed: Decimal


def _late() -> sa.ColumnElement[bool]:
    return _w.c.arrears_since <= clock.now() - policy.get("arrears_task_after")


def _blocked() -> sa.ColumnElement[bool]:
    """As `ledger.rules.wallet_state` says it of one wallet (96.30)."""
    bypassed = sa.and_(_w.c.bypass_until.is_not(None), _w.c.bypass_until > clock.now())
    over = sa.and_(_w.c.balance <= -policy.get("arrears_block_threshold"), ~bypassed)
    return sa.or_(_w.c.status != WalletStatus.ACTIVE, over)


def _where(show: Show) -> list[sa.ColumnElement[bool]]:
    return [_w.c.balance < ZERO] + {Show.ALL: [], Show.LATE: [_late()], Show.BLOCKED: [_blocked()]}[show]


def sums() -> Sums:
    """The figures above the list."""
    row = db.session.execute(
        sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(sa.case((_late(), 1), else_=0)), 0),
            sa.func.coalesce(sa.func.sum(sa.case((_blocked(), 1), else_=0)), 0),
            sa.func.coalesce(sa.func.sum(_w.c.balance), ZERO),
        ).where(_w.c.balance < ZERO)
    ).one()
    return Sums({Show.ALL: row[0], Show.LATE: int(row[1]), Show.BLOCKED: int(row[2])}, -row[3])


def page(show: Show, *, before: str | None = None, after: str | None = None, limit: int = 50) -> Page:
    """One page, the largest arrears first; `before` and `after` are places that a page's links carry. A place that
    nobody's link carries counts as none."""
    query = (
        sa.select(_w.c.id, _w.c.family_id, _f.c.name, _w.c.balance, _w.c.arrears_since, _w.c.bypass_until,
                  _blocked().label("blocked"), _late().label("late"))
        .join(_f, _f.c.id == _w.c.family_id)
        .where(*_where(show))
    )  # fmt: skip
    # `newer` and `older` of a page are the side before and after it, whatever it is ordered by.
    back, on = _place(after), _place(before)
    if back is not None:
        query = query.where(_beyond(back, up=True)).order_by(_w.c.balance.desc(), _w.c.id.desc())
    else:
        query = query.order_by(_w.c.balance, _w.c.id)
        if on is not None:
            query = query.where(_beyond(on, up=False))
    rows = list(db.session.execute(query.limit(limit + 1)))
    more, rows = len(rows) > limit, rows[:limit]
    if back is not None:
        rows.reverse()
    items = _owing(rows)
    newer = older = None
    if items:
        newer = items[0].place if (more if back is not None else on is not None) else None
        older = items[-1].place if (more or back is not None) else None
    return Page(items, newer, older)


def every(show: Show) -> Listing:
    """All of them in the order of the list, for an export."""

    def pieces() -> Iterator[Sequence[Owing]]:
        before = None
        while (found := page(show, before=before, limit=PIECE)).items:
            yield found.items
            if found.older is None:
                return
            before = found.older

    return Listing(pieces, lambda: sums().families[show])


def _place(text: str | None) -> tuple[Decimal, int] | None:
    owed, _, key = (text or "").partition("_")
    if not (key.isascii() and key.isdigit() and len(key) <= 18):
        return None
    try:
        return -money.parse(owed), int(key)
    except Invalid:
        return None


def _beyond(place: tuple[Decimal, int], *, up: bool) -> sa.ColumnElement[bool]:
    balance, key = sa.literal(place[0], _w.c.balance.type), place[1]
    if up:
        return sa.or_(_w.c.balance < balance, sa.and_(_w.c.balance == balance, _w.c.id < key))
    return sa.or_(_w.c.balance > balance, sa.and_(_w.c.balance == balance, _w.c.id > key))


def _owing(rows: Sequence[sa.Row]) -> list[Owing]:
    families = [row.family_id for row in rows]
    told, parents = _told(families), _parents(families)
    return [
        Owing(
            id=row.id, family_id=row.family_id, family_name=row.name, balance=row.balance, since=row.arrears_since,
            blocked=bool(row.blocked), bypass_until=row.bypass_until, late=bool(row.late),
            parent=parents.get(row.family_id, (None, None))[0],
            phone_masked=parents.get(row.family_id, (None, None))[1],
            told=told.get(row.family_id) if _is_of(told.get(row.family_id), row.arrears_since) else None,
        )
        for row in rows
    ]  # fmt: skip


def _is_of(told: Told | None, since: datetime) -> bool:
    return told is not None and told.at >= since


def _told(family_ids: list[int]) -> dict[int, Told]:
    """Family → its newest arrears message to a parent."""
    if not family_ids:
        return {}
    newest = (
        sa.select(sa.func.max(_n.c.id))
        .where(
            _n.c.family_id.in_(family_ids),
            _n.c.type == "arrears",
            _n.c.channel.in_([Channel.WECHAT, Channel.IN_APP]),
            _n.c.status != Status.SUPPRESSED,
        )
        .group_by(_n.c.family_id)
    )
    query = sa.select(_n.c.family_id, _n.c.created_at, _n.c.channel, _n.c.status).where(_n.c.id.in_(newest))
    return {row.family_id: Told(row.created_at, row.channel, row.status) for row in db.session.execute(query)}


def _parents(family_ids: list[int]) -> dict[int, tuple[str | None, str | None]]:
    """Family → name and masked number of the parent to call: the first who has a number, else the first."""
    query = sa.select(_u.c.family_id, _u.c.real_name, _u.c.nickname, _u.c.phone).where(_u.c.family_id.in_(family_ids))
    found: dict[int, tuple[str | None, str | None]] = {}
    for row in db.session.execute(query.order_by(_u.c.id)):
        if found.get(row.family_id, (None, None))[1] is None and (row.phone or row.family_id not in found):
            found[row.family_id] = (row.real_name or row.nickname, mask_phone(row.phone))
    return found
