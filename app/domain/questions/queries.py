"""Questions as staff and parents see them: the list, a family's, one in full, those of a page of transactions (W28)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.people.models import Family, Staff, User
from app.domain.questions.models import QuestionStatus, TransactionQuestion
from app.paging import Listing, Page, keyset, whole

_q, _tx, _w = TransactionQuestion.__table__, WalletTransaction.__table__, Wallet.__table__
_family, _user, _staff = Family.__table__, User.__table__, Staff.__table__

#: of a family, above its transactions; the list has all of them
FAMILY_SHOWN = 10

_rows = (
    sa.select(
        *_q.c, _w.c.family_id, _family.c.name.label("family_name"), _tx.c.type, _tx.c.amount, _tx.c.balance_after,
        _tx.c.reason, _tx.c.seq, _tx.c.created_at.label("moved_at"),
        sa.func.coalesce(_user.c.real_name, _user.c.nickname, sa.literal("家长")).label("parent_name"),
        _staff.c.display_name.label("answered_by_name"),
    )
    .join(_w, _w.c.id == _q.c.wallet_id)
    .join(_family, _family.c.id == _w.c.family_id)
    .join(_tx, _tx.c.id == _q.c.transaction_id)
    .join(_user, _user.c.id == _q.c.user_id)
    .outerjoin(_staff, _staff.c.id == _q.c.answered_by)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuestionFilter:
    """What a person asked for; None means all. Open ones unless `status` says otherwise."""

    status: str | None = QuestionStatus.OPEN
    family_id: int | None = None
    date_from: date | None = None
    date_to: date | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """A question with what happened to it."""

    row: sa.Row
    history: Sequence[sa.Row]


def select(asked: QuestionFilter) -> sa.Select:
    """The rows asked for, unordered."""
    query = _rows
    if asked.status is not None:
        query = query.where(_q.c.status == asked.status)
    if asked.family_id is not None:
        query = query.where(_w.c.family_id == asked.family_id)
    if asked.date_from:
        query = query.where(_q.c.asked_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_q.c.asked_at < clock.day_bounds(asked.date_to)[1])
    return query


def _waits(asked: QuestionFilter) -> bool:
    return asked.status == QuestionStatus.OPEN


def page(asked: QuestionFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page: of open ones what waits longest first, else the newest."""
    return keyset(select(asked), _q.c.id, before=before, after=after, limit=limit, oldest_first=_waits(asked))


def every(asked: QuestionFilter) -> Listing:
    """All of them in the order of the pages, for an export."""
    return whole(select(asked), _q.c.id, oldest_first=_waits(asked))


def of_family(family_id: int) -> list[sa.Row]:
    """A family's newest ones, those that wait first."""
    query = _rows.where(_w.c.family_id == family_id).order_by(_q.c.status.desc(), _q.c.id.desc()).limit(FAMILY_SHOWN)
    return list(db.session.execute(query))


def detail(question_id: int) -> Detail | None:
    """None if there is none."""
    row = db.session.execute(_rows.where(_q.c.id == question_id)).first()
    return None if row is None else Detail(row, audit_queries.of_target("question", question_id))


def of_transactions(transaction_ids: Collection[int]) -> dict[int, sa.Row]:
    """Transaction → its newest question, of those that have one."""
    if not transaction_ids:
        return {}
    newest = (
        sa.select(sa.func.max(_q.c.id)).where(_q.c.transaction_id.in_(transaction_ids)).group_by(_q.c.transaction_id)
    )
    return {row.transaction_id: row for row in db.session.execute(sa.select(_q).where(_q.c.id.in_(newest)))}


#: how many wait: one read of the index on the status
OPEN = sa.select(sa.func.count()).select_from(_q).where(_q.c.status == QuestionStatus.OPEN)
