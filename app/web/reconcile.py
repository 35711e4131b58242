"""对账 and 资金健康: differences that finance settles, a day compared again, the invariants of the money (W24, W26)."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, abort, request, url_for
from werkzeug.routing import BuildError

from app.db import db
from app.domain.audit import actions
from app.domain.ledger import verify_job
from app.domain.people import belonging
from app.domain.people.roles import Permission
from app.domain.reconcile import differences, queries, runs, words
from app.domain.reconcile import health as checks
from app.domain.reconcile.models import DifferenceStatus
from app.domain.reconcile.queries import DifferenceFilter
from app.errors import Invalid
from app.flows import longjobs
from app.paging import capped_count
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms import refusal
from app.web.forms.orders import NoteForm
from app.web.forms.reconcile import RunForm
from app.web.forms_token import TokenForm, request_key
from app.web.labels import LABELS
from app.web.orders.deciding import decided
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.security import limit_money_forms

bp = Blueprint("reconcile", __name__)

#: browsers are told when a difference was settled, so that the list behind the side panel looks again
CHANGED = "desk:difference-changed"

#: where a person looks: endpoint and the name of its number
_PLACES = {
    "order": ("orders.show", "order_id"), "refund": ("orders.refund", "refund_no"),
    "adjustment": ("desk.adjustment", "adjustment_id"), "withdrawal": ("withdrawals.show", "withdrawal_id"),
    "booking": ("bookings.show", "booking_id"), "session": ("schedule.show", "schedule_id"),
    "notice": ("notices.show", "notice_id"),
}  # fmt: skip


@bp.app_template_global("money_place")
def money_place(row) -> str | None:
    """The page of what a difference or a failing row is about; None where there is none of its own."""
    found = _PLACES.get(row.target_type or "")
    if found is not None:
        try:
            return url_for(found[0], **{found[1]: row.target_id})
        except BuildError:
            return None
    return url_for("families.show", family_id=row.family_id) if row.family_id else None


@bp.get("/reconcile")
@requires(Permission.RECONCILE_VIEW)
def index():
    """The open differences, the newest first; others under their filter."""
    return _index(RunForm(formdata=None))


@bp.get("/reconcile/<int:difference_id>")
@requires(Permission.RECONCILE_VIEW)
def show(difference_id: int):
    """One difference: both sides, what to do, and what was done."""
    return render("reconcile/difference.html", "reconcile/_panel.html", **_context(difference_id))


@bp.post("/reconcile/<int:difference_id>/settle")
@requires(Permission.RECONCILE_SETTLE)
def settle(difference_id: int):
    """Settle it with a sentence on what was done."""
    form = NoteForm()

    def act() -> str:
        differences.settle(difference_id=difference_id, note=form.note.data or "", digest=form.version.data or None,
                           actor=current_actor(), request_key=request_key("reconcile.settle", form))  # fmt: skip
        return "已处理，数字再变会重新打开"

    return decided(
        act, lambda: _context(difference_id), url=url_for("reconcile.show", difference_id=difference_id),
        page="reconcile/difference.html", fragment="reconcile/_difference.html", changed=CHANGED, form=form,
    )  # fmt: skip


@bp.post("/reconcile/run")
@requires(Permission.RECONCILE_SETTLE)
def run():
    """Compare a day's bill and the books now, as long work with its progress."""
    form = RunForm()
    limit_money_forms()
    try:
        key = request_key("reconcile.run", form, present=lambda job_id: {"location": _progress(job_id)})
        job_id = runs.ask(day=_day(form.day.data), actor=current_actor(), request_key=key)
    except Invalid as error:
        db.session.rollback()
        refusal.take(form, error)
        return _index(form, status=422)
    longjobs.start(job_id)
    return toast(hx_redirect(_progress(job_id)), "对账已开始")


@bp.get("/health-money")
@requires(Permission.RECONCILE_VIEW)
def health():
    """Every invariant, when it last held, and the rows where it does not."""
    return render("reconcile/health.html", "reconcile/_health.html", states=checks.states(), shown=checks.SHOWN)


@bp.post("/health-money/verify")
@requires(Permission.RECONCILE_SETTLE)
def verify():
    """Compute the whole ledger again now, as long work with its progress (U11)."""
    form = TokenForm()
    limit_money_forms()
    key = request_key("reconcile.verify", form, present=lambda job_id: {"location": _progress(job_id)})
    job_id = verify_job.ask(actor=current_actor(), request_key=key)
    longjobs.start(job_id)
    return toast(hx_redirect(_progress(job_id)), "核对已开始")


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _progress(job_id: int) -> str:
    return url_for("longjobs.show", job_id=job_id)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def _asked() -> DifferenceFilter:
    status = request.args.get("status") or DifferenceStatus.OPEN
    return DifferenceFilter(
        status=None if status == "all" else choice_arg("status", LABELS["case_status"]) or DifferenceStatus.OPEN,
        source=choice_arg("source", LABELS["difference_source"]), kind=choice_arg("kind", LABELS["difference_kind"]),
        family_id=int_arg("family"), date_from=date_arg("from"), date_to=date_arg("to"),
    )  # fmt: skip


def _index(form: RunForm, status: int = 200):
    asked = _asked()
    page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
    return render(
        "reconcile/index.html", "reconcile/_list.html", status=status, page=page, asked=asked, form=form, words=words,
        pages=page_links(page, "reconcile.index"), total=capped_count(queries.select(asked)),
        filtered=asked != DifferenceFilter(), bill=queries.last_bill(), books_at=queries.books_checked_at(),
        latest=queries.latest_day(), earliest=runs.earliest(), open=queries.open_by_source(),
    )  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    said = in_words(asked, status="case_status", source="difference_source", kind="difference_kind")
    return Taking(queries.every(asked), said, asked.family_id)


offer("reconcile", "对账差异", Permission.RECONCILE_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("日期", "day", Kind.DAY), labelled("来源", "source", "difference_source"),
    labelled("种类", "kind", "difference_kind"), Column("单号", "key"), Column("应有（账单）", "expected"),
    Column("应有金额", "expected_amount", Kind.MONEY), Column("实有（系统）", "found"),
    Column("实有金额", "found_amount", Kind.MONEY), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), labelled("状态", "status", "case_status"),
    Column("发现时间", "opened_at", Kind.TIME), Column("处理时间", "settled_at", Kind.TIME),
    Column("处理人", lambda row: (row.settled_by_name or "系统") if row.settled_at else None), Column("说明", "note"),
))  # fmt: skip


def _context(difference_id: int) -> dict:
    row = queries.difference(difference_id)
    if row is None:
        abort(404)
    return {
        "row": row, "words": words, "history": queries.history(row), "actions": actions, "error": None,
        "form": NoteForm(formdata=None), "own_family": belonging.is_own(current_actor(), row.family_id),
    }  # fmt: skip
