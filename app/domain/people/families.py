"""What staff do on a family page: see masked data with a reason, confirm a level, set a parent's status (U3)."""

from __future__ import annotations

from datetime import date, timedelta

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.people.models import Level, MemberStatus, Profile, ProfileStatus, User
from app.domain.people.roles import Permission, require
from app.domain.policy import service as policy
from app.errors import Invalid, NotFound, TooMany
from app.text import clean

REVEAL_ACTION = "people.revealed"
NOTES_MAX = 500


@transactional
def reveal_phone(*, user_id: int, reason: str, actor: Actor) -> str:
    """A parent's whole phone number, against a reason (S8). Raises NotFound, Invalid, TooMany."""
    user = db.session.get(User, user_id)
    if user is None or not user.phone:
        raise NotFound("这位家长没有登记手机号")
    _note_reveal(actor, "user", user.id, user.family_id, "phone", reason)
    return user.phone


@transactional
def reveal_birthday(*, profile_id: int, reason: str, actor: Actor) -> str:
    """A student's birthday as ISO text, against a reason (S8). Raises NotFound, Invalid, TooMany."""
    profile = db.session.get(Profile, profile_id)
    if profile is None or not profile.birthday:
        raise NotFound("这位学员没有登记生日")
    _note_reveal(actor, "profile", profile.id, profile.family_id, "birthday", reason)
    return profile.birthday


def _note_reveal(actor: Actor, target: str, target_id: int, family_id: int, what: str, reason: str) -> None:
    require(actor, Permission.REVEAL)
    reason = clean(reason, 200)
    if not reason:
        raise Invalid.field("reason", "请选择查看的原因")
    seen = db.session.execute(
        sa.select(sa.func.count())
        .select_from(AuditEntry)
        .where(
            AuditEntry.actor_type == actor.type,
            AuditEntry.actor_id == actor.id,
            AuditEntry.action == REVEAL_ACTION,
            AuditEntry.created_at > clock.now() - timedelta(hours=24),
        )
    ).scalar_one()
    limit = policy.get("reveal_daily_limit")
    if seen >= limit:
        raise TooMany(f"24 小时内最多查看 {limit} 次完整信息，如确有需要请联系店长", retry_after=3600)
    audit.record(
        actor, REVEAL_ACTION, target_type=target, target_id=target_id, family_id=family_id,
        after={"field": what}, reason=reason,
    )  # fmt: skip


@transactional
def set_member_status(
    *, user_id: int, status: str, enrolled_on: date | None, actor: Actor, request_key: RequestKey | None = None
) -> None:
    """Make a parent trial, formal or left; formal takes the day of enrolment (default today). Raises NotFound."""
    require(actor, Permission.FAMILY_EDIT)
    if status not in set(MemberStatus):
        raise Invalid.field("member_status", "请选择会员状态")
    user = lock_row(User, user_id)
    if user is None:
        raise NotFound("没有这位家长")
    if enrolled_on and enrolled_on > clock.today():
        raise Invalid.field("enrolled_on", "入会日期不能晚于今天")
    old = user.member_status
    user.member_status = status
    if status == MemberStatus.FORMAL:
        user.enrolled_at = clock.day_bounds(enrolled_on)[0] if enrolled_on else (user.enrolled_at or clock.now())
    audit.record(
        actor, "user.status_set", target_type="user", target_id=user.id, family_id=user.family_id,
        old_status=old, new_status=status,
    )  # fmt: skip


@transactional
def update_student(
    *,
    profile_id: int,
    level_id: int | None,
    notes: str,
    status: str,
    actor: Actor,
    request_key: RequestKey | None = None,
) -> None:
    """Set a student's level, confirmed from now on (96.25), notes and status. Raises NotFound, Invalid."""
    require(actor, Permission.FAMILY_EDIT)
    profile = lock_row(Profile, profile_id)
    if profile is None:
        raise NotFound("没有这位学员")
    if level_id is not None and db.session.get(Level, level_id) is None:
        raise Invalid.field("level_id", "没有这个级别")
    if status not in set(ProfileStatus):
        raise Invalid.field("status", "请选择学员状态")
    before, notes = _student_facts(profile), clean(notes, NOTES_MAX) or None
    # What is noted of a child stays out of the log, which keeps everything (S8): it says that it changed.
    renoted = {"fields": ["notes"]} if notes != profile.notes else {}
    profile.level_id, profile.level_confirmed = level_id, level_id is not None
    profile.notes, profile.status = notes, status
    audit.record(
        actor, "profile.updated", target_type="profile", target_id=profile.id, family_id=profile.family_id,
        before=before, after=_student_facts(profile) | renoted,
    )  # fmt: skip


def _student_facts(profile: Profile) -> dict:
    return {
        "level_id": profile.level_id,
        "level_confirmed": profile.level_confirmed,
        "status": profile.status,
    }
