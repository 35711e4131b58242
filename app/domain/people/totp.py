"""The second factor: codes by the clock (RFC 6238) and recovery codes; each is good once (P7)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass

import pyotp
import sqlalchemy as sa

from app import clock
from app.db import db, lock_row, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people import announcements, proof, sessions
from app.domain.people.models import RecoveryCode, Staff
from app.domain.people.roles import MONEY_ROLES
from app.domain.policy import service as policy
from app.errors import Invalid, InvalidState

ISSUER = "百适运营台"
STEP_SECONDS = 30
#: a phone's clock may be one step off
DRIFT_STEPS = 1
RECOVERY_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

_staff = Staff.__table__
_codes = RecoveryCode.__table__


@dataclass(frozen=True, slots=True)
class SetUp:
    """A second factor in force: recovery codes to be shown once, and the session's new token."""

    recovery_codes: list[str]
    token: str


def normalised(text: str) -> str:
    """A code as it is compared: full-width digits made plain, spaces and dashes dropped, lower case."""
    folded = unicodedata.normalize("NFKC", text[:64])
    return "".join(char for char in folded if not char.isspace() and char not in "-–—").lower()


def looks_like_code(text: str) -> bool:
    """Whether a person typed six digits; a password has at least ten characters."""
    code = normalised(text)
    return len(code) == 6 and code.isascii() and code.isdigit()


def matching_step(secret: str, code: str) -> int | None:
    """The time step that this normalised code belongs to, within the drift; None if it is wrong."""
    if not (len(code) == 6 and code.isascii() and code.isdigit()):
        return None
    now = int(clock.now().timestamp()) // STEP_SECONDS
    generator, found = pyotp.TOTP(secret), None
    # All steps are compared, so that the time taken tells nothing.
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        if hmac.compare_digest(generator.at(step * STEP_SECONDS), code):
            found = step
    return found


def spend(staff_id: int, typed: str) -> str | None:
    """Building block: use up a code; returns `totp`, `recovery`, or None when it is wrong or was used.

    The step is stored by a guarded write, so that of two simultaneous uses of one code one is refused.
    """
    require_transaction()
    code = normalised(typed)
    secret = db.session.execute(sa.select(_staff.c.totp_secret).where(_staff.c.id == staff_id)).scalar()
    step = matching_step(secret, code) if secret else None
    if step is not None:
        spent = db.session.execute(
            _staff.update()
            .where(_staff.c.id == staff_id, sa.or_(_staff.c.totp_last_step.is_(None), _staff.c.totp_last_step < step))
            .values(totp_last_step=step)
        )
        return "totp" if spent.rowcount == 1 else None
    used = db.session.execute(
        _codes.update()
        .where(_codes.c.staff_id == staff_id, _codes.c.code_hash == _hash(staff_id, code), _codes.c.used_at.is_(None))
        .values(used_at=clock.now())
    )
    return "recovery" if secret and used.rowcount == 1 else None


def _hash(staff_id: int, code: str) -> str:
    # Fifty random bits under the person's id: no table of hashes covers them.
    return hashlib.sha256(f"{staff_id}|{code}".encode()).hexdigest()


@transactional
def begin(*, actor: Actor) -> None:
    """Make the secret of a set-up in progress; what is in force stays so until `confirm`. Raises StepUpRequired."""
    proof.require_recent(actor)
    staff = lock_row(Staff, actor.id)
    staff.totp_pending_secret = pyotp.random_base32()
    audit.record(actor, "staff.totp_begun", target_type="staff", target_id=actor.id)


@transactional
def confirm(*, code: str, session_id: int, actor: Actor) -> SetUp:
    """The first code was right: the new secret is in force, other sessions end. Raises Invalid, InvalidState."""
    staff = lock_row(Staff, actor.id)
    if staff.totp_pending_secret is None:
        raise InvalidState("绑定已完成或尚未开始，请重新打开绑定页面")
    step = matching_step(staff.totp_pending_secret, normalised(code))
    if step is None:
        raise Invalid.field("code", "验证码不正确。请确认手机时间准确，并输入最新的 6 位数字。")
    replaced = staff.totp_confirmed_at is not None
    staff.totp_secret, staff.totp_pending_secret = staff.totp_pending_secret, None
    staff.totp_confirmed_at, staff.totp_last_step = clock.now(), step
    codes = _renew_recovery_codes(staff.id)
    sessions.revoke_all(staff.id, but=session_id)
    token = sessions.renew_token(session_id)
    audit.record(actor, "staff.totp_set", target_type="staff", target_id=actor.id, after={"replaced": replaced})
    announcements.own_change("staff.totp_set", "员工更换了动态验证码" if replaced else "员工绑定了动态验证码", actor)
    return SetUp(codes, token)


@transactional
def renew_recovery_codes(*, actor: Actor) -> list[str]:
    """New recovery codes; the old ones are worth nothing. Raises StepUpRequired, InvalidState."""
    proof.require_recent(actor)
    staff = lock_row(Staff, actor.id)
    if staff.totp_confirmed_at is None:
        raise InvalidState("请先绑定动态验证码，再生成恢复码")
    codes = _renew_recovery_codes(staff.id)
    audit.record(actor, "staff.recovery_codes_renewed", target_type="staff", target_id=actor.id)
    announcements.own_change("staff.recovery_codes_renewed", "员工重新生成了恢复码", actor)
    return codes


@transactional
def remove(*, actor: Actor) -> None:
    """Do without a second factor, where the role may. Raises StepUpRequired, InvalidState."""
    proof.require_recent(actor)
    staff = lock_row(Staff, actor.id)
    if staff.role in MONEY_ROLES and policy.get("totp_required"):
        raise InvalidState("您的角色必须使用动态验证码，只能更换，不能关闭")
    if staff.totp_confirmed_at is None:
        raise InvalidState("动态验证码没有开启")
    clear(staff)
    audit.record(actor, "staff.totp_removed", target_type="staff", target_id=actor.id)
    announcements.own_change("staff.totp_removed", "员工关闭了动态验证码", actor)


def clear(staff: Staff) -> None:
    """Building block: this person, whose row is locked, has no second factor any more."""
    require_transaction()
    staff.totp_secret = staff.totp_pending_secret = staff.totp_confirmed_at = staff.totp_last_step = None
    db.session.execute(_codes.delete().where(_codes.c.staff_id == staff.id))


def _renew_recovery_codes(staff_id: int) -> list[str]:
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(10)) for _ in range(RECOVERY_CODES)]
    db.session.execute(_codes.delete().where(_codes.c.staff_id == staff_id))
    db.session.execute(_codes.insert(), [{"staff_id": staff_id, "code_hash": _hash(staff_id, code)} for code in codes])
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def pending_secret(staff_id: int) -> str | None:
    """The secret of a set-up in progress, to be shown as QR code and text."""
    return db.session.execute(sa.select(_staff.c.totp_pending_secret).where(_staff.c.id == staff_id)).scalar()


def otpauth_uri(secret: str, username: str) -> str:
    """What the QR code says to an authenticator app."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)


def recovery_codes_left(staff_id: int) -> int:
    query = sa.select(sa.func.count()).where(_codes.c.staff_id == staff_id, _codes.c.used_at.is_(None))
    return db.session.execute(query).scalar_one()
