"""欠费跟进: families in arrears, for the people who call them (N7)."""

from __future__ import annotations

from flask import Blueprint

from app import clock
from app.domain.audit import exports
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.reports import arrears as figures
from app.domain.reports import home
from app.domain.reports.arrears import Show
from app.web import downloads, labels
from app.web.context import register_count
from app.web.filter_args import choice_arg, page_links, text_arg
from app.web.permissions import current_actor, requires
from app.web.rendering import render

bp = Blueprint("arrears", __name__)

register_count("arrears_tasks", lambda _person: home.arrears_tasks())


@bp.get("/arrears")
@requires(Permission.FAMILY_VIEW)
def index():
    """Everyone below zero, or those that owe for long, or those that can't book."""
    show = _show()
    page = figures.page(show, before=text_arg("before"), after=text_arg("after"))
    return render("arrears/index.html", "arrears/_list.html", page=page, show=show, sums=figures.sums(),
                  pages=page_links(page, "arrears.index"), task_days=_task_days())  # fmt: skip


@bp.post("/arrears/export")
@requires(Permission.EXPORT)
def export():
    """The list on the screen as csv; a POST, since taking it out is recorded (S2)."""
    show = _show()
    exports.note_export(what="arrears", filters={"show": str(show)}, actor=current_actor())
    head = ["家庭编号", "家庭", "欠费", "开始欠费", "天数", "停约", "放行至", "联系人", "手机号", "最近提醒",
            "提醒结果"]  # fmt: skip
    rows = (
        [one.family_id, one.family_name, one.owed, one.since, one.days, "是" if one.blocked else "否",
         one.bypass_until if one.bypass_until and one.bypass_until > clock.now() else None, one.parent,
         one.phone_masked, one.told and one.told.at,
         one.told and labels.word("notification_status", one.told.status)]
        for one in figures.every(show)
    )  # fmt: skip
    return downloads.csv(f"arrears-{clock.today():%Y%m%d}.csv", head, rows)


def _show() -> Show:
    return Show(choice_arg("show", list(Show)) or Show.ALL)


def _task_days() -> int:
    return policy.get("arrears_task_after").days
