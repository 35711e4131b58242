"""One wait: where it stands, what happened, and what staff may do about it (Q18)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, make_response, request, url_for

from app.db import db
from app.domain.ledger import queries as ledger
from app.domain.offers import answer, board, join, staff, timeline
from app.domain.people.roles import Permission
from app.domain.waitlist import queries
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.forms.waitlist import ActForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import is_htmx, redirect_or_fragment, render, toast, trigger
from app.web.security import limit_money_forms
from app.web.waitlist.blueprint import CHANGED, bp


@dataclass(frozen=True, slots=True)
class Act:
    """A button: what it does with the form, and the sentence afterwards, with the student's name."""

    do: Callable[..., Any]
    said: str
    #: fields of the form that the use case takes
    takes: tuple[str, ...] = ()


ACTS = {
    "offer": Act(staff.offer, "已把名额单独通知 {}", ("reason",)),
    "skip": Act(staff.skip, "已跳过 {}，顺位保留", ("reason",)),
    "move": Act(staff.move, "已调整 {} 的顺位", ("position", "reason")),
    "remove": Act(join.leave, "已把 {} 移出候补", ("reason",)),
    "resend": Act(staff.resend, "已再次通知 {} 的家长"),
    "called": Act(staff.called, "已记下：致电 {} 的家长", ("note",)),
    "confirm": Act(answer.confirm, "已为 {} 办理名额"),
}


@bp.get("/waitlist/entries/<int:entry_id>")
@requires(Permission.SCHEDULE_VIEW)
def entry(entry_id: int):
    """The wait in the side panel, or as a page."""
    return render("waitlist/entry.html", "waitlist/_panel.html", **_context(entry_id))


@bp.post("/waitlist/entries/<int:entry_id>/<act>")
@requires(Permission.WAITLIST_MANAGE)
def act(entry_id: int, act: str):
    """Do one of the acts. From a row of the board only the board looks again; from the panel the panel is renewed."""
    what, view = ACTS.get(act), _view(entry_id)
    if what is None:
        abort(404)
    limit_money_forms()
    form = ActForm()
    from_row = is_htmx() and request.form.get("from") == "row"
    try:
        given = {name: _given(form, name) for name in what.takes}
        what.do(entry_id=entry_id, actor=current_actor(), request_key=request_key(f"waitlist.{act}", form), **given)
    except (Invalid, Conflict, Forbidden) as error:
        db.session.rollback()
        if from_row:
            return toast(_quiet(status_of(error)), error.message, "danger")
        return _refused(entry_id, act, form, error)
    said = what.said.format(view.profile_name)
    if from_row:
        return toast(_quiet(204), said)
    location = url_for("waitlist.entry", entry_id=entry_id)
    response = redirect_or_fragment(location, "waitlist/_entry.html", **_context(entry_id))
    return toast(trigger(response, CHANGED), said)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _view(entry_id: int) -> queries.EntryView:
    view = queries.entry(entry_id)
    if view is None:
        abort(404)
    return view


def _given(form: ActForm, name: str) -> Any:
    if name != "position":
        return form[name].data or ""
    text = (form.position.data or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise Invalid.field("position", "请填写要排在第几位")
    return int(text)


def _quiet(status: int) -> Response:
    """Nothing to swap in: the board hears that something changed and asks for itself."""
    response = make_response("", status)
    response.headers["HX-Reswap"] = "none"
    return trigger(response, CHANGED)


def _refused(entry_id: int, act: str, form: ActForm, error: DomainError) -> Response:
    """The panel as it now is, with why; a sentence about a field stands beside it."""
    context = _context(entry_id)
    status = status_of(error)
    if isinstance(error, Invalid):
        refusal.take(form, error)
        context |= {"form": form}
    else:
        context |= {"error": error}
    return render("waitlist/entry.html", "waitlist/_entry.html", status=status, **context | {"tried": act})


def _context(entry_id: int) -> dict[str, Any]:
    view = _view(entry_id)
    found = board.queue(view.schedule.id)
    line = next((one for one in found.lines if one.id == entry_id), None)
    money = line is not None and not line.by_credit and not view.schedule.is_trial
    return {
        "view": view, "queue": found, "line": line, "events": timeline.of_entry(entry_id), "error": None, "tried": None,
        "messages": queries.notifications(entry_id), "form": ActForm(formdata=None),
        "wallet": ledger.wallet(family_id=view.family_id) if money else None,
        "clashes": answer.clashes(entry_id) if view.status == "confirmed" else [],
    }  # fmt: skip
