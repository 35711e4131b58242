"""The books against themselves (W24): every document has exactly its movements, and no movement lacks its cause.

Two looks together make "exactly": each document is compared with the movement that it names, and each movement must
be named by the document that it refers to. So a second movement for a document is one without a cause. Read in
stretches of ids, so that no statement runs long whatever the size of the books; a document that changes while it is
looked at is whole in every stretch, since it and its movement are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import clock, money
from app.db import db
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment, Withdrawal, WithdrawalStatus
from app.domain.ledger import verify
from app.domain.ledger.models import TransactionType, Wallet, WalletTransaction
from app.domain.orders.models import Refund, RefundStatus, RefundTo
from app.domain.reconcile.findings import Found, Kind
from app.money import ZERO

_t, _w = WalletTransaction.__table__, Wallet.__table__
_a, _out, _r, _b = WalletAdjustment.__table__, Withdrawal.__table__, Refund.__table__, Booking.__table__

#: ids per statement
STRETCH = 20_000
_NONE = "没有流水"
_GIVEN_BACK = (WithdrawalStatus.REJECTED, WithdrawalStatus.FAILED, WithdrawalStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Look:
    """What one check found among how many rows."""

    judged: int
    found: list[Found]


def adjustments() -> Look:
    """A completed adjustment has its movement of this amount on its wallet, any other has none."""
    moved = _refers(_t, "adjustment", _a.c.id) & (_t.c.amount == _a.c.amount) & (_t.c.wallet_id == _a.c.wallet_id)
    done = _a.c.status == AdjustmentStatus.COMPLETED
    wrong = sa.or_(sa.and_(done, _fails(moved)), sa.and_(~done, _a.c.transaction_id.is_not(None)))
    query = (
        sa.select(_a.c.id, _a.c.family_id, _a.c.amount, _a.c.status, _a.c.created_at, *_movement(_t))
        .select_from(_a.outerjoin(_t, _t.c.id == _a.c.transaction_id))
        .where(wrong)
    )

    def say(row: sa.Row) -> Iterator[Found]:
        due = row.amount if row.status == AdjustmentStatus.COMPLETED else None
        yield _document(row, Kind.ADJUSTMENT, f"余额调整 {row.id}", due, "adjustment")

    return _read(_a, query, say)


def withdrawals() -> Look:
    """Each withdrawal has its debit; one that came to nothing has its reversal, any other has none."""
    d, back = _t.alias("debit"), _t.alias("reversal")
    taken = _refers(d, "withdrawal", _out.c.id) & (d.c.amount == -_out.c.amount) & (d.c.wallet_id == _out.c.wallet_id)
    given = _refers(back, "withdrawal", _out.c.id) & (back.c.amount == _out.c.amount) & (back.c.reverses_id == d.c.id)
    ended = _out.c.status.in_(_GIVEN_BACK)
    elsewhere = sa.and_(ended, back.c.wallet_id != _out.c.wallet_id)
    no_debit, no_back = _fails(taken), sa.or_(sa.and_(ended, _fails(given)), sa.and_(~ended, back.c.id.is_not(None)))
    query = (
        sa.select(
            _out.c.id, _w.c.family_id, _out.c.amount, _out.c.status, _out.c.created_at, _out.c.wallet_id,
            *_movement(d), *_movement(back, "back_"), back.c.wallet_id.label("back_wallet"),
            sa.case((no_debit, 1), else_=0).label("no_debit"), sa.case((no_back, 1), else_=0).label("no_back"),
        )
        .select_from(
            _out.join(_w, _w.c.id == _out.c.wallet_id)
            .outerjoin(d, d.c.id == _out.c.debit_id)
            .outerjoin(back, back.c.id == _out.c.reversal_id)
        )
        .where(sa.or_(no_debit, no_back, elsewhere))
    )  # fmt: skip
    heirs = _Heirs()

    def say(row: sa.Row) -> Iterator[Found]:
        if row.no_debit:
            yield _document(
                row, Kind.WITHDRAWAL, f"提现 {row.id} 扣款", -row.amount, "withdrawal", key=f"{row.id}:debit"
            )
        strange = row.back_wallet is not None and not heirs.of(row.wallet_id, row.back_wallet)
        if row.no_back or strange:
            due = row.amount if row.status in _GIVEN_BACK else None
            yield _document(
                row, Kind.WITHDRAWAL, f"提现 {row.id} 退回", due, "withdrawal", key=f"{row.id}:reversal", prefix="back_"
            )

    return _read(_out, query, say)


def refunds() -> Look:
    """A refund into a wallet that succeeded has its movement on the wallet that paid, or on the family's; any other
    has none."""
    debit, mine = _t.alias("debit"), _w.alias("mine")
    moved = (_t.c.reference_type == "refund") & (_t.c.reference_id == _r.c.refund_no) & (_t.c.amount == _r.c.amount)
    into = sa.and_(_r.c.refund_to == RefundTo.WALLET, _r.c.status == RefundStatus.SUCCEEDED)
    payer = sa.func.coalesce(debit.c.wallet_id, mine.c.id)
    bad = sa.or_(sa.and_(into, _fails(moved)), sa.and_(~into, _r.c.wallet_transaction_id.is_not(None)))
    query = (
        sa.select(
            _r.c.id, _r.c.refund_no, _r.c.family_id, _r.c.amount, _r.c.created_at, *_movement(_t),
            payer.label("payer"), _t.c.wallet_id.label("taker"), sa.case((into, 1), else_=0).label("due"),
            sa.case((bad, 1), else_=0).label("bad"),
        )
        .select_from(
            _r.outerjoin(_t, _t.c.id == _r.c.wallet_transaction_id)
            .outerjoin(_b, _b.c.id == _r.c.booking_id)
            .outerjoin(debit, debit.c.id == _b.c.debit_id)
            .outerjoin(mine, mine.c.family_id == _r.c.family_id)
        )
        .where(sa.or_(bad, _t.c.wallet_id != payer))
    )  # fmt: skip
    heirs = _Heirs()

    def say(row: sa.Row) -> Iterator[Found]:
        if row.bad or not heirs.of(row.payer, row.taker):
            due = row.amount if row.due else None
            yield _document(
                row, Kind.REFUND, f"退款 {row.refund_no[:8]}", due, "refund", key=row.refund_no, target=row.refund_no
            )

    return _read(_r, query, say)


def bookings() -> Look:
    """A booking paid from a wallet has its debit; what a booking names as given back is no more than that, and
    undoes it."""
    debit, back = _t.alias("debit"), _t.alias("back")
    by_wallet = sa.and_(_b.c.price > ZERO, _b.c.order_id.is_(None), _b.c.credit_id.is_(None))
    taken = _refers(debit, "booking", _b.c.id) & (debit.c.amount == -_b.c.price)
    own = _refers(back, "booking", _b.c.id) & _b.c.status.in_((BookingStatus.CANCELLED, BookingStatus.ON_LEAVE))
    given = (
        (back.c.amount > ZERO)
        & (back.c.amount <= _b.c.price)
        & (back.c.reverses_id == _b.c.debit_id)
        & sa.or_(own, back.c.reference_type == "refund")
    )
    no_debit = sa.or_(
        sa.and_(by_wallet, _fails(taken)), sa.and_(_b.c.debit_id.is_not(None), _fails(taken))
    )  # fmt: skip
    no_back = sa.and_(_b.c.refund_id.is_not(None), _fails(given))
    query = (
        sa.select(
            _b.c.id, _b.c.family_id, _b.c.price, _b.c.created_at, *_movement(debit), *_movement(back, "back_"),
            debit.c.wallet_id.label("payer"), back.c.wallet_id.label("taker"),
            sa.case((no_debit, 1), else_=0).label("no_debit"), sa.case((no_back, 1), else_=0).label("no_back"),
        )
        .select_from(
            _b.outerjoin(debit, debit.c.id == _b.c.debit_id).outerjoin(back, back.c.id == _b.c.refund_id)
        )
        .where(sa.or_(no_debit, no_back, back.c.wallet_id != debit.c.wallet_id))
    )  # fmt: skip
    heirs = _Heirs()

    def say(row: sa.Row) -> Iterator[Found]:
        if row.no_debit:
            yield _document(row, Kind.BOOKING_DEBIT, f"预约 {row.id} 扣费", -row.price, "booking")
        strange = row.taker is not None and row.payer is not None and not heirs.of(row.payer, row.taker)
        if row.no_back or strange:
            yield _document(row, Kind.BOOKING_REFUND, f"预约 {row.id} 退费", row.price, "booking", prefix="back_")

    return _read(_b, query, say)


def causes() -> Look:
    """Every movement refers to a row that names it: adjustment, withdrawal, booking, refund, the family that was
    imported, or the other side of a transfer."""
    twin = _t.alias("twin")
    out = sa.func.substr(_t.c.idempotency_key, 1, sa.func.length(_t.c.idempotency_key) - 4) + ":in"
    into = sa.func.substr(_t.c.idempotency_key, 1, sa.func.length(_t.c.idempotency_key) - 3) + ":out"
    other = sa.exists().where(
        twin.c.idempotency_key == sa.case((_t.c.type == TransactionType.TRANSFER_OUT, out), else_=into),
        twin.c.amount == -_t.c.amount,
        sa.cast(twin.c.wallet_id, sa.String(20)) == _t.c.reference_id,
        twin.c.reference_id == sa.cast(_t.c.wallet_id, sa.String(20)),
    )
    named = {
        "adjustment": _named(_a.c.transaction_id, sa.cast(_a.c.id, sa.String(20))),
        "withdrawal": sa.or_(
            _named(_out.c.debit_id, sa.cast(_out.c.id, sa.String(20))),
            _named(_out.c.reversal_id, sa.cast(_out.c.id, sa.String(20))),
        ),
        "booking": sa.or_(
            _named(_b.c.debit_id, sa.cast(_b.c.id, sa.String(20))),
            _named(_b.c.refund_id, sa.cast(_b.c.id, sa.String(20))),
        ),
        "refund": _named(_r.c.wallet_transaction_id, _r.c.refund_no),
        "import": sa.cast(_w.c.family_id, sa.String(20)) == _t.c.reference_id,
        "transfer": other,
    }
    caused = sa.or_(*(sa.and_(_t.c.reference_type == kind, holds) for kind, holds in named.items()))
    query = (
        sa.select(_t.c.id, _t.c.amount, _t.c.created_at, _t.c.reference_type, _t.c.reference_id, _w.c.family_id)
        .join_from(_t, _w, _w.c.id == _t.c.wallet_id)
        .where(~caused)
    )

    def say(row: sa.Row) -> Iterator[Found]:
        said = f"流水 {row.id} 来自 {_REFERENCES.get(row.reference_type, row.reference_type)} {row.reference_id}"
        yield Found(
            _day(row.created_at), Kind.NO_CAUSE, str(row.id), "来源记录应指向这笔流水", said, None, row.amount,
            row.family_id, "transaction", str(row.id),
        )  # fmt: skip

    return _read(_t, query, say)


def ledger() -> Look:
    """What `flask ledger verify --full` says: balances, numbers and hashes of every wallet, from its first row."""
    report = verify.run(full=True, keep_anchor=False)
    found = []
    for one in report.findings:
        moment = db.session.execute(
            sa.select(_w.c.family_id, sa.func.coalesce(_t.c.created_at, _w.c.created_at).label("at"))
            .select_from(_w.outerjoin(_t, sa.and_(_t.c.wallet_id == _w.c.id, _t.c.seq == one.seq)))
            .where(_w.c.id == one.wallet_id)
        ).first()
        day = clock.today() if moment is None else _day(moment.at)
        found.append(
            Found(
                day, Kind.LEDGER, f"{one.wallet_id}:{one.seq}", "余额、序号与哈希链相符", str(one),
                family_id=None if moment is None else moment.family_id,
            )
        )  # fmt: skip
    db.session.rollback()
    return Look(report.rows_read, found)


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the books, and the kinds of differences that it alone finds."""

    name: str
    word: str
    kinds: Sequence[Kind]
    look: Callable[[], Look]


CHECKS = (
    Check("adjustments", "余额调整", (Kind.ADJUSTMENT,), adjustments),
    Check("withdrawals", "提现", (Kind.WITHDRAWAL,), withdrawals),
    Check("refunds", "退到钱包", (Kind.REFUND,), refunds),
    Check("bookings", "预约扣费与退费", (Kind.BOOKING_DEBIT, Kind.BOOKING_REFUND), bookings),
    Check("causes", "流水的来源", (Kind.NO_CAUSE,), causes),
    Check("ledger", "账本", (Kind.LEDGER,), ledger),
)

# ── the steps ───────────────────────────────────────────────────────────────────────────────────────

_REFERENCES = {
    "booking": "预约", "withdrawal": "提现", "adjustment": "余额调整", "refund": "退款", "import": "导入",
    "transfer": "转账",
}  # fmt: skip


def _read(table: sa.Table, query: sa.Select, say: Callable[[sa.Row], Iterator[Found]]) -> Look:
    """The wrong rows of a table, a stretch of its ids at a time."""
    top = db.session.scalar(sa.select(sa.func.max(table.c.id))) or 0
    judged = db.session.scalar(sa.select(sa.func.count()).select_from(table))
    found: list[Found] = []
    for low in range(0, top, STRETCH):
        part = query.where(table.c.id > low, table.c.id <= low + STRETCH).order_by(table.c.id)
        for row in db.session.execute(part):
            found += say(row)
        db.session.rollback()
    return Look(judged, found)


def _refers(movement: sa.FromClause, kind: str, number: sa.ColumnElement) -> sa.ColumnElement[bool]:
    return sa.and_(
        movement.c.reference_type == kind, movement.c.reference_id == sa.cast(number, sa.String(20))
    )  # fmt: skip


def _named(column: sa.ColumnElement, number: sa.ColumnElement) -> sa.Exists:
    return sa.exists().where(column == _t.c.id, number == _t.c.reference_id).correlate(_t)


def _fails(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    # A comparison with a movement that is not there is neither true nor false.
    return sa.case((condition, 1), else_=0) == 0


def _movement(table: sa.FromClause, prefix: str = "tx_") -> list[sa.ColumnElement]:
    return [table.c.id.label(f"{prefix}id"), table.c.amount.label(f"{prefix}amount")]


def _document(
    row: Any, kind: Kind, name: str, due: Decimal | None, target_type: str, *, key: str | None = None,
    target: str | None = None, prefix: str = "tx_",
) -> Found:  # fmt: skip
    number, amount = getattr(row, f"{prefix}id"), getattr(row, f"{prefix}amount")
    said = _NONE if number is None else f"流水 {number} {money.yuan(amount)}"
    return Found(
        _day(row.created_at), kind, key or str(row.id), f"{name} {_NONE if due is None else money.yuan(due)}", said,
        due, amount, row.family_id, target_type, target or str(row.id),
    )  # fmt: skip


def _day(moment: datetime):
    return clock.local(moment).date()


class _Heirs:
    """Where what is owed back to a merged wallet goes (P11)."""

    def __init__(self):
        merged = sa.select(_w.c.id, _w.c.merged_into).where(_w.c.merged_into.is_not(None))
        self._next = dict(iter(db.session.execute(merged)))

    def of(self, payer: int | None, taker: int | None) -> bool:
        """Whether the one wallet is the other, or one that it was merged into since."""
        while payer is not None and payer != taker:
            payer = self._next.get(payer)
        return payer is not None
