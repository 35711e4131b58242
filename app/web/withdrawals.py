"""提现: what parents asked to have back, and the two persons who approve and pay it out (U5, W21)."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, abort, url_for

from app.domain.audit import actions
from app.domain.people import proof
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.withdrawals import deciding, queries, rules
from app.domain.withdrawals.queries import WithdrawalFilter
from app.paging import capped_count
from app.web.choosing import choosable
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms.desk import KeptFile, keep_uploads, kept_files
from app.web.forms.orders import NoteForm
from app.web.forms.withdrawals import PayForm
from app.web.forms_token import request_key
from app.web.labels import LABELS, word
from app.web.orders.deciding import decided
from app.web.permissions import current_actor, requires
from app.web.rendering import render

bp = Blueprint("withdrawals", __name__)

#: browsers are told when a withdrawal changed, so that lists behind the side panel look again
CHANGED = "desk:withdrawal-changed"
_METHODS = [(method, word("payment_method", method)) for method in rules.METHODS]


@bp.get("/withdrawals")
@requires(Permission.WITHDRAWAL_VIEW)
def index():
    """Every withdrawal, newest first; those that somebody must deal with by `status=open`."""
    asked = _asked()
    page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
    return render("withdrawals/index.html", "withdrawals/_list.html", page=page, asked=asked, methods=_METHODS,
                  pages=page_links(page, "withdrawals.index"), total=capped_count(queries.select(asked)),
                  filtered=asked != WithdrawalFilter())  # fmt: skip


@bp.get("/withdrawals/<int:withdrawal_id>")
@requires(Permission.WITHDRAWAL_VIEW)
def show(withdrawal_id: int):
    """One withdrawal: what it moved, receipts, history, and what may be done."""
    return render("withdrawals/withdrawal.html", "withdrawals/_panel.html", **_context(withdrawal_id))


@bp.post("/withdrawals/<int:withdrawal_id>/approve")
@requires(Permission.WITHDRAWAL_APPROVE)
def approve(withdrawal_id: int):
    """Yes: somebody else pays it out."""
    form = NoteForm()

    def act() -> str:
        deciding.approve(withdrawal_id=withdrawal_id, **_by("withdrawals.approve", form))
        return "已批准，等待另一位同事打款"

    return _decided(withdrawal_id, act)


@bp.post("/withdrawals/<int:withdrawal_id>/reject")
@requires(Permission.WITHDRAWAL_APPROVE)
def reject(withdrawal_id: int):
    """No, and why; the money returns to the wallet."""
    form = NoteForm()

    def act() -> str:
        deciding.reject(withdrawal_id=withdrawal_id, note=form.note.data or "", **_by("withdrawals.reject", form))
        return "已驳回，金额已退回钱包"

    return _decided(withdrawal_id, act, rejecting=form)


@bp.post("/withdrawals/<int:withdrawal_id>/pay")
@requires(Permission.WITHDRAWAL_PAY)
def pay(withdrawal_id: int):
    """The parent has the money: how, and the receipt. Files that came with a form that is refused stay with it."""
    form, kept = PayForm(), kept_files()

    def act() -> str:
        proof.require_recent(current_actor())
        given = keep_uploads(kept)
        deciding.pay(
            withdrawal_id=withdrawal_id, method=form.method.data or "", external_no=form.external_no.data,
            note=form.note.data or "", receipts_given=given, **_by("withdrawals.pay", form),
        )  # fmt: skip
        return "已登记打款，并通知家长"

    return _decided(withdrawal_id, act, kept=kept, paying=form)


@bp.post("/withdrawals/<int:withdrawal_id>/fail")
@requires(Permission.WITHDRAWAL_PAY)
def fail(withdrawal_id: int):
    """It could not be paid out; the money returns to the wallet."""
    form = NoteForm()

    def act() -> str:
        deciding.fail(withdrawal_id=withdrawal_id, note=form.note.data or "", **_by("withdrawals.fail", form))
        return "已登记打款失败，金额已退回钱包"

    return _decided(withdrawal_id, act, failing=form)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _asked() -> WithdrawalFilter:
    return WithdrawalFilter(
        status=choice_arg("status", LABELS["withdrawal_status"]), method=choice_arg("method", rules.METHODS),
        family_id=int_arg("family"), date_from=date_arg("from"), date_to=date_arg("to"),
    )  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    words = in_words(asked, status="withdrawal_status", method="payment_method")
    return Taking(queries.every(asked), words, asked.family_id)


offer("withdrawals", "提现", Permission.WITHDRAWAL_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("申请时间", "created_at", Kind.TIME),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"), Column("申请人", "parent_name"),
    Column("金额", "amount", Kind.MONEY), Column("原因", "reason"), labelled("状态", "status", "withdrawal_status"),
    Column("批准人", "approved_by_name"), Column("批准时间", "approved_at", Kind.TIME),
    Column("打款人", "paid_by_name"), labelled("打款方式", "method", "payment_method"),
    Column("转账单号", "external_no"), Column("凭证数", "receipt_count", Kind.NUMBER),
    Column("说明", "decision_note"), Column("处理时间", "decided_at", Kind.TIME),
))  # fmt: skip


choosable("withdrawals-approve", lambda: queries.select(_asked()), "withdrawals.index",
          lambda key: url_for("withdrawals.show", withdrawal_id=key))  # fmt: skip


def _by(name: str, form: NoteForm | PayForm) -> dict:
    text = form.version.data or ""
    version = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
    return {"actor": current_actor(), "version": version, "request_key": request_key(name, form)}


def _decided(withdrawal_id: int, act: Callable[[], str], kept: list[KeptFile] | None = None, **forms) -> Response:
    """Do it and show the withdrawal as it now is."""
    return decided(
        act, lambda: _context(withdrawal_id, kept), url=url_for("withdrawals.show", withdrawal_id=withdrawal_id),
        page="withdrawals/withdrawal.html", fragment="withdrawals/_detail.html", changed=CHANGED, **forms,
    )  # fmt: skip


def _context(withdrawal_id: int, kept: list[KeptFile] | None = None) -> dict:
    detail = queries.detail(withdrawal_id, current_actor())
    if detail is None:
        abort(404)
    return {
        "detail": detail, "actions": actions, "error": None, "kept": kept or [],
        "max_bytes": policy.get("receipt_max_bytes"),
        "rejecting": NoteForm(formdata=None), "failing": NoteForm(formdata=None), "paying": PayForm(formdata=None),
    }  # fmt: skip
