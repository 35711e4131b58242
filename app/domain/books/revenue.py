"""课消: what the studio owes at the ends of a month, and what came, went and was earned in between (W29).

Nothing is summed ahead. A month is one statement: each line reads its own rows by an index on their moment, and the two
standings read what was open. So the figures of a month that is over never change, and opening + movements = closing is
a finding, not a definition: `Month.gap` says by how much it fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.column_types import Money
from app.db import db
from app.domain.books import movements, standing
from app.domain.books.movements import EARNED, EFFECTS, UNDONE, Line
from app.domain.books.standing import Account
from app.domain.people.models import Family
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

#: months that the chart shows
MONTHS = 12

_families = Family.__table__


@dataclass(frozen=True, slots=True)
class Sum:
    """Yuan, positive, and of how many rows."""

    amount: Decimal
    rows: int


_NONE = Sum(ZERO, 0)


@dataclass(frozen=True, slots=True)
class Month:
    """One studio month, or what there is of it until now. Amounts in yuan."""

    first: date
    #: the end of the figures: the month's, or now
    until: datetime
    opening: Mapping[Account, Decimal]
    closing: Mapping[Account, Decimal]
    lines: Mapping[Line, Sum]

    def line(self, line: Line) -> Sum:
        return self.lines.get(line, _NONE)

    def effect(self, line: Line, account: Account | None = None) -> Decimal:
        """What a line adds to an account, or to all of them."""
        signs = EFFECTS[line].values() if account is None else [EFFECTS[line].get(account, 0)]
        return self.line(line).amount * sum(signs)

    def total(self, standing_: Mapping[Account, Decimal]) -> Decimal:
        return sum(standing_.values(), ZERO)

    def gap(self, account: Account | None = None) -> Decimal:
        """Closing less what opening and movements come to: 0.00 unless something is wrong."""
        wanted = list(Account) if account is None else [account]
        opening, closing = (sum((at[one] for one in wanted), ZERO) for at in (self.opening, self.closing))
        return closing - opening - sum((self.effect(line, one) for line in Line for one in wanted), ZERO)

    @property
    def recharged(self) -> Decimal:
        """Yuan that came in from outside."""
        return self.line(Line.RECHARGE).amount + self.line(Line.TRIAL_PAID).amount

    @property
    def refunded(self) -> Decimal:
        """Yuan that went back outside other than as a withdrawal."""
        return self.line(Line.TRIAL_REFUND).amount

    @property
    def withdrawn(self) -> Decimal:
        return self.line(Line.WITHDRAWN).amount - self.line(Line.WITHDRAWAL_BACK).amount

    @property
    def earned(self) -> Decimal:
        """Yuan earned, less what was earned before and is owed again."""
        return sum((self.line(one).amount for one in EARNED), ZERO) - sum(
            (self.line(one).amount for one in UNDONE), ZERO
        )

    @property
    def adjusted(self) -> Decimal:
        """Yuan that other movements added to what is owed: gifts, corrections, debits without a class."""
        change = self.total(self.closing) - self.total(self.opening) - self.gap()
        return change - self.recharged + self.refunded + self.withdrawn + self.earned


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def span(first: date) -> tuple[datetime, datetime]:
    """The moments of a studio month, as far as it has passed: half open."""
    start, end = clock.day_bounds(first)[0], clock.day_bounds(next_month(first))[0]
    return start, max(start, min(end, clock.now()))


def month(first: date) -> Month:
    """The figures of the month that begins on `first`. One statement, so that all of them are of one moment."""
    start, end = span(first)
    parts = [_part("opening", account, query) for account, query in standing.parts(start)]
    parts += [_part("closing", account, query) for account, query in standing.parts(end)]
    parts += [_line(line, start, end) for line in Line]
    found: dict[str, dict[str, Sum]] = defaultdict(lambda: defaultdict(lambda: _NONE))
    for what, name, amount, rows in db.session.execute(sa.union_all(*parts)):
        before = found[what][name]
        found[what][name] = Sum(before.amount + amount, before.rows + rows)
    opening, closing = ({account: found[end][account].amount for account in Account} for end in ("opening", "closing"))
    return Month(first, end, opening, closing, {line: found["line"][line] for line in Line})


def _part(what: str, account: Account, query: sa.Select) -> sa.Select:
    return sa.select(
        sa.literal(what).label("what"), sa.literal(str(account)).label("name"),
        sa.type_coerce(query.scalar_subquery(), Money()).label("amount"), sa.literal(0).label("rows"),
    )  # fmt: skip


def _line(line: Line, start: datetime, end: datetime) -> sa.Select:
    rows = movements.source(line, start, end).query.subquery()
    return sa.select(
        sa.literal("line").label("what"), sa.literal(str(line)).label("name"),
        sa.type_coerce(sa.func.coalesce(sa.func.sum(rows.c.amount), ZERO), Money()).label("amount"),
        sa.func.count().label("rows"),
    )  # fmt: skip


def earned_by_month(last: date, months: int = MONTHS) -> list[tuple[date, Decimal]]:
    """Yuan earned in each of the months up to the one that begins on `last`, the oldest first."""
    firsts = [last]
    while len(firsts) < months:
        firsts.insert(0, month_of(firsts[0] - timedelta(days=1)))
    parts = [
        _line(line, *span(first)).add_columns(sa.literal(number).label("number"))
        for number, first in enumerate(firsts)
        for line in (*EARNED, *UNDONE)
    ]
    sums = [ZERO] * len(firsts)
    for _what, name, amount, _rows, number in db.session.execute(sa.union_all(*parts)):
        sums[number] += amount if name in EARNED else -amount
    return list(zip(firsts, sums, strict=True))


# ── the rows behind a line ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Behind:
    """One row that a line sums; `amount` in yuan, positive."""

    id: int
    at: datetime
    amount: Decimal
    family_id: int
    family_name: str
    booking_id: int | None
    order_id: str | None
    transaction_id: int | None


def behind(
    line: Line, first: date, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:  # fmt: skip
    """One page of exactly the rows that a month's line sums, newest first."""
    found = movements.source(line, *span(first))
    page = keyset(found.query, found.id_column, before=before, after=after, limit=limit)
    return Page(_dressed(page.items), page.newer, page.older)


def every(line: Line, first: date) -> Listing:
    """All of them, for an export."""
    found = movements.source(line, *span(first))
    return whole(found.query, found.id_column, dress=_dressed)


def _dressed(rows: Sequence[sa.Row]) -> list[Behind]:
    names = _names(row.family_id for row in rows)
    return [
        Behind(row.id, row.at, row.amount, row.family_id, names.get(row.family_id, ""), row.booking_id, row.order_id,
               row.transaction_id)
        for row in rows
    ]  # fmt: skip


def _names(ids: Iterable[int]) -> dict[int, str]:
    wanted = set(ids)
    query = sa.select(_families.c.id, _families.c.name).where(_families.c.id.in_(wanted))
    return {row.id: row.name for row in db.session.execute(query)} if wanted else {}
