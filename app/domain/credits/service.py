"""Making, using and giving back makeup credits (M1). Building blocks: whoever makes or ends a booking commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from app import clock
from app.db import db, execute, lock_row, require_transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.credits import rules
from app.domain.credits.models import CreditStatus, MakeupCredit, MakeupRequest, RequestStatus
from app.domain.credits.rules import Event
from app.domain.outbox import service as outbox
from app.domain.policy import service as policy

_requests = MakeupRequest.__table__


@dataclass(frozen=True, slots=True)
class Missed:
    """The class that was given up. `minutes` is its length, `price` in yuan what was paid."""

    booking_id: int
    family_id: int
    profile_id: int
    student: str
    course: str
    course_type_id: int
    level_id: int | None
    minutes: int
    price: Decimal
    starts_at: datetime


def grant(missed: Missed, actor: Actor, now: datetime, *, user_id: int | None) -> MakeupCredit:
    """One credit for a class that was given up, valid for the policy's time; the family is told."""
    require_transaction()
    credit = MakeupCredit(
        family_id=missed.family_id, profile_id=missed.profile_id, booking_id=missed.booking_id,
        course_type_id=missed.course_type_id, level_id=missed.level_id, minutes=missed.minutes, price=missed.price,
        status=CreditStatus.AVAILABLE, valid_until=now + policy.get("makeup_credit_ttl"), created_at=now,
        updated_at=now,
    )  # fmt: skip
    db.session.add(credit)
    db.session.flush()
    audit.record(
        actor, "credit.granted", target_type="makeup_credit", target_id=credit.id, family_id=missed.family_id,
        new_status=credit.status,
        after={"booking": missed.booking_id, "minutes": missed.minutes, "valid_until": credit.valid_until.isoformat()},
    )  # fmt: skip
    outbox.tell_family(
        missed.family_id, "makeup_credit",
        {"course": missed.course, "starts_at": missed.starts_at.isoformat(), "student": missed.student,
         "expires_on": clock.local(credit.valid_until).date().isoformat()},
        dedupe=f"credit{credit.id}", user_id=user_id,
    )  # fmt: skip
    return credit


def use(credit_id: int, actor: Actor, now: datetime, *, starts_at: datetime) -> MakeupCredit:
    """The credit is used for a class that starts at `starts_at`. Raises NoCredit, CreditExpired."""
    credit = lock_row(MakeupCredit, credit_id)
    # Checked again under the lock: two phones may have read it as available (M3).
    rules.check_usable(credit.status, credit.valid_until, now, starts_at)
    before, credit.status = credit.status, rules.next_status(credit.status, Event.USE)
    credit.updated_at = now
    _record(credit, "credit.used", actor, before)
    settle_request(credit_id, RequestStatus.BOOKED, actor, now)
    return credit


def restore(credit_id: int, actor: Actor, now: datetime, *, at_least: timedelta = timedelta(0)) -> MakeupCredit:
    """Give back the credit that a makeup used, with its old end; past that end it is expired (M1, M7).

    `at_least` is how long it stays good in any case, where giving it back was not the family's doing.
    """
    credit = lock_row(MakeupCredit, credit_id)
    before = credit.status
    if before == CreditStatus.USED:
        credit.valid_until = max(credit.valid_until, now + at_least) if at_least else credit.valid_until
        credit.status = rules.next_status(before, Event.RESTORE)
        credit.updated_at = now
        _record(credit, "credit.restored", actor, before)
        if now >= credit.valid_until:
            end(credit, Event.EXPIRE, actor, now)
    return credit


def end(credit: MakeupCredit, event: Event, actor: Actor, now: datetime, reason: str | None = None) -> None:
    """A locked credit expires or is voided, for `reason`. Raises InvalidState."""
    before, credit.status = credit.status, rules.next_status(credit.status, event)
    credit.ended_at = credit.updated_at = now
    credit.end_reason = reason
    _record(credit, "credit.voided" if event == Event.VOID else "credit.expired", actor, before, reason)
    settle_request(credit.id, RequestStatus.CLOSED, actor, now)


def settle_request(credit_id: int, status: str, actor: Actor, now: datetime, answer: str | None = None) -> bool:
    """What was asked of the desk for this credit has come to an end (M11); False where nothing was asked."""
    by = actor.id if actor.type == ActorType.STAFF else None
    done = execute(
        _requests.update()
        .where(_requests.c.live_credit_id == credit_id)
        .values(status=status, answered_at=now, answered_by=by, answer=answer)
    )
    return done.rowcount == 1


def _record(credit: MakeupCredit, action: str, actor: Actor, before: str, reason: str | None = None) -> None:
    db.session.flush()
    audit.record(
        actor, action, target_type="makeup_credit", target_id=credit.id, family_id=credit.family_id,
        old_status=before, new_status=credit.status, reason=reason,
    )  # fmt: skip
