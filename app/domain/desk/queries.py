"""What pages show of adjustments: lists, one in full, what it would do, and how fast the form is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.column_types import UTCDateTime
from app.db import db, db_now
from app.domain.audit import queries as audit_queries
from app.domain.audit.actor import Actor
from app.domain.desk import persons, rules
from app.domain.desk.bulk_models import AdjustmentBatch
from app.domain.desk.models import AdjustmentStatus, Receipt, WalletAdjustment
from app.domain.desk.receipts import NewReceipt, likeness
from app.domain.desk.rules import Wish
from app.domain.ledger import queries as ledger_queries
from app.domain.ledger.models import WalletTransaction
from app.domain.people.models import Family, Staff
from app.domain.policy import service as policy
from app.paging import Listing, Page, keyset, whole
from app.ranks import nearest_rank
from app.row_by_row import has_row

_adj = WalletAdjustment.__table__
_tx = WalletTransaction.__table__
_family = Family.__table__
_asker = Staff.__table__.alias("asker")
_decider = Staff.__table__.alias("decider")
_undo = _adj.alias("undo")
_receipts = Receipt.__table__

#: figures of the form cover this many days
SPEED_DAYS = 30
FAST_SECONDS = 30

# ── lists ───────────────────────────────────────────────────────────────────────────────────────────

_receipt_count = (
    sa.select(sa.func.count()).where(_receipts.c.adjustment_id == _adj.c.id).correlate(_adj).scalar_subquery()
)
_flagged = (
    sa.select(sa.func.min(_receipts.c.flag)).where(_receipts.c.adjustment_id == _adj.c.id).correlate(_adj)
).scalar_subquery()
_lacks_receipt = sa.and_(_adj.c.needs_receipt, ~sa.exists().where(_receipts.c.adjustment_id == _adj.c.id))

_rows = (
    sa.select(
        *_adj.c,
        _family.c.name.label("family_name"),
        _asker.c.display_name.label("asked_by_name"),
        _decider.c.display_name.label("decided_by_name"),
        _tx.c.balance_before,
        _tx.c.balance_after,
        _undo.c.id.label("undone_by"),
        _undo.c.status.label("undo_status"),
        _receipt_count.label("receipt_count"),
        _flagged.label("receipt_flag"),
    )
    .join(_family, _family.c.id == _adj.c.family_id)
    .join(_asker, _asker.c.id == _adj.c.asked_by)
    .outerjoin(_decider, _decider.c.id == _adj.c.decided_by)
    .outerjoin(_tx, _tx.c.id == _adj.c.transaction_id)
    .outerjoin(_undo, _undo.c.undoes_live == _adj.c.id)
)


@dataclass(frozen=True, slots=True)
class AdjustmentFilter:
    """What a person asked for; None means all. `status` knows `awaiting_receipt` beside the stored ones."""

    status: str | None = None
    type: str | None = None
    payment_method: str | None = None
    asked_by: int | None = None
    family_id: int | None = None
    date_from: date | None = None
    date_to: date | None = None


def select(asked: AdjustmentFilter) -> sa.Select:
    """The rows asked for, unordered."""
    query = _rows
    if asked.status == "awaiting_receipt":
        query = query.where(_adj.c.status == AdjustmentStatus.PENDING, _lacks_receipt)
    elif asked.status == AdjustmentStatus.PENDING:
        query = query.where(_adj.c.status == AdjustmentStatus.PENDING, ~_lacks_receipt)
    elif asked.status:
        query = query.where(_adj.c.status == asked.status)
    for name in ("type", "payment_method", "asked_by", "family_id"):
        value = getattr(asked, name)
        if value is not None:
            query = query.where(_adj.c[name] == value)
    if asked.date_from:
        query = query.where(_adj.c.created_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_adj.c.created_at < clock.day_bounds(asked.date_to)[1])
    return query


def page(asked: AdjustmentFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page, newest first."""
    return keyset(select(asked), _adj.c.id, before=before, after=after, limit=limit)


def every(asked: AdjustmentFilter) -> Listing:
    """All of them, for an export."""
    return whole(select(asked), _adj.c.id)


def family_adjustments(family_id: int, *, before: int | None = None, after: int | None = None) -> Page:
    """The family page's tab (W16)."""
    return page(AdjustmentFilter(family_id=family_id), before=before, after=after, limit=20)


def _for_another(now: datetime | sa.BindParameter) -> sa.ColumnElement[bool]:
    """Waits for a second person's decision only."""
    alive = sa.or_(_adj.c.lapses_at.is_(None), _adj.c.lapses_at >= now)
    return sa.and_(_adj.c.status == AdjustmentStatus.PENDING, _adj.c.needs_approval, ~_lacks_receipt, alive)


#: how many wait for a second person (at `now`), and how many for their receipt first (W13)
APPROVALS = sa.select(sa.func.count()).select_from(_adj).where(_for_another(sa.bindparam("now", type_=UTCDateTime)))
RECEIPTS_MISSING = (
    sa.select(sa.func.count()).select_from(_adj).where(_adj.c.status == AdjustmentStatus.PENDING, _lacks_receipt)
)


def _waiting_query() -> sa.Select:
    return _rows.where(_for_another(db_now()))


def select_waiting() -> sa.Select:
    """What waits for a second person, unordered."""
    return _waiting_query()


def approvals(*, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """What waits for a second person, by the clock: what has lapsed is not offered any more."""
    return keyset(_waiting_query(), _adj.c.id, before=before, after=after, limit=limit)


def every_approval() -> Listing:
    """All of what waits, for an export."""
    return whole(_waiting_query(), _adj.c.id)


def approvals_count(*, not_by: int | None = None) -> int:
    """How many wait; `not_by` leaves out what this person asked and so can't approve."""
    query = _waiting_query()
    if not_by is not None:
        query = query.where(_adj.c.asked_by != not_by)
    return db.session.scalar(sa.select(sa.func.count()).select_from(query.with_only_columns(_adj.c.id).subquery()))


def missing_receipts_count() -> int:
    return db.session.scalar(RECEIPTS_MISSING)


def askers() -> list[tuple[int, str]]:
    """Everyone who ever asked, for the filter."""
    asked = has_row(_adj.c.id, _adj.c.asked_by == _asker.c.id)
    return list(
        db.session.execute(
            sa.select(_asker.c.id, _asker.c.display_name).where(asked).order_by(_asker.c.display_name)
        ).all()
    )


# ── one in full ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Detail:
    """One adjustment with its receipts, its history, and what may be done with it by whom it is shown to."""

    row: sa.Row
    receipts: Sequence[sa.Row]
    history: Sequence[sa.Row]
    #: of the wallet now, in yuan: what a pending one would change
    balance: Decimal
    missing_receipt: bool
    lapsed: bool
    reasons: list[str]
    is_author: bool
    own_family: bool
    undo_until: datetime | None


def detail(adjustment_id: int, actor: Actor) -> Detail | None:
    """None if there is none. `undo_until` is set while this person may undo it with one click."""
    row = db.session.execute(_rows.where(_adj.c.id == adjustment_id)).first()
    if row is None:
        return None
    now = db_now()
    is_author = row.asked_by == actor.id
    window = policy.get("adjustment_undo_window")
    undoable = (
        is_author
        and row.status == AdjustmentStatus.COMPLETED
        and row.undoes_id is None
        and row.undone_by is None
        and rules.within_undo_window(row.decided_at, now, window)
    )
    person = db.session.get(Staff, actor.id) if actor.id is not None else None
    return Detail(
        row=row,
        receipts=receipts_of("adjustment", adjustment_id),
        history=audit_queries.of_target("adjustment", adjustment_id),
        balance=ledger_queries.get_balance(wallet_id=row.wallet_id),
        missing_receipt=row.status == AdjustmentStatus.PENDING and row.needs_receipt and not row.receipt_count,
        lapsed=row.status == AdjustmentStatus.PENDING and rules.has_lapsed(row.lapses_at, now),
        reasons=[reason for reason in row.approval_reasons.split(",") if reason],
        is_author=is_author,
        own_family=person is not None and persons.belongs_to(person, row.family_id),
        undo_until=row.decided_at + window if undoable else None,
    )


def receipts_of(kind: str, *owner_ids: int) -> list[sa.Row]:
    """The receipts of such adjustments, withdrawals, …: `kind` as in receipts.Owner."""
    column = _receipts.c[f"{kind}_id"]
    query = sa.select(_receipts).where(column.in_(owner_ids)).order_by(_receipts.c.id)
    return list(db.session.execute(query)) if owner_ids else []


def receipt(receipt_id: int) -> sa.Row | None:
    """Where a receipt's file lies and what it is; None if there is none."""
    return db.session.execute(sa.select(_receipts).where(_receipts.c.id == receipt_id)).first()


def known_storage_keys(keys: Sequence[str]) -> set[str]:
    """Those of these files that belong to a receipt, or are the sheet of a batch."""
    return {
        key
        for column in (_receipts.c.storage_key, AdjustmentBatch.__table__.c.storage_key)
        for key in db.session.scalars(sa.select(column).where(column.in_(keys)))
    }


# ── what it would do (U16) ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Plan:
    """What an adjustment would do if it were asked for now. Nothing is locked: asking decides again."""

    reasons: tuple[str, ...]
    missing_receipt: bool
    #: (file's place in the form, flag, adjustment where it was used)
    alike: tuple[tuple[int, str, int | None], ...]

    @property
    def direct(self) -> bool:
        return not self.reasons and not self.missing_receipt


def plan(person: Staff, family_id: int, wish: Wish, receipts: Sequence[NewReceipt]) -> Plan:
    """What would become of this wish of this person. Raises Invalid above what they may ask for, OwnFamily."""
    persons.refuse_own_family(person, family_id)
    if not persons.may_direct(person):
        rules.check_ask_limit(wish.amount, policy.get("front_desk_ask_limit"))
    alike = [(place, like) for place, new in enumerate(receipts) if (like := likeness(new)) is not None]
    used_in = dict(
        db.session.execute(
            sa.select(_receipts.c.id, _receipts.c.adjustment_id).where(
                _receipts.c.id.in_([like.receipt_id for _, like in alike])
            )
        ).all()
    )
    reasons = rules.approval_reasons(
        amount=wish.amount,
        type=wish.type,
        may_direct=persons.may_direct(person),
        sums=persons.direct_sums(person.id, family_id, db_now()),
        limits=persons.limits(),
        receipt_flags={like.flag for _, like in alike},
    )
    return Plan(
        reasons=reasons,
        missing_receipt=rules.needs_receipt(wish.payment_method) and not receipts,
        alike=tuple((place, like.flag, used_in.get(like.receipt_id)) for place, like in alike),
    )


# ── how fast the form is (U19) ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds from opening the form to asking, over the last days; None without a single one."""

    count: int
    median: int | None
    p90: int | None
    #: of all, 0–1
    fast_share: Decimal | None
    baseline: int
    #: how much less than the baseline the median is, 0–1; negative when it is more
    saved: Decimal | None


def speed(days: int = SPEED_DAYS) -> Speed:
    """Of every adjustment asked for by the form; undoing and sheets are not the form."""
    seconds = sorted(
        db.session.scalars(
            sa.select(_adj.c.form_seconds).where(
                _adj.c.created_at > clock.now() - timedelta(days=days), _adj.c.form_seconds.is_not(None)
            )
        )
    )
    baseline = policy.get("adjustment_baseline_seconds")
    if not seconds:
        return Speed(0, None, None, None, baseline, None)
    median, p90 = nearest_rank(seconds, 50), nearest_rank(seconds, 90)
    fast = sum(1 for value in seconds if value < FAST_SECONDS)
    return Speed(
        count=len(seconds),
        median=median,
        p90=p90,
        fast_share=Decimal(fast) / len(seconds),
        baseline=baseline,
        saved=1 - Decimal(median) / baseline,
    )
