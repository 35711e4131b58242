"""异常处理: everything in money that a person must settle, since when, and the few right actions (O19)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, abort, request, url_for

from app import clock
from app.db import db
from app.domain.audit import actions
from app.domain.cases import queries, rules
from app.domain.cases.models import CaseStatus
from app.domain.cases.queries import CaseFilter
from app.domain.orders import resolve, seat_choices
from app.domain.people import belonging
from app.domain.people.roles import ROLE_PERMISSIONS, Permission
from app.domain.reports import board
from app.domain.reports.board import BoardFilter, Item, Source
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.web.choosing import choosable
from app.web.downloads import Column, Kind, Taking, in_words, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg, page_links, text_arg
from app.web.filters import duration
from app.web.forms import refusal
from app.web.forms.orders import NoteForm
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.permissions import current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger
from app.web.security import limit_money_forms

bp = Blueprint("cases", __name__)

#: what a row of each source takes to be seen
_SEEN = {
    Source.CASE: Permission.CASE_VIEW, Source.DIFFERENCE: Permission.RECONCILE_VIEW,
    Source.RECEIPT: Permission.ADJUSTMENT_VIEW,
}  # fmt: skip


def sources_of(role: str) -> frozenset[str]:
    """What of the board this role may see."""
    held = ROLE_PERMISSIONS.get(role, frozenset())
    return frozenset(source for source, permission in _SEEN.items() if permission in held)


#: browsers are told when a case was settled, so that the board behind the side panel looks again
CHANGED = "desk:case-changed"
#: what the list can be filtered by
_KINDS = {kind: label.word for kind, label in LABELS["case_kind"].items()} | board.KINDS


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
    """What waits, the longest first, with its age and who is to do it; what was settled under its filter."""
    asked, waiting = _asked(), _waiting()
    if asked.status == CaseStatus.OPEN:
        page = board.page(waiting, before=text_arg("before"), after=text_arg("after"))
        lines = page.items
    else:
        page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
        lines = [board.case_item(row) for row in page.items]
    return render("cases/index.html", "cases/_board.html", lines=lines, asked=asked, kind=waiting.kind, rules=rules,
                  kinds=board.KINDS, counts=board.counts(waiting), now=clock.now(),
                  pages=page_links(page, "cases.index"), total=board.total(waiting))  # fmt: skip


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
    return CaseFilter(status=status, kind=choice_arg("kind", _KINDS), family_id=int_arg("family"))


def _waiting() -> BoardFilter:
    return BoardFilter(sources_of(current_actor().role or ""), choice_arg("kind", _KINDS), int_arg("family"))


def _taken() -> Taking:
    asked = _asked()
    words = in_words({"状态": LABELS["case_status"][asked.status or CaseStatus.OPEN].word,
                      "种类": _KINDS.get(asked.kind or ""), "family_id": asked.family_id})  # fmt: skip
    if asked.status == CaseStatus.OPEN:
        return Taking(board.every(_waiting()), words, asked.family_id)
    return Taking(queries.every(asked, board.case_items), words, asked.family_id)


def _of_case(name: str) -> Callable[[Item], Any]:
    """What only a case has."""
    return lambda item: getattr(item.row, name) if item.source == Source.CASE else None


choosable("cases-settle", lambda: queries.select(_asked()), "cases.index",
          lambda key: url_for("cases.show", case_id=key))  # fmt: skip
offer("exceptions", "异常处理", Permission.CASE_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("发生时间", "opened_at", Kind.TIME),
    Column("种类", "what"), Column("说明", "title"), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), Column("金额", "amount", Kind.MONEY), Column("订单号", _of_case("order_id")),
    Column("退款单号", _of_case("refund_no")), Column("办法", "advice"),
    Column("由谁处理", lambda item: None if _of_case("settled_at")(item) else item.owner(clock.now())),
    Column("处理时间", _of_case("settled_at"), Kind.TIME),
    Column("处理人", lambda item: (item.row.settled_by_name or "系统") if _of_case("settled_at")(item) else None),
    Column("结果", lambda item: rules.settled_text(_of_case("settled_as")(item) or "") or None),
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
    guide = rules.GUIDES[case.kind]
    may_seat = case.status == CaseStatus.OPEN and rules.Action.RESEAT in guide.actions
    return {
        "case": case, "guide": guide, "rules": rules, "history": queries.history(case), "actions": actions,
        "form": form or NoteForm(formdata=None), "error": error,
        "may_note": case.status == CaseStatus.OPEN and resolve.may_note(case),
        "seats": seat_choices.with_room(case.order_id) if may_seat and case.order_id else [],
        "own_family": belonging.is_own(current_actor(), case.family_id),
    }  # fmt: skip
