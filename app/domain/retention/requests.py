"""A parent asks at the desk that their data be deleted: one member of staff asks, another decides (S8).

Reasons are chosen, not written: free text would bring back the very names that go.
"""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, execute, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import persons
from app.domain.outbox import service as outbox
from app.domain.people import proof
from app.domain.people.models import Family, User
from app.domain.people.roles import Permission, require
from app.domain.policy.models import ChangeRequest
from app.domain.retention import erasing
from app.domain.retention.erasing import NotErasable
from app.domain.retention.obstacles import obstacles
from app.domain.retention.scope import scope_of
from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound

KIND, CAUSE = "erasure", "asked"
REASONS = {"parent_asked": "家长要求删除", "left": "已退班，家长同意删除", "by_mistake": "误登记"}

_requests, _users = ChangeRequest.__table__, User.__table__


class AlreadyAsked(Conflict):
    code = "ALREADY_ASKED"
    message = "这个家庭已有一项待处理的删除申请"


@transactional
def ask(*, family_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask that a family's personal data be deleted; returns the request's id. From this moment the parents' consent
    counts as withdrawn. Raises NotFound, Invalid, NotErasable, AlreadyAsked, Forbidden, StepUpRequired."""
    require(actor, Permission.FAMILY_EDIT)
    proof.require_recent(actor)
    persons.hold(actor)
    if reason not in REASONS:
        raise Invalid.field("reason", "请选择删除的原因")
    if lock_row(Family, family_id) is None:
        raise NotFound("没有这个家庭")
    if found := obstacles(scope_of(family_id)):
        raise NotErasable("现在不能删除：" + "；".join(found))
    if pending(family_id) is not None:
        raise AlreadyAsked
    request = ChangeRequest(
        kind=KIND, target=str(family_id), old_value="kept", new_value="erased", reason=REASONS[reason],
        status="pending", asked_by=actor.id, asked_at=clock.now(),
    )  # fmt: skip
    db.session.add(request)
    db.session.flush()
    if reason != "by_mistake":
        _withdraw_consent(family_id, actor)
    _note(request, "asked", actor)
    return request.id


@transactional
def approve(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Delete; returns the certificate's id. It can't be undone. Raises NotFound, InvalidState, NotErasable where
    something was begun since, Forbidden for whoever asked and for their own family, StepUpRequired."""
    request = _decidable(request_id, actor)
    scope = erasing.lock(int(request.target))
    _decide(request, "approved", actor)
    certificate = erasing.erase(scope, CAUSE, actor, request=request, approved_by=actor.id)
    _note(request, "approved", actor)
    return certificate.id


@transactional
def reject(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Say no; returns the family's id. Raises as `approve`."""
    request = _decidable(request_id, actor)
    _decide(request, "rejected", actor)
    _note(request, "rejected", actor)
    return int(request.target)


@transactional
def withdraw(*, request_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Take one's own request back; returns the family's id. Raises NotFound, InvalidState, Forbidden."""
    require(actor, Permission.FAMILY_EDIT)
    request = _pending(request_id)
    if request.asked_by != actor.id:
        raise Forbidden("只能撤回自己的申请")
    _decide(request, "withdrawn", actor)
    _note(request, "withdrawn", actor)
    return int(request.target)


def pending(family_id: int) -> sa.Row | None:
    """The request that waits for this family, or None."""
    query = _requests.select().where(
        _requests.c.kind == KIND, _requests.c.target == str(family_id), _requests.c.status == "pending"
    )
    return db.session.execute(query).first()


def _pending(request_id: int) -> ChangeRequest:
    request = lock_row(ChangeRequest, request_id)
    if request is None or request.kind != KIND:
        raise NotFound("没有这项申请")
    if request.status != "pending":
        raise InvalidState("这项申请已经处理过了")
    return request


def _decidable(request_id: int, actor: Actor) -> ChangeRequest:
    require(actor, Permission.FAMILY_ERASE)
    proof.require_recent(actor)
    person = persons.hold(actor)[actor.id]
    request = _pending(request_id)
    if request.asked_by == actor.id:
        raise Forbidden("不能处理自己提出的申请，请由另一位店长处理", code="SELF_APPROVAL")
    persons.refuse_own_family(person, int(request.target))
    return request


def _decide(request: ChangeRequest, status: str, actor: Actor) -> None:
    request.status, request.decided_by, request.decided_at = status, actor.id, clock.now()
    db.session.flush()


def _withdraw_consent(family_id: int, actor: Actor) -> None:
    now = clock.now()
    given = (_users.c.family_id == family_id, _users.c.consent_at.is_not(None), _users.c.consent_withdrawn_at.is_(None))
    for user_id in list(db.session.scalars(sa.select(_users.c.id).where(*given))):
        execute(_users.update().where(_users.c.id == user_id).values(consent_withdrawn_at=now))
        audit.record(actor, "user.consent_withdrawn", target_type="user", target_id=user_id, family_id=family_id)
    db.session.expire_all()


_SAID = {
    "asked": ("待复核", "orange"),
    "approved": ("已执行", "red"),
    "rejected": ("已驳回", "grey"),
    "withdrawn": ("已撤回", "grey"),
}


def _note(request: ChangeRequest, what: str, actor: Actor) -> None:
    family_id = int(request.target)
    audit.record(
        actor, f"erasure.{what}", target_type="family", target_id=family_id, family_id=family_id,
        old_status=None if what == "asked" else "pending", new_status=request.status, reason=request.reason,
    )  # fmt: skip
    word, colour = _SAID[what]
    card = {"title": f"删除个人信息{word}", "colour": colour,
            "lines": [["家庭", str(family_id)], ["原因", request.reason], ["经办", actor.name]],
            "link": {"text": "查看", "path": f"/families/{family_id}/erasure"}}  # fmt: skip
    outbox.tell_staff("system", f"erasure.{what}", card, dedupe=f"erasure{request.id}:{what}")
