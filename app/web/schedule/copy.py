"""复制一周: what copying would make and skip, and doing it (C2)."""

from __future__ import annotations

from datetime import date

from flask import Response, url_for

from app import clock
from app.domain.catalog import lists, sessions
from app.domain.catalog.sessions import Copied
from app.domain.people.roles import Permission
from app.errors import DomainError, Invalid
from app.web.errors import status_of
from app.web.filter_args import date_arg
from app.web.forms import refusal
from app.web.forms.schedule import CopyWeekForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.schedule.blueprint import bp
from app.web.schedule.week import WEEK, monday_of


@bp.get("/schedule/copy")
@requires(Permission.SCHEDULE_EDIT)
def copy():
    """What would be made and what skipped, for the two weeks of the address; any day of a week names it."""
    first = monday_of(date_arg("from") or clock.today())
    return _page(first, monday_of(date_arg("to") or first + WEEK))


@bp.post("/schedule/copy")
@requires(Permission.SCHEDULE_EDIT)
def submit_copy():
    """Copy. What would clash by now is skipped and said."""
    form = CopyWeekForm()
    weeks = [_date(field.data) for field in (form.from_monday, form.to_monday)]
    if None in weeks:
        now = monday_of(clock.today())
        return _page(now, now + WEEK, form=form, error=Invalid("请选择两个星期"))
    first, second = weeks
    try:
        copied = sessions.copy_week(
            from_monday=first, to_monday=second, actor=current_actor(),
            request_key=request_key("schedule.copy", form, present=lambda _done: {"location": _week(second)}),
        )  # fmt: skip
    except Invalid as error:
        return _page(first, second, form=form, error=error)
    return toast(hx_redirect(_week(second)), _said(copied), "good" if copied.made else "waiting")


def _page(first: date, second: date, *, form: CopyWeekForm | None = None, error: DomainError | None = None) -> Response:
    form = form or CopyWeekForm(formdata=None)
    form.from_monday.data, form.to_monday.data = first.isoformat(), second.isoformat()
    plan, why = None, None
    try:
        plan = sessions.plan_copy(from_monday=first, to_monday=second)
    except Invalid as refused:
        why = refused.message
    if error is not None:
        refusal.take(form, error)
    return render(
        "schedule/copy.html", "schedule/_copy.html", status=200 if error is None else status_of(error), form=form,
        plan=plan, why=why, first=first, second=second, week=WEEK,
        coaches={one.id: one.name for one in lists.coaches()}, venues={one.id: one.name for one in lists.venues()},
    )  # fmt: skip


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def _week(monday: date) -> str:
    return url_for("schedule.week", week=monday)


def _said(copied: Copied) -> str:
    if not copied.made:
        return f"没有新建课次，{len(copied.skipped)} 节已跳过" if copied.skipped else "那一周没有可复制的课次"
    skipped = f"，跳过 {len(copied.skipped)} 节" if copied.skipped else ""
    return f"已复制 {len(copied.made)} 节课{skipped}"
