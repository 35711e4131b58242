"""系统状态: database, Redis, queues, periodic jobs, messages waiting, data keys (U10)."""

from __future__ import annotations

from flask import Blueprint

from app import config, health
from app.domain.audit import queries as audit_queries
from app.domain.outbox import queries as outbox_queries
from app.domain.people.roles import Permission
from app.web.permissions import requires
from app.web.rendering import render

bp = Blueprint("system", __name__)


@bp.get("/system")
@requires(Permission.SYSTEM_VIEW)
def state():
    """The parts with their health, then jobs and the outbox."""
    settings = config.current()
    return render(
        "system/state.html",
        "system/_state.html",
        checks=health.checks(),
        outbox=outbox_queries.backlog(),
        jobs=outbox_queries.job_runs(),
        seal=audit_queries.last_seal(),
        settings=settings,
    )
