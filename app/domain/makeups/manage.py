"""What the desk does with credits and minutes: invite, extend, void, book several, adjust (M9)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings import students
from app.domain.catalog import queries as catalog
from app.domain.credits import minutes as lots
from app.domain.credits import rules
from app.domain.credits import service as credits
from app.domain.credits.errors import CreditNotFound
from app.domain.credits.models import HistoryKind, MakeupCredit
from app.domain.credits.rules import Event
from app.domain.makeups import book, facts, matching
from app.domain.makeups.book import MadeUp
from app.domain.outbox import service as outbox
from app.domain.people import belonging, roles
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import DomainError, Forbidden, Invalid, Replayed
from app.text import clean

REASON_LENGTH = 200
#: classes named in one message: more do not fit WeChat's field
CHOICES = 3
#: minutes of one adjustment
MOST_MINUTES = 600


@transactional
def extend(*, credit_id: int, until: date, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Let a credit end later, at the end of a studio day; one that has expired lives again. The family is told.

    Raises CreditNotFound, InvalidState, Invalid, Forbidden.
    """
    reason = _reason(reason, actor)
    credit = _lock(credit_id, actor)
    before, old_end = credit.status, credit.valid_until
    status = rules.next_status(before, Event.EXTEND)
    now, end = db_now(), clock.day_bounds(until)[1]
    if end <= max(now, old_end):
        raise Invalid.field("until", "新的有效期须晚于原来的有效期和今天")
    if end > now + policy.get("makeup_credit_ttl") * 2:
        raise Invalid.field("until", f"最多延长到 {clock.local(now + policy.get('makeup_credit_ttl') * 2):%Y-%m-%d}")
    credit.status, credit.valid_until, credit.updated_at = status, end, now
    credit.ended_at = credit.end_reason = None
    db.session.flush()
    audit.record(
        actor, "credit.extended", target_type="makeup_credit", target_id=credit_id, family_id=credit.family_id,
        old_status=before, new_status=status, reason=reason,
        before={"valid_until": old_end.isoformat()}, after={"valid_until": end.isoformat()},
    )  # fmt: skip
    _tell(credit, "extended", f"extended:{until}")


@transactional
def void(*, credit_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """A credit that can still be used ends now, for a reason that the family is told.

    Raises CreditNotFound, InvalidState, Invalid, Forbidden.
    """
    reason = _reason(reason, actor)
    credit = _lock(credit_id, actor)
    credits.end(credit, Event.VOID, actor, db_now(), reason)
    _tell(credit, "void", "void", reason=reason)


@transactional
def invite(
    *, credit_id: int, schedule_ids: Collection[int], actor: Actor, request_key: RequestKey | None = None
) -> int:
    """Tell the family of up to three classes that fit; returns to how many parents. It keeps no seat.

    Raises CreditNotFound, NoCredit, CreditExpired, Invalid, Forbidden.
    """
    roles.require(actor, Permission.MAKEUP_MANAGE)
    credit = lock_row(MakeupCredit, credit_id)
    if credit is None:
        raise CreditNotFound
    rules.check_usable(credit.status, credit.valid_until, db_now())
    cards = sorted(catalog.session_cards(list(schedule_ids)).values(), key=lambda one: one.starts_at)
    if not 1 <= len(cards) <= CHOICES:
        raise Invalid.field("schedule_ids", f"请选择 1 到 {CHOICES} 节课")
    fitting = matching.fitting(credit_id, schedule_ids)
    if len(fitting) != len(cards):
        raise Invalid.field("schedule_ids", "所选课次有变，请重新选择")
    choices = "、".join(f"{clock.local(one.starts_at):%m月%d日 %H:%M}" for one in cards)
    key = "-".join(str(one.id) for one in cards)
    told = _tell(credit, "choices", f"choices:{clock.today():%Y%m%d}:{key}", choices=choices)
    audit.record(
        actor, "credit.invited", target_type="makeup_credit", target_id=credit_id, family_id=credit.family_id,
        after={"schedules": [one.id for one in cards]},
    )  # fmt: skip
    return told


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one credit of several: `made`, or why not."""

    credit_id: int
    made: MadeUp | None
    refusal: DomainError | None


def book_several(
    *, credit_ids: Collection[int], schedule_id: int, actor: Actor, accept_shorter: bool = False,
    use_compensation: bool = False, request_key: RequestKey | None = None,
) -> list[Outcome]:  # fmt: skip
    """Several students onto one session, each a booking of its own: a refusal of one does not undo the others (U15).

    Asked again under the same key, what was booked is told again as booked.
    """
    return [
        _one_of_several(
            credit_id, request_key and _key_of(request_key, credit_id), schedule_id=schedule_id, actor=actor,
            accept_shorter=accept_shorter, use_compensation=use_compensation,
        )
        for credit_id in dict.fromkeys(credit_ids)
    ]  # fmt: skip


def _key_of(whole: RequestKey, credit_id: int) -> RequestKey:
    key = RequestKey.digest(whole.key, credit_id)[: len(whole.key)]
    return RequestKey(whole.scope, key, whole.fingerprint, present=asdict)


def _one_of_several(credit_id: int, request_key: RequestKey | None, **asked: Any) -> Outcome:
    profile_id = db.session.scalar(sa.select(MakeupCredit.profile_id).where(MakeupCredit.id == credit_id))
    if profile_id is None:
        return Outcome(credit_id, None, CreditNotFound())
    try:
        made = book.book(profile_id=profile_id, credit_id=credit_id, request_key=request_key, **asked)
    except Replayed as replay:
        made = MadeUp(**replay.answer)
    except Forbidden:
        raise
    except DomainError as refusal:
        return Outcome(credit_id, None, refusal)
    return Outcome(credit_id, made, None)


@transactional
def adjust_minutes(
    *, profile_id: int, minutes: int, reason: str, actor: Actor, request_key: RequestKey | None = None
) -> int:
    """Give a student compensation minutes, or take some (negative), in whole units; returns the balance (M9).

    What is taken comes from the lot that ends first. Raises NotFound, Invalid, NotEnoughCompensation, Forbidden.
    """
    reason = _reason(reason, actor)
    student = students.lock(profile_id, actor)
    _refuse_own(student.family_id, actor)
    unit = max(1, policy.get("compensation_unit").total_seconds() // 60)
    if minutes == 0 or minutes % unit or abs(minutes) > MOST_MINUTES:
        raise Invalid.field("minutes", f"请填写 {unit:g} 分钟的整数倍，最多 {MOST_MINUTES} 分钟")
    now = db_now()
    open_lots = lots.lock(profile_id, now)
    before = sum(lot.minutes_left for lot in open_lots)
    if minutes > 0:
        lots.give(profile_id, student.family_id, minutes, actor, now, kind=HistoryKind.ADJUSTED, note=reason)
    else:
        for lot, taken in rules.share_out(open_lots, -minutes):
            lots.take(lot, taken, HistoryKind.ADJUSTED, actor, now, note=reason)
    audit.record(
        actor, "compensation.adjusted", target_type="profile", target_id=profile_id, family_id=student.family_id,
        reason=reason, before={"minutes": before}, after={"minutes": before + minutes},
    )  # fmt: skip
    return before + minutes


# ── what they share ─────────────────────────────────────────────────────────────────────────────────


def _reason(reason: str, actor: Actor) -> str:
    roles.require(actor, Permission.MAKEUP_MANAGE)
    reason = clean(reason, REASON_LENGTH)
    if not reason:
        raise Invalid.field("reason", "请填写原因")
    return reason


def _lock(credit_id: int, actor: Actor) -> MakeupCredit:
    credit = lock_row(MakeupCredit, credit_id)
    if credit is None:
        raise CreditNotFound
    _refuse_own(credit.family_id, actor)
    return credit


def _refuse_own(family_id: int, actor: Actor) -> None:
    """Nobody gives what is worth money to the family that they belong to."""
    if belonging.is_own(actor, family_id):
        raise Forbidden("不能处理自己家庭的待补课与课时补偿，请由其他同事处理", code="OWN_FAMILY")


def _tell(credit: MakeupCredit, occasion: str, dedupe: str, **more: str) -> int:
    payload = facts.told(credit.id) | {"occasion": occasion} | more
    return len(outbox.tell_family(credit.family_id, "makeup_credit", payload, dedupe=f"credit{credit.id}:{dedupe}"))
