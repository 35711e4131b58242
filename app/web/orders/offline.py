"""线下收款: a trial's 200.00 taken at the desk, and its confirmation by a second person (O23)."""

from __future__ import annotations

from flask import abort

from app.domain.orders import desk_queries
from app.domain.orders import offline as taking
from app.domain.people import proof
from app.domain.people.roles import Permission
from app.web.forms.desk import keep_uploads, kept_files
from app.web.forms.orders import HandForm, NoteForm
from app.web.forms_token import request_key
from app.web.orders.blueprint import bp
from app.web.orders.lists import decided
from app.web.permissions import current_actor, requires


@bp.post("/orders/<order_id>/offline")
@requires(Permission.ORDER_ASK)
def ask_offline(order_id: str):
    """Say that the money was taken; nothing is paid until another confirms it."""
    form, kept = HandForm(), kept_files()

    def ask() -> str:
        proof.require_recent(current_actor())
        taking.ask(
            order_id=order_id, method=form.method.data or "", external_no=form.external_no.data,
            receipts_given=keep_uploads(kept), note=form.note.data or "", actor=current_actor(),
            request_key=request_key("orders.offline", form),
        )  # fmt: skip
        return "已登记线下收款 ¥200.00，等待另一位同事确认"

    return decided(order_id, ask, kept, hand=form)


@bp.post("/orders/offline/<int:offline_id>/approve")
@requires(Permission.ORDER_CONFIRM)
def approve_offline(offline_id: int):
    """The second person saw the money: the order is paid."""
    form = NoteForm()

    def approve() -> str:
        done = taking.approve(offline_id=offline_id, actor=current_actor(),
                              request_key=request_key("orders.offline_approve", form))  # fmt: skip
        return "已确认收款，座位已订好" if done.booking_id else "已确认收款，但没有空位，已列入异常处理"

    return decided(_order_of(offline_id), approve)


@bp.post("/orders/offline/<int:offline_id>/reject")
@requires(Permission.ORDER_CONFIRM)
def reject_offline(offline_id: int):
    """The second person did not see it, and says why."""
    form = NoteForm()

    def reject() -> str:
        taking.reject(offline_id=offline_id, note=form.note.data or "", actor=current_actor(),
                      request_key=request_key("orders.offline_reject", form))  # fmt: skip
        return "已驳回线下收款，订单没有变化"

    return decided(_order_of(offline_id), reject, note=form)


@bp.post("/orders/offline/<int:offline_id>/withdraw")
@requires(Permission.ORDER_ASK)
def withdraw_offline(offline_id: int):
    """Whoever entered it takes it back."""
    form = NoteForm()

    def withdraw() -> str:
        taking.withdraw(offline_id=offline_id, actor=current_actor(),
                        request_key=request_key("orders.offline_withdraw", form))  # fmt: skip
        return "已撤回线下收款登记"

    return decided(_order_of(offline_id), withdraw)


def _order_of(offline_id: int) -> str:
    order_id = desk_queries.order_of_entry(offline_id)
    if order_id is None:
        abort(404)
    return order_id
