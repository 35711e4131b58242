"""A reconciliation that a person asks for, as long work with a row per step (U11)."""

from __future__ import annotations

from datetime import date, timedelta

from app import clock
from app.db import RequestKey, db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.longjobs import service as longjobs
from app.domain.longjobs.models import LongJob, RowOutcome
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.domain.reconcile import books
from app.errors import Invalid

KIND = "reconcile"
#: WeChat keeps bills for three months
BACK = timedelta(days=89)


def earliest() -> date:
    """The oldest day whose bill WeChat still gives."""
    return clock.today() - BACK


@transactional
def ask(*, day: date | None, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask for the bill of a day that is over, and all checks of the books; returns the long job's id.

    Raises Invalid, Forbidden.
    """
    roles.require(actor, Permission.RECONCILE_SETTLE)
    if day is None or not earliest() <= day < clock.today():
        raise Invalid.field("day", "请选择昨天或更早的日子；微信只保留三个月的账单")
    job_id = longjobs.create(
        kind=KIND,
        title=f"对账 {day:%Y-%m-%d}",
        total=1 + len(books.CHECKS),
        params={"day": day.isoformat()},
        actor=actor,
    )
    audit.record(actor, "reconcile.asked", target_type="long_job", target_id=job_id, after={"day": day.isoformat()})
    return job_id


def place(job_id: int) -> tuple[date, int]:
    """The day that a job is about, and how many of its steps are done."""
    job = db.session.get(LongJob, job_id, populate_existing=True)
    found = date.fromisoformat(job.params["day"]), job.checkpoint
    db.session.rollback()
    return found


@transactional
def note_step(*, job_id: int, owner: str) -> int:
    """The step after the checkpoint is done; returns how many are left. Raises LeaseLost."""
    return longjobs.note(longjobs.hold(job_id, owner), RowOutcome.DONE)
