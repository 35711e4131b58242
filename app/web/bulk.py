"""批量调整: a sheet uploaded, previewed, asked for as one batch, decided, and how far it is (W20)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from flask import Blueprint, Response, abort, make_response, request, url_for

from app import money
from app.db import db
from app.domain.audit import actions
from app.domain.desk import bulk as asking
from app.domain.desk import bulk_decide as deciding
from app.domain.desk import bulk_queries, bulk_sheet
from app.domain.desk.bulk_queries import SHOWN, Detail, Totals
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Forbidden, Invalid, StepUpRequired, Unavailable
from app.exports.columns import Column, Kind
from app.flows import bulk
from app.flows.bulk import Review
from app.web import bulk_template
from app.web.downloads import Taking, labelled, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.forms import refusal
from app.web.forms.bulk import BatchForm, SheetForm
from app.web.forms.desk import uploads
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.security import limit_money_forms

bp = Blueprint("bulk", __name__)

#: wrong rows that are shown with their cells; a sheet that is wrong throughout is wrong in one way
ROWS_SHOWN = 100
#: a sum may be longer than any amount
_FIGURE = re.compile(r"[0-9]{1,15}(\.[0-9]{1,2})?", re.ASCII)


@bp.get("/adjustments/batches")
@requires(Permission.ADJUSTMENT_VIEW)
def index():
    """Every batch, and one's own drafts."""
    status = choice_arg("status", LABELS["batch_status"])
    page = bulk_queries.page(current_actor(), status=status, before=int_arg("before"), after=int_arg("after"))
    return render("bulk/index.html", "bulk/_list.html", page=page, asked=status,
                  pages=page_links(page, "bulk.index"))  # fmt: skip


@bp.route("/adjustments/batches/new", methods=["GET", "POST"])
@requires(Permission.ADJUSTMENT_BULK)
def new():
    """Upload a sheet: its errors in place, or its preview."""
    form = SheetForm()
    if request.method != "POST":
        return _upload_page(form)
    limit_money_forms()
    try:
        sent = uploads()
        if not sent:
            raise Invalid.field("sheet", "请选择表格文件")
        review = bulk.upload(sent[0], actor=current_actor(),
                             request_key=request_key("bulk.new", form, present=_present))  # fmt: skip
    except (Invalid, Unavailable) as error:
        refusal.take(form, error)
        return _upload_page(form, http=status_of(error))
    if review.batch_id is None:
        return _upload_page(form, review, http=422)
    answer = hx_redirect(url_for("bulk.show", batch_id=review.batch_id))
    return toast(answer, "表格没有错误，请核对后提交审批", "waiting")


@bp.get("/adjustments/batches/template")
@requires(Permission.ADJUSTMENT_BULK)
def template():
    """The empty sheet with its words."""
    return _attachment(bulk_template.workbook(), bulk.XLSX, "batch-template.xlsx")


@bp.get("/adjustments/batches/<int:batch_id>")
@requires(Permission.ADJUSTMENT_VIEW)
def show(batch_id: int):
    """One batch: what it asks for, what may be done, how far it is, what became of each row."""
    context = _context(batch_id)
    fragment = "bulk/_rows.html" if request.headers.get("HX-Target") == "batch-rows" else "bulk/_batch.html"
    return render("bulk/batch.html", fragment, **context)


@bp.get("/adjustments/batches/<int:batch_id>/sheet")
@requires(Permission.RECEIPT_VIEW)
def sheet(batch_id: int):
    """The file as it was uploaded: the batch's receipt."""
    file = bulk.read(batch_id, actor=current_actor())
    return _attachment(file.data, file.media_type, file.filename)


@bp.post("/adjustments/batches/<int:batch_id>/ask")
@requires(Permission.ADJUSTMENT_BULK)
def ask(batch_id: int):
    """Its author asks another person to approve it."""
    form = BatchForm()
    return _acted(batch_id, form, "已提交，等待另一位同事审批", lambda: asking.ask(
        batch_id=batch_id, note=form.note.data or "", repeat_reason=form.repeat_reason.data or "",
        actor=current_actor(), request_key=_key("bulk.ask", form, batch_id),
    ))  # fmt: skip


@bp.post("/adjustments/batches/<int:batch_id>/discard")
@requires(Permission.ADJUSTMENT_BULK)
def discard(batch_id: int):
    """Its author throws the draft away."""
    form = BatchForm()
    return _acted(batch_id, form, "已删除草稿", lambda: asking.discard(
        batch_id=batch_id, actor=current_actor(), request_key=_key("bulk.discard", form, None),
    ), to=url_for("bulk.index"))  # fmt: skip


@bp.post("/adjustments/batches/<int:batch_id>/withdraw")
@requires(Permission.ADJUSTMENT_BULK)
def withdraw(batch_id: int):
    """Its author takes it back, and says why."""
    form = BatchForm()
    return _acted(batch_id, form, "已撤回", lambda: asking.withdraw(
        batch_id=batch_id, reason=form.reason.data or "", actor=current_actor(),
        request_key=_key("bulk.withdraw", form, batch_id),
    ))  # fmt: skip


@bp.post("/adjustments/batches/<int:batch_id>/approve")
@requires(Permission.ADJUSTMENT_APPROVE)
def approve(batch_id: int):
    """The second person says yes, having typed the sum: the rows begin."""
    form, context = BatchForm(), _context(batch_id)
    typed_error = _typed_error(context["detail"].totals)
    if context["detail"].row.status == "asked" and (request.form.get("confirmed") != "1" or typed_error):
        said = typed_error if "typed_amount" in request.form and request.form.get("confirmed") == "1" else None
        return render("bulk/batch.html", "bulk/_batch.html", **context | {"confirming": True, "typed_error": said},
                      status=422 if said else 200)  # fmt: skip
    return _acted(batch_id, form, "已批准，正在逐行办理", lambda: bulk.approve(
        batch_id=batch_id, actor=current_actor(), request_key=_key("bulk.approve", form, batch_id),
    ))  # fmt: skip


@bp.post("/adjustments/batches/<int:batch_id>/reject")
@requires(Permission.ADJUSTMENT_APPROVE)
def reject(batch_id: int):
    """The second person says no, and why."""
    form = BatchForm()
    return _acted(batch_id, form, "已驳回", lambda: deciding.reject(
        batch_id=batch_id, reason=form.reason.data or "", actor=current_actor(),
        request_key=_key("bulk.reject", form, batch_id),
    ))  # fmt: skip


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _upload_page(form: SheetForm, review: Review | None = None, http: int = 200) -> Response:
    db.session.rollback()
    errors = list(review.errors) if review else []
    return render(
        "bulk/new.html", "bulk/_new.html", status=http, form=form, errors=errors, wrong=_wrong(review),
        columns=bulk_sheet.COLUMNS, most=bulk_sheet.MAX_ROWS, shown=ROWS_SHOWN,
        rows=len(review.rows) if review else 0, error_lines=len({error.line for error in errors}),
        max_bytes=bulk_sheet.MAX_BYTES,
    )  # fmt: skip


def _wrong(review: Review | None) -> list[tuple[int, list[tuple[str, str, str | None]]]]:
    """The wrong rows with all their cells: (line, [(column, text, sentence or None)])."""
    if review is None or not review.rows:
        return []
    said: dict[int, dict[str, str]] = {}
    for error in review.errors:
        said.setdefault(error.line, {})[error.column] = error.message
    found = [row for row in review.rows if row.line in said][:ROWS_SHOWN]
    return [
        (row.line, [(name, row.cells[name], said[row.line].get(name)) for name in bulk_sheet.COLUMNS]) for row in found
    ]


def _context(batch_id: int, form: BatchForm | None = None, error: DomainError | None = None) -> dict:
    """What a batch's templates need. Aborts with 404 for one that this person may not see."""
    detail: Detail | None = bulk_queries.detail(batch_id, current_actor())
    if detail is None:
        abort(404)
    shown = choice_arg("rows", SHOWN)
    page = bulk_queries.rows(
        batch_id, detail.row.job_id, shown=shown, before=int_arg("before"), after=int_arg("after")
    )  # fmt: skip
    return {
        "detail": detail, "form": form or BatchForm(formdata=None), "error": error, "page": page, "rows_shown": shown,
        "pages": page_links(page, "bulk.show", batch_id=batch_id), "actions": actions, "confirming": False,
        "typed_error": None, "typed": _typed(detail.totals),
    }  # fmt: skip


def _acted(
    batch_id: int, form: BatchForm, said: str, act: Callable[[], object], *, to: str | None = None
) -> Response:  # fmt: skip
    """Do it and show the batch as it now is; what was refused is said above it, or at its field."""
    limit_money_forms()
    try:
        act()
    except StepUpRequired:
        raise
    except (Invalid, Conflict, Forbidden, Unavailable) as error:
        db.session.rollback()
        if isinstance(error, Invalid):
            refusal.take(form, error)
        shown = _context(batch_id, form, None if isinstance(error, Invalid) else error)
        return render("bulk/batch.html", "bulk/_batch.html", status=status_of(error), **shown)
    return toast(hx_redirect(to or url_for("bulk.show", batch_id=batch_id)), said)


def _typed(totals: Totals) -> str:
    """What the approver types: the sum of all movements, whichever way."""
    return f"{totals.moved:,.2f}"


def _typed_error(totals: Totals) -> str | None:
    typed = request.form.get("typed_amount", "").replace(",", "").strip()
    same = _FIGURE.fullmatch(typed) and Decimal(typed) == totals.moved
    return None if same else f"与合计 {money.yuan(totals.moved)} 不一致，请核对后重新输入"


def _key(name: str, form: BatchForm, batch_id: int | None):
    location = url_for("bulk.show", batch_id=batch_id) if batch_id else url_for("bulk.index")
    return request_key(name, form, present=lambda _: {"location": location})


def _present(batch_id: int) -> dict:
    return {"location": url_for("bulk.show", batch_id=batch_id)}


def _attachment(data: bytes, media_type: str, name: str) -> Response:
    response = make_response(data)
    response.headers["Content-Type"] = media_type
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["Cache-Control"] = "no-store"
    return response


# ── what may be taken out ───────────────────────────────────────────────────────────────────────────


def _taken() -> Taking:
    status = choice_arg("status", LABELS["batch_status"])
    said = {"状态": LABELS["batch_status"][status].word} if status else {}
    return Taking(bulk_queries.every(current_actor(), status), said)


def _rows_taken() -> Taking:
    batch_id, shown = int_arg("batch"), choice_arg("rows", SHOWN)
    found = bulk_queries.find(batch_id, current_actor()) if batch_id else None
    if found is None:
        return Taking(())
    said = {"批次": f"#{batch_id}"} | ({"结果": LABELS["row_outcome"][shown].word} if shown else {})
    return Taking(bulk_queries.every_row(found.id, found.job_id, shown), said)


offer("batches", "批量调整", Permission.ADJUSTMENT_VIEW, _taken, (
    Column("批次", "id", Kind.NUMBER), Column("文件", "name"), Column("说明", "note"),
    Column("行数", "rows_count", Kind.NUMBER), labelled("状态", "status", "batch_status"),
    Column("上传时间", "created_at", Kind.TIME), Column("申请", "asked_by_name"),
    Column("决定", "decided_by_name"), Column("决定时间", "decided_at", Kind.TIME),
    Column("完成行数", "job_done", Kind.NUMBER), Column("被拒行数", "job_refused", Kind.NUMBER),
))  # fmt: skip
# The sheet's own columns first: what was refused or not touched can be mended and uploaded again.
offer("batch-rows", "批量调整明细", Permission.ADJUSTMENT_VIEW, _rows_taken, (
    Column("家庭编号", "family_id", Kind.NUMBER), Column("手机号", lambda _: None), Column("家庭名称", "family_name"),
    Column("金额", "amount", Kind.MONEY), labelled("类型", "type", "adjustment_type"),
    labelled("收款方式", "payment_method", "payment_method"), Column("转账单号", "external_no"),
    Column("原因", lambda row: bulk_template.reason(row.reason_code)), Column("说明", "note"),
    Column("行号", "line", Kind.NUMBER),
    labelled("结果", lambda row: row.outcome or "untouched", "row_outcome"), Column("被拒原因", "message"),
    Column("调整编号", "made_id", Kind.NUMBER),
))  # fmt: skip
