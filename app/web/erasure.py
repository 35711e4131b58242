"""Deleting a family's personal data (S8): what is in the way, ask, decide, and the certificate afterwards."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, abort, url_for
from wtforms import RadioField
from wtforms.fields.choices import SelectChoice

from app.domain.people import family_queries
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.retention import queries, requests
from app.web.forms_token import TokenForm, new_token, request_key
from app.web.orders.deciding import decided
from app.web.permissions import current_actor, requires
from app.web.rendering import render

bp = Blueprint("erasure", __name__)

#: browsers are told when a deletion was asked for or decided
CHANGED = "desk:erasure-changed"
_PAGE, _FRAGMENT = "families/erasure.html", "families/_erasure.html"


class AskForm(TokenForm):
    """Reasons are chosen: free text would keep the names that go."""

    reason = RadioField("原因", choices=[SelectChoice(value=key, label=word) for key, word in requests.REASONS.items()])


@bp.get("/families/<int:family_id>/erasure")
@requires(Permission.FAMILY_EDIT)
def show(family_id: int):
    """How it stands: possible or not and why, asked for, or done and certified."""
    return render(_PAGE, _FRAGMENT, **_context(family_id))


@bp.post("/families/<int:family_id>/erasure")
@requires(Permission.FAMILY_EDIT)
def ask(family_id: int):
    """Ask for it; a manager decides."""
    form = AskForm()

    def act() -> str:
        requests.ask(family_id=family_id, reason=form.reason.data or "", actor=current_actor(),
                     request_key=request_key("erasure.ask", form))  # fmt: skip
        return "已提交，等待店长复核"

    return _decided(family_id, act, form=form)


@bp.post("/families/<int:family_id>/erasure/<int:request_id>/approve")
@requires(Permission.FAMILY_ERASE)
def approve(family_id: int, request_id: int):
    """Delete. It can't be undone."""
    return _act(family_id, request_id, requests.approve, "erasure.approve", "个人信息已删除，证明已留存")


@bp.post("/families/<int:family_id>/erasure/<int:request_id>/reject")
@requires(Permission.FAMILY_ERASE)
def reject(family_id: int, request_id: int):
    """Nothing is deleted."""
    return _act(family_id, request_id, requests.reject, "erasure.reject", "已驳回，没有删除任何信息")


@bp.post("/families/<int:family_id>/erasure/<int:request_id>/withdraw")
@requires(Permission.FAMILY_EDIT)
def withdraw(family_id: int, request_id: int):
    """Whoever asked takes it back."""
    return _act(family_id, request_id, requests.withdraw, "erasure.withdraw", "已撤回申请")


def _act(family_id: int, request_id: int, use_case: Callable[..., int], name: str, said: str):
    waiting = requests.pending(family_id)
    if waiting is not None and waiting.id != request_id:
        abort(404)

    def act() -> str:
        use_case(request_id=request_id, actor=current_actor(), request_key=request_key(name))
        return said

    return _decided(family_id, act)


def _decided(family_id: int, act: Callable[[], str], **forms):
    return decided(act, lambda: _context(family_id), url=url_for("erasure.show", family_id=family_id), page=_PAGE,
                   fragment=_FRAGMENT, changed=CHANGED, **forms)  # fmt: skip


def _context(family_id: int) -> dict:
    sheet = family_queries.family_sheet(family_id)
    if sheet is None:
        abort(404)
    return {"sheet": sheet, "family_id": family_id, "plan": queries.plan(family_id), "me": current_actor().id,
            "years": policy.get("retention_money"), "form": AskForm(formdata=None), "error": None,
            "new_token": new_token}  # fmt: skip
