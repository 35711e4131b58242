"""退款: what was asked, who decides, how far WeChat is, and what a person does where it failed (O14–O16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Response, abort, url_for

from app.domain.audit import actions
from app.domain.desk import queries as desk
from app.domain.orders import desk_refunds, refund_hand, refund_progress
from app.domain.orders import refunds as asking
from app.domain.orders.desk_refunds import RefundFilter
from app.domain.orders.models import RefundStatus, RefundTo
from app.domain.people import proof
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.flows import refunds as flow
from app.web.choosing import choosable
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms.desk import KeptFile, keep_uploads, kept_files
from app.web.forms.orders import HandForm, NoteForm
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.orders import deciding
from app.web.orders.blueprint import bp
from app.web.permissions import current_actor, requires
from app.web.rendering import render

#: WeChat's states of a refund
WECHAT_WORDS = {"SUCCESS": "退款成功", "PROCESSING": "退款处理中", "ABNORMAL": "退款异常", "CLOSED": "退款已关闭"}


@bp.get("/refunds")
@requires(Permission.ORDER_VIEW)
def refund_list():
    """Every refund; those that wait for a second person by `status=requested`."""
    asked = _asked()
    page = desk_refunds.refunds(asked, before=int_arg("before"), after=int_arg("after"))
    return render("orders/refunds.html", "orders/_refunds.html", page=page, asked=asked, me=current_actor().id,
                  to_pay_out=desk_refunds.to_pay_out(), pages=page_links(page, "orders.refund_list"),
                  filtered=asked != RefundFilter())  # fmt: skip


@bp.get("/refunds/<refund_no>")
@requires(Permission.ORDER_VIEW)
def refund(refund_no: str):
    """One refund with its tries, and the decision about it."""
    return render("orders/refund.html", "orders/_refund_panel.html", **_context(refund_no))


@bp.post("/refunds/<refund_no>/approve")
@requires(Permission.REFUND_APPROVE)
def approve_refund(refund_no: str):
    """The second person says yes."""
    form = NoteForm()

    def approve() -> str:
        status = asking.approve(refund_no=refund_no, version=_version(form), **_by("refunds.approve", form))
        if status == RefundStatus.SUCCEEDED:
            return "已批准，已退到钱包"
        by_wechat = refund_progress.goes_by_wechat(refund_no)
        return "已批准，正在提交微信退款" if by_wechat else "已批准，请把现金当面退给家长后登记"

    return _decided(refund_no, approve)


@bp.post("/refunds/<refund_no>/reject")
@requires(Permission.REFUND_APPROVE)
def reject_refund(refund_no: str):
    """The second person says no, and why."""
    form = NoteForm()

    def reject() -> str:
        asking.reject(refund_no=refund_no, note=form.note.data or "", version=_version(form),
                      **_by("refunds.reject", form))  # fmt: skip
        return "已驳回退款申请"

    return _decided(refund_no, reject, note=form)


@bp.post("/refunds/<refund_no>/withdraw")
@requires(Permission.REFUND_ASK)
def withdraw_refund(refund_no: str):
    """Whoever asked takes it back."""
    form = NoteForm()

    def withdraw() -> str:
        asking.withdraw(refund_no=refund_no, version=_version(form), **_by("refunds.withdraw", form))
        return "已撤回退款申请"

    return _decided(refund_no, withdraw)


@bp.post("/refunds/<refund_no>/ask")
@requires(Permission.CASE_SETTLE)
def ask_refund(refund_no: str):
    """「向微信查询」: WeChat's word on it, acted upon."""

    def ask() -> str:
        status = flow.ask_now(refund_no)
        return "微信没有这笔退款的记录" if status is None else f"微信已答复：{WECHAT_WORDS.get(status, status)}"

    _context(refund_no)
    return _decided(refund_no, ask)


@bp.post("/refunds/<refund_no>/retry")
@requires(Permission.CASE_SETTLE)
def retry_refund(refund_no: str):
    """Send it to WeChat once more, under the same number (O15)."""
    form = NoteForm()

    def retry() -> str:
        refund_hand.retry(refund_no=refund_no, version=_version(form), **_by("refunds.retry", form))
        return "已重新提交，仍用原退款单号，不会重复退款"

    return _decided(refund_no, retry)


@bp.post("/refunds/<refund_no>/pay-out")
@requires(Permission.CASE_SETTLE)
def pay_out_refund(refund_no: str):
    """The money was given back by hand."""
    form, kept = HandForm(), kept_files()

    def pay_out() -> str:
        proof.require_recent(current_actor())
        flow.pay_out(
            refund_no=refund_no, method=form.method.data or "", external_no=form.external_no.data,
            receipts_given=keep_uploads(kept), note=form.note.data or "", version=_version(form),
            **_by("refunds.pay_out", form),
        )  # fmt: skip
        return "已登记人工退款，并通知家长"

    return _decided(refund_no, pay_out, kept, hand=form)


@bp.post("/refunds/<refund_no>/close")
@requires(Permission.CASE_SETTLE)
def close_refund(refund_no: str):
    """Give it up: nothing was paid, and the amount may be asked for again."""
    form = NoteForm()

    def close() -> str:
        flow.close(refund_no=refund_no, note=form.note.data or "", version=_version(form),
                          **_by("refunds.close", form))  # fmt: skip
        return "已关闭这笔退款，金额可重新申请"

    return _decided(refund_no, close, closing=form)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _asked() -> RefundFilter:
    return RefundFilter(
        status=choice_arg("status", LABELS["refund_status"]), refund_to=choice_arg("to_where", LABELS["refund_to"]),
        date_from=date_arg("from"), date_to=date_arg("to"), family_id=int_arg("family"),
    )  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    words = in_words(asked, status="refund_status", refund_to="refund_to")
    return Taking(desk_refunds.every(asked), words, asked.family_id)


choosable("refunds-approve", lambda: desk_refunds.select(_asked()), "orders.refund_list",
          lambda key: url_for("orders.refund", refund_no=key))  # fmt: skip
offer("refunds", "退款", Permission.ORDER_VIEW, _taken, (
    Column("退款单号", "refund_no"), Column("申请时间", "created_at", Kind.TIME),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("项目", lambda row: row.description or f"预约 #{row.booking_id}"), Column("订单号", "order_no"),
    Column("微信交易单号", "transaction_id"), Column("金额", "amount", Kind.MONEY),
    labelled("退到", "refund_to", "refund_to"), labelled("人工方式", "paid_out_method", "payment_method"),
    labelled("建议", "verdict", "verdict"), Column("原因", "reason"), labelled("状态", "status", "refund_status"),
    Column("说明", "error"), Column("申请人", "asked_by_name"), Column("处理人", "decided_by_name"),
))  # fmt: skip


def _by(name: str, form) -> dict:
    return {"actor": current_actor(), "request_key": request_key(name, form)}


def _version(form) -> int | None:
    text = form.version.data or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _decided(refund_no: str, act: Callable[[], str], kept: Sequence[KeptFile] = (), **forms) -> Response:
    """Do it and show the refund as it now is."""
    return deciding.decided(
        act, lambda: _context(refund_no, kept), url=url_for("orders.refund", refund_no=refund_no),
        page="orders/refund.html", fragment="orders/_refund.html", **forms,
    )  # fmt: skip


def _context(refund_no: str, kept: Sequence[KeptFile] = ()) -> dict:
    detail = desk_refunds.detail(refund_no, current_actor())
    if detail is None:
        abort(404)
    hand = HandForm(formdata=None, method="cash" if detail.row.refund_to == RefundTo.CASH else None)
    forms = {"note": NoteForm(formdata=None), "closing": NoteForm(formdata=None), "hand": hand}
    return {
        "detail": detail, "actions": actions, "error": None, "wechat_words": WECHAT_WORDS, "kept": kept,
        "receipts": desk.receipts_of("refund", detail.row.id), "max_bytes": policy.get("receipt_max_bytes"), **forms,
    }  # fmt: skip
