"""Withdrawals as parents and staff see them: a family's own, the list with its filters, one in full (U5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.audit.actor import Actor
from app.domain.desk import persons
from app.domain.desk import queries as desk
from app.domain.desk.models import Receipt, Withdrawal, WithdrawalStatus
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.people.models import Family, Staff, User
from app.domain.withdrawals import rules
from app.paging import Listing, Page, keyset, whole

_w, _wallet, _family, _user = Withdrawal.__table__, Wallet.__table__, Family.__table__, User.__table__
_approver, _payer = Staff.__table__.alias("approver"), Staff.__table__.alias("payer")
_receipts, _tx = Receipt.__table__, WalletTransaction.__table__

#: what the list calls those that somebody must deal with
OPEN = "open"


# ── a family's own ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class WithdrawalView:
    """One of a parent's family. `amount` in yuan; `note` is why it was rejected or failed."""

    id: int
    amount: Decimal
    reason: str
    status: str
    note: str | None
    created_at: datetime
    decided_at: datetime | None

    @property
    def status_text(self) -> str:
        return rules.STATUS_TEXTS[WithdrawalStatus(self.status)]

    @property
    def can_cancel(self) -> bool:
        return self.status == WithdrawalStatus.REQUESTED


_own = sa.select(
    _w.c.id, _w.c.amount, _w.c.reason, _w.c.status, _w.c.decision_note, _w.c.created_at, _w.c.decided_at
).join(_wallet, _wallet.c.id == _w.c.wallet_id)  # fmt: skip


def of_family(family_id: int, *, before: int | None = None, limit: int = 20) -> list[WithdrawalView]:
    """The family's withdrawals, the newest first; one more than `limit` where there are more."""
    query = _own.where(_wallet.c.family_id == family_id)
    if before is not None:
        query = query.where(_w.c.id < before)
    return [_view(row) for row in db.session.execute(query.order_by(_w.c.id.desc()).limit(limit + 1))]


def one(withdrawal_id: int, *, family_id: int) -> WithdrawalView | None:
    """None for nobody's and for another family's."""
    row = db.session.execute(_own.where(_w.c.id == withdrawal_id, _wallet.c.family_id == family_id)).first()
    return None if row is None else _view(row)


def _view(row: sa.Row) -> WithdrawalView:
    told = row.status in (WithdrawalStatus.REJECTED, WithdrawalStatus.FAILED)
    return WithdrawalView(
        id=row.id, amount=row.amount, reason=row.reason, status=row.status,
        note=row.decision_note if told else None, created_at=row.created_at, decided_at=row.decided_at,
    )  # fmt: skip


# ── the desk's lists ────────────────────────────────────────────────────────────────────────────────

_rows = (
    sa.select(
        *_w.c, _wallet.c.family_id, _family.c.name.label("family_name"), _wallet.c.balance,
        _wallet.c.status.label("wallet_status"),
        sa.func.coalesce(_user.c.real_name, _user.c.nickname, sa.literal("家长")).label("parent_name"),
        _approver.c.display_name.label("approved_by_name"), _payer.c.display_name.label("paid_by_name"),
        sa.select(sa.func.count()).where(_receipts.c.withdrawal_id == _w.c.id).correlate(_w).scalar_subquery()
        .label("receipt_count"),
    )
    .join(_wallet, _wallet.c.id == _w.c.wallet_id)
    .join(_family, _family.c.id == _wallet.c.family_id)
    .join(_user, _user.c.id == _w.c.user_id)
    .outerjoin(_approver, _approver.c.id == _w.c.approved_by)
    .outerjoin(_payer, _payer.c.id == _w.c.paid_by)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WithdrawalFilter:
    """What a person asked for; None means all. `status` knows `open` beside the stored ones."""

    status: str | None = None
    method: str | None = None
    family_id: int | None = None
    date_from: date | None = None
    date_to: date | None = None


def select(asked: WithdrawalFilter) -> sa.Select:
    """The rows asked for, unordered."""
    query = _rows
    if asked.status == OPEN:
        query = query.where(_w.c.status.in_(rules.OPEN))
    elif asked.status:
        query = query.where(_w.c.status == asked.status)
    if asked.method:
        query = query.where(_w.c.method == asked.method)
    if asked.family_id is not None:
        query = query.where(_wallet.c.family_id == asked.family_id)
    if asked.date_from:
        query = query.where(_w.c.created_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_w.c.created_at < clock.day_bounds(asked.date_to)[1])
    return query


def page(asked: WithdrawalFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page, newest first."""
    return keyset(select(asked), _w.c.id, before=before, after=after, limit=limit)


def every(asked: WithdrawalFilter) -> Listing:
    """All of them, for an export."""
    return whole(select(asked), _w.c.id)


#: how many wait to be approved, and how many to be paid out
ASKED = sa.select(sa.func.count()).select_from(_w).where(_w.c.status == WithdrawalStatus.REQUESTED)
TO_PAY = sa.select(sa.func.count()).select_from(_w).where(_w.c.status == WithdrawalStatus.APPROVED)


# ── one in full ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Detail:
    """A withdrawal with what the balance did, its receipts, its history, and whether the reader may deal with it."""

    row: sa.Row
    #: the debit's balance before and after, in yuan
    debit: sa.Row
    reversal: sa.Row | None
    receipts: Sequence[sa.Row]
    history: Sequence[sa.Row]
    own_family: bool
    #: whether the reader approved it, and so can't pay it out
    own_approval: bool


def detail(withdrawal_id: int, actor: Actor) -> Detail | None:
    """None if there is none."""
    row = db.session.execute(_rows.where(_w.c.id == withdrawal_id)).first()
    if row is None:
        return None
    person = db.session.get(Staff, actor.id) if actor.id is not None else None
    return Detail(
        row=row,
        debit=_balances(row.debit_id),
        reversal=_balances(row.reversal_id),
        receipts=desk.receipts_of("withdrawal", withdrawal_id),
        history=audit_queries.of_target("withdrawal", withdrawal_id),
        own_family=person is not None and persons.belongs_to(person, row.family_id),
        own_approval=row.approved_by is not None and row.approved_by == actor.id,
    )


def _balances(transaction_id: int | None) -> sa.Row | None:
    query = sa.select(_tx.c.balance_before, _tx.c.balance_after, _tx.c.created_at, _family.c.name, _family.c.id)
    query = query.join(_wallet, _wallet.c.id == _tx.c.wallet_id).join(_family, _family.c.id == _wallet.c.family_id)
    return db.session.execute(query.where(_tx.c.id == transaction_id)).first()
