"""The calendar's blueprint; the modules beside this one hang their views on it."""

from __future__ import annotations

from datetime import date, datetime

from flask import Blueprint

from app import clock
from app.domain.catalog.models import ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.web.filters import full_time

bp = Blueprint("schedule", __name__)

#: browsers are told when sessions changed, so that the calendar behind the side panel looks again
CHANGED = "desk:classes"


@bp.app_template_global()
def session_state(session: SessionCard) -> str:
    """The one word for a session, a key of the labels `session_state`."""
    if session.status != ScheduleStatus.SCHEDULED:
        return session.status
    if session.starts_at <= clock.now():
        return "running"
    return "open" if session.available > 0 else "full"


@bp.app_template_filter("studio_day")
def studio_day(moment: datetime) -> date:
    """The studio's calendar day of a moment, as addresses carry it."""
    return clock.local(moment).date()


@bp.app_template_filter("full_day")
def full_day(moment: datetime) -> str:
    """「2026年11月25日 周三」: a day that is still right on paper a week later."""
    return full_time(studio_day(moment))
