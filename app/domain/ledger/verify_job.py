"""A full verification that a person asks for, as long work with its progress (U11, W26)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import RequestKey, db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.ledger.models import WalletTransaction
from app.domain.longjobs import service as longjobs
from app.domain.people import roles
from app.domain.people.roles import Permission

KIND = "verify"


@transactional
def ask(*, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask for every row of the ledger to be computed again; returns the long job's id. Raises Forbidden."""
    roles.require(actor, Permission.RECONCILE_SETTLE)
    rows = db.session.scalar(sa.select(sa.func.count()).select_from(WalletTransaction))
    job_id = longjobs.create(kind=KIND, title="全量核对账本", total=max(rows, 1), params={"quiet": True}, actor=actor)
    audit.record(actor, "ledger.verify_asked", target_type="long_job", target_id=job_id, after={"rows": rows})
    return job_id
