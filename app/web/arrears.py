"""欠费跟进: families in arrears, for the people who call them (N7)."""

from __future__ import annotations

from flask import Blueprint

from app import clock
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.reports import arrears as figures
from app.domain.reports.arrears import Show
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, page_links, text_arg
from app.web.permissions import requires
from app.web.rendering import render

bp = Blueprint("arrears", __name__)

SHOWN = {Show.ALL: "全部欠费", Show.LATE: "需要联系", Show.BLOCKED: "已停约"}


@bp.get("/arrears")
@requires(Permission.FAMILY_VIEW)
def index():
    """Everyone below zero, or those that owe for long, or those that can't book."""
    show = _show()
    page = figures.page(show, before=text_arg("before"), after=text_arg("after"))
    return render("arrears/index.html", "arrears/_list.html", page=page, show=show, sums=figures.sums(),
                  pages=page_links(page, "arrears.index"), task_days=_task_days())  # fmt: skip


def _taken() -> Taking:
    show = _show()
    return Taking(figures.every(show), in_words({"show": SHOWN[show]}))


offer("arrears", "欠费跟进", Permission.FAMILY_VIEW, _taken, (
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"), Column("欠费", "owed", Kind.MONEY),
    Column("开始欠费", "since", Kind.TIME), Column("天数", "days", Kind.NUMBER), Column("停约", "blocked", Kind.YES),
    Column("放行至", lambda one: one.bypass_until if one.bypass_until and one.bypass_until > clock.now() else None,
           Kind.TIME),
    Column("联系人", "parent"), Column("手机号", "phone_masked"),
    Column("最近提醒", lambda one: one.told and one.told.at, Kind.TIME),
    labelled("提醒结果", lambda one: one.told and one.told.status, "notification_status"),
))  # fmt: skip


def _show() -> Show:
    return Show(choice_arg("show", list(Show)) or Show.ALL)


def _task_days() -> int:
    return policy.get("arrears_task_after").days
