"""Making, using up and giving back makeup credits (M1). Building blocks: whoever ends a booking commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from app import clock
from app.db import db, lock_row, require_transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.credits.models import CreditStatus, MakeupCredit
from app.domain.outbox import service as outbox
from app.domain.policy import service as policy


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


def restore(credit_id: int, actor: Actor, now: datetime, *, at_least: timedelta = timedelta(0)) -> MakeupCredit:
    """Give back the credit that a makeup used, with its old end; past that end it is expired (M1, M7).

    `at_least` is how long it stays good in any case, where giving it back was not the family's doing.
    """
    credit = lock_row(MakeupCredit, credit_id)
    before = credit.status
    if before == CreditStatus.USED:
        credit.valid_until = max(credit.valid_until, now + at_least) if at_least else credit.valid_until
        credit.status = CreditStatus.AVAILABLE if now < credit.valid_until else CreditStatus.EXPIRED
        credit.updated_at = now
        audit.record(
            actor, "credit.restored", target_type="makeup_credit", target_id=credit.id, family_id=credit.family_id,
            old_status=before, new_status=credit.status,
        )  # fmt: skip
    return credit
