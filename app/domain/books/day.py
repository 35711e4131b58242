"""A studio day of the ledger: opening, what came in and went out, closing, arrears (W24). One statement, one moment.

Balances at a moment are today's less what moved since; the index on (created_at, wallet_id, type, amount) answers that
without touching the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import clock
from app.column_types import Money
from app.db import db
from app.domain.books.earning import total, tx, yuan
from app.domain.desk.models import PaymentMethod, WalletAdjustment
from app.domain.ledger.models import Wallet
from app.domain.people.models import Family, Staff
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

#: days that the chart shows
CHART_DAYS = 14
#: who moved money, where it was no member of staff
PARENT, SYSTEM = "parent", "system"

_w, _adjustment, _staff, _family = Wallet.__table__, WalletAdjustment.__table__, Staff.__table__, Family.__table__


@dataclass(frozen=True, slots=True)
class Flow:
    """What one type, method or person moved: yuan in and out, both positive, and of how many rows."""

    key: str
    word: str
    money_in: Decimal
    money_out: Decimal
    rows: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day's figures in yuan. `arrears` is positive; `until` is the day's end, or now."""

    on: date
    until: datetime
    opening: Decimal
    closing: Decimal
    types: Sequence[Flow]
    methods: Sequence[Flow]
    people: Sequence[Flow]
    arrears: Decimal
    arrears_families: int

    @property
    def money_in(self) -> Decimal:
        return sum((flow.money_in for flow in self.types), ZERO)

    @property
    def money_out(self) -> Decimal:
        return sum((flow.money_out for flow in self.types), ZERO)

    @property
    def rows(self) -> int:
        return sum(flow.rows for flow in self.types)

    @property
    def gap(self) -> Decimal:
        """Closing less opening, in and out: 0.00 unless something is wrong."""
        return self.closing - self.opening - self.money_in + self.money_out


def bounds(on: date) -> tuple[datetime, datetime]:
    """The moments of a studio day, as far as it has passed: half open."""
    start, end = clock.day_bounds(on)
    return start, max(start, min(end, clock.now()))


#: whose hand it was: a member of staff by number, a parent, or the system
_PERSON = sa.case(
    (tx.c.performed_by.is_not(None), sa.cast(tx.c.performed_by, sa.String(24))),
    (tx.c.user_id.is_not(None), PARENT),
    else_=SYSTEM,
)
#: how it was paid, for what the desk wrote; everything else has no method
_METHOD = sa.func.coalesce(_adjustment.c.payment_method, PaymentMethod.NONE)
_WITH_METHOD = tx.outerjoin(_adjustment, _adjustment.c.transaction_id == tx.c.id)


def figures(on: date) -> Day:
    """The day that is asked for, or what there is of it."""
    start, end = bounds(on)
    parts = [
        _balance("opening", start), _balance("closing", end), _arrears(end),
        _flows("types", tx.c.type, tx, start, end), _flows("methods", _METHOD, _WITH_METHOD, start, end),
        _flows("people", _PERSON, tx, start, end),
    ]  # fmt: skip
    found: dict[str, list[sa.Row]] = {}
    for row in db.session.execute(sa.union_all(*parts)):
        found.setdefault(row.what, []).append(row)
    names = _staff_names(row.name for row in found.get("people", ()))
    owing = found["arrears"][0]
    return Day(
        on, end, found["opening"][0].money_in, found["closing"][0].money_in,
        _sorted(found.get("types", ()), {}), _sorted(found.get("methods", ()), {}),
        _sorted(found.get("people", ()), names), -owing.money_in, owing.rows,
    )  # fmt: skip


def _row(what: str, name: Any, money_in: Any, money_out: Any, rows: Any) -> list[Any]:
    return [sa.literal(what).label("what"), sa.type_coerce(name, sa.String()).label("name"),
            sa.type_coerce(money_in, Money()).label("money_in"), sa.type_coerce(money_out, Money()).label("money_out"),
            sa.type_coerce(rows, sa.Integer()).label("rows")]  # fmt: skip


def _balance(what: str, at: datetime) -> sa.Select:
    now = sa.select(total(_w.c.balance)).scalar_subquery()
    since = sa.select(total(tx.c.amount)).where(tx.c.created_at >= at).scalar_subquery()
    return sa.select(*_row(what, sa.literal(""), now - since, sa.literal(ZERO, Money()), sa.literal(0)))


def _arrears(at: datetime) -> sa.Select:
    """Families below zero at a moment, and what they owed together (negative)."""
    since = (
        sa.select(tx.c.wallet_id, sa.func.sum(tx.c.amount).label("amount"))
        .where(tx.c.created_at >= at)
        .group_by(tx.c.wallet_id)
        .subquery()
    )
    then = yuan(_w.c.balance - sa.func.coalesce(yuan(since.c.amount), ZERO)).label("then")
    each = sa.select(then).select_from(_w.outerjoin(since, since.c.wallet_id == _w.c.id)).subquery()
    return sa.select(
        *_row("arrears", sa.literal(""), total(each.c.then), sa.literal(ZERO, Money()), sa.func.count())
    ).where(yuan(each.c.then) < ZERO)


def _flows(what: str, key: Any, frm: Any, start: datetime, end: datetime) -> sa.Select:
    came = total(sa.case((tx.c.amount > ZERO, tx.c.amount), else_=ZERO))
    went = yuan(-total(sa.case((tx.c.amount < ZERO, tx.c.amount), else_=ZERO)))
    query = sa.select(*_row(what, key, came, went, sa.func.count())).select_from(frm)
    return query.where(tx.c.created_at >= start, tx.c.created_at < end).group_by(key)


def _sorted(rows: Sequence[sa.Row], words: dict[str, str]) -> list[Flow]:
    """The largest first."""
    flows = [Flow(row.name, words.get(row.name, row.name), row.money_in, row.money_out, row.rows) for row in rows]
    return sorted(flows, key=lambda flow: (-(flow.money_in + flow.money_out), flow.key))


def _staff_names(keys: Any) -> dict[str, str]:
    ids = [int(key) for key in keys if key.isdigit()]
    rows = db.session.execute(sa.select(_staff.c.id, _staff.c.display_name).where(_staff.c.id.in_(ids))) if ids else ()
    return {PARENT: "家长", SYSTEM: "系统"} | {str(row.id): row.display_name for row in rows}


# ── the days before, for the chart ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class InOut:
    on: date
    money_in: Decimal
    money_out: Decimal


def last_days(on: date, days: int = CHART_DAYS) -> list[InOut]:
    """What came in and went out on each of the days up to this one, the oldest first."""
    dates = [on - timedelta(days=n) for n in range(days - 1, -1, -1)]
    parts = [_of_day(number, *bounds(day)) for number, day in enumerate(dates)]
    rows = db.session.execute(sa.union_all(*parts).order_by(sa.text("number")))
    return [InOut(dates[row.number], row.money_in, row.money_out) for row in rows]


def _of_day(number: int, start: datetime, end: datetime) -> sa.Select:
    return sa.select(
        sa.literal(number).label("number"),
        total(sa.case((tx.c.amount > ZERO, tx.c.amount), else_=ZERO)).label("money_in"),
        yuan(-total(sa.case((tx.c.amount < ZERO, tx.c.amount), else_=ZERO))).label("money_out"),
    ).where(tx.c.created_at >= start, tx.c.created_at < end)


# ── the rows behind each figure ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Asked:
    """Which of the day's movements; None means all. `way` is `in` or `out`."""

    on: date
    type: str | None = None
    method: str | None = None
    person: str | None = None
    way: str | None = None


def select_rows(asked: Asked) -> sa.Select:
    """Exactly the movements that a figure counts, unordered."""
    start, end = bounds(asked.on)
    query = (
        sa.select(
            tx.c.id, tx.c.created_at, tx.c.type, tx.c.amount, tx.c.balance_after, tx.c.reason,
            _family.c.id.label("family_id"), _family.c.name.label("family_name"), _METHOD.label("method"),
            _staff.c.display_name.label("performed_by_name"), tx.c.user_id, _adjustment.c.id.label("adjustment_id"),
        )
        .select_from(
            _WITH_METHOD.join(_w, _w.c.id == tx.c.wallet_id).join(_family, _family.c.id == _w.c.family_id)
            .outerjoin(_staff, _staff.c.id == tx.c.performed_by)
        )
        .where(tx.c.created_at >= start, tx.c.created_at < end)
    )  # fmt: skip
    for column, value in ((tx.c.type, asked.type), (_METHOD, asked.method), (_PERSON, asked.person)):
        if value is not None:
            query = query.where(column == value)
    if asked.way is not None:
        query = query.where(tx.c.amount > ZERO if asked.way == "in" else tx.c.amount < ZERO)
    return query


def rows(asked: Asked, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page of them, newest first."""
    return keyset(select_rows(asked), tx.c.id, before=before, after=after, limit=limit)


def every(asked: Asked) -> Listing:
    """All of them, for an export."""
    return whole(select_rows(asked), tx.c.id)
