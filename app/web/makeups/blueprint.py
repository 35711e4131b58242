"""The blueprint of 补课安排; the modules beside this one hang their views on it."""

from __future__ import annotations

from flask import Blueprint

from app.domain.credits import rules

bp = Blueprint("makeups", __name__)

#: browsers are told when a credit or its student's minutes changed, so that lists behind the side panel look again
CHANGED = "desk:makeups-changed"


@bp.app_template_filter("minutes")
def minutes_text(minutes: int) -> str:
    """「1小时」「1.5小时」「45分钟」; the sign is the caller's."""
    return rules.spoken(abs(minutes))
