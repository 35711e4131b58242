"""Moving a student or a parent to another family, and merging two families (P3, P11): find, see, confirm, do.

A submission without `confirmed` comes back with the confirmation open, made from what the server knows at that moment,
as at the money desk. So it works without script as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from flask import Blueprint, Response, abort, request, url_for

from app import money
from app.db import db
from app.domain.changes import families, two_families
from app.domain.changes.two_families import Plan, Side
from app.domain.desk.errors import BalanceMoved
from app.domain.people import family_queries, proof
from app.domain.people.roles import Permission
from app.domain.search import queries as search
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.money import ZERO
from app.text import clean
from app.web.errors import status_of
from app.web.filters import money as money_text
from app.web.forms import refusal
from app.web.forms.families import MergeForm, MoveForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast
from app.web.security import limit_money_forms

bp = Blueprint("family_moves", __name__)

HITS = 8
MERGE, STUDENT, PARENT = "merge", "student", "parent"


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done to the family of the address; for a merge there is no person. `person` is empty, too, once
    somebody has left the family."""

    kind: str
    here: str
    family: Side
    person_id: int | None = None
    person: str = ""


@bp.route("/families/<int:family_id>/merge", methods=["GET", "POST"])
@requires(Permission.FAMILY_MERGE)
def merge(family_id: int):
    """Merge this family into another one."""
    return _answer(Act(MERGE, url_for(".merge", family_id=family_id), _family(family_id)))


@bp.route("/families/<int:family_id>/students/<int:profile_id>/move", methods=["GET", "POST"])
@requires(Permission.FAMILY_MERGE)
def student(family_id: int, profile_id: int):
    """Move one student to another family."""
    here = url_for(".student", family_id=family_id, profile_id=profile_id)
    return _answer(Act(STUDENT, here, _family(family_id), profile_id, _name(family_id, "students", profile_id)))


@bp.route("/families/<int:family_id>/parents/<int:user_id>/move", methods=["GET", "POST"])
@requires(Permission.FAMILY_MERGE)
def parent(family_id: int, user_id: int):
    """Move one parent to another family."""
    here = url_for(".parent", family_id=family_id, user_id=user_id)
    return _answer(Act(PARENT, here, _family(family_id), user_id, _name(family_id, "parents", user_id)))


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _family(family_id: int) -> Side:
    found = two_families.side(family_id)
    if found is None:
        abort(404)
    return found


def _name(family_id: int, people: str, person_id: int) -> str:
    """The name of somebody of this family, empty for anybody else."""
    sheet = family_queries.family_sheet(family_id)
    return next((one.name for one in getattr(sheet, people) if one.id == person_id), "")


def _answer(act: Act) -> Response:
    """The search, the form, the confirmation, or what was done."""
    confirmed = request.method == "POST" and request.form.get("confirmed") == "1"
    if act.person_id is not None and not act.person and not confirmed:
        abort(404)
    other, missing = _other(act)
    # A form that was sent twice finds its family merged, or the person gone: the use case knows its first answer.
    if other is None or (act.family.merged_into is not None and not confirmed):
        return _find(act, missing)
    form = (MergeForm if act.kind == MERGE else MoveForm)(data={"to_family_id": other.id})
    if request.method == "GET":
        return _page(act, other, form)
    limit_money_forms()
    proof.require_recent(current_actor())
    try:
        amount = _amount(act, form)
        if not clean(form.reason.data, families.REASON_LENGTH):
            raise Invalid.field("reason", "请填写原因")
        if not confirmed:
            return _page(act, other, form, amount=amount, asks=True)
        return _do(act, other, form, amount)
    except BalanceMoved as error:
        return _page(act, other, form, amount=amount, asks=True, error=error)
    except (Invalid, Conflict, Forbidden) as error:
        return _page(act, other, form, error=error)


def _other(act: Act) -> tuple[Side | None, str]:
    """The other family, or why there is none."""
    asked = request.values.get("to_family_id", "")
    if not asked:
        return None, ""
    found = two_families.side(int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 19 else None
    if found is None:
        return None, "没有这个家庭，请重新查找"
    if found.id == act.family.id:
        return None, "请选择另一个家庭"
    if found.merged_into is not None:
        return None, f"「{found.name}」已并入别的家庭，请查找现在的家庭"
    return found, ""


def _amount(act: Act, form: MergeForm) -> Decimal:
    """What is to go along in yuan. Raises Invalid, NotEnough: nobody confirms what will be refused."""
    text = "" if act.kind == MERGE else (form.amount.data or "").strip()
    amount = money.parse(text) if text else ZERO
    families.check_amount(amount, act.family.balance)
    return amount


def _do(act: Act, other: Side, form: MergeForm, amount: Decimal) -> Response:
    location = url_for("families.show", family_id=other.id)
    facts = {
        "reason": form.reason.data or "",
        "actor": current_actor(),
        "request_key": request_key(f"families.{act.kind}", form, present=lambda _: {"location": location}),
    }
    pair = {"from_family_id": act.family.id, "to_family_id": other.id}
    if act.kind == MERGE:
        done = families.merge_families(
            from_family_id=act.family.id, into_family_id=other.id, seen=_seen(form.seen.data), **facts
        )
        said = f"已把 {act.family.name} 并入 {other.name}，余额 {money_text(done.balance)}"
    else:
        if act.kind == STUDENT:
            moved = families.move_profile(profile_id=act.person_id, amount=amount, **pair, **facts)
        else:
            moved = families.move_parent(user_id=act.person_id, amount=amount, **pair, **facts)
        said = f"已把 {act.person} 转到 {other.name}" + (
            f"，并划转 {money_text(amount)}，余额 {money_text(moved.new_balance)}" if amount else ""
        )
    return toast(hx_redirect(location), said)


def _seen(text: str | None) -> tuple[int, int] | None:
    versions = (text or "").split("-")
    return tuple(map(int, versions)) if len(versions) == 2 and all(map(str.isdigit, versions)) else None


def _find(act: Act, missing: str) -> Response:
    query = clean(request.values.get("q"), 64)
    hits = [hit for hit in search.find(query, limit=HITS + 1) if hit.family_id != act.family.id] if query else []
    typing = request.headers.get("HX-Target") == "families-found"
    return render(
        "families/move.html", "families/_move_hits.html" if typing else "families/_move.html",
        status=422 if request.method == "POST" else 200, act=act, other=None, query=query, hits=hits[:HITS],
        missing=missing,
    )  # fmt: skip


def _page(
    act: Act, other: Side, form: MergeForm, *, amount: Decimal = ZERO, asks: bool = False,
    error: DomainError | None = None,
) -> Response:  # fmt: skip
    """The form with what it will do; `asks` opens the confirmation over it."""
    db.session.rollback()
    act, other = Act(act.kind, act.here, _family(act.family.id), act.person_id, act.person), _family(other.id)
    plan = _plan(act, other)
    form.seen.data = f"{act.family.version}-{other.version}"
    moved = error.message if isinstance(error, BalanceMoved) else None
    if error is not None and moved is None:
        refusal.take(form, error)
    return render(
        "families/move.html", "families/_move.html", status=200 if error is None else status_of(error), act=act,
        other=other, plan=plan, form=form, amount=amount, asks=asks and not plan.obstacles, moved=moved,
    )  # fmt: skip


def _plan(act: Act, other: Side) -> Plan:
    if act.kind == MERGE:
        return two_families.merge_plan(act.family, other)
    return two_families.move_plan(act.family, other, act.person_id if act.kind == STUDENT else None)
