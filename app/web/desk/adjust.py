"""The adjust form (U4, W10, W15): find the family, fill in, see what it will do, confirm. One page, no reload.

A submission without `confirmed` comes back with the confirmation open, made from what the server knows at that
moment: balance, limits, receipts used before. So the confirmation works without script as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from flask import Response, abort, request, url_for

from app import money
from app.db import db
from app.domain.desk import adjustments, queries, rules, words
from app.domain.desk.completion import Outcome
from app.domain.desk.errors import BalanceMoved
from app.domain.desk.queries import AdjustmentFilter, Plan
from app.domain.desk.rules import Wish
from app.domain.ledger import queries as ledger_queries
from app.domain.ledger import rules as wallet_rules
from app.domain.people import family_queries, proof
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.search import queries as search
from app.errors import Conflict, DomainError, Forbidden, Invalid, Unavailable
from app.text import clean
from app.web import labels
from app.web.desk.blueprint import bp
from app.web.errors import status_of
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.desk import USUAL, AdjustForm, KeptFile, keep_uploads, kept_files, opened_now, seconds_since
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger, wants_fragment
from app.web.security import limit_money_forms

HITS = 8


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the dialog says before money moves."""

    wish: Wish
    plan: Plan
    before: Decimal
    after: Decimal
    words: str
    #: the amount to type again, for large sums (W15)
    typed: str | None
    typed_error: str | None = None


@bp.get("/adjustments/new", defaults={"family_id": None})
@bp.get("/families/<int:family_id>/adjust")
@requires(Permission.ADJUSTMENT_ASK)
def adjust(family_id: int | None):
    """The form for one family, or the search for it."""
    if family_id is None:
        query = clean(request.args.get("q"), 64)
        hits = search.find(query, limit=HITS) if query else []
        fragment = "desk/_families_found.html" if request.headers.get("HX-Target") == "families-found" else None
        return render("desk/adjust.html", fragment or "desk/_adjust.html", query=query, hits=hits, family=None,
                      opened=request.args.get("opened") or opened_now())  # fmt: skip
    form = AdjustForm(**USUAL, opened=request.args.get("opened") or opened_now())
    return _page(family_id, form, [])


@bp.post("/families/<int:family_id>/adjust")
@requires(Permission.ADJUSTMENT_ASK)
def submit(family_id: int):
    """Check, confirm, do. Whatever is refused comes back with the form as it was filled in."""
    limit_money_forms()
    proof.require_recent(current_actor())
    form, kept = AdjustForm(), kept_files()
    try:
        keep_uploads(kept)
        wish = wish_of(form)
        confirmation = _confirmation(family_id, wish, kept)
        if not _is_confirmed(confirmation):
            return _page(family_id, form, kept, confirmation=_marked(confirmation))
        outcome = adjustments.ask(
            family_id=family_id, wish=wish, actor=current_actor(), receipts_given=[file.receipt for file in kept],
            seen_version=int(form.seen_version.data) if (form.seen_version.data or "").isdigit() else None,
            form_seconds=seconds_since(form.opened.data),
            request_key=request_key("desk.adjust", form, present=_present),
        )  # fmt: skip
    except BalanceMoved as error:
        return _page(family_id, form, kept, confirmation=_confirmation(family_id, wish, kept), error=error)
    except (Invalid, Conflict, Forbidden, Unavailable) as error:
        return _page(family_id, form, kept, error=error)
    return _done(outcome)


@bp.get("/families/<int:family_id>/adjust/preview")
@requires(Permission.ADJUSTMENT_ASK)
def preview(family_id: int):
    """The sentence of what will happen, while typing (U16)."""
    form = AdjustForm(request.args, meta={"csrf": False})
    wallet, wish, plan, error = ledger_queries.wallet(family_id=family_id), None, None, None
    if form.amount.data:
        try:
            wish = wish_of(form, whole=False)
            plan = _checked_plan(family_id, wish, [], wallet)
        except DomainError as refused:
            error = refused
    return render("desk/preview.html", "desk/_preview.html", family=_family(family_id), wallet=wallet, wish=wish,
                  plan=plan, error=error)  # fmt: skip


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def wish_of(form: AdjustForm, *, whole: bool = True) -> Wish:
    """What the form asks for. While typing (`whole=False`) what is still to be filled in is taken as filled in.

    Raises Invalid naming every wrong field.
    """
    errors: dict[str, list[str]] = {}
    amount = Decimal("1.00")
    try:
        amount = money.parse((form.amount.data or "").strip())
    except Invalid as error:
        errors = {"amount": ["请填写金额" if not form.amount.data else error.message]}
    try:
        wish = rules.checked_wish(
            direction=form.direction.data or "",
            amount=amount,
            type=form.type.data or "",
            payment_method=form.payment_method.data or ("" if whole else "none"),
            reason_code=(form.reason_code.data or "") if whole else words.OTHER[0],
            note=(form.note.data or "") if whole else "-",
            external_no=(form.external_no.data or "") if whole else "",
        )
    except Invalid as error:
        raise Invalid(error.message, errors={**(error.errors or {}), **errors}) from None
    if errors:
        raise Invalid(errors["amount"][0], errors=errors)
    return wish


def _confirmation(family_id: int, wish: Wish, kept: list[KeptFile]) -> Confirmation:
    """Raises what asking would raise now, so that nobody confirms what will be refused."""
    wallet = ledger_queries.wallet(family_id=family_id)
    plan = _checked_plan(family_id, wish, kept, wallet)
    large = abs(wish.amount) >= policy.get("adjustment_type_amount_from")
    return Confirmation(
        wish=wish,
        plan=plan,
        before=wallet.balance,
        after=wallet.balance + wish.amount,
        words=words.in_words(abs(wish.amount)),
        typed=f"{abs(wish.amount):,.2f}" if large else None,
    )


def _checked_plan(family_id: int, wish: Wish, kept: list[KeptFile], wallet) -> Plan:
    person = db.session.get(Staff, current_actor().id)
    plan = queries.plan(person, family_id, wish, [file.receipt for file in kept])
    wallet_rules.check_status(wallet.status, wish.amount)
    wallet_rules.check_range(wallet.balance, wish.amount)
    wallet_rules.check_limit(wallet.balance, wish.amount, wallet.overdraft_limit)
    return plan


def _is_confirmed(confirmation: Confirmation) -> bool:
    return request.form.get("confirmed") == "1" and (not confirmation.typed or not _typed_error(confirmation))


def _typed_error(confirmation: Confirmation) -> str | None:
    typed = request.form.get("typed_amount", "").replace(",", "").strip()
    try:
        same = money.parse(typed) == abs(confirmation.wish.amount)
    except Invalid:
        same = False
    return None if same else "与上面填写的金额不一致，请重新输入"


def _marked(confirmation: Confirmation) -> Confirmation:
    """With what was wrong about the typed amount, once somebody typed one."""
    if not confirmation.typed or "confirmed" not in request.form:
        return confirmation
    values = {name: getattr(confirmation, name) for name in Confirmation.__dataclass_fields__}
    return Confirmation(**(values | {"typed_error": _typed_error(confirmation)}))


def _family(family_id: int):
    sheet = family_queries.family_sheet(family_id)
    if sheet is None:
        abort(404)
    return sheet


def _page(
    family_id: int,
    form: AdjustForm,
    kept: list[KeptFile],
    *,
    confirmation: Confirmation | None = None,
    error: DomainError | None = None,
) -> Response:
    db.session.rollback()
    wallet = ledger_queries.staff_wallet(family_id)
    if wallet is None:
        abort(404)
    form.seen_version.data = str(wallet.version)
    file_errors = (error.errors or {}).get("receipts", []) if error is not None else []
    if error is not None and not file_errors and not isinstance(error, BalanceMoved):
        refusal.take(form, error)
    status = 200 if error is None else status_of(error)
    return render(
        "desk/adjust.html", "desk/_adjust.html", status=status, form=form, kept=kept, confirmation=confirmation,
        family=_family(family_id), wallet=wallet, file_errors=file_errors,
        moved=error.message if isinstance(error, BalanceMoved) else None,
        recent=queries.page(AdjustmentFilter(family_id=family_id), limit=4).items,
        max_bytes=policy.get("receipt_max_bytes"), undo_minutes=_undo_minutes(), error=None,
    )  # fmt: skip


def _undo_minutes() -> int:
    return int(policy.get("adjustment_undo_window").total_seconds() // 60)


def _present(outcome: Outcome) -> dict:
    return {"location": url_for("desk.adjustment", adjustment_id=outcome.adjustment_id)}


def _done(outcome: Outcome) -> Response:
    location = url_for("desk.adjustment", adjustment_id=outcome.adjustment_id)
    shown = None
    if wants_fragment():
        shown = {"detail": queries.detail(outcome.adjustment_id, current_actor()), "error": None}
    response = redirect_or_fragment(location, "desk/_done.html" if shown else None, **(shown or {}))
    trigger(response, "desk:adjusted")
    undo = url_for("desk.undo_now", adjustment_id=outcome.adjustment_id) if outcome.status == "completed" else None
    return toast(response, said(outcome), "good" if undo else "waiting", link=location, undo=undo)


def said(outcome: Outcome) -> str:
    """What became of an adjustment, in one sentence."""
    name = _family(outcome.family_id).name
    act = f"{'增加' if outcome.amount > 0 else '减少'} {money_text(abs(outcome.amount))}"
    if outcome.status == "completed" and outcome.undoes_id:
        return f"已撤销，{name} 的余额为 {money_text(outcome.balance_after)}"
    if outcome.status == "completed":
        return f"已为 {name} {act}，余额 {money_text(outcome.balance_after)}"
    if outcome.cause:
        return f"{name} {act}：{labels.word('adjustment_cause', outcome.cause)}"
    if outcome.missing_receipt:
        return f"已登记 {name} {act}，补齐凭证后入账"
    return f"已提交 {name} {act}，等待另一位同事审批"
