"""What one colleague should look at in another's work: findings of a span of days, each with its rows (S1).

None of it is forbidden, or it would have been refused. It is what insiders' fraud looks like from outside: sums just
below a limit, two accounts on one device, money for a colleague's family, an order of the queue that a person changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from app import money
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment
from app.domain.people.models import Family, Staff, StaffSession, User
from app.domain.policy import service as policy
from app.domain.reports.payments import Span
from app.domain.waitlist.models import WaitlistEntry, WaitlistOffer

_a, _s, _f, _u = WalletAdjustment.__table__, Staff.__table__, Family.__table__, User.__table__
_log, _t = AuditEntry.__table__, StaffSession.__table__
_o, _e = WaitlistOffer.__table__, WaitlistEntry.__table__

#: from this share of the limit on, a sum is just below it
NEAR = Decimal("0.8")
#: nobody reads what they approve in less (ASVS 2.4.2), in seconds
HASTE = 60
#: rows that a finding shows
ROWS_SHOWN = 200


class Finding(StrEnum):
    NEAR_LIMIT = "near_limit"
    LINKED = "linked"
    ONE_DEVICE = "one_device"
    HASTY = "hasty"
    OVERTAKEN = "overtaken"
    REORDERED = "reordered"
    NEW_DEVICE = "new_device"


@dataclass(frozen=True, slots=True)
class Row:
    """`who` did it, with whom (`other`), to which family; `about` says it in words; `audit_id` or `adjustment_id` is
    where to look."""

    at: datetime
    who: str
    about: str
    other: str | None = None
    family_id: int | None = None
    adjustment_id: int | None = None
    audit_id: int | None = None


def table(span: Span) -> dict[Finding, list[Row]]:
    """Every finding with its rows, newest first, at most ROWS_SHOWN each."""
    return {finding: read(span)[:ROWS_SHOWN] for finding, read in _READ.items()}


def count(span: Span) -> int:
    """How many rows all findings have."""
    return sum(len(rows) for rows in table(span).values())


# ── money ───────────────────────────────────────────────────────────────────────────────────────────


def _completed(span: Span) -> sa.Select:
    start, end = span.bounds
    return (
        sa.select(_a.c.id, _a.c.decided_at, _a.c.amount, _a.c.family_id, _s.c.display_name)
        .join_from(_a, _s, _s.c.id == _a.c.asked_by)
        .where(
            _a.c.status == AdjustmentStatus.COMPLETED, _a.c.undoes_id.is_(None), _a.c.decided_at >= start,
            _a.c.decided_at < end,
        )
        .order_by(_a.c.decided_at.desc(), _a.c.id.desc())
        .limit(ROWS_SHOWN)
    )  # fmt: skip


def near_limit(span: Span) -> list[Row]:
    """Adjustments that one person completed alone, with 80 to 100 % of what one person may (abuse 2)."""
    limit = policy.get("adjustment_direct_limit")
    query = _completed(span).where(_a.c.decided_by.is_(None), _a.c.amount.between(money.rounded(limit * NEAR), limit))
    return [
        Row(one.decided_at, one.display_name, f"{money.yuan(one.amount)}，单笔限额 {money.yuan(limit)}",
            family_id=one.family_id, adjustment_id=one.id)
        for one in db.session.execute(query)
    ]  # fmt: skip


def linked(span: Span) -> list[Row]:
    """Adjustments for families that a colleague belongs to: linked, or by openid or phone of a parent (abuse 1)."""
    kin = _s.alias("kin")
    relation = sa.or_(
        kin.c.family_id == _a.c.family_id,
        sa.exists().where(
            _u.c.family_id == _a.c.family_id,
            sa.or_(_u.c.openid == kin.c.openid, _u.c.phone_index == kin.c.phone_index),
        ),
    )
    query = _completed(span).join(kin, relation).add_columns(kin.c.display_name.label("kin_name"))
    return [
        Row(one.decided_at, one.display_name, f"{money.yuan(one.amount)}，{one.kin_name}的家庭", other=one.kin_name,
            family_id=one.family_id, adjustment_id=one.id)
        for one in db.session.execute(query)
    ]  # fmt: skip


# ── two persons ─────────────────────────────────────────────────────────────────────────────────────

#: second person's action → the first person's
_SECOND = {
    "adjustment.approved": "adjustment.asked", "batch.approved": "batch.asked", "refund.approved": "refund.asked",
    "late_refund.approved": "late_refund.asked", "order.offline_approved": "order.offline_asked",
    "withdrawal.paid": "withdrawal.approved", "staff.role_approved": "staff.role_asked",
    "staff.reset_approved": "staff.reset_asked", "policy.change_approved": "policy.change_asked",
}  # fmt: skip


def _pairs(span: Span) -> list[sa.Row]:
    """Each approval with the asking that it answers: the newest of the same thing before it."""
    start, end = span.bounds
    first, before = _log.alias("first"), _log.alias("before")
    newest = (
        sa.select(sa.func.max(before.c.id))
        .where(
            before.c.target_type == _log.c.target_type, before.c.target_id == _log.c.target_id,
            before.c.id < _log.c.id, before.c.action == sa.case(_SECOND, value=_log.c.action),
        )
        .scalar_subquery()
    )  # fmt: skip
    return db.session.execute(
        sa.select(
            _log.c.id, _log.c.created_at, _log.c.actor_name, _log.c.family_id, _log.c.target_type, _log.c.target_id,
            _log.c.ip, _log.c.user_agent, first.c.created_at.label("asked_at"), first.c.actor_name.label("asker"),
            first.c.ip.label("asked_ip"), first.c.user_agent.label("asked_agent"),
        )
        .join_from(_log, first, first.c.id == newest)
        .where(_log.c.action.in_(_SECOND), _log.c.created_at >= start, _log.c.created_at < end)
        .order_by(_log.c.id.desc())
    ).all()  # fmt: skip


def one_device(span: Span) -> list[Row]:
    """Asked for and approved from one address and browser: perhaps one person with two accounts (abuse 4)."""
    return [
        _pair(one, f"与申请来自同一设备（{one.ip}）")
        for one in _pairs(span)
        if one.ip is not None and (one.ip, one.user_agent) == (one.asked_ip, one.asked_agent)
    ]


def hasty(span: Span) -> list[Row]:
    """Approved so soon after the asking that nobody can have read it (abuse 4, ASVS 2.4.2)."""
    timed = ((one, int((one.created_at - one.asked_at).total_seconds())) for one in _pairs(span))
    return [_pair(one, f"申请后 {seconds} 秒批准") for one, seconds in timed if seconds < HASTE]


def _pair(one: sa.Row, about: str) -> Row:
    adjustment = int(one.target_id) if one.target_type == "adjustment" else None
    return Row(one.created_at, one.actor_name, about, other=one.asker, family_id=one.family_id,
               adjustment_id=adjustment, audit_id=one.id)  # fmt: skip


# ── seats, sign-ins ─────────────────────────────────────────────────────────────────────────────────

_REORDERED = {
    "waitlist.offered": "单独通知", "waitlist.moved": "调整顺位", "waitlist.skipped": "跳过",
    "waitlist.removed": "移出",
}  # fmt: skip


def reordered(span: Span) -> list[Row]:
    """What people did to a queue against its order, with their reason (abuse 11)."""
    start, end = span.bounds
    rows = db.session.execute(
        sa.select(_log)
        .where(
            _log.c.action.in_(_REORDERED), _log.c.actor_type == "staff", _log.c.created_at >= start,
            _log.c.created_at < end,
        )
        .order_by(_log.c.id.desc())
        .limit(ROWS_SHOWN)
    )  # fmt: skip
    return [
        Row(one.created_at, one.actor_name, f"{_REORDERED[one.action]}：{one.reason or '没有原因'}",
            family_id=one.family_id, audit_id=one.id)
        for one in rows
    ]  # fmt: skip


def overtaken(span: Span) -> list[Row]:
    """Offers to one alone while somebody who came earlier still waited and was never asked (abuse 11).

    Entries that a person moved are left out: those stand in `reordered`.
    """
    start, end = span.bounds
    earlier, asked = _e.alias("earlier"), _o.alias("asked")
    never = ~sa.exists().where(asked.c.entry_id == earlier.c.id, asked.c.offered_at <= _o.c.offered_at)
    query = (
        sa.select(_o.c.offered_at, _e.c.family_id, _f.c.name, sa.func.min(earlier.c.family_id).label("over"))
        .select_from(
            _o.join(_e, _e.c.id == _o.c.entry_id)
            .join(_f, _f.c.id == _e.c.family_id)
            .join(earlier, earlier.c.course_schedule_id == _e.c.course_schedule_id)
        )
        .where(
            _o.c.kind == "exclusive", _o.c.offered_at >= start, _o.c.offered_at < end, _e.c.rank == 0,
            earlier.c.rank == 0, earlier.c.joined_at < _e.c.joined_at, earlier.c.skipped_at.is_(None),
            sa.or_(earlier.c.ended_at.is_(None), earlier.c.ended_at > _o.c.offered_at), never,
        )
        .group_by(_o.c.id, _o.c.offered_at, _e.c.family_id, _f.c.name)
        .order_by(_o.c.id.desc())
        .limit(ROWS_SHOWN)
    )  # fmt: skip
    return [
        Row(
            one.offered_at,
            "系统",
            f"先通知了{one.name}，家庭 {one.over} 排得更早且没有收到通知",
            family_id=one.family_id,
        )
        for one in db.session.execute(query)
    ]  # fmt: skip


def new_device(span: Span) -> list[Row]:
    """Sign-ins from a browser that this colleague never used before, the very first one aside (abuse 13)."""
    start, end = span.bounds
    before = _t.alias("before")
    own = (before.c.staff_id == _t.c.staff_id, before.c.id < _t.c.id)
    query = (
        sa.select(_t.c.created_at, _t.c.ip, _t.c.user_agent, _s.c.display_name)
        .join_from(_t, _s, _s.c.id == _t.c.staff_id)
        .where(
            _t.c.created_at >= start, _t.c.created_at < end, sa.exists().where(*own),
            ~sa.exists().where(*own, before.c.user_agent == _t.c.user_agent),
        )
        .order_by(_t.c.id.desc())
        .limit(ROWS_SHOWN)
    )  # fmt: skip
    return [
        Row(one.created_at, one.display_name, f"{one.ip or '地址未知'}，{one.user_agent or '浏览器未知'}")
        for one in db.session.execute(query)
    ]


_READ: dict[Finding, Callable[[Span], list[Row]]] = {
    Finding.NEAR_LIMIT: near_limit,
    Finding.LINKED: linked,
    Finding.ONE_DEVICE: one_device,
    Finding.HASTY: hasty,
    Finding.OVERTAKEN: overtaken,
    Finding.REORDERED: reordered,
    Finding.NEW_DEVICE: new_device,
}
