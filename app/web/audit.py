"""审计: who did what, to whom, when; before and after (U9). Read only."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, stream_with_context

from app import clock, csv_export
from app.column_types import canonical_json
from app.domain.audit import actions, exports, queries
from app.domain.audit.queries import AuditFilter
from app.domain.people.roles import Permission
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links, text_arg
from app.web.permissions import current_actor, requires
from app.web.rendering import render

bp = Blueprint("audit", __name__)


@bp.get("/audit")
@requires(Permission.AUDIT_VIEW)
def index():
    """The log, filtered by the address."""
    asked = _asked()
    page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
    return render(
        "audit/index.html",
        "audit/_list.html",
        page=page,
        actions=actions,
        pages=page_links(page, "audit.index"),
        sealed=queries.sealed_up_to(),
        seal=queries.last_seal(),
        args=request.args,
    )


@bp.get("/audit/<int:entry_id>")
@requires(Permission.AUDIT_VIEW)
def entry(entry_id: int):
    """One row with its before and after."""
    row = queries.entry(entry_id)
    if row is None:
        abort(404)
    return render("audit/entry.html", "audit/_entry.html", row=row, actions=actions,
                  is_sealed=row.id <= queries.sealed_up_to())  # fmt: skip


@bp.post("/audit/export")
@requires(Permission.AUDIT_VIEW)
def export():
    """The list on the screen as csv; a POST, since taking it out is recorded (S2)."""
    asked = _asked()
    exports.note_export(what="audit", filters=request.args.to_dict(), actor=current_actor())
    head = ["编号", "时间", "经办类型", "经办", "动作", "对象", "家庭", "原状态", "新状态", "变动前", "变动后", "原因",
            "错误", "IP", "请求编号"]  # fmt: skip
    rows = (
        [r.id, r.created_at, r.actor_type, r.actor_name, actions.word(r.action),
         actions.target(r.target_type, r.target_id), r.family_id, r.old_status, r.new_status,
         _json(r.before), _json(r.after), r.reason, r.error, r.ip, r.request_id]
        for r in queries.every(asked)
    )  # fmt: skip
    name = f"audit-{clock.today():%Y%m%d}.csv"
    return Response(
        stream_with_context(csv_export.stream(head, rows)),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _asked() -> AuditFilter:
    return AuditFilter(
        family_id=int_arg("family"),
        actor_type=choice_arg("who", ("staff", "parent", "system")),
        actor_id=int_arg("actor"),
        action=text_arg("action", 64),
        target_type=text_arg("target", 32),
        target_id=text_arg("target_id", 64),
        date_from=date_arg("from"),
        date_to=date_arg("to"),
        request_id=text_arg("request_id", 64),
    )


def _json(value: dict | None) -> str | None:
    return None if value is None else canonical_json(value)
