"""余额调整, 待办审批 and 待补凭证: lists with filters in the address, and one adjustment in the side panel (U5)."""

from __future__ import annotations

from flask import abort, request, url_for

from app.domain.audit import actions
from app.domain.desk import bulk_queries, queries
from app.domain.desk.queries import AdjustmentFilter, Detail
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.paging import capped_count
from app.web import labels
from app.web.choosing import choosable
from app.web.desk.blueprint import bp, reason_word, reason_words
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms.desk import DecisionForm
from app.web.permissions import current_actor, requires
from app.web.rendering import render


@bp.get("/adjustments")
@requires(Permission.ADJUSTMENT_VIEW)
def adjustments():
    """Every adjustment, newest first."""
    asked = _asked()
    page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
    return render("desk/adjustments.html", "desk/_adjustments.html", page=page, asked=asked, args=request.args,
                  pages=page_links(page, "desk.adjustments"), total=capped_count(queries.select(asked)),
                  askers=queries.askers(), labels=labels, speed=queries.speed())  # fmt: skip


@bp.get("/approvals")
@requires(Permission.ADJUSTMENT_APPROVE)
def approvals():
    """What waits for a second person."""
    page = queries.approvals(before=int_arg("before"), after=int_arg("after"))
    return render("desk/approvals.html", "desk/_approvals.html", page=page, total=queries.approvals_count(),
                  pages=page_links(page, "desk.approvals"), me=current_actor().id,
                  batches=bulk_queries.asked_count(not_by=current_actor().id))  # fmt: skip


@bp.get("/adjustments/missing-receipts")
@requires(Permission.ADJUSTMENT_ASK)
def missing_receipts():
    """What only waits for its receipt, with the upload in place."""
    page = queries.page(
        AdjustmentFilter(status="awaiting_receipt"), before=int_arg("before"), after=int_arg("after"), limit=20
    )
    return render("desk/missing_receipts.html", "desk/_missing_receipts.html", page=page, form=DecisionForm(),
                  pages=page_links(page, "desk.missing_receipts"),
                  max_bytes=policy.get("receipt_max_bytes"))  # fmt: skip


@bp.get("/adjustments/<int:adjustment_id>")
@requires(Permission.ADJUSTMENT_VIEW)
def adjustment(adjustment_id: int):
    """One adjustment: receipts, history, and what may be done."""
    return render("desk/adjustment.html", "desk/_panel.html", **detail_context(adjustment_id))


choosable("adjustments-approve", queries.select_waiting, "desk.approvals",
          lambda key: url_for("desk.adjustment", adjustment_id=key))  # fmt: skip


def _asked() -> AdjustmentFilter:
    return AdjustmentFilter(
        status=choice_arg("status", labels.LABELS["adjustment_status"]),
        type=choice_arg("type", labels.LABELS["adjustment_type"]),
        payment_method=choice_arg("method", labels.LABELS["payment_method"]),
        asked_by=int_arg("by"),
        family_id=int_arg("family"),
        date_from=date_arg("from"),
        date_to=date_arg("to"),
    )


def detail_context(adjustment_id: int) -> dict:
    """What the detail's templates need. Aborts with 404 for one that does not exist."""
    detail: Detail | None = queries.detail(adjustment_id, current_actor())
    if detail is None:
        abort(404)
    form = DecisionForm(formdata=None, version=str(detail.row.version))
    return {"detail": detail, "form": form, "actions": actions, "error": None, "typed_reason": "",
            "max_bytes": policy.get("receipt_max_bytes")}  # fmt: skip


# ── as files ────────────────────────────────────────────────────────────────────────────────────────


def _taken() -> Taking:
    asked = _asked()
    words = in_words(asked, status="adjustment_status", type="adjustment_type", payment_method="payment_method")
    return Taking(queries.every(asked), words, asked.family_id)


def _shown_status(row) -> str:
    waits = row.status == "pending" and row.needs_receipt and not row.receipt_count
    return "awaiting_receipt" if waits else row.status


_WHAT = (
    Column("编号", "id", Kind.NUMBER), Column("申请时间", "asked_at", Kind.TIME),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("金额", "amount", Kind.MONEY), labelled("类型", "type", "adjustment_type"),
    Column("事由", lambda row: f"撤销 #{row.undoes_id}" if row.undoes_id else reason_word(row.reason_code)),
    labelled("收款方式", "payment_method", "payment_method"), Column("转账单号", "external_no"),
    Column("凭证数", "receipt_count", Kind.NUMBER), Column("备注", "note"), Column("经办", "asked_by_name"),
)  # fmt: skip

offer("adjustments", "余额调整", Permission.ADJUSTMENT_VIEW, _taken, (
    *_WHAT, labelled("状态", _shown_status, "adjustment_status"), labelled("结果", "cause", "adjustment_cause"),
    Column("已撤销", lambda row: row.undo_status == "completed", Kind.YES),
    Column("变动前余额", "balance_before", Kind.MONEY), Column("变动后余额", "balance_after", Kind.MONEY),
    Column("审批人", "decided_by_name"), Column("处理时间", "decided_at", Kind.TIME),
))  # fmt: skip
offer("approvals", "待办审批", Permission.ADJUSTMENT_APPROVE, lambda: Taking(queries.every_approval()), (
    *_WHAT, Column("为什么要审批", lambda row: reason_words(filter(None, row.approval_reasons.split(",")))),
    Column("失效时间", "lapses_at", Kind.TIME),
))  # fmt: skip
