"""逾时退款: refunds after the cutoff that wait for a second person (B3, P10). Each decision is a form post."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, abort, request

from app.db import db
from app.domain.bookings import late, staff_queries
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web import labels
from app.web.bookings.blueprint import bp
from app.web.bookings.ending import detail_context, shown
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.bookings import LateRefundForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import render
from app.web.security import limit_money_forms

ALL = "all"


@bp.get("/late-refunds")
@requires(Permission.LATE_REFUND_VIEW)
def late_refunds():
    """What waits for a second person; with a filter also what was decided."""
    asked = _asked()
    page = staff_queries.late_refunds(
        status=None if asked == ALL else asked, before=int_arg("before"), after=int_arg("after")
    )
    return render("bookings/late_refunds.html", "bookings/_late_refunds.html", page=page, asked=asked, every=ALL,
                  pages=page_links(page, "bookings.late_refunds"), me=current_actor().id)  # fmt: skip


@bp.post("/late-refunds/<int:request_id>/approve")
@requires(Permission.LATE_REFUND)
def approve_late_refund(request_id: int):
    """The second person says yes: the booking ends and the money goes back."""
    form = LateRefundForm()

    def approve() -> str:
        done = late.approve(request_id=request_id, actor=current_actor(),
                            request_key=request_key("bookings.late_approve", form))  # fmt: skip
        return f"已批准，退回 {money_text(done.refund)}，余额 {money_text(done.balance)}"

    return _decided(request_id, form, approve)


@bp.post("/late-refunds/<int:request_id>/reject")
@requires(Permission.LATE_REFUND)
def reject_late_refund(request_id: int):
    """The second person says no, and why; the booking stays."""
    form = LateRefundForm()

    def reject() -> str:
        late.reject(request_id=request_id, note=form.note.data or "", actor=current_actor(),
                    request_key=request_key("bookings.late_reject", form))  # fmt: skip
        return "已驳回退款申请，预约保留"

    return _decided(request_id, form, reject)


@bp.post("/late-refunds/<int:request_id>/withdraw")
@requires(Permission.LATE_REFUND)
def withdraw_late_refund(request_id: int):
    """Whoever asked takes it back."""
    form = LateRefundForm()

    def withdraw() -> str:
        late.withdraw(request_id=request_id, actor=current_actor(),
                      request_key=request_key("bookings.late_withdraw", form))  # fmt: skip
        return "已撤回退款申请，预约保留"

    return _decided(request_id, form, withdraw)


def _asked() -> str:
    return choice_arg("status", (*labels.LABELS["late_refund_status"], ALL)) or "pending"


def _taken() -> Taking:
    status = None if _asked() == ALL else _asked()
    return Taking(staff_queries.every_late_refund(status), in_words({"status": status}, status="late_refund_status"))


offer("late-refunds", "逾时退款", Permission.LATE_REFUND_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("申请时间", "row.asked_at", Kind.TIME),
    Column("家庭编号", "row.family_id", Kind.NUMBER), Column("家庭", "row.family_name"),
    Column("学员", "row.student"), Column("课程", "session.course_name"),
    Column("上课时间", "session.starts_at", Kind.TIME), Column("金额", "row.amount", Kind.MONEY),
    Column("原因", "row.reason"), labelled("状态", "row.status", "late_refund_status"),
    Column("申请人", "row.asked_by_name"), Column("处理人", "row.decided_by_name"),
    Column("处理时间", "row.decided_at", Kind.TIME),
))  # fmt: skip


def _decided(request_id: int, form: LateRefundForm, act: Callable[[], str]) -> Response:
    """Do it and show the booking; what was refused is said above it, as it now is."""
    limit_money_forms()
    booking_id = staff_queries.booking_of(request_id)
    if booking_id is None:
        abort(404)
    try:
        said = act()
    except (Invalid, Conflict, Forbidden) as error:
        return _refused(booking_id, form, error)
    return shown(booking_id, said, "bookings/_detail.html")


def _refused(booking_id: int, form: LateRefundForm, error: DomainError) -> Response:
    db.session.rollback()
    context = detail_context(booking_id)
    if isinstance(error, Invalid):
        refusal.take(form, error)
        context["form"] = form
    else:
        context["error"] = error
    context["typed_note"] = request.form.get("note", "")[:500]
    return render("bookings/booking.html", "bookings/_detail.html", status=status_of(error), **context)
