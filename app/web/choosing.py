"""勾选几行或筛选出的全部，一次办理: what will be done is shown first, then each row has its own result (U5, U15).

A list offers its action once, beside its view: `choosable("refunds-approve", _listed, "orders.refund_list", _page)`,
where `_listed()` reads the filters of the address as the view does. Its template writes `choose_bar(chooser(…))` and
`tick(…)` from components/choosing.html. Ticks and 「全部」 lead to the preview by the same address as the list's
filters, so everything works as plain forms and a preview can be read again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response, abort, request, url_for

from app.db import db
from app.domain.chosen import queries, rows, service
from app.domain.chosen.actions import ACTIONS, Action, Given
from app.domain.chosen.rows import Chosen
from app.domain.chosen.service import ChoiceChanged
from app.domain.people.roles import Permission
from app.errors import Forbidden, Invalid
from app.exports.columns import Column, Kind
from app.flows import longjobs
from app.web.downloads import PLACE, Taking, labelled, offer
from app.web.filter_args import int_arg
from app.web.forms import refusal
from app.web.forms.choosing import ChoiceForm
from app.web.forms_token import request_key
from app.web.permissions import can, current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.security import limit_money_forms

bp = Blueprint("choosing", __name__)

#: of the address, what is about the choice and no filter of the list
_OURS = frozenset({"id", "all", "seen"})
#: rows that the preview names
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Choosable:
    """A list's action: its rows under the filters of this address, its page, and the page of one row by its key."""

    action: Action
    listed: Callable[[], sa.Select]
    back: str
    page: Callable[[Any], str]


CHOOSABLE: dict[str, Choosable] = {}


def choosable(name: str, listed: Callable[[], sa.Select], back: str, page: Callable[[Any], str]) -> None:
    """Offer an action of app/domain/chosen on a list. Raises ValueError for a name that is taken."""
    if name in CHOOSABLE:
        raise ValueError(f"two lists offer {name}")
    CHOOSABLE[name] = Choosable(ACTIONS[name], listed, back, page)


@dataclass(frozen=True, slots=True)
class Chooser:
    """What a list shows above its rows: how many the filters find that the action makes sense for."""

    name: str
    action: Action
    url: str
    total: int
    filters: list[tuple[str, str]]

    @property
    def too_many(self) -> bool:
        return self.total > rows.MOST


@bp.app_template_global("chooser")
def chooser(name: str) -> Chooser | None:
    """For the list's template; None where there is nothing to do, or not for this person."""
    one = CHOOSABLE[name]
    total = rows.count(one.action, one.listed()) if can(one.action.permission) else 0
    return Chooser(name, one.action, url_for("choosing.preview", name=name), total, _filters()) if total else None


@bp.get("/choose/<name>")
@requires(Permission.BULK_CHOOSE)
def preview(name: str):
    """What would be done to which rows: their number, their sums, the first of them. Nothing is done."""
    one = _offered(name)
    chosen = _resolve(one)
    seen = int_arg("seen")
    grown = seen is not None and request.args.get("all") == "1" and seen != len(chosen.rows)
    return _preview(one, chosen, ChoiceForm(formdata=None), changed=seen if grown else None)


@bp.post("/choose/<name>")
@requires(Permission.BULK_CHOOSE)
def act(name: str):
    """Do it to the rows of the preview, if they are still the same."""
    one, form = _offered(name), ChoiceForm()
    limit_money_forms()
    chosen = _resolve(one)
    given = Given(form.note.data or "", form.until.data)
    key = request_key("choosing.act", form, present=lambda job_id: {"location": _job(job_id)})
    try:
        job_id = service.ask(action=name, chosen=chosen, seen=form.digest.data or "", given=given,
                             actor=current_actor(), request_key=key)  # fmt: skip
    except (ChoiceChanged, Invalid) as error:
        db.session.rollback()
        refusal.take(form, error)
        changed = len(chosen.rows) if isinstance(error, ChoiceChanged) else None
        return _preview(one, chosen, form, changed=changed, status=409 if changed is not None else 422)
    few = len(chosen.rows) <= service.AT_ONCE
    longjobs.begin(job_id, at_once=few)
    return toast(hx_redirect(_job(job_id)), "已办理，下面是每一行的结果" if few else "已开始，可以离开这个页面")


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _offered(name: str) -> Choosable:
    """Aborts with 404 for an action that no list offers. Raises Forbidden."""
    one = CHOOSABLE.get(name)
    if one is None:
        abort(404)
    if not can(one.action.permission):
        raise Forbidden(data={"permission": str(one.action.permission)})
    return one


def _resolve(one: Choosable) -> Chosen:
    if request.args.get("all") == "1":
        return rows.resolve(one.action, one.listed())
    texts = request.args.getlist("id")
    ticked = {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= 18}
    return rows.resolve(one.action, one.listed(), ticked)


def _preview(
    one: Choosable, chosen: Chosen, form: ChoiceForm, *, changed: int | None = None, status: int = 200
) -> Response:
    form.digest.data = chosen.digest
    shown = chosen.rows[:SHOWN]
    return render(
        "choosing/preview.html", "choosing/_preview.html", status=status, one=one, action=one.action, chosen=chosen,
        form=form, changed=changed, shown=shown, names=queries.names(row.family_id for row in shown), most=rows.MOST,
        dropped=_dropped(chosen), back=url_for(one.back, **dict(_filters())), at_once=service.AT_ONCE,
    )  # fmt: skip


def _dropped(chosen: Chosen) -> int:
    """How many ticked rows are not in the list any more, or not for this."""
    return 0 if request.args.get("all") == "1" else max(0, len(set(request.args.getlist("id"))) - len(chosen.rows))


def _filters() -> list[tuple[str, str]]:
    return [(k, v) for k, v in request.args.items() if v and k not in PLACE and k not in _OURS]


def _job(job_id: int) -> str:
    return url_for("longjobs.show", job_id=job_id)


@bp.app_template_global("chosen_page")
def chosen_page(action: Action, key: Any) -> str:
    """The page of one chosen row."""
    return CHOOSABLE[action.name].page(key)


def _results_taken() -> Taking:
    job_id = int_arg("job")
    return Taking(queries.every(job_id or 0), {"任务": f"#{job_id}"} if job_id else {})


offer("chosen-rows", "批量办理结果", Permission.JOB_VIEW, _results_taken, (
    Column("序号", "number", Kind.NUMBER), Column("单号", lambda row: str(row.key)), Column("家庭", "family"),
    labelled("结果", lambda row: row.outcome or "untouched", "row_outcome"), Column("代码", "code"),
    Column("原因", "message"), Column("时间", "at", Kind.TIME),
))  # fmt: skip
