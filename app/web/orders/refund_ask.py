"""申请退款: of an order's payment, or of a booking that a wallet paid; said before it is done (O14, O18, U16)."""

from __future__ import annotations

from decimal import Decimal

from flask import Response, abort, request, url_for
from wtforms.fields.choices import SelectChoice

from app import money
from app.db import db
from app.domain.orders import desk_refunds, refund_rules, refunds
from app.domain.orders.desk_refunds import Subject
from app.domain.orders.models import RefundTo
from app.domain.orders.refund_rules import Wish
from app.domain.people import belonging, proof
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web.errors import status_of
from app.web.filter_args import text_arg
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.orders import RefundForm
from app.web.forms_token import request_key
from app.web.orders.blueprint import CHANGED, bp
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast, trigger
from app.web.security import limit_money_forms


@bp.get("/orders/<order_id>/refund")
@requires(Permission.REFUND_ASK)
def refund_order(order_id: str):
    """The form, filled with all that is left."""
    return _form(_of_order(order_id, text_arg("payment")), url_for("orders.refund_order", order_id=order_id))


@bp.post("/orders/<order_id>/refund")
@requires(Permission.REFUND_ASK)
def submit_refund_order(order_id: str):
    """Show what it will do; with `confirmed`, ask for it."""
    form = RefundForm()
    subject = _of_order(order_id, form.transaction_id.data or None)
    return _submit(form, subject, url_for("orders.refund_order", order_id=order_id), order_id=order_id,
                   transaction_id=subject.transaction_id)  # fmt: skip


@bp.get("/bookings/<int:booking_id>/refund")
@requires(Permission.REFUND_ASK)
def refund_booking(booking_id: int):
    """The same for a booking that a wallet paid."""
    return _form(_of_booking(booking_id), url_for("orders.refund_booking", booking_id=booking_id))


@bp.post("/bookings/<int:booking_id>/refund")
@requires(Permission.REFUND_ASK)
def submit_refund_booking(booking_id: int):
    """Show what it will do; with `confirmed`, ask for it."""
    here = url_for("orders.refund_booking", booking_id=booking_id)
    return _submit(RefundForm(), _of_booking(booking_id), here, booking_id=booking_id)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _of_order(order_id: str, transaction_id: str | None) -> Subject:
    if transaction_id is not None and not transaction_id.isascii():
        abort(404)
    subject = desk_refunds.of_payment(order_id, transaction_id)
    if subject is None:
        abort(404)
    return subject


def _of_booking(booking_id: int) -> Subject:
    subject = desk_refunds.of_wallet_booking(booking_id)
    if subject is None:
        abort(404)
    return subject


def _form(subject: Subject, here: str) -> Response:
    form = RefundForm(formdata=None)
    form.amount.data = money.plain(subject.left)
    form.refund_to.data = subject.ways[0]
    form.transaction_id.data = subject.transaction_id
    form.frees_seat.data = subject.seat
    return _page(form, subject, here)


def _submit(form: RefundForm, subject: Subject, here: str, **of) -> Response:
    limit_money_forms()
    try:
        wish = _wish(form, subject)
        if "confirmed" not in request.form:
            return _page(form, subject, here, wish=wish)
        refund_no = refunds.ask(
            amount=wish.amount, reason=wish.reason, note=wish.note, refund_to=wish.refund_to,
            frees_seat=wish.frees_seat, actor=current_actor(),
            request_key=request_key("refunds.ask", form, present=_made), **of,
        )  # fmt: skip
    except (Invalid, Conflict, Forbidden) as error:
        db.session.rollback()
        return _page(form, subject, here, error=error)
    response = hx_redirect(url_for("orders.refund", refund_no=refund_no))
    trigger(response, CHANGED)
    return toast(response, f"已申请退款 {money_text(wish.amount)}")


def _wish(form: RefundForm, subject: Subject) -> Wish:
    """What the person wants, as far as the form alone can tell. Raises Invalid."""
    proof.require_recent(current_actor())
    wish = refund_rules.checked_wish(
        amount=_amount(form), reason=form.reason.data or "", note=form.note.data,
        refund_to=form.refund_to.data or "", frees_seat=bool(form.frees_seat.data) and subject.seat,
    )  # fmt: skip
    if wish.refund_to not in subject.ways:
        said = "或".join(refund_rules.TO_TEXTS[way] for way in subject.ways)
        raise Invalid.field("refund_to", f"这笔钱不能{refund_rules.TO_TEXTS[wish.refund_to]}，请选择{said}")
    if wish.amount > subject.left:
        raise Invalid.field("amount", f"最多还可退 {money_text(subject.left)}")
    return wish


def _amount(form: RefundForm) -> Decimal:
    try:
        return money.parse(form.amount.data)
    except Invalid as error:
        raise Invalid.field("amount", error.message) from None


def _made(refund_no: str) -> dict:
    return {"location": url_for("orders.refund", refund_no=refund_no)}


def _page(
    form: RefundForm, subject: Subject, here: str, *, wish: Wish | None = None, error: DomainError | None = None
) -> Response:
    if isinstance(error, Invalid):
        refusal.take(form, error)
    if RefundTo.CASH in subject.ways:
        form.refund_to.description = "这笔钱是线下收的，不能由微信退回。"
    form.refund_to.choices = [SelectChoice(way, refund_rules.TO_TEXTS[way]) for way in subject.ways]
    return render(
        "orders/refund_new.html", "orders/_refund_new.html", status=status_of(error) if error else 200, form=form,
        subject=subject, here=here, wish=wish, error=None if isinstance(error, Invalid) else error,
        alone=wish is not None and wish.amount <= policy.get("refund_approval_from"),
        own_family=belonging.is_own(current_actor(), subject.family_id),
    )  # fmt: skip
