"""Several students onto one session (M9): choose a session with free seats, tick those who fit, see each one's own
result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, abort, request

from app.db import db
from app.domain.catalog import queries as catalog
from app.domain.catalog.queries import SessionCard
from app.domain.makeups import desk_queries, manage, session_queries
from app.domain.makeups.manage import Outcome
from app.domain.makeups.session_queries import FITTING_SHOWN, SessionFilter
from app.domain.people.roles import Permission
from app.errors import Invalid
from app.web.filter_args import choice_arg, int_arg
from app.web.forms import refusal
from app.web.forms.makeups import SeveralForm
from app.web.forms_token import request_key
from app.web.makeups.blueprint import CHANGED, bp
from app.web.makeups.credit import WEEKDAYS
from app.web.makeups.lists import levels, types
from app.web.permissions import current_actor, requires
from app.web.rendering import render, toast, trigger

HOURS = range(7, 22)


@bp.get("/makeups/sessions")
@requires(Permission.FAMILY_VIEW)
def sessions():
    """The coming sessions with free seats, and how many credits each would do for."""
    weekday, hour = choice_arg("weekday", dict(WEEKDAYS)), choice_arg("hour", [str(one) for one in HOURS])
    asked = SessionFilter(choice_arg("type", dict(types())), choice_arg("level", dict(levels())),
                          int(weekday) if weekday else None, int(hour) if hour else None)  # fmt: skip
    offers, after = session_queries.offers(asked, after=int_arg("after"))
    kept = {name: value for name, value in request.args.items() if value and name != "after"}
    return render("makeups/sessions.html", "makeups/_sessions.html", offers=offers, after=after, kept=kept, asked=asked,
                  args=request.args, types=types(), levels=levels(), weekdays=WEEKDAYS,
                  hours=[(str(one), f"{one} 点") for one in HOURS])  # fmt: skip


@bp.get("/makeups/sessions/<int:schedule_id>")
@requires(Permission.FAMILY_VIEW)
def session(schedule_id: int):
    """One session and the credits that fit it."""
    return _page(_found(schedule_id), SeveralForm(formdata=None))


@bp.post("/makeups/sessions/<int:schedule_id>")
@requires(Permission.MAKEUP_MANAGE)
def submit_session(schedule_id: int):
    """Book those who are ticked, each by itself, and show what became of each. Sent twice, it tells the same again."""
    found, form = _found(schedule_id), SeveralForm()
    try:
        chosen = _chosen()
        key = request_key("makeups.several", form)
        names = desk_queries.students(chosen)
        done = manage.book_several(
            credit_ids=chosen, schedule_id=schedule_id, actor=current_actor(), request_key=key,
            accept_shorter=bool(form.accept_shorter.data), use_compensation=bool(form.use_compensation.data),
        )  # fmt: skip
    except Invalid as error:
        db.session.rollback()
        refusal.take(form, error)
        return _page(found, form, http=422)
    db.session.rollback()
    made = sum(one.made is not None for one in done)
    response = trigger(_page(_found(schedule_id), SeveralForm(formdata=None), done=done, names=names), CHANGED)
    return toast(response, f"已预约 {made} 位" + (f"，{len(done) - made} 位没有预约" if made < len(done) else ""),
                 "good" if made == len(done) else "waiting")  # fmt: skip


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _found(schedule_id: int) -> SessionCard:
    card = catalog.session_card(schedule_id)
    if card is None:
        abort(404)
    return card


def _chosen() -> list[int]:
    found = [int(text) for text in request.form.getlist("credit_id") if text.isascii() and text.isdigit()
             and len(text) <= 18]  # fmt: skip
    if not found:
        raise Invalid.field("", "请先勾选要安排的学员")
    if len(found) > FITTING_SHOWN:
        raise Invalid.field("", f"一次最多安排 {FITTING_SHOWN} 位学员")
    return found


def _page(
    found: SessionCard, form: SeveralForm, *, http: int = 200, done: Sequence[Outcome] = (), names: Any = None
) -> Response:
    fits, total = session_queries.fitting_credits(found)
    return render(
        "makeups/session.html", "makeups/_session.html", status=http, session=found, fits=fits, total=total, form=form,
        done=done, names=names or {}, ticked=request.form.getlist("credit_id") if http == 422 else [],
    )  # fmt: skip
