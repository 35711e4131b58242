"""One student's credits and compensation minutes, with their history, and giving or taking minutes (M8, M9)."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, request, url_for

from app.db import db
from app.domain.makeups import desk_queries, manage, queries
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Conflict, DomainError, Invalid
from app.web.errors import status_of
from app.web.filter_args import int_arg
from app.web.forms import refusal
from app.web.forms.makeups import MinutesForm
from app.web.forms_token import request_key
from app.web.makeups.blueprint import CHANGED, bp
from app.web.permissions import current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger

#: credits and changes of minutes shown at once
SHOWN = 10


@bp.get("/makeups/students/<int:profile_id>")
@requires(Permission.FAMILY_VIEW)
def student(profile_id: int):
    """The student's card as a page of its own; on the family's tab there is one for each."""
    return render("makeups/student.html", "makeups/_student.html", **card(profile_id, before=int_arg("before")))


@bp.post("/makeups/students/<int:profile_id>/minutes")
@requires(Permission.MAKEUP_MANAGE)
def adjust(profile_id: int):
    """Give minutes, or take some."""
    context, form = card(profile_id), MinutesForm()
    if not form.validate():
        return _refused(context, form)
    try:
        left = manage.adjust_minutes(
            profile_id=profile_id, minutes=form.signed, reason=form.reason.data or "", actor=current_actor(),
            request_key=request_key("makeups.minutes", form, present=lambda _done: _back(context["family_id"])),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        db.session.rollback()
        return _refused(card(profile_id), form, error)
    location = _back(context["family_id"])["location"]
    response = redirect_or_fragment(location, "makeups/_student.html", **card(profile_id))
    return toast(trigger(response, CHANGED), f"已调整 {context['name']} 的课时补偿，现有 {left} 分钟")


def card(profile_id: int, *, before: int | None = None) -> dict[str, Any]:
    """What the card shows."""
    who = desk_queries.student(profile_id)
    if who is None:
        abort(404)
    lots, history = queries.lots(profile_id), queries.history(profile_id, before=before, limit=SHOWN)
    credits = queries.of_family(who.family_id, profile_id=profile_id, limit=SHOWN)
    return {
        "profile_id": profile_id, "name": who.name, "family_id": who.family_id, "family": who.family,
        "active": who.active, "lots": lots, "balance": sum(lot.minutes_left for lot in lots),
        "history": history[:SHOWN], "older": history[SHOWN - 1].id if len(history) > SHOWN else None,
        "credits": credits[:SHOWN], "more_credits": len(credits) > SHOWN, "form": MinutesForm(formdata=None),
        "unit": policy.get("compensation_unit").total_seconds() // 60, "most": manage.MOST_MINUTES, "before": before,
        "soon": policy.get("compensation_reminder"), "adjusting": request.method == "POST",
    }  # fmt: skip


def _refused(context: dict[str, Any], form: MinutesForm, error: DomainError | None = None) -> Response:
    if error is not None:
        refusal.take(form, error)
    status = 422 if error is None else status_of(error)
    return render("makeups/student.html", "makeups/_student.html", status=status,
                  **context | {"form": form, "refused": True})  # fmt: skip


def _back(family_id: int) -> dict[str, str]:
    return {"location": url_for("families.makeups", family_id=family_id)}
