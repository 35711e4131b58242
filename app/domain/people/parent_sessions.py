"""Sign-ins of parents: opened, renewed, ended (P5). One row per phone.

The access token names its row, and every request looks at it: so ending a sign-in ends its tokens at once. The
refresh token is random; only the hash of the one that is good now is kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app import ids
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people.models import User, UserSession
from app.domain.policy import service as policy
from app.domain.policy.models import PolicyValue
from app.domain.policy.registry import POLICIES
from app.errors import Unauthenticated

_sessions = UserSession.__table__
_users = User.__table__


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """`refresh_token` is told once and never again; `access_seconds` is how long an access token may live."""

    id: str
    user_id: int
    refresh_token: str
    access_seconds: int


@dataclass(frozen=True, slots=True)
class SignedInParent:
    """Who a good access token stands for."""

    session_id: str
    user_id: int
    family_id: int
    name: str
    #: how many calls a minute this parent may make (S13)
    reads_per_minute: int


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _access_seconds() -> int:
    return int(policy.get("access_token_ttl").total_seconds())


def _refresh_ttl() -> timedelta:
    return policy.get("refresh_token_ttl")


@transactional
def open_session(*, user_id: int, actor: Actor) -> OpenedSession:
    """Sign this user, whom WeChat just named, in on one more phone."""
    user = db.session.get_one(User, user_id)
    actor = replace(actor, id=user.id, name=user.real_name or user.nickname or "家长", family_id=user.family_id)
    now, session_id, token = db_now(), ids.new_hex(), ids.new_secret(32)
    db.session.execute(
        _sessions.insert().values(
            id=session_id,
            user_id=user.id,
            refresh_hash=digest(token),
            refresh_expires_at=now + _refresh_ttl(),
            created_at=now,
            last_used_at=now,
        )
    )
    audit.record(
        actor, "user.signed_in", target_type="user_session", target_id=session_id, family_id=user.family_id,
        request={"call": "sns/jscode2session"},
        answer={"openid": f"…{user.openid[-4:]}", "unionid": user.unionid is not None},
    )  # fmt: skip
    return OpenedSession(session_id, user.id, token, _access_seconds())


@transactional
def refresh(*, refresh_token: str) -> OpenedSession:
    """Spend a refresh token for a new one. Raises Unauthenticated for a spent, lapsed, ended or unknown one.

    One guarded UPDATE: of two who come with the same token the row's new hash lets only the first through.
    """
    now, old, token = db_now(), digest(refresh_token), ids.new_secret(32)
    spent = db.session.execute(
        _sessions.update()
        .where(
            _sessions.c.refresh_hash == old,
            _sessions.c.revoked_at.is_(None),
            _sessions.c.refresh_expires_at > now,
        )
        .values(refresh_hash=digest(token), refresh_expires_at=now + _refresh_ttl(), last_used_at=now)
    )
    if spent.rowcount != 1:
        raise Unauthenticated("登录已失效，请重新登录")
    row = db.session.execute(
        sa.select(_sessions.c.id, _sessions.c.user_id).where(_sessions.c.refresh_hash == digest(token))
    ).one()
    return OpenedSession(row.id, row.user_id, token, _access_seconds())


@transactional
def end_session(*, session_id: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Sign out this phone: its access and refresh tokens are dead, the user's other phones stay (96.24)."""
    ended = db.session.execute(
        _sessions.update()
        .where(_sessions.c.id == session_id, _sessions.c.revoked_at.is_(None))
        .values(revoked_at=db_now())
    )
    if ended.rowcount:
        audit.record(
            actor, "user.signed_out", target_type="user_session", target_id=session_id, family_id=actor.family_id
        )  # fmt: skip


_read_limit = POLICIES["limit_read"]
#: the sign-in that `session_id` and `user_id` name, while it stands; a hot read adds its own columns to it
live = (
    sa.select(
        _users.c.family_id,
        sa.func.coalesce(sa.func.nullif(_users.c.real_name, ""), _users.c.nickname).label("name"),
        # Fetched along, so that a change of the limit is effective at once and costs no statement of its own.
        sa.select(PolicyValue.value).where(PolicyValue.name == _read_limit.name).scalar_subquery().label("limit_text"),
    )
    .join(_sessions, _sessions.c.user_id == _users.c.id)
    .where(
        _sessions.c.id == sa.bindparam("session_id"),
        _users.c.id == sa.bindparam("user_id"),
        _sessions.c.revoked_at.is_(None),
    )
)


def signed_in(session_id: str, user_id: int) -> SignedInParent | None:
    """The parent of a sign-in that was not ended, in one statement: it runs before every call."""
    # By the connection: the session's own layer would cost as much again as the statement.
    row = db.session.connection().execute(live, {"session_id": session_id, "user_id": user_id}).first()
    return None if row is None else parent_of(session_id, user_id, row)


def parent_of(session_id: str, user_id: int, row: Any) -> SignedInParent:
    """The parent of a row of `live` that was asked for with these two."""
    limit = _read_limit.parse(row.limit_text or _read_limit.default)
    return SignedInParent(session_id, user_id, row.family_id, row.name or "家长", limit)
