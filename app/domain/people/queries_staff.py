"""What the pages of staff and of one's own account show. Reading only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.people import role_changes
from app.domain.people.models import Family, Staff, StaffSession
from app.domain.policy import service as policy
from app.domain.policy.models import ChangeRequest


@dataclass(frozen=True, slots=True)
class StaffLine:
    id: int
    username: str
    display_name: str
    role: str
    status: str
    has_second_factor: bool
    last_seen_at: datetime | None
    #: id of the request that waits for a second person
    pending_request: int | None


@dataclass(frozen=True, slots=True)
class StaffSheet:
    id: int
    username: str
    display_name: str
    role: str
    status: str
    has_second_factor: bool
    must_change_password: bool
    family_id: int | None
    family_name: str | None
    created_at: datetime
    last_seen_at: datetime | None
    live_sessions: int


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request for a role or a reset, with the people's names."""

    id: int
    kind: str
    staff_id: int
    display_name: str
    username: str
    old_role: str
    new_role: str
    reason: str
    status: str
    asked_by: int
    asked_by_name: str
    asked_at: datetime
    decided_by_name: str | None
    decided_at: datetime | None
    note: str | None


@dataclass(frozen=True, slots=True)
class SessionLine:
    id: int
    created_at: datetime
    last_seen_at: datetime
    ip: str | None
    user_agent: str | None


def staff_list() -> list[StaffLine]:
    """All staff, the active ones first; a studio has dozens, not thousands."""
    pending = {request.staff_id: request.id for request in open_requests()}
    rows = db.session.scalars(sa.select(Staff).order_by(Staff.status, Staff.role, Staff.username))
    return [
        StaffLine(
            id=row.id,
            username=row.username,
            display_name=row.display_name,
            role=row.role,
            status=row.status,
            has_second_factor=row.totp_confirmed_at is not None,
            last_seen_at=row.last_seen_at,
            pending_request=pending.get(row.id),
        )
        for row in rows
    ]


def staff_sheet(staff_id: int) -> StaffSheet | None:
    """One account, or None."""
    query = sa.select(Staff, Family.name).outerjoin(Family, Family.id == Staff.family_id).where(Staff.id == staff_id)
    found = db.session.execute(query).first()
    if found is None:
        return None
    row, family_name = found
    return StaffSheet(
        id=row.id,
        username=row.username,
        display_name=row.display_name,
        role=row.role,
        status=row.status,
        has_second_factor=row.totp_confirmed_at is not None,
        must_change_password=row.must_change_password,
        family_id=row.family_id,
        family_name=family_name,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        live_sessions=len(live_sessions(staff_id)),
    )


def _lines(query: sa.Select) -> list[RequestLine]:
    """Requests with the names in them. The target is text, for it may name a policy too: joined here, not in SQL."""
    requests = list(db.session.scalars(query.where(ChangeRequest.kind.in_(role_changes.KINDS))))
    ids = {int(r.target) for r in requests} | {r.asked_by for r in requests} | {r.decided_by for r in requests}
    people = {row.id: row for row in db.session.scalars(sa.select(Staff).where(Staff.id.in_(ids - {None})))}
    return [
        RequestLine(
            id=request.id,
            kind=request.kind,
            staff_id=int(request.target),
            display_name=people[int(request.target)].display_name,
            username=people[int(request.target)].username,
            old_role=request.old_value,
            new_role=request.new_value,
            reason=request.reason,
            status=request.status,
            asked_by=request.asked_by,
            asked_by_name=people[request.asked_by].display_name,
            asked_at=request.asked_at,
            decided_by_name=people[request.decided_by].display_name if request.decided_by else None,
            decided_at=request.decided_at,
            note=request.decision_note,
        )
        for request in requests
    ]


def open_requests() -> list[RequestLine]:
    """What waits for a second person, oldest first."""
    return _lines(sa.select(ChangeRequest).where(ChangeRequest.status == "pending").order_by(ChangeRequest.id))


def requests_of(staff_id: int, limit: int = 50) -> list[RequestLine]:
    """All requests about one person, newest first."""
    query = sa.select(ChangeRequest).where(ChangeRequest.target == str(staff_id))
    return _lines(query.order_by(ChangeRequest.id.desc()).limit(limit))


#: how many requests wait that `me` may decide: neither their own nor about themselves, whose id as text is `target`
ASKED_BY_OTHERS = (
    sa.select(sa.func.count())
    .select_from(ChangeRequest)
    .where(
        ChangeRequest.status == "pending",
        sa.or_(*(ChangeRequest.kind == kind for kind in role_changes.KINDS)),
        ChangeRequest.asked_by != sa.bindparam("me"),
        ChangeRequest.target != sa.bindparam("target"),
    )
)


def live_sessions(staff_id: int) -> list[SessionLine]:
    """The sign-ins of a person that are still good, the latest used first."""
    rules, now = policy.get_many("staff_idle_timeout", "staff_session_ttl"), clock.now()
    rows = db.session.scalars(
        sa.select(StaffSession)
        .where(
            StaffSession.staff_id == staff_id,
            StaffSession.revoked_at.is_(None),
            StaffSession.last_seen_at > now - rules["staff_idle_timeout"],
            StaffSession.created_at > now - rules["staff_session_ttl"],
        )
        .order_by(StaffSession.last_seen_at.desc(), StaffSession.id.desc())
    )
    return [SessionLine(row.id, row.created_at, row.last_seen_at, row.ip, row.user_agent) for row in rows]
