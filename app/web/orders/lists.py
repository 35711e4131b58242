"""订单: the list with its filters, one order in full, and asking WeChat about it (O23, U5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Response, abort, request, url_for

from app.db import db
from app.domain.audit import actions
from app.domain.desk import queries as desk
from app.domain.orders import desk_queries, desk_refunds
from app.domain.orders.desk_queries import OrderFilter
from app.domain.people import belonging
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Invalid, Unavailable
from app.flows import payments
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links, text_arg
from app.web.forms import refusal
from app.web.forms.desk import KeptFile
from app.web.forms.orders import HandForm, NoteForm, QuestionForm
from app.web.labels import LABELS
from app.web.orders import deciding
from app.web.orders.blueprint import bp
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.security import limit_money_forms


@bp.get("/orders")
@requires(Permission.ORDER_VIEW)
def index():
    """Every trial order; filters live in the address."""
    return _list(QuestionForm(formdata=None))


@bp.get("/orders/<order_id>")
@requires(Permission.ORDER_VIEW)
def show(order_id: str):
    """One order with its holds, attempts, payments, refunds, and what may be done."""
    return render("orders/order.html", "orders/_panel.html", **detail_context(order_id))


@bp.post("/orders/<order_id>/ask")
@requires(Permission.ORDER_ASK)
def ask(order_id: str):
    """「向微信查单」: every number of the order that is not settled; only WeChat's word settles it (O23)."""
    before = detail_context(order_id)["detail"].line.status

    def do() -> str:
        after = payments.ask_now(order_id, current_actor())
        if after.status != before:
            return f"微信已答复，订单现在{after.status_text}"
        return f"微信已答复，没有变化：订单仍为{after.status_text}"

    return decided(order_id, do)


@bp.post("/orders/ask")
@requires(Permission.ORDER_ASK)
def ask_number():
    """The same by WeChat's number of a payment, for one that no order here shows."""
    limit_money_forms()
    form = QuestionForm()
    number = "".join((form.transaction_id.data or "").split())
    try:
        if not (number.isascii() and number.isdigit() and 10 <= len(number) <= 32):
            raise Invalid.field("transaction_id", "请填写微信账单里的交易单号，由 10 到 32 位数字组成")
        order_id = payments.ask_by_transaction(number, current_actor())
        if order_id is None:
            raise Invalid.field("transaction_id", "微信没有查到这笔付款，或这不是本店的成功付款")
    except (Invalid, Unavailable) as error:
        db.session.rollback()
        refusal.take(form, error)
        return _list(form, status_of(error))
    return toast(hx_redirect(url_for("orders.show", order_id=order_id)), "微信已确认这笔付款")


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _list(form: QuestionForm, http: int = 200) -> Response:
    asked = _asked()
    page = desk_queries.orders(asked, before=int_arg("before"), after=int_arg("after"))
    return render("orders/index.html", "orders/_list.html", status=http, page=page, asked=asked, question=form,
                  pages=page_links(page, "orders.index"), filtered=asked != OrderFilter())  # fmt: skip


def _asked() -> OrderFilter:
    return OrderFilter(
        status=choice_arg("status", LABELS["order_status"]), text=text_arg("q"), date_from=date_arg("from"),
        date_to=date_arg("to"), unseated=request.args.get("seat") == "none", family_id=int_arg("family"),
    )  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    return Taking(desk_queries.every(asked), in_words(asked, status="order_status"), asked.family_id)


offer("orders", "订单", Permission.ORDER_VIEW, _taken, (
    Column("订单号", "row.order_id"), Column("下单时间", "row.created_at", Kind.TIME),
    Column("家庭编号", "row.family_id", Kind.NUMBER), Column("家庭", "row.family_name"),
    Column("学员", "row.student"), Column("下单家长", "who"), Column("体验课", "session.course_name"),
    Column("上课时间", "session.starts_at", Kind.TIME), Column("金额", "row.amount", Kind.MONEY),
    Column("已退", "given_back", Kind.MONEY), labelled("状态", "status", "order_status"),
    Column("已付款未占座", "unseated", Kind.YES), Column("支付时间", "row.paid_at", Kind.TIME),
))  # fmt: skip


def detail_context(order_id: str, kept: Sequence[KeptFile] = ()) -> dict:
    """What the order's templates need; `kept` are files of a form that is shown again. Aborts with 404 for one that
    does not exist."""
    detail = desk_queries.detail(order_id)
    if detail is None:
        abort(404)
    return {
        "detail": detail, "refunds": desk_refunds.of_order(detail.line.id), "actions": actions, "error": None,
        "own_family": belonging.is_own(current_actor(), detail.line.row.family_id),
        "hand": HandForm(formdata=None), "note": NoteForm(formdata=None), "kept": kept,
        "receipts": desk.receipts_of("offline", *(entry.id for entry in detail.offline)),
        "max_bytes": policy.get("receipt_max_bytes"),
    }  # fmt: skip


def decided(order_id: str, act: Callable[[], str], kept: Sequence[KeptFile] = (), **forms) -> Response:
    """Do it and show the order as it now is."""
    return deciding.decided(
        act, lambda: detail_context(order_id, kept), url=url_for("orders.show", order_id=order_id),
        page="orders/order.html", fragment="orders/_detail.html", **forms,
    )  # fmt: skip
