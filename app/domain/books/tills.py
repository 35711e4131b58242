"""Money that changed hands on a day, by way and by person, beside what shows it (W25).

The wallets' ledger says what families are owed; this says what the drawer, the banks and WeChat must have got or given.
What shows it: a receipt for transfers, the slip's number for a card, WeChat's bill for WeChat Pay, and for cash what
somebody counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from app.column_types import Money
from app.db import db
from app.domain.books.day import bounds
from app.domain.books.earning import p, rf, tx, yuan
from app.domain.desk.models import PaymentMethod, Receipt, WalletAdjustment, Withdrawal, WithdrawalStatus
from app.domain.ledger.models import Wallet
from app.domain.orders.models import OfflinePayment, PaymentOrder, RefundStatus, RefundTo, TradeType
from app.domain.people.models import Family, Staff
from app.money import ZERO

#: WeChat Pay beside the desk's own ways
WECHAT_PAY = "wechat_pay"
METHODS = (*(str(method) for method in PaymentMethod if method != PaymentMethod.NONE), WECHAT_PAY)

_a, _w, _wd = WalletAdjustment.__table__, Wallet.__table__, Withdrawal.__table__
_r, _off, _o = Receipt.__table__, OfflinePayment.__table__, PaymentOrder.__table__
_staff, _family = Staff.__table__, Family.__table__


class Kind(StrEnum):
    ADJUSTMENT = "adjustment"
    OFFLINE = "offline"
    WITHDRAWAL = "withdrawal"
    REFUND = "refund"
    PAYMENT = "payment"


@dataclass(frozen=True, slots=True)
class Taken:
    """One hand-over: signed yuan, who took or gave it (None: nobody at the desk), and whether something shows it."""

    kind: str
    id: int
    number: str
    at: datetime
    method: str
    amount: Decimal
    shown: bool
    person_id: int | None
    person: str | None
    family_id: int
    family_name: str


@dataclass(frozen=True, slots=True)
class Till:
    """One way of paying, or one person's part of it: yuan in and out by the documents, and what of it is shown."""

    method: str
    person: str | None
    money_in: Decimal
    money_out: Decimal
    shown: Decimal
    rows: int

    @property
    def net(self) -> Decimal:
        return self.money_in - self.money_out


def taken(on: date, method: str | None = None) -> list[Taken]:
    """Every hand-over of a day, the newest first. A day has few: what the desk and WeChat Pay took in."""
    start, end = bounds(on)
    found = db.session.execute(sa.union_all(*_sources(start, end)).order_by(sa.text("at DESC")))
    return [Taken(*row) for row in found if method is None or row.method == method]


def by_method(rows: Sequence[Taken]) -> list[Till]:
    """One line for each way that was used, in the order of METHODS."""
    return [_till(method, None, part) for method in METHODS if (part := [row for row in rows if row.method == method])]


def by_person(rows: Sequence[Taken]) -> list[Till]:
    """One line for each person and way, by name."""
    keys = sorted({(row.person or "", METHODS.index(row.method)) for row in rows if row.person_id is not None})
    return [
        _till(method, person, [row for row in rows if (row.person, row.method) == (person, method)])
        for person, method in ((person, METHODS[place]) for person, place in keys)
    ]


def _till(method: str, person: str | None, rows: Sequence[Taken]) -> Till:
    came = sum((row.amount for row in rows if row.amount > ZERO), ZERO)
    went = -sum((row.amount for row in rows if row.amount < ZERO), ZERO)
    return Till(method, person, came, went, sum((row.amount for row in rows if row.shown), ZERO), len(rows))


# ── the documents ───────────────────────────────────────────────────────────────────────────────────


def _columns(
    kind: Kind, id_: Any, number: Any, at: Any, method: Any, amount: Any, shown: Any, *, desk: bool = True
) -> list[Any]:
    """`desk`: whether a member of staff did it."""
    return [
        sa.literal(str(kind)).label("kind"), id_.label("id"), sa.type_coerce(number, sa.String()).label("number"),
        at.label("at"), sa.type_coerce(method, sa.String()).label("method"),
        sa.type_coerce(amount, Money()).label("amount"), sa.type_coerce(shown, sa.Boolean()).label("shown"),
        (_staff.c.id if desk else sa.type_coerce(sa.null(), sa.BigInteger())).label("person_id"),
        (_staff.c.display_name if desk else sa.type_coerce(sa.null(), sa.String())).label("person"),
        _family.c.id.label("family_id"),
        _family.c.name.label("family_name"),
    ]  # fmt: skip


def _of(frm: Any, family_id: Any, person_id: Any = None) -> Any:
    joined = frm.join(_family, _family.c.id == family_id)
    return joined if person_id is None else joined.outerjoin(_staff, _staff.c.id == person_id)


def _sources(start: datetime, end: datetime) -> list[sa.Select]:
    text, nothing = sa.String(64), sa.literal("")
    has_receipt = sa.select(_r.c.id).where(_r.c.adjustment_id == _a.c.id).correlate(_a).exists()
    adjustments = (
        sa.select(*_columns(Kind.ADJUSTMENT, _a.c.id, nothing, tx.c.created_at, _a.c.payment_method, _a.c.amount,
                            has_receipt))
        .select_from(_of(tx.join(_a, _a.c.transaction_id == tx.c.id), _a.c.family_id, _a.c.asked_by))
        .where(tx.c.created_at >= start, tx.c.created_at < end, _a.c.payment_method != PaymentMethod.NONE)
    )  # fmt: skip
    offline = (
        sa.select(*_columns(Kind.OFFLINE, _off.c.id, _o.c.order_id, _off.c.decided_at, _off.c.method, _o.c.amount,
                            _off.c.external_no.is_not(None)))
        .select_from(_of(_off.join(_o, _o.c.id == _off.c.order_id), _o.c.family_id, _off.c.asked_by))
        .where(_off.c.status == "approved", _off.c.decided_at >= start, _off.c.decided_at < end)
    )  # fmt: skip
    slip = sa.select(_r.c.id).where(_r.c.withdrawal_id == _wd.c.id).correlate(_wd).exists()
    withdrawals = (
        sa.select(*_columns(Kind.WITHDRAWAL, _wd.c.id, nothing, _wd.c.decided_at, _wd.c.method,
                            yuan(-_wd.c.amount), slip))
        .select_from(_of(_wd.join(_w, _w.c.id == _wd.c.wallet_id), _w.c.family_id, _wd.c.paid_by))
        .where(_wd.c.status == WithdrawalStatus.PAID, _wd.c.decided_at >= start, _wd.c.decided_at < end)
    )  # fmt: skip
    by_hand = (
        sa.select(*_columns(Kind.REFUND, rf.c.id, rf.c.refund_no, rf.c.updated_at, rf.c.paid_out_method,
                            yuan(-rf.c.amount), rf.c.paid_out_no.is_not(None)))
        .select_from(_of(rf, rf.c.family_id, rf.c.decided_by))
        .where(rf.c.paid_out_method.is_not(None), *_succeeded(start, end))
    )  # fmt: skip
    wechat = sa.cast(sa.literal(WECHAT_PAY), text)
    by_wechat = (
        sa.select(*_columns(Kind.REFUND, rf.c.id, rf.c.refund_no, rf.c.updated_at, wechat, yuan(-rf.c.amount),
                            sa.true(), desk=False))
        .select_from(_of(rf, rf.c.family_id))
        .where(rf.c.paid_out_method.is_(None), rf.c.refund_to == RefundTo.ORIGINAL, *_succeeded(start, end))
    )  # fmt: skip
    payments = (
        sa.select(*_columns(Kind.PAYMENT, p.c.id, _o.c.order_id, p.c.created_at, wechat, p.c.total_fee, sa.true(),
                            desk=False))
        .select_from(_of(p.join(_o, _o.c.id == p.c.order_id), _o.c.family_id))
        .where(p.c.trade_type != TradeType.OFFLINE, p.c.created_at >= start, p.c.created_at < end)
    )  # fmt: skip
    return [adjustments, offline, withdrawals, by_hand, by_wechat, payments]


def _succeeded(start: datetime, end: datetime) -> list[sa.ColumnElement[bool]]:
    # When we learned of it, as everywhere in the books (earning.py).
    return [rf.c.status == RefundStatus.SUCCEEDED, rf.c.updated_at >= start, rf.c.updated_at < end]
