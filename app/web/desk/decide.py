"""What is done to one adjustment: approve, reject, withdraw, bring its receipt, undo. Each a form post (U5)."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request, url_for

from app.db import db
from app.domain.desk import adjustments as asking
from app.domain.desk import approvals as deciding
from app.domain.desk import queries, undo
from app.domain.desk import receipts as receipt_facts
from app.domain.desk.completion import Outcome
from app.domain.desk.errors import OwnAdjustment, OwnFamily
from app.domain.people import proof
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Invalid, Unavailable
from app.flows import receipts
from app.web.desk.adjust import said
from app.web.desk.blueprint import bp
from app.web.desk.lists import detail_context
from app.web.errors import status_of
from app.web.forms.desk import DecisionForm, uploads
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger
from app.web.security import limit_money_forms


@bp.post("/adjustments/<int:adjustment_id>/approve")
@requires(Permission.ADJUSTMENT_APPROVE)
def approve(adjustment_id: int):
    """The second person says yes: the money moves."""
    form = DecisionForm()
    return _acted(adjustment_id, lambda: deciding.approve(
        adjustment_id=adjustment_id, version=_version(form), actor=current_actor(),
        request_key=_key("desk.approve", form),
    ))  # fmt: skip


@bp.post("/adjustments/<int:adjustment_id>/reject")
@requires(Permission.ADJUSTMENT_APPROVE)
def reject(adjustment_id: int):
    """The second person says no, and why."""
    form = DecisionForm()
    return _acted(adjustment_id, lambda: deciding.reject(
        adjustment_id=adjustment_id, reason=form.reason.data or "", version=_version(form), actor=current_actor(),
        request_key=_key("desk.reject", form),
    ))  # fmt: skip


@bp.post("/adjustments/<int:adjustment_id>/withdraw")
@requires(Permission.ADJUSTMENT_ASK)
def withdraw(adjustment_id: int):
    """Its author takes it back, and says why."""
    form = DecisionForm()
    return _acted(adjustment_id, lambda: asking.withdraw(
        adjustment_id=adjustment_id, reason=form.reason.data or "", version=_version(form), actor=current_actor(),
        request_key=_key("desk.withdraw", form),
    ))  # fmt: skip


@bp.post("/adjustments/<int:adjustment_id>/receipts")
@requires(Permission.ADJUSTMENT_ASK)
def add_receipts(adjustment_id: int):
    """The receipt that was missing."""
    form = DecisionForm()

    def bring() -> Outcome:
        proof.require_recent(current_actor())
        already = len(queries.receipts_of("adjustment", adjustment_id))
        stored = receipts.keep(uploads(), actor=current_actor(), already=already)
        return receipt_facts.add(
            adjustment_id=adjustment_id, receipts=stored, version=_version(form), actor=current_actor(),
            request_key=_key("desk.receipts", form),
        )  # fmt: skip

    return _acted(adjustment_id, bring)


@bp.post("/adjustments/<int:adjustment_id>/undo")
@requires(Permission.ADJUSTMENT_ASK)
def undo_now(adjustment_id: int):
    """One click for its author. Needs no request token: an adjustment is undone once at most, whoever clicks."""
    return _acted(adjustment_id, lambda: undo.undo(adjustment_id=adjustment_id, actor=current_actor()))


@bp.post("/adjustments/<int:adjustment_id>/undo-request")
@requires(Permission.ADJUSTMENT_ASK)
def ask_undo(adjustment_id: int):
    """Later: a new adjustment that undoes this one, once somebody approves it."""
    form = DecisionForm()
    return _acted(adjustment_id, lambda: undo.ask(
        adjustment_id=adjustment_id, note=form.reason.data or "", actor=current_actor(),
        request_key=_key("desk.undo_request", form),
    ))  # fmt: skip


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _acted(adjustment_id: int, act: Callable[[], Outcome]) -> Response:
    """Do it and show the adjustment as it now is; what was refused is said above it, with what changed (U12)."""
    limit_money_forms()
    try:
        outcome = act()
    except (Conflict, Invalid, Unavailable, OwnAdjustment, OwnFamily) as error:
        return _refused(adjustment_id, error)
    fragment, context = _shown(adjustment_id)
    location = url_for("desk.adjustment", adjustment_id=adjustment_id)
    response = redirect_or_fragment(location, fragment, **context)
    trigger(response, "desk:adjusted")
    good = outcome.status == "completed"
    link = url_for("desk.adjustment", adjustment_id=outcome.adjustment_id)
    return toast(response, said(outcome), "good" if good else "info", link=link)


def _refused(adjustment_id: int, error: DomainError) -> Response:
    db.session.rollback()
    fragment, context = _shown(adjustment_id)
    context |= {"error": error, "typed_reason": request.form.get("reason", "")[:500]}
    return render("desk/adjustment.html", fragment, status=status_of(error), **context)


def _shown(adjustment_id: int) -> tuple[str, dict]:
    """The part of the page that the button stands in, fresh."""
    target = request.headers.get("HX-Target", "")
    fragment = {"adjust-done": "desk/_done.html", f"missing-{adjustment_id}": "desk/_missing_receipt.html"}.get(target)
    return fragment or "desk/_detail.html", detail_context(adjustment_id)


def _version(form: DecisionForm) -> int | None:
    return int(form.version.data) if (form.version.data or "").isdigit() else None


def _key(name: str, form: DecisionForm):
    return request_key(name, form, present=_present)


def _present(outcome: Outcome) -> dict:
    return {"location": url_for("desk.adjustment", adjustment_id=outcome.adjustment_id)}
