"""审计: who did what, to whom, when; before and after (U9). Read only."""

from __future__ import annotations

from flask import Blueprint, abort, request

from app.column_types import canonical_json
from app.domain.audit import actions, archives, queries
from app.domain.audit.queries import AuditFilter
from app.domain.people.roles import Permission
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links, text_arg
from app.web.permissions import requires
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
        archived=archives.all_of_them(),
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


def _taken() -> Taking:
    asked = _asked()
    return Taking(queries.every(asked), in_words(asked, actor_type="actor_type"), asked.family_id)


offer("audit", "审计", Permission.AUDIT_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("时间", "created_at", Kind.TIME),
    labelled("经办类型", "actor_type", "actor_type"), Column("经办", actions.who),
    Column("动作", lambda row: actions.word(row.action)), Column("动作代码", "action"),
    Column("对象", lambda row: actions.target(row.target_type, row.target_id)),
    Column("家庭", "family_id", Kind.NUMBER), Column("原状态", "old_status"), Column("新状态", "new_status"),
    Column("变动前", lambda row: _json(row.before)), Column("变动后", lambda row: _json(row.after)),
    Column("原因", "reason"), Column("错误", "error"), Column("IP", "ip"), Column("请求编号", "request_id"),
))  # fmt: skip
