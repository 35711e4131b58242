"""Booking from the class roll (B8): find the student, see what it will do, one button; then the roll again."""

from __future__ import annotations

from decimal import Decimal

from flask import Response, abort, request, url_for

from app import money
from app.db import db
from app.domain.bookings import candidates, place, staff_choices
from app.domain.bookings.candidates import Candidate
from app.domain.bookings.errors import PriceChanged
from app.domain.bookings.place import Booked
from app.domain.bookings.staff_choices import Plan
from app.domain.people.roles import Permission
from app.domain.search import queries as search
from app.errors import Conflict, DomainError, Invalid
from app.text import clean
from app.web.errors import status_of
from app.web.filter_args import int_arg
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.bookings import BookForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import render
from app.web.schedule.blueprint import bp
from app.web.schedule.roll import found, shown
from app.web.security import limit_money_forms

#: families whose students are offered for what was typed
FAMILIES = 8


@bp.get("/schedule/<int:schedule_id>/book")
@requires(Permission.BOOKING_MAKE)
def book(schedule_id: int):
    """Find the student; once one is chosen, what booking will do."""
    session = found(schedule_id)
    chosen = int_arg("student")
    if chosen is not None:
        return _confirm(schedule_id, _candidate(chosen, schedule_id), None)
    query = clean(request.args.get("q"), 64)
    families = [hit.family_id for hit in search.find(query, limit=FAMILIES)] if query else []
    fragment = "schedule/_students.html" if request.headers.get("HX-Target") == "students-found" else None
    return render("schedule/book.html", fragment or "schedule/_book.html", session=session, query=query, plan=None,
                  students=candidates.of_families(families, schedule_id))  # fmt: skip


@bp.post("/schedule/<int:schedule_id>/book")
@requires(Permission.BOOKING_MAKE)
def submit_booking(schedule_id: int):
    """Book it. What is refused comes back with the reason, and with other classes where this one is full."""
    limit_money_forms()
    form = BookForm()
    text = form.student.data or ""
    chosen = _candidate(int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0, schedule_id)
    try:
        price = money.parse(form.price.data or "", name="price")
        done = place.book(
            schedule_id=schedule_id, profile_id=chosen.profile_id, actor=current_actor(), price=price,
            override_reason=form.override_reason.data if "override" in request.form else None,
            request_key=request_key("schedule.book", form, present=lambda _done: _location(schedule_id)),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _confirm(schedule_id, chosen, form, error)
    return shown(schedule_id, _said(chosen, price, done), link=url_for("families.show", family_id=chosen.family_id))


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _candidate(profile_id: int, schedule_id: int) -> Candidate:
    chosen = candidates.one(profile_id, schedule_id)
    if chosen is None:
        abort(404)
    return chosen


def _confirm(schedule_id: int, chosen: Candidate, form: BookForm | None, error: DomainError | None = None) -> Response:
    """What booking this student will do now; after a refusal with its reason."""
    db.session.rollback()
    pupil = next((one for one in staff_choices.pupils(chosen.family_id) if one.id == chosen.profile_id), None)
    plan = staff_choices.plan(pupil, schedule_id, family_id=chosen.family_id) if pupil else None
    if plan is None:
        abort(404)
    form = form or BookForm(formdata=None)
    form.student.data, form.price.data = str(pupil.id), money.plain(plan.session.price)
    if isinstance(error, Invalid):
        refusal.take(form, error)
    said = error if error is not None and not isinstance(error, Invalid) and not _said_by(plan, error) else None
    return render(
        "schedule/book.html", "schedule/_book.html", status=200 if error is None else status_of(error),
        session=plan.session, chosen=chosen, plan=plan, form=form, refused=said, query="", students=[],
        price_changed=isinstance(error, PriceChanged),
    )  # fmt: skip


def _said_by(plan: Plan, error: DomainError) -> bool:
    """Whether the confirmation says this refusal already."""
    return any(one is not None and one.code == error.code for one in (plan.refusal, plan.unpaid))


def _location(schedule_id: int) -> dict[str, str]:
    return {"location": url_for("schedule.show", schedule_id=schedule_id)}


def _said(chosen: Candidate, price: Decimal, done: Booked) -> str:
    paid = f"扣费 {money_text(price)}，余额 {money_text(done.balance)}" if price else "不收费"
    return f"已为 {chosen.name}（{chosen.family}）预约，{paid}"
