"""Adding a student to a queue (Q18): find them, see the queue, and beyond its capacity say why."""

from __future__ import annotations

from flask import Response, abort, make_response, request, url_for

from app.db import db
from app.domain.bookings import candidates
from app.domain.bookings.candidates import Candidate
from app.domain.offers import board, join
from app.domain.offers.board import Queue
from app.domain.people.roles import Permission
from app.domain.search import queries as search
from app.domain.waitlist.errors import WaitlistFull
from app.errors import Conflict, DomainError, Invalid
from app.text import clean
from app.web.errors import status_of
from app.web.filter_args import int_arg
from app.web.forms import refusal
from app.web.forms.waitlist import AddForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import close_panel, hx_redirect, render, toast, trigger, wants_fragment
from app.web.waitlist.blueprint import CHANGED, bp

#: families whose students are offered for what was typed
FAMILIES = 8


@bp.get("/waitlist/sessions/<int:schedule_id>/add")
@requires(Permission.BOOKING_MAKE)
def add(schedule_id: int):
    """Find the student; once one is chosen, one button."""
    found = _queue(schedule_id)
    chosen = int_arg("student")
    if chosen is not None:
        return _confirm(found, _candidate(chosen, schedule_id), AddForm(formdata=None))
    query = clean(request.args.get("q"), 64)
    families = [hit.family_id for hit in search.find(query, limit=FAMILIES)] if query else []
    fragment = "waitlist/_students.html" if request.headers.get("HX-Target") == "students-found" else None
    waiting = {line.profile_id for line in found.lines}
    return render("waitlist/add.html", fragment or "waitlist/_add.html", queue=found, query=query, chosen=None,
                  waiting=waiting, students=candidates.of_families(families, schedule_id))  # fmt: skip


@bp.post("/waitlist/sessions/<int:schedule_id>/add")
@requires(Permission.BOOKING_MAKE)
def submit_add(schedule_id: int):
    """Put the student at the end of the queue."""
    form = AddForm()
    text = form.student.data or ""
    chosen = _candidate(int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0, schedule_id)
    try:
        join.join(
            schedule_id=schedule_id, profile_id=chosen.profile_id, actor=current_actor(),
            auto_accept=bool(form.auto_accept.data), reason=form.reason.data or None,
            request_key=request_key("waitlist.add", form),
        )  # fmt: skip
    except WaitlistFull as error:
        db.session.rollback()
        needed = "候补队列已满，请填写为什么仍要加入" if not form.reason.data else error.message
        return _confirm(_queue(schedule_id), chosen, form, Invalid.field("reason", needed))
    except (Invalid, Conflict) as error:
        db.session.rollback()
        return _confirm(_queue(schedule_id), chosen, form, error)
    if not wants_fragment():
        return toast(hx_redirect(url_for("waitlist.board")), f"已把 {chosen.name} 加入候补")
    return toast(close_panel(trigger(make_response("", 200), CHANGED)), f"已把 {chosen.name} 加入候补")


def _queue(schedule_id: int) -> Queue:
    found = board.queue(schedule_id)
    if found is None:
        abort(404)
    return found


def _candidate(profile_id: int, schedule_id: int) -> Candidate:
    chosen = candidates.one(profile_id, schedule_id)
    if chosen is None:
        abort(404)
    return chosen


def _confirm(found: Queue, chosen: Candidate, form: AddForm, error: DomainError | None = None) -> Response:
    form.student.data = str(chosen.profile_id)
    if isinstance(error, Invalid):
        refusal.take(form, error)
    return render(
        "waitlist/add.html", "waitlist/_add.html", status=200 if error is None else status_of(error), queue=found,
        chosen=chosen, form=form, refused=None if isinstance(error, Invalid) else error, query="", students=[],
        waiting=set(),
    )  # fmt: skip
