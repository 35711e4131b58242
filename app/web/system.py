"""系统状态: what burns, parts, queues, jobs, messages, keys and certificates (U10); 服务水平 by the week (Z14)."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint

from app import clock, config, health
from app.domain.audit import queries as audit_queries
from app.domain.outbox import queries as outbox_queries
from app.domain.people.roles import Permission
from app.domain.watch import alerts, findings, hours, levels, week
from app.web.filter_args import date_arg
from app.web.permissions import requires
from app.web.rendering import render

bp = Blueprint("system", __name__)

#: alerts that are over and still shown
RECENT = timedelta(days=7)


@bp.get("/system")
@requires(Permission.SYSTEM_VIEW)
def state():
    """What burns and the parts with their health, then jobs, the outbox, and what is reached outside."""
    now = clock.now()
    return render(
        "system/state.html",
        "system/_state.html",
        checks=health.checks(),
        outbox=outbox_queries.backlog(),
        jobs=outbox_queries.job_runs(),
        seal=audit_queries.last_seal(),
        settings=config.current(),
        burning=alerts.burning(),
        recent=[one for one in alerts.fired_between(now - RECENT, now) if one.recovered_at],
        outside=findings.known(),
    )


@bp.get("/system/service")
@requires(Permission.SYSTEM_VIEW)
def service():
    """How the service levels were kept in one studio week, this one unless asked otherwise."""
    this = week.monday(clock.today())
    first = max(min(week.monday(date_arg("week") or this), this), this - hours.KEPT)
    return render(
        "system/service.html", "system/_service.html", report=week.report(first), words=levels.WORDS,
        least=levels.LEAST, before=first - week.WEEK if first > this - hours.KEPT else None,
        after=first + week.WEEK if first < this else None,
    )  # fmt: skip
