"""One booking in the side panel, and its two early ends: cancelled (B3) or on leave (B4)."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, abort, request, url_for

from app.db import db
from app.domain.audit import actions
from app.domain.bookings import cancel as cancelling
from app.domain.bookings import late, staff_queries
from app.domain.bookings import leave as leaving
from app.domain.bookings.cancel import Cancelled
from app.domain.bookings.errors import BookingNotFound
from app.domain.bookings.staff_queries import Detail
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web.bookings.blueprint import CHANGED, bp, class_time
from app.web.errors import status_of
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.bookings import ASK, KEEP, REFUND, CancelForm, LateRefundForm, LeaveForm
from app.web.forms_token import request_key
from app.web.permissions import can, current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger
from app.web.security import limit_money_forms


@bp.get("/bookings/<int:booking_id>")
@requires(Permission.FAMILY_VIEW)
def show(booking_id: int):
    """One booking: the class, the money, what may be done, and everything that happened to it."""
    return render("bookings/booking.html", "bookings/_panel.html", **detail_context(booking_id))


@bp.get("/bookings/<int:booking_id>/cancel")
@requires(Permission.BOOKING_MAKE)
def cancel(booking_id: int):
    """What cancelling does now, before it is done (U16)."""
    return _cancel_page(booking_id, CancelForm(formdata=None))


@bp.post("/bookings/<int:booking_id>/cancel")
@requires(Permission.BOOKING_MAKE)
def submit_cancel(booking_id: int):
    """Cancel it, or ask a second person to give the money back late."""
    form = CancelForm()
    return _act(form, booking_id, lambda: _cancel(booking_id, form), _cancel_page)


@bp.get("/bookings/<int:booking_id>/leave")
@requires(Permission.BOOKING_MAKE)
def leave(booking_id: int):
    """What leave does, before it is taken."""
    return _leave_page(booking_id, LeaveForm(formdata=None))


@bp.post("/bookings/<int:booking_id>/leave")
@requires(Permission.BOOKING_MAKE)
def submit_leave(booking_id: int):
    """Take leave for the parent."""
    form = LeaveForm()
    return _act(form, booking_id, lambda: _leave(booking_id, form), _leave_page)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _act(form, booking_id: int, act: Callable[[], str], again: Callable[..., Response]) -> Response:
    """Do it and show the booking as it now is; what was refused comes back in the form as it was filled in."""
    limit_money_forms()
    try:
        said = act()
    except (Invalid, Conflict, Forbidden) as error:
        db.session.rollback()
        return again(booking_id, form, error)
    return shown(booking_id, said)


def _cancel(booking_id: int, form: CancelForm) -> str:
    actor, reason, money = current_actor(), form.reason.data or "", request.form.get("money")
    key = request_key("bookings.cancel", form, present=lambda _done: _location(booking_id))
    if money == ASK:
        late.ask(booking_id=booking_id, reason=reason, actor=actor, request_key=key)
        return "已提交逾时退款，等待另一位同事复核，预约暂时保留"
    if money not in (None, KEEP, REFUND):
        raise Invalid.field("money", "请说明是否退款")
    done: Cancelled = cancelling.cancel(
        booking_id=booking_id, actor=actor, reason=reason, request_key=key,
        late_refund=None if money is None else money == REFUND,
    )  # fmt: skip
    if done.refund:
        return f"已取消预约，退回 {money_text(done.refund)}，余额 {money_text(done.balance)}"
    return "已取消预约，没有退款"


def _leave(booking_id: int, form: LeaveForm) -> str:
    key = request_key("bookings.leave", form, present=lambda _done: _location(booking_id))
    leaving.take_leave(booking_id=booking_id, actor=current_actor(), reason=form.reason.data or "", request_key=key)
    detail = _detail(booking_id)
    return f"已为 {detail.line.row.student} 请假 {class_time(detail.line.session.starts_at)}，保留一次待补课"


def _cancel_page(booking_id: int, form: CancelForm, error: DomainError | None = None) -> Response:
    """Late, `refund` is how this person may give the money back: not at all, at once, or through a colleague."""
    detail = _detail(booking_id)
    ending, refund = detail.ending, None
    if ending.paid and can(Permission.LATE_REFUND) and not detail.own_family and not detail.waiting:
        refund = ASK if ending.needs_second else REFUND
    return _form_page("cancel", detail, form, error, refund=refund)


def _leave_page(booking_id: int, form: LeaveForm, error: DomainError | None = None) -> Response:
    days = policy.get("makeup_credit_ttl").days
    return _form_page("leave", _detail(booking_id), form, error, credit_days=days)


def _form_page(name: str, detail: Detail, form, error: DomainError | None, **context) -> Response:
    if isinstance(error, Invalid):
        refusal.take(form, error)
        error = None
    http = 200 if error is None and not form.errors and not form.form_errors else 422
    return render(
        f"bookings/{name}.html", f"bookings/_{name}.html", status=status_of(error) if error else http, detail=detail,
        form=form, error=error, **context,
    )  # fmt: skip


def _detail(booking_id: int) -> Detail:
    found = staff_queries.detail(booking_id, current_actor())
    if found is None:
        raise BookingNotFound
    return found


def _location(booking_id: int) -> dict:
    return {"location": url_for("bookings.show", booking_id=booking_id)}


def shown(booking_id: int, said: str, fragment: str = "bookings/_panel.html") -> Response:
    """After a write: the booking as it now is, and the sentence of what was done."""
    response = redirect_or_fragment(_location(booking_id)["location"], fragment, **detail_context(booking_id))
    trigger(response, CHANGED)
    return toast(response, said)


def detail_context(booking_id: int) -> dict:
    """What the booking's templates need. Aborts with 404 for one that does not exist."""
    detail = staff_queries.detail(booking_id, current_actor())
    if detail is None:
        abort(404)
    return {"detail": detail, "actions": actions, "error": None, "form": LateRefundForm(formdata=None)}
