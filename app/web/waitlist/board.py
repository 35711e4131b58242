"""候补看板: the sessions of the days ahead that somebody waits for, live (Q18, Q23), and one more seat in place."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, make_response, request, url_for

from app.db import db
from app.domain.catalog import lists
from app.domain.changes import edit_session
from app.domain.offers import board as queues
from app.domain.offers import board_figures
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg
from app.web.forms_token import TokenForm, request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast, wants_fragment
from app.web.waitlist.blueprint import bp

#: what of the board is shown
SHOWN = {"offered": "正在通知或有名额的", "call": "要打电话的", "full": "候补已满的"}


@bp.get("/waitlist")
@requires(Permission.SCHEDULE_VIEW)
def board():
    """Every queue. The page asks for itself with the revision that it shows, and gets 204 while nothing changed."""
    revision = board_figures.revision()
    if wants_fragment() and request.args.get("revision") == revision:
        return make_response("", 204)
    return _board(revision)


@bp.post("/waitlist/sessions/<int:schedule_id>/capacity")
@requires(Permission.SCHEDULE_EDIT)
def add_seat(schedule_id: int):
    """One more seat: the change of a session's capacity, in sight of what the board showed."""
    form = TokenForm()
    found = queues.queue(schedule_id)
    if found is None:
        abort(404)
    session, own = found.session, lists.own_fields(schedule_id)
    text = request.form.get("version", "")
    seen = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    try:
        edit_session.edit_session(
            schedule_id=schedule_id, version=seen, coach_id=session.coach_id, venue_id=session.venue_id,
            starts_at=session.starts_at, capacity=session.capacity + 1, waitlist_capacity=own.waitlist_capacity,
            actor=current_actor(), request_key=request_key("waitlist.add_seat", form),
        )  # fmt: skip
    except (Invalid, Conflict, Forbidden) as error:
        db.session.rollback()
        return _board(board_figures.revision(), error)
    said = f"{session.course_name} 的名额加到 {session.capacity + 1} 个"
    answer = _board(board_figures.revision()) if wants_fragment() else hx_redirect(url_for("waitlist.board"))
    return toast(answer, said, link=url_for("schedule.show", schedule_id=schedule_id))


def _asked() -> dict[str, Any]:
    return {"type": choice_arg("type", [line.code for line in lists.types()]), "show": choice_arg("show", SHOWN),
            "session": int_arg("session")}  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    found = [(queue, line) for queue in queues.queues() if _wanted(queue, asked) for line in queue.lines]
    return Taking(found, in_words(asked | {"show": SHOWN.get(asked["show"])}))


offer("waitlist", "候补看板", Permission.SCHEDULE_VIEW, _taken, (
    Column("课次编号", lambda one: one[0].session.id, Kind.NUMBER),
    Column("上课时间", lambda one: one[0].session.starts_at, Kind.TIME),
    Column("课程", lambda one: one[0].session.course_name), Column("教练", lambda one: one[0].session.coach_name),
    Column("截止", lambda one: one[0].cutoff_at, Kind.TIME), Column("位次", lambda one: one[1].position, Kind.NUMBER),
    Column("学员", lambda one: one[1].student), Column("家庭编号", lambda one: one[1].family_id, Kind.NUMBER),
    Column("家庭", lambda one: one[1].family), labelled("状态", lambda one: one[1].status, "waitlist_entry"),
    Column("加入时间", lambda one: one[1].joined_at, Kind.TIME),
    Column("自动确认", lambda one: one[1].auto_accept, Kind.YES),
    Column("请致电", lambda one: one[1].to_call, Kind.YES), Column("备注", lambda one: one[1].staff_note),
))  # fmt: skip


def _board(revision: str, error: DomainError | None = None) -> Response:
    asked = _asked()
    every = queues.queues()
    return render(
        "waitlist/index.html", "waitlist/_board.html", status=200 if error is None else status_of(error),
        queues=[one for one in every if _wanted(one, asked)], every=every, asked=asked, shown=SHOWN,
        kept={name: value for name, value in asked.items() if value}, revision=revision, error=error,
        types=[(line.code, line.name) for line in lists.types()], fullness=board_figures.fullness(),
    )  # fmt: skip


def _wanted(one: queues.Queue, asked: dict) -> bool:
    if asked["session"] and one.session.id != asked["session"]:
        return False
    if asked["type"] and one.session.course_type != asked["type"]:
        return False
    if asked["show"] == "offered":
        return bool(one.kept) or any(line.offer for line in one.lines)
    if asked["show"] == "call":
        return any(line.to_call for line in one.lines)
    return one.full if asked["show"] == "full" else True
