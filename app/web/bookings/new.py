"""Booking for a student of a family (B1, B2, B8): the student, the class, what it will do, one button."""

from __future__ import annotations

from decimal import Decimal

from flask import Response, abort, request, url_for

from app import money
from app.db import db
from app.domain.bookings import place, staff_choices
from app.domain.bookings.errors import PriceChanged
from app.domain.bookings.place import Booked
from app.domain.bookings.staff_choices import Plan, Pupil
from app.domain.ledger import queries as ledger_queries
from app.domain.people import family_queries
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Invalid
from app.web.bookings.blueprint import bp, class_time
from app.web.errors import status_of
from app.web.filter_args import date_arg, int_arg, text_arg
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.bookings import BookForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.security import limit_money_forms

#: classes of a list that are shown at once; a filter finds the rest
SHOWN = 60


@bp.get("/families/<int:family_id>/bookings/new")
@requires(Permission.BOOKING_MAKE)
def new(family_id: int):
    """Student, class and confirmation, as far as the address has chosen them."""
    pupil = _pupil(family_id, int_arg("student"))
    chosen = int_arg("session")
    plan = staff_choices.plan(pupil, chosen, family_id=family_id) if pupil and chosen else None
    return _page(family_id, pupil, plan, _form(plan))


@bp.post("/families/<int:family_id>/bookings/new")
@requires(Permission.BOOKING_MAKE)
def submit(family_id: int):
    """Book it. What is refused comes back with the reason, and with other classes where this one is full."""
    limit_money_forms()
    form = BookForm()
    student_id, schedule_id = _number(form.student.data), _number(form.session.data)
    pupil = next((one for one in staff_choices.pupils(family_id) if one.id == student_id), None)
    if pupil is None or schedule_id is None:
        abort(404)  # another family's student, or none that our form named
    try:
        price = _price(form)
        done = place.book(
            schedule_id=schedule_id, profile_id=pupil.id, actor=current_actor(), price=price,
            override_reason=form.override_reason.data if "override" in request.form else None,
            request_key=request_key("bookings.new", form, present=lambda _done: _back(family_id)),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _refused(family_id, pupil, schedule_id, form, error)
    return _done(family_id, pupil, schedule_id, price, done)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _pupil(family_id: int, student_id: int | None) -> Pupil | None:
    """The student of this family that was chosen; the only one needs no choosing."""
    found = staff_choices.pupils(family_id)
    if len(found) == 1:
        return found[0]
    return next((one for one in found if one.id == student_id), None)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


def _price(form: BookForm) -> Decimal:
    try:
        return money.parse(form.price.data)
    except Invalid:
        raise Invalid.field("price", "页面上的价格已失效，请核对下面的价格后再预约") from None


def _form(plan: Plan | None) -> BookForm:
    form = BookForm(formdata=None)
    if plan is not None:
        form.student.data, form.session.data = str(plan.pupil.id), str(plan.session.id)
        form.price.data = money.plain(plan.session.price)
    return form


def _refused(family_id: int, pupil: Pupil, schedule_id: int, form: BookForm, error: DomainError) -> Response:
    db.session.rollback()
    plan = staff_choices.plan(pupil, schedule_id, family_id=family_id)
    if plan is None:
        abort(404)
    form.price.data = money.plain(plan.session.price)  # what is confirmed next is what the page now says
    if isinstance(error, Invalid):
        refusal.take(form, error)
        error_said = None
    else:
        error_said = None if _said_by(plan, error) else error
    return _page(family_id, pupil, plan, form, error=error_said, http=status_of(error))


def _said_by(plan: Plan, error: DomainError) -> bool:
    """Whether the confirmation itself says this refusal already."""
    return any(found is not None and found.message == error.message for found in (plan.refusal, plan.unpaid))


def _page(
    family_id: int,
    pupil: Pupil | None,
    plan: Plan | None,
    form: BookForm,
    *,
    error: DomainError | None = None,
    http: int = 200,
) -> Response:
    family, wallet = family_queries.family_sheet(family_id), ledger_queries.staff_wallet(family_id)
    if family is None or wallet is None:
        abort(404)
    asked = {"type": text_arg("type"), "on": date_arg("day"), "coach_id": int_arg("coach")}
    return render(
        "bookings/new.html", "bookings/_new.html", status=http, family=family, wallet=wallet, pupil=pupil, plan=plan,
        pupils=staff_choices.pupils(family_id), form=form, error=error, shown=SHOWN, args=request.args,
        choices=staff_choices.choices(pupil, **asked) if pupil else None, filtered=any(asked.values()),
        price_changed=isinstance(error, PriceChanged),
    )  # fmt: skip


def _back(family_id: int) -> dict:
    return {"location": url_for("families.bookings", family_id=family_id)}


def _done(family_id: int, pupil: Pupil, schedule_id: int, price: Decimal, done: Booked) -> Response:
    plan = staff_choices.plan(pupil, schedule_id, family_id=family_id)
    paid = f"扣费 {money_text(price)}，余额 {money_text(done.balance)}" if price else "不收费"
    said = f"已为 {pupil.name} 预约 {class_time(plan.session.starts_at)} {plan.session.course_name}，{paid}"
    response = hx_redirect(_back(family_id)["location"])
    return toast(response, said, link=url_for("bookings.show", booking_id=done.booking_id))
