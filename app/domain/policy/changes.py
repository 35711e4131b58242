"""Changing policy figures (R9): at once by a manager, by two people where money or approval is concerned.

The one module of `policy` that stands above `people`, because a change asks for a role and a fresh proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, money
from app.db import RequestKey, db, lock_row, require_transaction, transaction_memo, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.models import Family
from app.domain.people.roles import Permission
from app.domain.policy import service
from app.domain.policy.models import ChangeRequest, PolicyValue
from app.domain.policy.registry import POLICIES, Policy, amount
from app.domain.policy.rollout import Rollout, merged, rollout
from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound
from app.text import clean

KIND = "policy"
REASON_MAX = 200
_VALUE_MAX = PolicyValue.__table__.c.value.type.length


class SecondPersonNeeded(Conflict):
    code = "SECOND_PERSON_NEEDED"
    message = "这条规则涉及资金或审批，请提交后由另一人复核"


class AlreadyAsked(Conflict):
    code = "ALREADY_ASKED"
    message = "这条规则已有一项修改等待复核，请先处理那一项"


class PolicyMoved(Conflict):
    """Somebody else changed the figure since the form was opened (U12)."""

    code = "STALE"


@dataclass(frozen=True, slots=True)
class Changed:
    """A figure before and after, as it is written; both are equal when nothing had to change."""

    name: str
    old: str
    new: str


@transactional
def change(
    *, name: str, value: str, actor: Actor, reason: str, seen: str | None = None, request_key: RequestKey | None = None
) -> Changed:
    """Put another value in force at once. `seen` is the value that the form was opened with.

    Raises Invalid, SecondPersonNeeded for a guarded figure, PolicyMoved, Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.POLICY_EDIT)
    proof.require_recent(actor)
    policy, value = _checked(name, value)
    reason = _reason(reason)
    if policy.guarded:
        raise SecondPersonNeeded
    old = _lock_text(policy)
    _refuse_stale(old, seen)
    _refuse_same(old, value)
    _write(policy, old, value, actor, reason)
    if policy.parse is rollout:
        # What families lose or get is everybody's business at the desk, so it is said as limits are (S9).
        lines = [["原因", reason], ["经办", actor.name]]
        _announce("policy.changed", "功能的开放范围已修改", "red", policy, old, value, lines)
    return Changed(name, old, value)


@transactional
def set_by_command(*, name: str, value: str, who: str) -> Changed:
    """`flask policy set`: any figure at once, announced to the SYSTEM group (R9). `who` is the operator's name.

    Raises Invalid. Setting what already holds changes and announces nothing.
    """
    policy, value = _checked(name, value)
    actor = system(f"命令行（{clean(who, 40) or '未知'}）")
    old = _lock_text(policy)
    if old != value:
        _write(policy, old, value, actor, "命令行修改")
        _announce("policy.changed", "规则已由命令行修改", "red", policy, old, value, [["经办", actor.name]])
    return Changed(name, old, value)


@transactional
def ask(
    *, name: str, value: str, actor: Actor, reason: str, seen: str | None = None, request_key: RequestKey | None = None
) -> int:
    """Ask a second person for a change of a guarded figure; returns the request's id.

    Raises Invalid, AlreadyAsked, PolicyMoved, Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.POLICY_EDIT)
    proof.require_recent(actor)
    policy, value = _checked(name, value)
    reason = _reason(reason)
    if not policy.guarded:
        raise InvalidState("这条规则不需要复核，可以直接修改")
    old = _lock_text(policy)
    _refuse_stale(old, seen)
    _refuse_same(old, value)
    if db.session.execute(_open_requests(name)).first():
        raise AlreadyAsked
    request = ChangeRequest(
        kind=KIND, target=name, old_value=old, new_value=value, reason=reason, status="pending",
        asked_by=actor.id, asked_at=clock.now(),
    )  # fmt: skip
    db.session.add(request)
    db.session.flush()
    _note(request, policy, "asked", "", actor)
    return request.id


@transactional
def approve(*, request_id: int, actor: Actor, note: str = "", request_key: RequestKey | None = None) -> Changed:
    """Put an asked change in force. Raises NotFound, InvalidState, Forbidden for whoever asked (P10),
    StepUpRequired, PolicyMoved when the figure changed after the asking."""
    request, policy = _decidable(request_id, actor)
    _, value = _checked(request.target, request.new_value)
    old = _lock_text(policy)
    if old != request.old_value:
        raise PolicyMoved(f"提交之后，这条规则已改为 {old}，请驳回后重新提交")
    _decide(request, "approved", note, actor)
    _write(policy, old, value, actor, request.reason)
    _note(request, policy, "approved", note, actor)
    return Changed(policy.name, old, value)


@transactional
def reject(*, request_id: int, actor: Actor, note: str, request_key: RequestKey | None = None) -> str:
    """Refuse an asked change, with a reason; returns the policy's name. Raises as `approve`, and Invalid."""
    note = clean(note, REASON_MAX)
    if not note:
        raise Invalid.field("note", "请填写驳回原因")
    request, policy = _decidable(request_id, actor)
    _decide(request, "rejected", note, actor)
    _note(request, policy, "rejected", note, actor)
    return policy.name


@transactional
def withdraw(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> str:
    """Take one's own request back; returns the policy's name. Raises NotFound, InvalidState, Forbidden."""
    roles.require(actor, Permission.POLICY_EDIT)
    request, policy = _pending(request_id)
    if request.asked_by != actor.id:
        raise Forbidden("只能撤回自己提交的修改")
    _decide(request, "withdrawn", "", actor)
    _note(request, policy, "withdrawn", "", actor)
    return policy.name


def carry_over(gone: int, heir: int, actor: Actor) -> None:
    """Building block of a merge: what was open to the family that is gone is open to the one that took it in."""
    require_transaction()
    scopes = [one for one in POLICIES.values() if one.parse is rollout and gone in service.get(one.name).families]
    for policy in scopes:
        old = _lock_text(policy)
        new = merged(old, gone, heir)
        if new != old and len(new) <= _VALUE_MAX:  # longer by a few digits only: then the desk names it anew
            _write(policy, old, new, actor, f"家庭 {gone} 并入家庭 {heir}")


# ── checks ──────────────────────────────────────────────────────────────────────────────────────────


def _checked(name: str, value: str) -> tuple[Policy, str]:
    policy = POLICIES.get(name)
    if policy is None:
        raise Invalid.field("name", f"没有名为 {clean(name, 64)} 的规则")
    value = clean(value, 201)
    try:
        parsed = policy.parse(value)
    except ValueError as error:
        raise Invalid.field("value", str(error)) from None
    if isinstance(parsed, Rollout):
        _refuse_unknown(parsed.families)
    if policy.parse is amount:
        value = money.plain(parsed)  # 500 is kept as 500.00, so that nobody sees a change where there is none
    return policy, value


def _refuse_unknown(families: frozenset[int]) -> None:
    known = set(db.session.scalars(sa.select(Family.id).where(Family.id.in_(families)))) if families else set()
    if unknown := sorted(families - known):
        raise Invalid.field("value", "没有这些编号的家庭：" + "、".join(map(str, unknown[:5])))


def _reason(text: str) -> str:
    reason = clean(text, REASON_MAX)
    if not reason:
        raise Invalid.field("reason", "请填写修改原因")
    return reason


def _refuse_stale(now: str, seen: str | None) -> None:
    if seen is not None and seen != now:
        raise PolicyMoved(f"您打开之后，这条规则已被改为 {now}，请看过再决定是否修改")


def _refuse_same(old: str, new: str) -> None:
    if old == new:
        raise Invalid.field("value", f"现在就是 {old}，没有变化")


def _pending(request_id: int) -> tuple[ChangeRequest, Policy]:
    request = lock_row(ChangeRequest, request_id)
    if request is None or request.kind != KIND or request.target not in POLICIES:
        raise NotFound("没有这项修改申请")
    if request.status != "pending":
        raise InvalidState("这项修改已经处理过了")
    return request, POLICIES[request.target]


def _decidable(request_id: int, actor: Actor) -> tuple[ChangeRequest, Policy]:
    roles.require(actor, Permission.POLICY_EDIT)
    proof.require_recent(actor)
    request, policy = _pending(request_id)
    if request.asked_by == actor.id:
        raise Forbidden("不能复核自己提交的修改，请由另一位店长处理", code="SELF_APPROVAL")
    return request, policy


def _open_requests(name: str) -> sa.Select:
    return sa.select(ChangeRequest.id).where(
        ChangeRequest.kind == KIND, ChangeRequest.target == name, ChangeRequest.status == "pending"
    )


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────


def _lock_text(policy: Policy) -> str:
    """The text in force, locked where it has a row; two firsts meet at the primary key."""
    query = sa.select(PolicyValue.value).where(PolicyValue.name == policy.name).with_for_update()
    return db.session.scalar(query) or policy.default


def _write(policy: Policy, old: str, new: str, actor: Actor, reason: str) -> None:
    require_transaction()
    table = PolicyValue.__table__
    values = {"value": new, "updated_at": clock.now(), "updated_by": actor.name[:64]}
    moved = db.session.execute(table.update().where(table.c.name == policy.name).values(values))
    if not moved.rowcount:
        try:
            db.session.execute(table.insert().values(name=policy.name, **values))
        except IntegrityError:
            raise PolicyMoved("另一个人刚刚修改了这条规则，请刷新后再决定") from None
    memo = transaction_memo()
    if memo is not None:
        memo.pop("policies", None)
    audit.record(
        actor, "policy.changed", target_type="policy", target_id=policy.name,
        before={"value": old}, after={"value": new}, reason=reason,
    )  # fmt: skip


def _decide(request: ChangeRequest, status: str, note: str, actor: Actor) -> None:
    request.status, request.decided_by, request.decided_at = status, actor.id, clock.now()
    request.decision_note = clean(note, REASON_MAX) or None


_TITLES = {"asked": ("规则修改待复核", "orange"), "approved": ("规则修改已生效", "red"),
           "rejected": ("规则修改已驳回", "grey"), "withdrawn": ("规则修改已撤回", "grey")}  # fmt: skip


def _note(request: ChangeRequest, policy: Policy, what: str, note: str, actor: Actor) -> None:
    """Audit row and card of one step of a request (S9: limits change in sight of all)."""
    note = clean(note, REASON_MAX)
    audit.record(
        actor, f"policy.change_{what}", target_type="policy", target_id=policy.name,
        old_status=None if what == "asked" else "pending", new_status=request.status,
        before={"value": request.old_value}, after={"value": request.new_value}, reason=note or request.reason,
    )  # fmt: skip
    title, colour = _TITLES[what]
    lines: list[list[Any]] = [["原因", request.reason], ["经办", actor.name]]
    if note:
        lines.append(["意见", note])
    _announce(f"policy.change_{what}", title, colour, policy, request.old_value, request.new_value, lines)


def _announce(type: str, title: str, colour: str, policy: Policy, old: str, new: str, lines: list) -> None:
    facts = [["规则", f"{policy.description}（{policy.name}）"], ["修改", f"{old} → {new}"]]
    card = {"title": title, "colour": colour, "lines": facts + lines,
            "link": {"text": "查看规则", "path": "/settings/policies"}}  # fmt: skip
    outbox.tell_staff("system", type, card, dedupe=f"{policy.name}-{clock.now().timestamp()}")
