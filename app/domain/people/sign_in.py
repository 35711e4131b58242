"""Signing in to the portal, and proving again who one is (P7, P9).

Each of these is a short transaction, then the password hash, then a short transaction: a hash takes a tenth of a
second and must hold no lock. What is refused is refused in the same words and about the same time for everyone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import sqlalchemy as sa

from app import clock
from app.db import db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.outbox import service as outbox
from app.domain.people import announcements, attempts, passwords, sessions, totp
from app.domain.people.attempts import LockedOut
from app.domain.people.models import Staff, StaffSession, StaffStatus
from app.errors import DomainError, Invalid, Kind, Unavailable

_staff = Staff.__table__
_sessions = StaffSession.__table__


class Refused(DomainError):
    """The name, the password or the code is wrong; which of them is not told."""

    kind = Kind.UNAUTHENTICATED
    code = "SIGN_IN_REFUSED"
    message = "用户名或密码不正确"


@dataclass(frozen=True, slots=True)
class Passed:
    """The password was right. Either the session's token, or a second factor is still to be given.

    `stamp` ties the wait for the second factor to this password: a reset in between voids it.
    """

    staff_id: int
    stamp: str
    token: str | None


def check_password(*, username: str, password: str, actor: Actor, count_address: bool = True) -> Passed:
    """First step. `actor` is the unknown person with address. Raises Refused, LockedOut, Unavailable."""
    account = attempts.account_key(username)
    attempt = _begin(account, actor, count_address)
    row = db.session.execute(sa.select(_staff).where(_staff.c.username == _known_form(username))).first()
    active = row is not None and row.status == StaffStatus.ACTIVE
    if not _verify(row.password_hash if active else None, password, attempt):
        _refuse(account=account, staff_id=row.id if row else None, what="password", actor=actor)
        raise Refused
    rehashed = passwords.hash_password(password) if passwords.needs_rehash(row.password_hash) else None
    token = _accept_password(
        staff_id=row.id, account=account, attempt=attempt, old_hash=row.password_hash, new_hash=rehashed, actor=actor
    )
    return Passed(row.id, _stamp(rehashed or row.password_hash), token)


def check_code(*, staff_id: int, stamp: str, code: str, actor: Actor, count_address: bool = True) -> str:
    """Second step: a TOTP or recovery code; returns the session's token. Raises Refused, LockedOut."""
    row = db.session.execute(sa.select(_staff).where(_staff.c.id == staff_id)).first()
    if row is None or row.status != StaffStatus.ACTIVE or _stamp(row.password_hash) != stamp:
        raise Refused("登录已超时，请重新输入用户名和密码", code="SIGN_IN_EXPIRED")
    account = attempts.account_key(row.username)
    attempt = _begin(account, actor, count_address)
    token = _accept_code(staff_id=staff_id, account=account, attempt=attempt, code=code, actor=actor)
    if token is None:
        _refuse(account=account, staff_id=staff_id, what="code", actor=actor)
        raise Refused("验证码不正确或已用过，请输入最新的验证码")
    return token


def prove(*, secret: str, session_id: int, actor: Actor, count_address: bool = True) -> None:
    """Step-up (P9): the password or a code of the person signed in. Raises Invalid, LockedOut, Unavailable."""
    row = db.session.execute(sa.select(_staff).where(_staff.c.id == actor.id)).one()
    account = attempts.account_key(row.username)
    attempt = _begin(account, actor, count_address)
    by_code = row.totp_confirmed_at is not None and totp.looks_like_code(secret)
    right = by_code or _verify(row.password_hash, secret, attempt)
    if not (
        right and _accept_proof(session_id=session_id, attempt=attempt, code=secret if by_code else None, actor=actor)
    ):
        _refuse(account=account, staff_id=actor.id, what="proof", actor=actor)
        raise Invalid.field("secret", "密码或验证码不正确，请重新输入")


def change_password(*, current: str, new: str, session_id: int, actor: Actor, count_address: bool = True) -> str:
    """Change one's own password; all other sessions end. Returns this session's new token.

    Raises Invalid (fields `current`, `password`), LockedOut, Unavailable.
    """
    row = db.session.execute(sa.select(_staff).where(_staff.c.id == actor.id)).one()
    passwords.check(new, username=row.username)
    if new == current:
        raise Invalid.field("password", "新密码不能与现在的相同")
    account = attempts.account_key(row.username)
    attempt = _begin(account, actor, count_address)
    if not _verify(row.password_hash, current, attempt):
        _refuse(account=account, staff_id=actor.id, what="password", actor=actor)
        raise Invalid.field("current", "现在的密码不正确")
    return _accept_new_password(
        new_hash=passwords.hash_password(new), session_id=session_id, attempt=attempt, actor=actor
    )


# ── the transactions ────────────────────────────────────────────────────────────────────────────────


def _begin(account: str, actor: Actor, count_address: bool) -> int:
    try:
        return attempts.begin(account, actor.ip, count_address=count_address)
    except LockedOut:
        _note_locked(actor=actor)
        raise


def _verify(kept: str | None, plain: str, attempt: int) -> bool:
    try:
        return passwords.verify(kept, plain)
    except Unavailable:
        attempts.strike_out_now(attempt=attempt)  # nobody looked at the password: it is no failure
        raise


@transactional
def _note_locked(*, actor: Actor) -> None:
    audit.record(actor, "staff.sign_in_failed", target_type="staff", target_id=actor.id or "-", error="SIGN_IN_LOCKED")


@transactional
def _refuse(*, account: str, staff_id: int | None, what: str, actor: Actor) -> None:
    # What was typed as a name is not written: it may be a password.
    audit.record(
        actor, "staff.sign_in_failed", target_type="staff", target_id=staff_id or "-", error="SIGN_IN_REFUSED",
        after={"checked": what},
    )  # fmt: skip
    if staff_id is not None and attempts.left(account) == 0:
        staff = db.session.get(Staff, staff_id)
        outbox.tell_staff(
            "system",
            "staff.locked",
            {
                "title": "员工账号因多次登录失败已锁定",
                "colour": "orange",
                "lines": [["员工", staff.display_name], ["用户名", staff.username], ["来源地址", actor.ip or "—"]],
                "text": "如非本人操作，请联系管理员重置密码。",
            },
            dedupe=f"{staff_id}-{int(clock.now().timestamp()) // 900}",
        )


@transactional
def _accept_password(
    *, staff_id: int, account: str, attempt: int, old_hash: str, new_hash: str | None, actor: Actor
) -> str | None:
    row = db.session.execute(
        sa.select(_staff.c.totp_confirmed_at, _staff.c.display_name, _staff.c.role).where(_staff.c.id == staff_id)
    ).one()
    if new_hash is not None:
        # Only over the hash that was verified: a reset in between must win.
        mine = (_staff.c.id == staff_id, _staff.c.password_hash == old_hash)
        db.session.execute(_staff.update().where(*mine).values(password_hash=new_hash))
    if row.totp_confirmed_at is not None:
        # Earlier failures still count: the password alone must not buy more guesses at the code.
        attempts.strike_out(attempt)
        return None
    return _welcome(staff_id, account, "password", actor)


@transactional
def _accept_code(*, staff_id: int, account: str, attempt: int, code: str, actor: Actor) -> str | None:
    kind = totp.spend(staff_id, code)
    if kind is None:
        return None
    attempts.strike_out(attempt)
    return _welcome(staff_id, account, kind, actor)


def _welcome(staff_id: int, account: str, how: str, actor: Actor) -> str:
    attempts.forgive(account)
    token = sessions.start(staff_id, ip=actor.ip, user_agent=actor.user_agent)
    # Until here nobody was known; from here on it is this person who acts.
    name = db.session.scalar(sa.select(_staff.c.display_name).where(_staff.c.id == staff_id))
    person = replace(actor, type=ActorType.STAFF, id=staff_id, name=name)
    audit.record(person, "staff.signed_in", target_type="staff", target_id=staff_id, after={"by": how})
    return token


@transactional
def _accept_proof(*, session_id: int, attempt: int, code: str | None, actor: Actor) -> bool:
    kind = totp.spend(actor.id, code) if code is not None else "password"
    if kind is None:
        return False
    attempts.strike_out(attempt)
    db.session.execute(
        _sessions.update()
        .where(_sessions.c.id == session_id, _sessions.c.staff_id == actor.id)
        .values(proved_at=clock.now())
    )
    audit.record(actor, "staff.proved", target_type="staff", target_id=actor.id, after={"by": kind})
    return True


@transactional
def _accept_new_password(*, new_hash: str, session_id: int, attempt: int, actor: Actor) -> str:
    attempts.strike_out(attempt)
    db.session.execute(
        _staff.update().where(_staff.c.id == actor.id).values(password_hash=new_hash, must_change_password=False)
    )
    sessions.revoke_all(actor.id, but=session_id)
    token = sessions.renew_token(session_id)
    audit.record(actor, "staff.password_changed", target_type="staff", target_id=actor.id)
    announcements.own_change("staff.password_changed", "员工修改了自己的密码", actor)
    return token


def _known_form(username: str) -> str:
    # Usernames are lower-case ASCII; anything else can't exist, and must not reach an ASCII column.
    folded = username.strip().lower()
    return folded if folded.isascii() and len(folded) <= 32 else ""


def _stamp(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]
