"""A manager's controls of one wallet, without moving money: freeze, close, own limit, bypass (W30, W23)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import abort, request, url_for

from app import money
from app.domain.ledger import control
from app.domain.ledger import queries as ledger_queries
from app.domain.people import family_queries
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Invalid
from app.web.desk.blueprint import bp
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.forms.control import WalletControlForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import close_panel, hx_redirect, render, toast

#: what the form's button says → the use case and what is said after it
_ACTS: dict[str, tuple[Callable[..., None], str]] = {
    "freeze": (control.freeze, "已冻结钱包，目前只能入账"),
    "unfreeze": (control.unfreeze, "已解冻钱包"),
    "close": (control.close, "已关闭钱包"),
    "limit": (control.set_overdraft_limit, "已修改欠费上限"),
    "bypass": (control.grant_bypass, "已放行欠费预约"),
    "revoke": (control.revoke_bypass, "已结束放行"),
}


@bp.route("/families/<int:family_id>/wallet-control", methods=["GET", "POST"])
@requires(Permission.WALLET_CONTROL)
def wallet_control(family_id: int):
    """The side panel with everything a manager may do to this wallet."""
    form = WalletControlForm()
    if request.method == "GET":
        return _shown(family_id, form)
    act, sentence = _ACTS.get(form.act.data or "", (None, ""))
    if act is None:
        abort(422)
    try:
        act(family_id=family_id, reason=form.reason.data or "", actor=current_actor(),
            request_key=request_key("desk.wallet_control", form), **_figures(form))  # fmt: skip
    except (Invalid, Conflict) as error:
        return _shown(family_id, form, error)
    return toast(close_panel(hx_redirect(url_for("families.show", family_id=family_id))), sentence)


def _figures(form: WalletControlForm) -> dict[str, Any]:
    """What the act needs beside a reason. Raises Invalid."""
    if form.act.data == "limit":
        text = (form.limit.data or "").strip()
        return {"limit": money.parse(text, name="limit") if text else None}
    if form.act.data == "bypass":
        if form.until.data is None:
            raise Invalid.field("until", "请选择放行到哪一天")
        return {"until": form.until.data}
    return {}


def _shown(family_id: int, form: WalletControlForm, error: DomainError | None = None):
    family, wallet = family_queries.family_sheet(family_id), ledger_queries.staff_wallet(family_id)
    if family is None or wallet is None:
        abort(404)
    if error is not None:
        refusal.take(form, error)
    return render("desk/wallet_control.html", "desk/_wallet_control.html",
                  status=200 if error is None else status_of(error), family=family, wallet=wallet, form=form,
                  act=form.act.data)  # fmt: skip
