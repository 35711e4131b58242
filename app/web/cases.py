"""异常处理: everything in money that a person must settle, since when, and the few right actions (O19)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, abort, request, url_for

from app import clock
from app.db import db
from app.domain.audit import actions
from app.domain.cases import queries, rules
from app.domain.cases.models import CaseStatus
from app.domain.cases.queries import CaseFilter
from app.domain.orders import resolve, seat_choices
from app.domain.people.roles import Permission
from app.domain.reconcile import queries as reconcile
from app.domain.reports import home
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web.context import register_count
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.filters import duration
from app.web.forms import refusal
from app.web.forms.orders import NoteForm
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.permissions import can, current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger
from app.web.security import limit_money_forms

bp = Blueprint("cases", __name__)

register_count("cases", lambda _person: queries.open_count())

#: browsers are told when a case was settled, so that the board behind the side panel looks again
CHANGED = "desk:case-changed"


@bp.app_template_filter("case_age")
def case_age(opened_at: datetime) -> tuple[str, str]:
    """How long it has waited in words, and how urgent that is."""
    waited = clock.now() - opened_at
    tone = "danger" if waited >= rules.VERY_LATE else "waiting" if waited >= rules.LATE else "plain"
    seconds = int(waited.total_seconds())
    return duration(seconds - seconds % 60) if seconds >= 60 else "刚刚", tone


@bp.get("/exceptions")
@requires(Permission.CASE_VIEW)
def index():
    """What waits, the longest first, with its age; what was settled under its filter."""
    asked = _asked()
    page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
    receipts = home.receipts_missing() if can(Permission.ADJUSTMENT_VIEW) else 0
    differing = reconcile.open_count() if can(Permission.RECONCILE_VIEW) else 0
    return render("cases/index.html", "cases/_board.html", page=page, asked=asked, counts=queries.counts(), rules=rules,
                  pages=page_links(page, "cases.index"), receipts=receipts, differing=differing)  # fmt: skip


@bp.get("/exceptions/<int:case_id>")
@requires(Permission.CASE_VIEW)
def show(case_id: int):
    """One case: what happened, what to do, and what was done."""
    return render("cases/case.html", "cases/_panel.html", **_context(case_id))


@bp.post("/exceptions/<int:case_id>/note")
@requires(Permission.CASE_SETTLE)
def settle(case_id: int):
    """Take it off the board with a sentence on what was done."""
    form = NoteForm()

    def note() -> str:
        resolve.settle_with_note(case_id=case_id, note=form.note.data or "", actor=current_actor(),
                                 request_key=request_key("cases.settle", form))  # fmt: skip
        return "已处理，不再列在异常里"

    return _decided(case_id, note, form)


@bp.post("/exceptions/<int:case_id>/reseat")
@requires(Permission.CASE_SETTLE)
def reseat(case_id: int):
    """Give a payment without a seat one."""
    form, order_id = NoteForm(), _case(case_id).order_id
    if order_id is None:
        abort(404)

    def seat() -> str:
        chosen = request.form.get("session", "")
        if not (chosen.isascii() and chosen.isdigit() and len(chosen) <= 18):
            raise Invalid.field("session", "请选择要补排的体验课")
        resolve.reseat(order_id=order_id, schedule_id=int(chosen), actor=current_actor(),
                       request_key=request_key("cases.reseat", form))  # fmt: skip
        return "已补排座位，并通知家长"

    return _decided(case_id, seat, form)


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _asked() -> CaseFilter:
    status = choice_arg("status", LABELS["case_status"]) or CaseStatus.OPEN
    return CaseFilter(status=status, kind=choice_arg("kind", LABELS["case_kind"]), family_id=int_arg("family"))


def _taken() -> Taking:
    asked = _asked()
    return Taking(queries.every(asked), in_words(asked, status="case_status", kind="case_kind"), asked.family_id)


offer("exceptions", "异常处理", Permission.CASE_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("发生时间", "opened_at", Kind.TIME),
    labelled("种类", "kind", "case_kind"), Column("说明", "title"), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), Column("金额", "amount", Kind.MONEY), Column("订单号", "order_id"),
    Column("退款单号", "refund_no"), Column("办法", lambda row: rules.GUIDES[row.kind].advice),
    labelled("状态", "status", "case_status"), Column("处理时间", "settled_at", Kind.TIME),
    Column("处理人", lambda row: (row.settled_by_name or "系统") if row.settled_at else None),
    Column("结果", lambda row: rules.settled_text(row.settled_as) if row.settled_as else None),
))  # fmt: skip


def _case(case_id: int):
    row = queries.case(case_id)
    if row is None:
        abort(404)
    return row


def _decided(case_id: int, act: Callable[[], str], form: NoteForm) -> Response:
    """Do it and show the case; what was refused is said above it, or beside its field."""
    limit_money_forms()
    try:
        said = act()
    except (Invalid, Conflict, Forbidden) as error:
        db.session.rollback()
        context = _context(case_id, form if isinstance(error, Invalid) else None, error)
        return render("cases/case.html", "cases/_case.html", status=status_of(error), **context)
    response = redirect_or_fragment(url_for("cases.show", case_id=case_id), "cases/_case.html", **_context(case_id))
    trigger(response, CHANGED)
    return toast(response, said)


def _context(case_id: int, form: NoteForm | None = None, error: DomainError | None = None) -> dict:
    case = _case(case_id)
    if form is not None and isinstance(error, Invalid):
        refusal.take(form, error)
        error = None
    guide, family_id = rules.GUIDES[case.kind], current_actor().family_id
    may_seat = case.status == CaseStatus.OPEN and rules.Action.RESEAT in guide.actions
    return {
        "case": case, "guide": guide, "rules": rules, "history": queries.history(case), "actions": actions,
        "form": form or NoteForm(formdata=None), "error": error,
        "may_note": case.status == CaseStatus.OPEN and resolve.may_note(case),
        "seats": seat_choices.with_room(case.order_id) if may_seat and case.order_id else [],
        "own_family": family_id is not None and family_id == case.family_id,
    }  # fmt: skip
