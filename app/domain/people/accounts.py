"""What the use cases over staff accounts share (staff.py, role_changes.py): building blocks only."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import db, lock_row, lock_rows, require_transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people import sessions, totp
from app.domain.people.announcements import announce
from app.domain.people.models import Staff, StaffStatus
from app.domain.people.roles import Role
from app.errors import InvalidState, NotFound


def locked(staff_id: int) -> Staff:
    """This person's row, locked. Raises NotFound."""
    staff = lock_row(Staff, staff_id)
    if staff is None:
        raise NotFound("没有这位员工")
    return staff


def keep_an_admin(leaving: Staff) -> None:
    """Refuse to lose the last active administrator. Raises InvalidState."""
    require_transaction()
    if leaving.role != Role.ADMIN or leaving.status != StaffStatus.ACTIVE:
        return
    # Locked, so that two admins who disable each other at the same moment do not both succeed.
    found = db.session.scalars(sa.select(Staff.id).where(Staff.role == Role.ADMIN))
    admins = lock_rows(Staff, found)
    if not any(a.id != leaving.id and a.role == Role.ADMIN and a.status == StaffStatus.ACTIVE for a in admins):
        raise InvalidState("这是最后一位在职的管理员，不能停用或改为其他角色")


def take_second_factor(staff: Staff, reason: str, actor: Actor) -> None:
    """Clear the second factor of a person, whose row is locked, end the sessions, tell everyone."""
    require_transaction()
    totp.clear(staff)
    sessions.revoke_all(staff.id)
    audit.record(actor, "staff.totp_reset", target_type="staff", target_id=staff.id, reason=reason)
    announce("staff.totp_reset", "员工动态验证码已被重置", "orange", staff, actor, [["原因", reason]])
