"""What pages show of batches of adjustments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.audit import queries as audit_queries
from app.domain.audit.actor import Actor
from app.domain.desk import bulk, bulk_check
from app.domain.desk.bulk_check import Findings
from app.domain.desk.bulk_models import AdjustmentBatch, AdjustmentBatchRow, BatchStatus
from app.domain.desk.errors import BatchAskedBefore
from app.domain.longjobs import queries as longjobs
from app.domain.longjobs.models import LongJob, LongJobRow, RowOutcome
from app.domain.longjobs.queries import Progress
from app.domain.people.models import Family, Staff
from app.money import ZERO
from app.paging import Listing, Page, keyset, whole

_batches = AdjustmentBatch.__table__
_rows = AdjustmentBatchRow.__table__
_results = LongJobRow.__table__
_jobs = LongJob.__table__
_asker = Staff.__table__.alias("asker")
_decider = Staff.__table__.alias("decider")

#: what of a batch's rows is shown: all, or by what became of them
SHOWN = ("refused", "done", "untouched")

_list = (
    sa.select(
        *_batches.c,
        _asker.c.display_name.label("asked_by_name"),
        _decider.c.display_name.label("decided_by_name"),
        _jobs.c.status.label("job_status"),
        _jobs.c.done.label("job_done"),
        _jobs.c.refused.label("job_refused"),
    )
    .join(_asker, _asker.c.id == _batches.c.asked_by)
    .outerjoin(_decider, _decider.c.id == _batches.c.decided_by)
    .outerjoin(_jobs, _jobs.c.id == _batches.c.job_id)
)


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows, what comes in and what goes out, as positive yuan, over so many families."""

    count: int
    families: int
    up: Decimal
    down: Decimal

    @property
    def net(self) -> Decimal:
        return self.up - self.down

    @property
    def moved(self) -> Decimal:
        """Every movement, whichever way."""
        return self.up + self.down


@dataclass(frozen=True, slots=True)
class Detail:
    """One batch with its totals and history; `job` once it was approved, `findings` until then."""

    row: sa.Row
    totals: Totals
    done: Totals | None
    job: Progress | None
    findings: Findings | None
    history: Sequence[sa.Row]
    is_author: bool
    #: a row of it is of a family that who looks belongs to
    own_family: bool
    #: a finished batch with the same rows; or one that waits or runs, which forbids asking
    same_done: int | None
    same_open: int | None


def _visible(actor: Actor) -> sa.ColumnElement[bool]:
    """A draft is its author's alone."""
    return sa.or_(_batches.c.status != BatchStatus.DRAFT, _batches.c.asked_by == actor.id)


def page(
    actor: Actor, *, status: str | None = None, before: int | None = None, after: int | None = None
) -> Page:  # fmt: skip
    """The newest first."""
    return keyset(_select(actor, status), _batches.c.id, before=before, after=after)


def every(actor: Actor, status: str | None) -> Listing:
    """All of them, for an export."""
    return whole(_select(actor, status), _batches.c.id)


def _select(actor: Actor, status: str | None) -> sa.Select:
    query = _list.where(_visible(actor))
    return query.where(_batches.c.status == status) if status else query


#: how many wait for somebody else than `me`
ASKED_BY_OTHERS = (
    sa.select(sa.func.count())
    .select_from(_batches)
    .where(_batches.c.status == BatchStatus.ASKED, _batches.c.asked_by != sa.bindparam("me"))
)


def asked_count(*, not_by: int) -> int:
    """How many wait for somebody else than this person."""
    return db.session.scalar(ASKED_BY_OTHERS, {"me": not_by})


def find(batch_id: int, actor: Actor) -> sa.Row | None:
    """One that this person may see, or None."""
    return db.session.execute(_list.where(_batches.c.id == batch_id, _visible(actor))).first()


def of_job(job_id: int) -> int | None:
    """The batch that a long job does."""
    return db.session.scalar(sa.select(_batches.c.id).where(_batches.c.job_id == job_id))


def totals(batch_id: int, *, done: int | None = None) -> Totals:
    """Of all rows, or with `done` of those that this long job has done."""
    query = sa.select(
        sa.func.count(), sa.func.count(_rows.c.family_id.distinct()),
        sa.func.coalesce(sa.func.sum(sa.case((_rows.c.amount > ZERO, _rows.c.amount), else_=ZERO)), ZERO),
        sa.func.coalesce(sa.func.sum(sa.case((_rows.c.amount < ZERO, -_rows.c.amount), else_=ZERO)), ZERO),
    ).where(_rows.c.batch_id == batch_id)  # fmt: skip
    if done is not None:
        query = query.join(_results, sa.and_(_results.c.job_id == done, _results.c.number == _rows.c.number))
        query = query.where(_results.c.outcome == RowOutcome.DONE)
    return Totals(*db.session.execute(query).one())


def detail(batch_id: int, actor: Actor) -> Detail | None:
    """None if there is none that this person may see."""
    row = find(batch_id, actor)
    if row is None:
        return None
    author, person = db.session.get(Staff, row.asked_by), db.session.get(Staff, actor.id)
    open_ = row.status in (BatchStatus.DRAFT, BatchStatus.ASKED)
    same_done, same_open = _same(row) if row.status == BatchStatus.DRAFT else (None, None)
    own = bulk_check.own_families(person)
    mine = sa.exists().where(_rows.c.batch_id == batch_id, _rows.c.family_id.in_(own))
    return Detail(
        row=row,
        totals=totals(batch_id),
        done=totals(batch_id, done=row.job_id) if row.job_id else None,
        job=longjobs.progress(row.job_id) if row.job_id else None,
        findings=bulk_check.check(bulk.lines_of(batch_id), author, batch_id=batch_id) if open_ else None,
        history=audit_queries.of_target("batch", batch_id),
        is_author=row.asked_by == actor.id,
        own_family=bool(own) and db.session.scalar(sa.select(mine)),
        same_done=same_done,
        same_open=same_open,
    )


def _same(row: sa.Row) -> tuple[int | None, int | None]:
    try:
        return bulk.asked_before(row), None
    except BatchAskedBefore as error:
        return None, (error.data or {}).get("batch_id")


def _rows_query(batch_id: int, job_id: int | None, shown: str | None) -> sa.Select:
    query = (
        sa.select(
            *_rows.c, _rows.c.number.label("id"), Family.name.label("family_name"), _results.c.outcome,
            _results.c.code, _results.c.message, _results.c.made_id,
        )
        .join(Family, Family.id == _rows.c.family_id)
        .outerjoin(_results, sa.and_(_results.c.job_id == (job_id or 0), _results.c.number == _rows.c.number))
        .where(_rows.c.batch_id == batch_id)
    )  # fmt: skip
    if shown == "untouched":
        return query.where(_results.c.outcome.is_(None))
    return query.where(_results.c.outcome == shown) if shown in SHOWN else query


def rows(
    batch_id: int, job_id: int | None, *, shown: str | None = None, before: int | None = None, after: int | None = None
) -> Page:
    """The rows in the order of the sheet, with what became of each."""
    query = _rows_query(batch_id, job_id, shown)
    return keyset(query, _rows.c.number, before=before, after=after, oldest_first=True)


def every_row(batch_id: int, job_id: int | None, shown: str | None = None) -> Listing:
    """All of them, for an export."""
    return whole(_rows_query(batch_id, job_id, shown), _rows.c.number, oldest_first=True)
