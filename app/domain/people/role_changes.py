"""Power over money is handed out by two people (S9): an administrator asks, a second one or a manager decides.

Two kinds of request: another role, and taking away the second factor of someone who moves money. The second
would otherwise be a way round the first: whoever resets a password and a second factor is that person.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, lock_row, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people import accounts, proof, sessions
from app.domain.people.models import Staff, StaffStatus
from app.domain.people.roles import Permission, Role, require
from app.domain.policy.models import ChangeRequest
from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound
from app.text import clean

ROLE = "staff_role"
RESET = "totp_reset"
KINDS = (ROLE, RESET)
REASON_MAX = 200

_TITLES = {ROLE: "角色变更", RESET: "重置动态验证码"}
_ROLE_WORDS = {
    Role.FRONT_DESK: "前台", Role.FINANCE: "财务", Role.MANAGER: "店长", Role.AUDITOR: "审计", Role.ADMIN: "管理员",
}  # fmt: skip


class AlreadyAsked(Conflict):
    code = "ALREADY_ASKED"
    message = "这位员工已有一项待批准的申请，请先处理"


@transactional
def ask(
    *, staff_id: int, role: str, reason: str, actor: Actor, request_key: RequestKey | None = None
) -> int:  # fmt: skip
    """Ask for another role; returns the request's id. Raises Forbidden, Invalid, AlreadyAsked, StepUpRequired."""
    require(actor, Permission.STAFF_EDIT)
    proof.require_recent(actor)
    if role not in set(Role):
        raise Invalid.field("role", "请选择角色")
    staff = accounts.locked(staff_id)
    if staff.id == actor.id:
        raise Forbidden("不能为自己申请变更角色，请由另一位管理员申请", code="OWN_ACCOUNT")
    reason = clean(reason, REASON_MAX)
    if not reason:
        raise Invalid.field("reason", "请填写变更原因")
    if role == staff.role:
        raise Invalid.field("role", "这位员工已经是这个角色")
    return ask_for(staff, role, reason, actor)


def ask_for(staff: Staff, role: str, reason: str, actor: Actor) -> int:
    """Building block: write the request for another role of this person, whose row is locked or new."""
    return _ask(ROLE, staff, role, reason, actor)


def ask_for_reset(staff: Staff, reason: str, actor: Actor) -> int:
    """Building block: write the request to take this person's second factor, whose row is locked."""
    return _ask(RESET, staff, staff.role, reason, actor)


def _ask(kind: str, staff: Staff, role: str, reason: str, actor: Actor) -> int:
    require_transaction()
    open_one = sa.select(ChangeRequest.id).where(
        ChangeRequest.kind.in_(KINDS), ChangeRequest.target == str(staff.id), ChangeRequest.status == "pending"
    )
    if db.session.execute(open_one).first():
        raise AlreadyAsked
    request = ChangeRequest(
        kind=kind, target=str(staff.id), old_value=staff.role, new_value=role, reason=reason, status="pending",
        asked_by=actor.id, asked_at=clock.now(),
    )  # fmt: skip
    db.session.add(request)
    db.session.flush()
    _note(request, staff, "asked", None, actor)
    return request.id


@transactional
def approve(*, request_id: int, note: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Put the request in force at once and end the person's sessions; returns the staff id.

    Raises NotFound, InvalidState, Forbidden for whoever asked or is concerned, StepUpRequired.
    """
    request, staff = _decidable(request_id, actor)
    if staff.status != StaffStatus.ACTIVE or staff.role != request.old_value:
        raise InvalidState("这位员工的账号在申请之后有了变化，请驳回后重新申请")
    _decide(request, "approved", note, actor)
    if request.kind == RESET:
        accounts.take_second_factor(staff, request.reason, actor)
    else:
        accounts.keep_an_admin(staff)
        staff.role = request.new_value
        sessions.revoke_all(staff.id)
    _note(request, staff, "approved", note, actor)
    return staff.id


@transactional
def reject(*, request_id: int, note: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Refuse the request, with a reason; returns the staff id. Raises as `approve`, and Invalid."""
    note = clean(note, REASON_MAX)
    if not note:
        raise Invalid.field("note", "请填写驳回原因")
    request, staff = _decidable(request_id, actor)
    _decide(request, "rejected", note, actor)
    _note(request, staff, "rejected", note, actor)
    return staff.id


@transactional
def withdraw(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Take one's own request back; returns the staff id. Raises NotFound, InvalidState, Forbidden."""
    require(actor, Permission.STAFF_EDIT)
    request, staff = _pending(request_id)
    if request.asked_by != actor.id:
        raise Forbidden("只能撤回自己的申请")
    _decide(request, "withdrawn", "", actor)
    _note(request, staff, "withdrawn", None, actor)
    return staff.id


def _pending(request_id: int) -> tuple[ChangeRequest, Staff]:
    request = lock_row(ChangeRequest, request_id)
    if request is None or request.kind not in KINDS:
        raise NotFound("没有这项申请")
    if request.status != "pending":
        raise InvalidState("这项申请已经处理过了")
    return request, accounts.locked(int(request.target))


def _decidable(request_id: int, actor: Actor) -> tuple[ChangeRequest, Staff]:
    require(actor, Permission.ROLE_APPROVE)
    proof.require_recent(actor)
    request, staff = _pending(request_id)
    if request.asked_by == actor.id:
        raise Forbidden("不能批准或驳回自己提出的申请，请由另一位管理员或店长处理", code="SELF_APPROVAL")
    if staff.id == actor.id:
        raise Forbidden("不能处理关于自己的申请", code="SELF_APPROVAL")
    return request, staff


def _decide(request: ChangeRequest, status: str, note: str, actor: Actor) -> None:
    request.status, request.decided_by, request.decided_at = status, actor.id, clock.now()
    request.decision_note = clean(note, REASON_MAX) or None


_STEPS = {
    (ROLE, "asked"): "staff.role_asked",
    (ROLE, "approved"): "staff.role_approved",
    (ROLE, "rejected"): "staff.role_rejected",
    (ROLE, "withdrawn"): "staff.role_withdrawn",
    (RESET, "asked"): "staff.reset_asked",
    (RESET, "approved"): "staff.reset_approved",
    (RESET, "rejected"): "staff.reset_rejected",
    (RESET, "withdrawn"): "staff.reset_withdrawn",
}
_SAID = {
    "asked": ("待批准", "orange"),
    "approved": ("已生效", "red"),
    "rejected": ("已驳回", "grey"),
    "withdrawn": ("已撤回", "grey"),
}


def _note(request: ChangeRequest, staff: Staff, what: str, note: str | None, actor: Actor) -> None:
    """Audit row and card of one step of a request."""
    action = _STEPS[request.kind, what]
    audit.record(
        actor,
        action,
        target_type="staff",
        target_id=staff.id,
        old_status=None if what == "asked" else "pending",
        new_status=request.status,
        before={"role": request.old_value},
        after={"role": request.new_value},
        reason=note or request.reason,
    )
    lines = [["原因", request.reason]]
    if request.kind == ROLE:
        lines.insert(0, ["角色", f"{_ROLE_WORDS[request.old_value]} → {_ROLE_WORDS[request.new_value]}"])
    if note:
        lines.append(["意见", note])
    word, colour = _SAID[what]
    accounts.announce(action, f"员工{_TITLES[request.kind]}{word}", colour, staff, actor, lines)
