"""规则: the studio's figures with meaning, default and history; money limits change by two people (R9, U10)."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, url_for

from app.domain.audit import actions
from app.domain.audit import queries as audit_queries
from app.domain.audit.queries import AuditFilter
from app.domain.people.roles import Permission
from app.domain.policy import changes, queries
from app.domain.policy.queries import PendingChange, PolicyLine
from app.errors import Conflict, DomainError, Invalid
from app.web import templates_page
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.forms.settings import PolicyForm, RejectForm, ScopeForm, SwitchForm
from app.web.forms_token import TokenForm, request_key
from app.web.permissions import current_actor, requires
from app.web.policy_words import said, writing_help
from app.web.rendering import close_panel, hx_redirect, render, toast, wants_fragment

bp = Blueprint("settings", __name__, url_prefix="/settings")
templates_page.register(bp)

HISTORY_LENGTH = 20


@bp.get("/policies")
@requires(Permission.POLICY_VIEW)
def policies():
    """Every figure by group, and the changes that wait for a second person."""
    return render("settings/policies.html", "settings/_policies.html", **_list())


@bp.get("/policies/<name>")
@requires(Permission.POLICY_VIEW)
def policy(name: str):
    """One figure with its history."""
    return render("settings/policy.html", "settings/_policy.html", **_sheet(_line(name)))


@bp.route("/policies/<name>/edit", methods=["GET", "POST"])
@requires(Permission.POLICY_EDIT)
def edit(name: str):
    """Change a figure, or ask for it where a second person must agree."""
    line = _line(name)
    form = _form_of(line)
    if request.method != "POST" or not form.validate():
        return _form("settings/edit.html", "settings/_edit.html", form, line=line)
    put = changes.ask if line.policy.guarded else changes.change
    try:
        put(
            name=name, value=form.value.data, reason=form.reason.data, seen=form.seen.data, actor=current_actor(),
            request_key=request_key("settings.edit", form, present=_to_list),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _form("settings/edit.html", "settings/_edit.html", form, error, line=_line(name))
    if line.policy.guarded:
        return _done(f"已提交修改「{line.policy.description}」，等待另一位店长复核", "waiting")
    return _done(f"「{line.policy.description}」已改为 {said(line.policy, _line(name).value)}，立即生效")


@bp.post("/policies/requests/<int:request_id>/approve")
@requires(Permission.POLICY_EDIT)
def approve(request_id: int):
    """Put an asked change in force."""
    line = _line(_pending(request_id).policy.name)
    done = changes.approve(
        request_id=request_id, actor=current_actor(), request_key=request_key("settings.approve", present=_to_list)
    )
    return _done(f"「{line.policy.description}」已改为 {said(line.policy, done.new)}，立即生效")


@bp.route("/policies/requests/<int:request_id>/reject", methods=["GET", "POST"])
@requires(Permission.POLICY_EDIT)
def reject(request_id: int):
    """Refuse an asked change, with a reason."""
    pending = _pending(request_id)
    form = RejectForm()
    if request.method != "POST" or not form.validate():
        return _form("settings/reject.html", "settings/_reject.html", form, pending=pending)
    try:
        changes.reject(
            request_id=request_id, note=form.note.data, actor=current_actor(),
            request_key=request_key("settings.reject", form, present=_to_list),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _form("settings/reject.html", "settings/_reject.html", form, error, pending=pending)
    return _done(f"已驳回「{pending.policy.description}」的修改")


@bp.post("/policies/requests/<int:request_id>/withdraw")
@requires(Permission.POLICY_EDIT)
def withdraw(request_id: int):
    """Take one's own request back."""
    pending = _pending(request_id)
    changes.withdraw(
        request_id=request_id, actor=current_actor(), request_key=request_key("settings.withdraw", present=_to_list)
    )
    return _done(f"已撤回「{pending.policy.description}」的修改")


# ── what the pages show ─────────────────────────────────────────────────────────────────────────────


def _to_list(_result) -> dict[str, str]:
    return {"location": url_for("settings.policies")}


def _line(name: str) -> PolicyLine:
    line = queries.line(name)
    if line is None:
        abort(404)
    return line


def _pending(request_id: int) -> PendingChange:
    pending = next((one for one in queries.pending_changes() if one.id == request_id), None)
    if pending is None:
        abort(404, "这项修改已经处理过，或已被撤回")
    return pending


def _list() -> dict:
    return {"groups": queries.by_group(), "pending": queries.pending_changes(), "said": said, "token": TokenForm()}


def _form_of(line: PolicyLine) -> PolicyForm:
    if line.policy.unit == "范围":
        return ScopeForm.of(line.value)
    return (SwitchForm if line.policy.unit == "开关" else PolicyForm)(data={"value": line.value, "seen": line.value})


def _sheet(line: PolicyLine) -> dict:
    page = audit_queries.page(AuditFilter(target_type="policy", target_id=line.policy.name), limit=HISTORY_LENGTH)
    events = [
        {
            "at": row.created_at,
            "who": actions.who(row),
            "note": row.reason,
            "text": f"{actions.word(row.action)}：{said(line.policy, row.before['value'])}"
            f" → {said(line.policy, row.after['value'])}",
            "tone": "active" if row.action == "policy.changed" else "ended",
        }
        for row in page.items
    ]
    return {"line": line, "events": events, "older": page.older is not None, "said": said, "token": TokenForm()}


def _form(page: str, fragment: str, form, error: DomainError | None = None, **context) -> Response:
    if error is not None:
        refusal.take(form, error)
    status = status_of(error) if error else 422 if request.method == "POST" else 200
    return render(page, fragment, status=status, form=form, said=said, writing_help=writing_help, **context)


def _done(sentence: str, kind: str = "good") -> Response:
    """From the side panel the list behind it is renewed in place; a plain post goes to the list."""
    if not wants_fragment():
        return toast(hx_redirect(url_for("settings.policies")), sentence, kind)
    answer = render("settings/policies.html", "settings/_policies.html", **_list())
    answer.headers["HX-Retarget"] = "#policies"
    answer.headers["HX-Reswap"] = "outerHTML"
    return toast(close_panel(answer), sentence, kind)
