"""One session with its roll: the side panel, its own page, marking who came (C5), and the roll on paper."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, request, url_for

from app.db import db
from app.domain.audit import actions
from app.domain.audit import queries as audit_queries
from app.domain.bookings import attendance
from app.domain.bookings import roll as rolls
from app.domain.bookings.rules import Event
from app.domain.catalog import lists, queries
from app.domain.catalog.queries import SessionCard
from app.domain.offers import board, timeline
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError
from app.web.errors import page_of_form, status_of
from app.web.permissions import can, current_actor, requires
from app.web.rendering import hx_redirect, redirect_or_fragment, render, toast, trigger, wants_fragment
from app.web.schedule.blueprint import CHANGED, bp

#: what a button of the roll says → what it does
_EVENTS = {str(event): event for event in (Event.ATTEND, Event.MISS, Event.UNMARK)}


@bp.get("/schedule/<int:schedule_id>")
@requires(Permission.SCHEDULE_VIEW)
def show(schedule_id: int):
    """A session: what, where, who teaches it, its seats, and who comes. It also asks for itself when it changed."""
    itself = request.headers.get("HX-Target") == "session-detail"
    fragment = "schedule/_session.html" if itself else "schedule/_panel.html"
    return render("schedule/show.html", fragment, **session_context(schedule_id))


@bp.get("/schedule/<int:schedule_id>/print")
@requires(Permission.SCHEDULE_VIEW)
def sheet(schedule_id: int):
    """The roll on paper, with boxes to tick."""
    session = found(schedule_id)
    return render("schedule/print.html", session=session, roll=rolls.of_session(session))


@bp.post("/schedule/<int:schedule_id>/roll/<int:booking_id>/<event>")
@requires(Permission.BOOKING_MAKE)
def mark(schedule_id: int, booking_id: int, event: str):
    """到课, 缺课, or take the mark back. Needs no request token: the same mark twice is one."""
    if event not in _EVENTS:
        abort(404)
    session = found(schedule_id)
    if rolls.of_session(session).line(booking_id) is None:
        abort(404)
    try:
        attendance.mark(booking_id=booking_id, event=_EVENTS[event], actor=current_actor())
    except Conflict as error:
        return _refused(schedule_id, booking_id, error)
    roll = rolls.of_session(session)
    response = redirect_or_fragment(
        url_for("schedule.show", schedule_id=schedule_id), "schedule/_roll_row.html",
        session=session, roll=roll, line=roll.line(booking_id), refused=None, answer=True,
    )  # fmt: skip
    # The calendar says how many are still to be marked; it need not be asked after each of twenty.
    return trigger(response, CHANGED) if roll.closed or not roll.unmarked else response


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _refused(schedule_id: int, booking_id: int, error: DomainError) -> Response:
    """The row as it now is, with why; without script the whole page."""
    db.session.rollback()
    if not wants_fragment():
        return render("schedule/show.html", status=status_of(error), **session_context(schedule_id, error))
    session = found(schedule_id)
    roll = rolls.of_session(session)
    return render("schedule/show.html", "schedule/_roll_row.html", status=status_of(error), session=session, roll=roll,
                  line=roll.line(booking_id), refused=error, answer=True)  # fmt: skip


def found(schedule_id: int) -> SessionCard:
    session = queries.session_card(schedule_id)
    if session is None:
        abort(404)
    return session


def session_context(schedule_id: int, error: DomainError | None = None) -> dict[str, Any]:
    """What the session's templates need. Aborts with 404."""
    session = found(schedule_id)
    history = audit_queries.of_target("course_schedule", schedule_id) if can(Permission.AUDIT_VIEW) else []
    events = [
        {"at": entry.created_at, "who": actions.who(entry), "text": actions.word(entry.action), "note": entry.reason,
         "tone": "danger" if entry.action == "schedule.cancelled" else "plain"}
        for entry in reversed(history)
    ]  # fmt: skip
    return {
        "session": session, "own": lists.own_fields(schedule_id), "roll": rolls.of_session(session), "events": events,
        "error": error, "queue": board.queue(schedule_id) if session.waitlist_count or session.kept else None,
        "releases": timeline.of_session(schedule_id, limit=5),
    }  # fmt: skip


def shown(schedule_id: int, sentence: str, kind: str = "good", *, link: str | None = None) -> Response:
    """After a write: the session as it now is, in the panel or as a page, and the sentence of what was done."""
    location = url_for("schedule.show", schedule_id=schedule_id)
    if page_of_form().partition("?")[0] == location:
        # The panel lay over the session's own page, which would now show the same twice, once as it was.
        return toast(hx_redirect(location), sentence, kind, link=link)
    response = redirect_or_fragment(location, "schedule/_panel.html", **session_context(schedule_id))
    trigger(response, CHANGED)
    return toast(response, sentence, kind, link=link)
