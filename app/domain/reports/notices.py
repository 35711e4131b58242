"""What messages to parents came to, month by month (N11): delivered of what could be, read, and acted on.

A month is the studio's, by when a message was written. Delivered is WeChat's yes; it tells nobody whether a message
was read, so reading counts in the mini program only. What a parent does within a week of a message counts as its
effect, whatever else may have moved them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.ledger.models import TransactionType, Wallet, WalletTransaction
from app.domain.outbox import queries
from app.domain.outbox.kinds import KINDS
from app.domain.outbox.models import Channel, Notification, Status
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

WEEK = timedelta(days=7)
#: the share of what could be delivered that N11 asks for
GOAL = Decimal("0.95")

_rows, _bookings = Notification.__table__, Booking.__table__
_wallets, _tx = Wallet.__table__, WalletTransaction.__table__
_families = sa.table("families", sa.column("id"), sa.column("name"))


def month_of(day: date) -> date:
    return day.replace(day=1)


def months_back(month: date, count: int) -> list[date]:
    """This month and those before it, the oldest first."""
    found = [month_of(month)]
    while len(found) < count:
        found.append(month_of(found[-1] - timedelta(days=1)))
    return found[::-1]


def last_day(month: date) -> date:
    return month_of(month.replace(day=28) + timedelta(days=4)) - timedelta(days=1)


def _bounds(month: date) -> tuple[datetime, datetime]:
    return clock.day_bounds(month)[0], clock.day_bounds(last_day(month))[1]


# ── delivered and read ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Line:
    """Messages of one type or one month. What was held back by preference or cooldown counts nowhere."""

    key: str
    sent: int = 0
    failed: int = 0
    #: the parent's settings at WeChat do not take it (43101): it could not be delivered
    refused: int = 0
    in_app: int = 0
    read: int = 0
    waiting: int = 0

    @property
    def rate(self) -> Decimal | None:
        """Delivered ÷ what could be: what WeChat took, and what failed for another reason than the parent's no."""
        could = self.sent + self.failed
        return Decimal(self.sent) / could if could else None

    @property
    def read_rate(self) -> Decimal | None:
        return Decimal(self.read) / self.in_app if self.in_app else None


def by_type(month: date) -> list[Line]:
    """One line per type that was written this month, in the order of the contract."""
    query = _counts(_rows.c.type.label("key")).where(*_written(month)).group_by(_rows.c.type)
    found = {row.key: _line(row) for row in db.session.execute(query)}
    return [found[name] for name in KINDS if name in found]


def by_month(months: list[date]) -> list[Line]:
    """One line per month; the key is `2026-11`."""
    lines = []
    for month in months:
        query = _counts(sa.literal(f"{month:%Y-%m}").label("key")).where(*_written(month))
        lines.append(_line(db.session.execute(query).one()))
    return lines


def total(lines: list[Line]) -> Line:
    names = ("sent", "failed", "refused", "in_app", "read", "waiting")
    return Line("total", **{name: sum(getattr(line, name) for line in lines) for name in names})


def _written(month: date) -> tuple:
    start, end = _bounds(month)
    return (
        _rows.c.created_at >= start,
        _rows.c.created_at < end,
        _rows.c.channel.in_([Channel.WECHAT, Channel.IN_APP]),
        _rows.c.status != Status.SUPPRESSED,
    )


def _line(row: sa.Row) -> Line:
    return Line(row[0], *(int(count or 0) for count in row[1:]))


def _counts(key) -> sa.Select:
    wechat = _rows.c.channel == Channel.WECHAT

    def number(*conditions):
        return sa.func.sum(sa.case((sa.and_(*conditions), 1), else_=0))

    return sa.select(
        key,
        number(wechat, _rows.c.status == Status.SENT),
        number(wechat, *queries.OUTCOMES["failed"]),
        number(wechat, *queries.OUTCOMES["refused"]),
        number(_rows.c.channel == Channel.IN_APP),
        number(*queries.OUTCOMES["read"]),
        number(wechat, _rows.c.status.in_([Status.PENDING, Status.SENDING])),
    )


# ── acted on ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Action:
    """What a message of a type is meant to bring about. `open` says when it is too early to tell."""

    word: str
    done: Callable[[], sa.ColumnElement]
    open: Callable[[], sa.ColumnElement]


@dataclass(frozen=True, slots=True)
class Acted:
    """Messages that arrived, by WeChat or in the app, and what followed; `open` ones are not judged yet."""

    type: str
    word: str
    done: int
    undone: int
    open: int

    @property
    def rate(self) -> Decimal | None:
        judged = self.done + self.undone
        return Decimal(self.done) / judged if judged else None


def _topped_up() -> sa.ColumnElement:
    return sa.exists(
        sa.select(1)
        .select_from(_tx.join(_wallets, _wallets.c.id == _tx.c.wallet_id))
        .where(
            _wallets.c.family_id == _rows.c.family_id,
            _tx.c.amount > ZERO,
            _tx.c.type.in_([TransactionType.RECHARGE, TransactionType.ADJUSTMENT]),
            _tx.c.created_at >= _rows.c.created_at,
            _tx.c.created_at <= _a_week_after(_rows.c.created_at),
        )
    )


def _booked_again() -> sa.ColumnElement:
    return sa.exists().where(
        _bookings.c.family_id == _rows.c.family_id,
        _bookings.c.created_at > _rows.c.created_at,
        _bookings.c.created_at <= _a_week_after(_rows.c.created_at),
    )


def _of_booking(status: str) -> sa.ColumnElement:
    named = sa.cast(sa.func.json_extract(_rows.c.payload, "$.booking_id"), sa.BigInteger)
    return sa.exists().where(_bookings.c.id == named, _bookings.c.status == status)


def _within_the_week() -> sa.ColumnElement:
    return _rows.c.created_at > clock.now() - WEEK


ACTIONS: dict[str, Action] = {
    "booking_cancelled": Action("7 天内再预约", _booked_again, _within_the_week),
    "class_reminder": Action(
        "到课", lambda: _of_booking(BookingStatus.ATTENDED), lambda: _of_booking(BookingStatus.BOOKED)
    ),
    "class_cancelled": Action("7 天内再预约", _booked_again, _within_the_week),
    "low_balance": Action("7 天内充值", _topped_up, _within_the_week),
    "arrears": Action("7 天内充值", _topped_up, _within_the_week),
}
DONE, UNDONE, OPEN = "done", "undone", "open"


def acted(month: date) -> dict[str, Acted]:
    """Type → what followed its messages, for the types with an action."""
    found = {}
    for name, action in ACTIONS.items():
        query = sa.select(_state(action).label("state"), sa.func.count()).where(*_arrived(name, month))
        counts = dict(db.session.execute(query.group_by(sa.literal_column("state"))).all())
        found[name] = Acted(name, action.word, *(counts.get(state, 0) for state in (DONE, UNDONE, OPEN)))
    return found


def acted_rows(
    type: str, month: date, state: str | None, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:
    """The messages behind `acted`: id, created_at, channel, read_at, family_id, family_name, state."""
    return keyset(_acted(type, month, state), _rows.c.id, before=before, after=after, limit=limit)


def every_acted(type: str, month: date, state: str | None) -> Listing:
    """All of them, for an export."""
    return whole(_acted(type, month, state), _rows.c.id)


def _acted(type: str, month: date, state: str | None) -> sa.Select:
    action = ACTIONS[type]
    query = (
        sa.select(
            _rows.c.id,
            _rows.c.created_at,
            _rows.c.channel,
            _rows.c.read_at,
            _rows.c.family_id,
            _families.c.name.label("family_name"),
            _state(action).label("state"),
        )
        .outerjoin(_families, _families.c.id == _rows.c.family_id)
        .where(*_arrived(type, month))
    )
    return query if state is None else query.where(_state(action) == state)


def _state(action: Action) -> sa.ColumnElement:
    return sa.case((action.done(), DONE), (action.open(), OPEN), else_=UNDONE)


def _arrived(type: str, month: date) -> tuple:
    return (*_written(month), _rows.c.type == type, _rows.c.status == Status.SENT)


def _a_week_after(column) -> sa.ColumnElement:
    if db.session.get_bind().dialect.name == "sqlite":
        # Times are text there, to the microsecond, and this function writes milliseconds: the whole one belongs to it.
        return sa.func.strftime("%Y-%m-%d %H:%M:%f", column, "+7 days") + "999"
    return sa.func.timestampadd(sa.text("DAY"), 7, column)
