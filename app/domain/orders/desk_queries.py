"""Orders as staff see them: the list with its filters, and one in full with everything that happened to it (U5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.cases.models import CaseStatus, MoneyCase
from app.domain.catalog import queries as catalog
from app.domain.catalog.queries import SessionCard
from app.domain.orders import queries, rules
from app.domain.orders.models import (
    OfflinePayment,
    OrderStatus,
    PaymentAttempt,
    PaymentNotification,
    PaymentOrder,
    PaymentTransaction,
    Refund,
)
from app.domain.orders.queries import OrderView
from app.domain.people.models import Family, Profile, Staff, User
from app.domain.people.phones import tail_index, whole_index
from app.domain.seats.models import SeatReservation
from app.paging import Listing, Page, keyset, whole

_o, _a, _p = PaymentOrder.__table__, PaymentAttempt.__table__, PaymentTransaction.__table__
_n, _f, _s, _u = PaymentNotification.__table__, Family.__table__, Profile.__table__, User.__table__
_r, _off, _c = SeatReservation.__table__, OfflinePayment.__table__, MoneyCase.__table__
_refunds = Refund.__table__
_asker, _decider = Staff.__table__.alias("asker"), Staff.__table__.alias("decider")

#: fewer digits of an order's number would find half the studio
SHORTEST_PREFIX = 8
_HEX = re.compile(r"[0-9a-f]{8,32}")
_WECHAT_NUMBER = re.compile(r"[0-9A-Za-z_-]{9,64}")

_rows = (
    sa.select(*_o.c, _f.c.name.label("family_name"), _s.c.name.label("student"), _u.c.real_name, _u.c.nickname)
    .join(_f, _f.c.id == _o.c.family_id)
    .join(_s, _s.c.id == _o.c.profile_id)
    .join(_u, _u.c.id == _o.c.user_id)
)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """What a person asked for; None means all. `text` is a phone, its last four digits, or a number."""

    status: str | None = None
    text: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    #: paid, and nobody has given the child a seat
    unseated: bool = False
    family_id: int | None = None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order with its class. `status` is by the clock (96.43); `given_back` in yuan, refunds on their way too."""

    row: sa.Row
    status: str
    session: SessionCard
    given_back: Decimal

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def who(self) -> str:
        return self.row.real_name or self.row.nickname or "家长"

    @property
    def unseated(self) -> bool:
        return self.status == OrderStatus.PAID and self.row.booking_id is None and self.given_back < self.row.amount


def orders(
    asked: OrderFilter, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> Page:  # fmt: skip
    """The orders asked for, newest first."""
    page = keyset(_asked(asked), _o.c.id, before=before, after=after, limit=limit)
    return Page(_lines(page.items), page.newer, page.older)


def of_family(family_id: int, *, before: int | None = None, after: int | None = None, limit: int = 20) -> Page:
    """A family's orders, newest first."""
    return orders(OrderFilter(family_id=family_id), before=before, after=after, limit=limit)


def every(asked: OrderFilter) -> Listing:
    """All of them, for an export."""
    return whole(_asked(asked), _o.c.id, dress=_lines)


def _asked(asked: OrderFilter) -> sa.Select:
    query = _rows
    now = clock.now()
    # Nobody waits for the job: a pending order past its end counts as expired (96.43).
    if asked.status == OrderStatus.PENDING:
        query = query.where(_o.c.status == OrderStatus.PENDING, _o.c.expires_at > now)
    elif asked.status == OrderStatus.EXPIRED:
        lapsed = sa.and_(_o.c.status == OrderStatus.PENDING, _o.c.expires_at <= now)
        query = query.where(sa.or_(_o.c.status == OrderStatus.EXPIRED, lapsed))
    elif asked.status:
        query = query.where(_o.c.status == asked.status)
    if asked.unseated:
        back = _given_back_of(_o.c.id)
        query = query.where(_o.c.status == OrderStatus.PAID, _o.c.booking_id.is_(None), back < _o.c.amount)
    if asked.family_id is not None:
        query = query.where(_o.c.family_id == asked.family_id)
    if asked.date_from:
        query = query.where(_o.c.created_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_o.c.created_at < clock.day_bounds(asked.date_to)[1])
    return query if asked.text is None else query.where(_meant(asked.text))


def _meant(text: str) -> sa.ColumnElement[bool]:
    """The orders that a number or a phone means; what looks like neither means none."""
    plain = "".join(text.split())
    found: list[sa.ColumnElement[bool]] = []
    if plain.isascii() and plain.isdigit():
        if len(plain) == 4:
            found.append(_o.c.user_id.in_(sa.select(_u.c.id).where(_u.c.phone_tail == tail_index(plain))))
        elif len(plain) == 11:
            found.append(_o.c.user_id.in_(sa.select(_u.c.id).where(_u.c.phone_index == whole_index(plain))))
    if _HEX.fullmatch(plain.lower()):
        found.append(_begins(_o.c.order_id, plain.lower()))
    if _WECHAT_NUMBER.fullmatch(plain):
        paid = sa.select(_p.c.order_id).where(_p.c.transaction_id == plain)
        tried = sa.select(_a.c.order_id).where(_a.c.out_trade_no == plain.lower())
        found += [_o.c.id.in_(paid), _o.c.id.in_(tried)]
    return sa.or_(*found) if found else sa.false()


def _begins(column: sa.Column, prefix: str) -> sa.ColumnElement[bool]:
    return sa.and_(column >= prefix, column <= prefix + "g" * (32 - len(prefix)))


def named(text: str) -> list[sa.Row]:
    """(order_id, family_id) of orders that a person means by a number: the order's, from eight digits on, or WeChat's
    number of a payment."""
    plain = "".join(text.split())
    if not any(map(str.isdigit, plain)) or (plain.isdigit() and len(plain) <= 11):
        return []  # a name, a phone, or one of the wallets' numbers
    columns, found = sa.select(_o.c.order_id, _o.c.family_id), []
    if _WECHAT_NUMBER.fullmatch(plain):
        found.append(columns.join(_p, _p.c.order_id == _o.c.id).where(_p.c.transaction_id == plain))
    if _HEX.fullmatch(plain.lower()):
        found.append(columns.where(_begins(_o.c.order_id, plain.lower())))
    return list(db.session.execute(sa.union(*found).limit(5))) if found else []


def _given_back_of(order_pk) -> sa.ScalarSelect:
    total = sa.func.coalesce(sa.func.sum(_p.c.refunded), Decimal("0.00"))
    return sa.select(total).where(_p.c.order_id == order_pk).scalar_subquery()


def _lines(rows: Sequence[sa.Row]) -> list[OrderLine]:
    if not rows:
        return []
    cards = catalog.session_cards(list({row.course_schedule_id for row in rows}))
    sums = sa.select(_p.c.order_id, sa.func.sum(_p.c.refunded)).where(_p.c.order_id.in_([row.id for row in rows]))
    back = dict(db.session.execute(sums.group_by(_p.c.order_id)).all())
    now = clock.now()
    return [
        OrderLine(
            row,
            rules.shown_status(row.status, row.expires_at, now),
            cards[row.course_schedule_id],
            back.get(row.id) or Decimal("0.00"),
        )
        for row in rows
    ]


# ── one in full ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """An order with its traces. All amounts in yuan."""

    line: OrderLine
    view: OrderView
    holds: Sequence[sa.Row]
    attempts: Sequence[sa.Row]
    payments: Sequence[sa.Row]
    notifications: Sequence[sa.Row]
    #: entries of money over the counter, the newest first; at most the first one waits
    offline: Sequence[sa.Row]
    cases: Sequence[sa.Row]
    history: Sequence[sa.Row]

    @property
    def waiting(self) -> sa.Row | None:
        found = self.offline[0] if self.offline else None
        return found if found is not None and found.status == "pending" else None

    @property
    def left(self) -> Decimal:
        """What can still be given back."""
        return sum((one.total_fee - one.refunded for one in self.payments), start=Decimal("0.00"))


def detail(order_id: str) -> OrderDetail | None:
    """None if there is none."""
    row = db.session.execute(_rows.where(_o.c.order_id == order_id)).first()
    if row is None:
        return None
    attempts = _all(sa.select(_a).where(_a.c.order_id == row.id).order_by(_a.c.id))
    numbers = [one.out_trade_no for one in attempts] or [order_id]
    return OrderDetail(
        line=_lines([row])[0],
        view=queries.order(order_id),
        holds=_all(sa.select(_r).where(_r.c.order_id == row.id).order_by(_r.c.id)),
        attempts=attempts,
        payments=_all(sa.select(_p).where(_p.c.order_id == row.id).order_by(_p.c.duplicate, _p.c.id)),
        notifications=_all(sa.select(_n).where(_n.c.number.in_(numbers)).order_by(_n.c.id)),
        offline=_all(_entries.where(_off.c.order_id == row.id).order_by(_off.c.id.desc())),
        cases=_all(
            sa.select(_c.c.id, _c.c.kind, _c.c.title)
            .where(_c.c.order_id == order_id, _c.c.status == CaseStatus.OPEN)
            .order_by(_c.c.id)
        ),
        history=_history(row.id, order_id),
    )


def _history(order_pk: int, order_id: str) -> list[sa.Row]:
    """What was recorded of the order and of its refunds, the oldest first; each is looked up by its own index."""
    refunds = db.session.scalars(sa.select(_refunds.c.refund_no).where(_refunds.c.order_id == order_pk))
    targets = [("order", order_id), *(("refund", number) for number in refunds)]
    return audit_queries.of_targets(targets)


_entries = (
    sa.select(*_off.c, _asker.c.display_name.label("asked_by_name"), _decider.c.display_name.label("decided_by_name"))
    .join(_asker, _asker.c.id == _off.c.asked_by)
    .outerjoin(_decider, _decider.c.id == _off.c.decided_by)
)


def order_of_entry(offline_id: int) -> str | None:
    """The number of the order that an entry of money over the counter is of; None if there is none."""
    found = sa.select(_o.c.order_id).join(_off, _off.c.order_id == _o.c.id).where(_off.c.id == offline_id)
    return db.session.scalar(found)


def _all(query: sa.Select) -> list[sa.Row]:
    return list(db.session.execute(query))
