"""Making a session, changing it, cancelling it (C2, C6). Each form says beforehand whom it will tell."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from wtforms.fields.choices import SelectChoice

from app import clock
from app.db import db
from app.domain.catalog import lists, sessions
from app.domain.catalog.queries import SessionCard
from app.domain.changes import cancel_session as cancelling
from app.domain.changes import edit_session as editing
from app.domain.changes.errors import SessionMoved
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Invalid
from app.web.errors import status_of
from app.web.filter_args import date_arg, int_arg, time_arg
from app.web.filters import money as money_text
from app.web.filters import when
from app.web.forms import refusal
from app.web.forms.schedule import CancelSessionForm, EditSessionForm, NewSessionForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import render
from app.web.schedule.blueprint import bp
from app.web.schedule.roll import found, shown
from app.web.security import limit_money_forms

#: seats of a new session when nobody said otherwise
CAPACITY = 6
#: which field a refusal belongs to
_PLACES = {
    "COACH_BUSY": "coach_id",
    "VENUE_BUSY": "venue_id",
    "CAPACITY_TOO_LOW": "capacity",
    "STUDENTS_BUSY": "time",
}


@bp.route("/schedule/new", methods=["GET", "POST"])
@requires(Permission.SCHEDULE_EDIT)
def new():
    """Put one class into the calendar."""
    form = NewSessionForm(data={
        "course_id": int_arg("course"), "capacity": int_arg("capacity") or CAPACITY, "day": date_arg("day"),
        "time": time_arg("time"), "coach_id": int_arg("coach"), "venue_id": int_arg("venue"),
    })  # fmt: skip
    _offer(form)
    form.course_id.choices = _courses()
    if request.method != "POST" or not form.validate():
        return _form("new", form)
    try:
        schedule_id = sessions.create(
            course_id=form.course_id.data, coach_id=form.coach_id.data, venue_id=form.venue_id.data,
            starts_at=form.starts_at, capacity=form.capacity.data, waitlist_capacity=form.waitlist_capacity.data,
            actor=current_actor(), request_key=request_key("schedule.new", form, present=_location),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _form("new", form, error)
    return shown(schedule_id, f"已新建 {found(schedule_id).course_name} {when(form.starts_at)}")


@bp.route("/schedule/<int:schedule_id>/edit", methods=["GET", "POST"])
@requires(Permission.SCHEDULE_EDIT)
def edit(schedule_id: int):
    """Time, coach, venue and seats of a session still ahead."""
    session, own = found(schedule_id), lists.own_fields(schedule_id)
    starts = clock.local(session.starts_at)
    form = EditSessionForm(data={
        "version": session.version, "coach_id": session.coach_id, "venue_id": session.venue_id, "day": starts.date(),
        "time": starts.time(), "capacity": session.capacity, "waitlist_capacity": own.waitlist_capacity,
    })  # fmt: skip
    _offer(form, session)
    if request.method != "POST" or not form.validate():
        return _form("edit", form, session=session)
    try:
        done = editing.edit_session(
            schedule_id=schedule_id, version=_number(form.version.data), coach_id=form.coach_id.data,
            venue_id=form.venue_id.data, starts_at=form.starts_at, capacity=form.capacity.data,
            waitlist_capacity=form.waitlist_capacity.data, actor=current_actor(),
            request_key=request_key("schedule.edit", form, present=lambda _done: _location(schedule_id)),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        db.session.rollback()
        session = found(schedule_id)
        if isinstance(error, SessionMoved):
            form.version.data = str(session.version)  # what is sent next is sent in sight of what the page now says
        return _form("edit", form, error, session=session)
    told = f"，{done.told} 个预约的家庭会收到通知" if done.told else ""
    return shown(schedule_id, ("已改到 " + when(form.starts_at) if done.moved else "已保存修改") + told)


@bp.route("/schedule/<int:schedule_id>/cancel", methods=["GET", "POST"])
@requires(Permission.SCHEDULE_EDIT)
def cancel(schedule_id: int):
    """Cancel a session: every booking of it ends, the money goes back, each family is told once."""
    form = CancelSessionForm()
    if request.method != "POST":
        return _form("cancel", form, session=found(schedule_id))
    limit_money_forms()
    try:
        done = cancelling.cancel_session(
            schedule_id=schedule_id, reason=form.reason.data or "", actor=current_actor(),
            request_key=request_key("schedule.cancel", form, present=lambda _done: _location(schedule_id)),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        db.session.rollback()
        return _form("cancel", form, error, session=found(schedule_id))
    if done.failed:
        return shown(schedule_id, f"已停课，{done.failed} 个预约没有退完，已通知财务群，系统会自动再试", "danger")
    settled = f"{done.settled} 个预约已处理，家长会收到通知" if done.settled else "没有预约受影响"
    return shown(schedule_id, f"已停课，{settled}")


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _form(name: str, form, error: DomainError | None = None, *, session: SessionCard | None = None) -> Response:
    """The form as a page or in the panel; refused, with the sentences at their fields."""
    status = 422 if request.method == "POST" else 200
    moved = isinstance(error, SessionMoved)
    if error is not None:
        status = status_of(error)
        if not moved:
            refusal.take(form, _placed(error))
    context: dict[str, Any] = {"form": form, "session": session, "moved": error.message if moved else None}
    if session is not None:
        context |= {"effect": cancelling.preview(session.id), "money_text": money_text}
    return render(f"schedule/{name}.html", f"schedule/_{name}.html", status=status, **context)


def _placed(error: DomainError) -> DomainError:
    """The refusal beside the field that it is about; the form has day and time where the domain has one moment."""
    errors = error.errors or {_PLACES.get(error.code, ""): [error.message]}
    error.errors = {"time" if name == "starts_at" else name: said for name, said in errors.items()}
    return error


def _offer(form: EditSessionForm, session: SessionCard | None = None) -> None:
    """Coaches and venues that are not archived; a session keeps its own."""
    for field, lines, own, word in (
        (form.coach_id, lists.coaches(), session and session.coach_id, "教练"),
        (form.venue_id, lists.venues(), session and session.venue_id, "场馆"),
    ):
        named = [SelectChoice(str(one.id), one.name) for one in lines if one.archived_at is None or one.id == own]
        field.choices = named if session else [SelectChoice("", f"请选择{word}"), *named]


def _courses() -> list[SelectChoice]:
    named = [SelectChoice(str(one.id), _course_words(one), optgroup=one.type_name)
             for one in lists.courses() if one.archived_at is None]  # fmt: skip
    return [SelectChoice("", "请选择课程"), *named]


def _course_words(one: lists.CourseLine) -> str:
    return f"{one.name} · {one.level or '不限级别'} · {one.duration_minutes} 分钟 · {money_text(one.price)}"


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _location(schedule_id: int) -> dict[str, str]:
    return {"location": url_for("schedule.show", schedule_id=schedule_id)}
