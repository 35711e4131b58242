"""One credit beside the sessions that fit it, and what staff may do about it: book, wait, tell the parent of choices,
extend, void, answer (M9, M11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, abort, request, url_for

from app import clock
from app.db import RequestKey, db
from app.domain.catalog import queries as catalog
from app.domain.credits import minutes
from app.domain.credits import rules as credit_rules
from app.domain.credits.errors import NotEnoughCompensation, ShorterClass
from app.domain.credits.models import MakeupCredit
from app.domain.makeups import asking, book, desk_queries, manage, matching, queries
from app.domain.makeups.matching import Filters, Missed
from app.domain.offers import join
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Conflict, DomainError, Invalid
from app.web.bookings.blueprint import class_time
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg
from app.web.forms import refusal
from app.web.forms.makeups import ActForm
from app.web.forms_token import request_key
from app.web.makeups.blueprint import CHANGED, bp
from app.web.permissions import current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger

#: sessions shown at once, and after 「更多」
SHOWN, MORE = 8, 40
WEEKDAYS = [(str(number), f"周{word}") for number, word in enumerate("一二三四五六日", start=1)]


@bp.get("/makeups/<int:credit_id>")
@requires(Permission.FAMILY_VIEW)
def credit(credit_id: int):
    """The credit in the side panel, or as a page."""
    return render("makeups/credit.html", _fragment(), **_context(credit_id))


@bp.post("/makeups/<int:credit_id>/<act>")
@requires(Permission.MAKEUP_MANAGE)
def act(credit_id: int, act: str):
    """Do one of the acts; what is refused comes back with why, and where the parent must agree first, with the
    question."""
    do, one = ACTS.get(act), _missed(credit_id)
    if do is None:
        abort(404)
    form = ActForm()
    try:
        said = do(one, form, request_key(f"makeups.{act}", form, present=lambda _done: _back(credit_id)))
    except (Invalid, Conflict) as error:
        db.session.rollback()
        return _refused(credit_id, act, form, error)
    response = redirect_or_fragment(_back(credit_id)["location"], _fragment(), **_context(credit_id))
    return toast(trigger(response, CHANGED), said)


# ── the acts: each does it and gives the sentence afterwards ────────────────────────────────────────


def _book(one: Missed, form: ActForm, key: RequestKey) -> str:
    schedule_id = _schedule_id(form)
    made = book.book(
        schedule_id=schedule_id, profile_id=one.profile_id, credit_id=one.credit_id, actor=current_actor(),
        accept_shorter=bool(form.accept_shorter.data), use_compensation=bool(form.use_compensation.data),
        waive_reason=form.waive_reason.data if "waive_reason" in request.form else None, request_key=key,
    )  # fmt: skip
    used = f"，用了 {made.used} 分钟课时补偿，还剩 {made.remaining} 分钟" if made.used else ""
    earned = f"，获得 {made.earned} 分钟课时补偿" if made.earned else ""
    return f"已预约补课 {_named(schedule_id)}{used}{earned}"


def _wait(one: Missed, form: ActForm, key: RequestKey) -> str:
    schedule_id = _schedule_id(form)
    join.join(
        schedule_id=schedule_id, profile_id=one.profile_id, credit_id=one.credit_id, actor=current_actor(),
        accept_shorter=bool(form.accept_shorter.data), use_compensation=bool(form.use_compensation.data),
        request_key=key,
    )  # fmt: skip
    return f"已加入候补 {_named(schedule_id)}，有名额时用这次待补课"


def _invite(one: Missed, form: ActForm, key: RequestKey) -> str:
    chosen = {_number(text) for text in request.form.getlist("schedule_id")[: manage.CHOICES + 1]}
    told = manage.invite(credit_id=one.credit_id, schedule_ids=chosen, actor=current_actor(), request_key=key)
    return f"已把 {len(chosen)} 节课告知家长" if told else "没有发出：今天已告知过这几节课，或没有家长可通知"


def _extend(one: Missed, form: ActForm, key: RequestKey) -> str:
    until = form.day
    manage.extend(credit_id=one.credit_id, until=until, reason=form.reason.data or "", actor=current_actor(),
                  request_key=key)  # fmt: skip
    return f"已延长到 {until:%Y-%m-%d}，家长会收到通知"


def _void(one: Missed, form: ActForm, key: RequestKey) -> str:
    manage.void(credit_id=one.credit_id, reason=form.reason.data or "", actor=current_actor(), request_key=key)
    return "已作废，家长会收到通知"


def _answer(one: Missed, form: ActForm, key: RequestKey) -> str:
    asked = desk_queries.request_of(one.credit_id)
    if asked is None:
        abort(404)
    asking.answer(request_id=asked.id, text=form.text.data or "", actor=current_actor(), request_key=key)
    return "已答复，家长会收到通知"


ACTS: dict[str, Callable[[Missed, ActForm, RequestKey], str]] = {
    "book": _book, "wait": _wait, "invite": _invite, "extend": _extend, "void": _void, "answer": _answer,
}  # fmt: skip

# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _missed(credit_id: int) -> Missed:
    one = matching.missed(credit_id)
    if one is None:
        abort(404)
    return one


def _fragment() -> str:
    """The panel's root for who opens it, else the part that renews itself."""
    return "makeups/_panel.html" if request.headers.get("HX-Target", "panel") == "panel" else "makeups/_credit.html"


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _schedule_id(form: ActForm) -> int:
    return _number(form.schedule_id.data)


def _named(schedule_id: int) -> str:
    session = catalog.session_card(schedule_id)
    return f"{class_time(session.starts_at)} {session.course_name}"


def _back(credit_id: int) -> dict[str, str]:
    return {"location": url_for("makeups.credit", credit_id=credit_id)}


def _refused(credit_id: int, act: str, form: ActForm, error: DomainError) -> Response:
    """The credit as it now is. A sentence about a field stands beside it; what the parent must agree to is asked."""
    context: dict[str, Any] = _context(credit_id) | {"tried": act, "form": form}
    if isinstance(error, Invalid):
        refusal.take(form, error)
    if isinstance(error, ShorterClass | NotEnoughCompensation) or "waive_reason" in (error.errors or {}):
        context |= _question(context["one"], act, form)
    elif not isinstance(error, Invalid):
        context["error"] = error
    return render("makeups/credit.html", _fragment(), status=status_of(error), **context)


def _question(one: Missed, act: str, form: ActForm) -> dict[str, Any]:
    """What the length of the chosen session means, for the parent to agree to."""
    session = catalog.session_card(_schedule_id(form))
    exchange = credit_rules.exchange(one.minutes, session.duration_minutes, policy.get("compensation_unit"))
    return {"question": {"act": act, "session": session, "exchange": exchange}}


def _context(credit_id: int) -> dict[str, Any]:
    one, now = _missed(credit_id), clock.now()
    weekday, more = choice_arg("weekday", dict(WEEKDAYS)), request.args.get("more") == "1"
    filters = Filters(weekday=int(weekday) if weekday else None, coach_id=int_arg("coach"),
                      free=request.args.get("free") == "1")  # fmt: skip
    limit = MORE if more else SHOWN
    found = matching.best(one, filters, limit=limit)
    row = db.session.get(MakeupCredit, credit_id)
    return {
        "view": queries.credit(credit_id), "row": row, "one": one, "matches": found[:limit], "more": len(found) > limit,
        "asked": filters, "weekdays": WEEKDAYS, "balance": minutes.available(one.profile_id, now),
        "request_row": desk_queries.request_of(credit_id), "family": desk_queries.family_name(one.family_id),
        "open": row.status == "available" and now < row.valid_until,
        "kept": {name: value for name, value in request.args.items() if value and name != "more"},
        "tried": None, "question": None, "error": None, "form": None, "choices": manage.CHOICES,
        "longest": clock.local(now + policy.get("makeup_credit_ttl") * 2).date(),
    }  # fmt: skip
