"""Staff sessions: one row per sign-in and browser. The cookie carries only a random token, the row its hash (P7).

A session ends by sign-out, by idling, by age, or when the account changes; each of these is one look at the row,
so a stolen cookie dies with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock, ids
from app.db import db, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people.models import Staff, StaffSession, StaffStatus
from app.domain.people.roles import MONEY_ROLES
from app.domain.policy import service as policy
from app.errors import NotFound

_sessions = StaffSession.__table__
_staff = Staff.__table__
#: a session is touched at most this often: it costs a write, and idling is measured in minutes
TOUCH_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live session and whose it is."""

    session_id: int
    staff_id: int
    username: str
    display_name: str
    role: str
    family_id: int | None
    must_change_password: bool
    has_second_factor: bool
    #: a second factor is compulsory for this role and not set up yet
    second_factor_due: bool
    created_at: datetime
    last_seen_at: datetime
    proved_at: datetime

    # Flask-Login asks these of whoever a loader returns.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        return str(self.staff_id)


def _hash(token: str) -> str:
    # The token has 256 random bits: a plain hash can't be searched, and needs no salt.
    return hashlib.sha256(token.encode()).hexdigest()


_find = (
    sa.select(
        _sessions.c.id, _sessions.c.created_at, _sessions.c.last_seen_at, _sessions.c.proved_at,
        _staff.c.id.label("staff_id"), _staff.c.username, _staff.c.display_name, _staff.c.role, _staff.c.family_id,
        _staff.c.must_change_password, _staff.c.totp_confirmed_at,
    )
    .join(_staff, _staff.c.id == _sessions.c.staff_id)
    .where(
        _sessions.c.token_hash == sa.bindparam("token_hash"),
        _sessions.c.revoked_at.is_(None),
        _staff.c.status == StaffStatus.ACTIVE,
    )
)  # fmt: skip


def find(token: object) -> SignedIn | None:
    """The live session of this token, or None: unknown, revoked, idle too long, too old, or a disabled account."""
    if not isinstance(token, str) or not token:
        return None
    row = db.session.execute(_find, {"token_hash": _hash(token)}).first()
    if row is None:
        return None
    rules = policy.get_many("staff_idle_timeout", "staff_session_ttl", "totp_required")
    now = clock.now()
    if now >= row.last_seen_at + rules["staff_idle_timeout"] or now >= row.created_at + rules["staff_session_ttl"]:
        return None
    has_second_factor = row.totp_confirmed_at is not None
    return SignedIn(
        session_id=row.id,
        staff_id=row.staff_id,
        username=row.username,
        display_name=row.display_name,
        role=row.role,
        family_id=row.family_id,
        must_change_password=row.must_change_password,
        has_second_factor=has_second_factor,
        second_factor_due=rules["totp_required"] and row.role in MONEY_ROLES and not has_second_factor,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        proved_at=row.proved_at,
    )


def start(staff_id: int, *, ip: str | None, user_agent: str | None) -> str:
    """Building block: a new session for someone who has just proved who they are; returns its token."""
    require_transaction()
    token, now = ids.new_secret(), clock.now()
    db.session.execute(
        _sessions.insert().values(
            token_hash=_hash(token), staff_id=staff_id, created_at=now, last_seen_at=now, proved_at=now,
            ip=ip, user_agent=user_agent,
        )
    )  # fmt: skip
    db.session.execute(_staff.update().where(_staff.c.id == staff_id).values(last_seen_at=now))
    return token


def renew_token(session_id: int) -> str:
    """Building block: the session goes on under a new token, the old one is worth nothing (fixation)."""
    require_transaction()
    token, now = ids.new_secret(), clock.now()
    db.session.execute(
        _sessions.update()
        .where(_sessions.c.id == session_id)
        .values(token_hash=_hash(token), proved_at=now, last_seen_at=now)
    )
    return token


def revoke_all(staff_id: int, *, but: int | None = None) -> int:
    """Building block: end all live sessions of a person, but one; returns how many."""
    require_transaction()
    query = _sessions.update().where(_sessions.c.staff_id == staff_id, _sessions.c.revoked_at.is_(None))
    if but is not None:
        query = query.where(_sessions.c.id != but)
    return db.session.execute(query.values(revoked_at=clock.now())).rowcount


def touch(person: SignedIn) -> None:
    """Remember that this session is in use, at most once a minute."""
    if clock.now() - person.last_seen_at >= TOUCH_EVERY:
        _touch(session_id=person.session_id)


@transactional
def _touch(*, session_id: int) -> None:
    now = clock.now()
    # Two requests of one page come at once; the later one finds it done.
    db.session.execute(
        _sessions.update()
        .where(_sessions.c.id == session_id, _sessions.c.last_seen_at < now, _sessions.c.revoked_at.is_(None))
        .values(last_seen_at=now)
    )


@transactional
def sign_out(*, session_id: int, actor: Actor) -> None:
    """End this session."""
    _revoke_own(session_id, actor)
    audit.record(actor, "staff.signed_out", target_type="staff", target_id=actor.id)


@transactional
def end_one(*, session_id: int, actor: Actor) -> None:
    """End another of one's own sessions. Raises NotFound for someone else's."""
    if not _revoke_own(session_id, actor):
        raise NotFound("这个登录已经结束")
    audit.record(actor, "staff.session_ended", target_type="staff", target_id=actor.id, after={"session": session_id})


@transactional
def sign_out_everywhere(*, actor: Actor) -> int:
    """End all of one's own sessions, this one too (P7); returns how many."""
    ended = revoke_all(actor.id)
    audit.record(actor, "staff.signed_out_everywhere", target_type="staff", target_id=actor.id, after={"ended": ended})
    return ended


def _revoke_own(session_id: int, actor: Actor) -> bool:
    done = db.session.execute(
        _sessions.update()
        .where(
            _sessions.c.id == session_id, _sessions.c.staff_id == actor.id, _sessions.c.revoked_at.is_(None)
        )
        .values(revoked_at=clock.now())
    )  # fmt: skip
    return done.rowcount == 1
