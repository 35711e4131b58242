"""The waitlist's blueprint; the modules beside this one hang their views on it."""

from __future__ import annotations

from flask import Blueprint

from app.domain.waitlist.rules import CAUSE_TEXTS, END_TEXTS, SKIP_TEXTS

bp = Blueprint("waitlist", __name__)

#: browsers are told when a queue changed, so that the board behind the side panel looks again
CHANGED = "desk:waitlist-changed"


@bp.app_template_filter("skip_text")
def skip_text(code: str | None) -> str:
    """Why somebody can take no seat now."""
    return SKIP_TEXTS.get(code, code) or ""


@bp.app_template_filter("cause_text")
def cause_text(cause: str) -> str:
    return CAUSE_TEXTS.get(cause, cause)


@bp.app_template_filter("wait_end_text")
def wait_end_text(reason: str | None) -> str:
    return END_TEXTS.get(reason, reason) or ""
