"""Staff accounts: who has one, in which state, and the two keys to it (P7, S9).

Whoever keeps accounts must not become finance or manager by it. So an account starts without power over money,
and a higher role is asked for and approved by a second person (role_changes.py); a password reset leaves the
second factor in force, and a second factor of such a role is reset by two people as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.people import accounts, passwords, proof, role_changes, sessions
from app.domain.people.models import Family, Staff, StaffStatus
from app.domain.people.roles import MONEY_ROLES, Permission, Role, require
from app.errors import Conflict, Forbidden, Invalid, InvalidState
from app.text import clean

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
#: roles that one person may hand out alone
PLAIN_ROLES = frozenset({Role.FRONT_DESK, Role.AUDITOR})


class UsernameTaken(Conflict):
    code = "USERNAME_TAKEN"
    message = "这个用户名已被使用，请换一个"


@dataclass(frozen=True, slots=True)
class Created:
    """A new account. `asked_role` waits for a second person."""

    staff_id: int
    asked_role: str | None


def create(
    *, username: str, display_name: str, role: str, password: str, must_change: bool, actor: Actor,
    request_key: RequestKey | None = None,
) -> Created:  # fmt: skip
    """A new account. In the portal the password is a temporary one; a command sets the real one and any role.

    Raises Invalid, UsernameTaken, Forbidden, StepUpRequired.
    """
    username = username.strip().lower()
    if not _USERNAME.fullmatch(username):
        raise Invalid.field("username", "用户名为 2–32 位小写字母、数字、点、横线或下划线，以字母或数字开头")
    if role not in set(Role):
        raise Invalid.field("role", "请选择角色")
    display_name = clean(display_name, 64)
    if not display_name:
        raise Invalid.field("display_name", "请填写姓名")
    passwords.check(password, username=username)
    return _create(
        username=username, display_name=display_name, role=role, password_hash=passwords.hash_password(password),
        must_change=must_change, actor=actor, request_key=request_key,
    )  # fmt: skip


@transactional
def _create(
    *, username: str, display_name: str, role: str, password_hash: str, must_change: bool, actor: Actor,
    request_key: RequestKey | None,
) -> Created:  # fmt: skip
    require(actor, Permission.STAFF_EDIT)
    proof.require_recent(actor)
    first_role = role if actor.type == ActorType.SYSTEM or role in PLAIN_ROLES else Role.FRONT_DESK
    taken = db.session.execute(sa.select(Staff.id).where(Staff.username == username)).first()
    if taken:
        raise UsernameTaken(errors={"username": [UsernameTaken.message]})
    staff = Staff(
        username=username, display_name=display_name, role=first_role, password_hash=password_hash,
        must_change_password=must_change, status=StaffStatus.ACTIVE, created_at=clock.now(),
    )  # fmt: skip
    db.session.add(staff)
    try:
        db.session.flush()
    except IntegrityError:
        raise UsernameTaken(errors={"username": [UsernameTaken.message]}) from None
    after = {"username": username, "display_name": display_name, "role": first_role}
    audit.record(
        actor, "staff.created", target_type="staff", target_id=staff.id, new_status=StaffStatus.ACTIVE, after=after
    )
    accounts.announce("staff.created", "新员工账号已建立", "blue", staff, actor)
    if first_role == role:
        return Created(staff.id, None)
    role_changes.ask_for(staff, role, "新账号", actor)
    return Created(staff.id, role)


@transactional
def disable(*, staff_id: int, reason: str, actor: Actor) -> None:
    """Close an account: its sessions end at once. Raises NotFound, Forbidden, InvalidState, StepUpRequired."""
    reason = clean(reason, 200)
    staff = _editable(staff_id, actor)
    if not reason:
        raise Invalid.field("reason", "请填写停用原因")
    if staff.status == StaffStatus.DISABLED:
        raise InvalidState("这个账号已经停用")
    accounts.keep_an_admin(staff)
    staff.status = StaffStatus.DISABLED
    sessions.revoke_all(staff.id)
    audit.record(
        actor, "staff.disabled", target_type="staff", target_id=staff.id, old_status=StaffStatus.ACTIVE,
        new_status=StaffStatus.DISABLED, reason=reason,
    )  # fmt: skip
    accounts.announce("staff.disabled", "员工账号已停用", "grey", staff, actor, [["原因", reason]])


@transactional
def enable(*, staff_id: int, actor: Actor) -> None:
    """Open a closed account again, with its role. Raises NotFound, Forbidden, InvalidState, StepUpRequired."""
    staff = _editable(staff_id, actor)
    if staff.status == StaffStatus.ACTIVE:
        raise InvalidState("这个账号没有停用")
    staff.status = StaffStatus.ACTIVE
    audit.record(
        actor, "staff.enabled", target_type="staff", target_id=staff.id, old_status=StaffStatus.DISABLED,
        new_status=StaffStatus.ACTIVE,
    )  # fmt: skip
    accounts.announce("staff.enabled", "员工账号已重新启用", "orange", staff, actor)


def reset_password(*, staff_id: int, password: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Set a temporary password, to be changed at the next sign-in; all sessions end, the second factor stays.

    Raises NotFound, Forbidden, StepUpRequired, Invalid.
    """
    _set_password(
        staff_id=staff_id, password_hash=passwords.hash_password(password), actor=actor, request_key=request_key
    )


@transactional
def _set_password(*, staff_id: int, password_hash: str, actor: Actor, request_key: RequestKey | None) -> None:
    staff = _editable(staff_id, actor)
    staff.password_hash, staff.must_change_password = password_hash, True
    sessions.revoke_all(staff.id)
    audit.record(actor, "staff.password_reset", target_type="staff", target_id=staff.id)
    accounts.announce("staff.password_reset", "员工密码已被重置", "orange", staff, actor)


@transactional
def reset_second_factor(*, staff_id: int, reason: str, actor: Actor) -> int | None:
    """Take away a lost second factor. For a role that moves money this asks a second person: the request's id.

    Raises NotFound, Forbidden, InvalidState, StepUpRequired, Invalid.
    """
    reason = clean(reason, 200)
    staff = _editable(staff_id, actor)
    if not reason:
        raise Invalid.field("reason", "请填写原因，例如手机遗失")
    if staff.totp_confirmed_at is None:
        raise InvalidState("这位员工没有绑定动态验证码")
    if staff.role in MONEY_ROLES and actor.type != ActorType.SYSTEM:
        return role_changes.ask_for_reset(staff, reason, actor)
    accounts.take_second_factor(staff, reason, actor)
    return None


@transactional
def update(*, staff_id: int, display_name: str, family_id: int | None, actor: Actor) -> None:
    """Name, and the family that is the person's own: nobody adjusts or approves for it (W12).

    Raises NotFound, Forbidden, Invalid, StepUpRequired.
    """
    display_name = clean(display_name, 64)
    staff = _editable(staff_id, actor)
    if not display_name:
        raise Invalid.field("display_name", "请填写姓名")
    if family_id is not None and db.session.get(Family, family_id) is None:
        raise Invalid.field("family_id", f"没有编号为 {family_id} 的家庭")
    before = {"display_name": staff.display_name, "family_id": staff.family_id}
    after = {"display_name": display_name, "family_id": family_id}
    if before == after:
        return
    staff.display_name, staff.family_id = display_name, family_id
    audit.record(actor, "staff.updated", target_type="staff", target_id=staff.id, before=before, after=after)
    if before["family_id"] != family_id:
        accounts.announce("staff.family_linked", "员工关联家庭已变更", "orange", staff, actor)


# ── what these share ────────────────────────────────────────────────────────────────────────────────


def _editable(staff_id: int, actor: Actor) -> Staff:
    """Lock someone else's account for a change by whoever keeps accounts."""
    require(actor, Permission.STAFF_EDIT)
    proof.require_recent(actor)
    staff = accounts.locked(staff_id)
    if actor.type == ActorType.STAFF and staff.id == actor.id:
        raise Forbidden("不能在这里修改自己的账号，请联系另一位管理员", code="OWN_ACCOUNT")
    return staff
