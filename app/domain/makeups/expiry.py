"""Nothing lapses in silence: reminders before credits and minutes end, and the end itself (M1, M6)."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from app import clock
from app.db import db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.credits import minutes
from app.domain.credits import service as credits
from app.domain.credits.models import CompensationLot, CreditStatus, HistoryKind, MakeupCredit
from app.domain.credits.rules import Event
from app.domain.makeups import facts
from app.domain.outbox import service as outbox
from app.domain.people.models import Profile, ProfileStatus
from app.domain.policy import service as policy

#: rows read at a time
BATCH = 2000

_k, _lots, _p = MakeupCredit.__table__, CompensationLot.__table__, Profile.__table__
_SYSTEM = system("makeup_expiry")


def expire() -> int:
    """The periodic job: credits and lots whose end has passed are closed in the books; returns how many.

    Readers judge by the clock and do not wait for it.
    """
    now = clock.now()
    credit_ids = sa.select(_k.c.id).where(_k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until <= now)
    lot_ids = sa.select(_lots.c.id).where(_lots.c.expires_at <= now, _lots.c.minutes_left > 0)
    return _each(credit_ids, _k.c.id, _expire_credit) + _each(lot_ids, _lots.c.id, _expire_lot)


def remind() -> int:
    """The daily job: families whose credits or minutes end within the policy's time, once for each end; returns how
    many were told of."""
    now = clock.now()
    credit_ids = (
        sa.select(_k.c.id)
        .join_from(_k, _p, _p.c.id == _k.c.profile_id)
        .where(
            _k.c.status == CreditStatus.AVAILABLE, _k.c.valid_until > now,
            _k.c.valid_until <= now + policy.get("makeup_credit_reminder"), _p.c.status == ProfileStatus.ACTIVE,
        )
    )  # fmt: skip
    lot_ids = (
        sa.select(_lots.c.id)
        .join_from(_lots, _p, _p.c.id == _lots.c.profile_id)
        .where(
            *minutes.usable(now), _lots.c.expires_at <= now + policy.get("compensation_reminder"),
            _p.c.status == ProfileStatus.ACTIVE,
        )
    )  # fmt: skip
    return _each(credit_ids, _k.c.id, _remind_credit) + _each(lot_ids, _lots.c.id, _remind_lot)


def _each(ids: sa.Select, column: sa.Column, act: Callable[..., bool]) -> int:
    """Act on all of them, by id; how many it did something for. What was told before is still among them, so a run that
    stopped after so many would never come to the others."""
    done, last = 0, 0
    while True:
        found = list(db.session.scalars(ids.where(column > last).order_by(column).limit(BATCH)))
        db.session.rollback()
        if not found:
            return done
        done += sum(act(row_id=row_id) for row_id in found)
        last = found[-1]


@transactional
def _expire_credit(*, row_id: int) -> bool:
    credit = lock_row(MakeupCredit, row_id)
    now = db_now()
    if credit.status != CreditStatus.AVAILABLE or now < credit.valid_until:
        return False  # used or extended meanwhile
    credits.end(credit, Event.EXPIRE, _SYSTEM, now)
    return True


@transactional
def _expire_lot(*, row_id: int) -> bool:
    lot = lock_row(CompensationLot, row_id)
    now = db_now()
    if lot.minutes_left == 0 or now < lot.expires_at:
        return False
    lost = lot.minutes_left
    minutes.take(lot, lost, HistoryKind.EXPIRED, _SYSTEM, now, note="到期失效")
    audit.record(
        _SYSTEM, "compensation.expired", target_type="compensation_lot", target_id=lot.id, family_id=lot.family_id,
        after={"minutes": lost},
    )  # fmt: skip
    return True


@transactional
def _remind_credit(*, row_id: int) -> bool:
    credit = lock_row(MakeupCredit, row_id)
    if credit.status != CreditStatus.AVAILABLE:
        return False
    told = facts.told(row_id)
    # One key for each end: extended, the credit is spoken of again.
    key = f"credit{row_id}:ending:{told['expires_on']}"
    return bool(outbox.tell_family(credit.family_id, "makeup_credit", told | {"occasion": "ending"}, dedupe=key))


@transactional
def _remind_lot(*, row_id: int) -> bool:
    lot = lock_row(CompensationLot, row_id)
    if lot.minutes_left == 0:
        return False
    student = db.session.scalar(sa.select(_p.c.name).where(_p.c.id == lot.profile_id))
    payload = {
        "student": student, "minutes": str(lot.minutes_left),
        "expires_on": clock.local(lot.expires_at).date().isoformat(),
    }  # fmt: skip
    return bool(outbox.tell_family(lot.family_id, "compensation_ending", payload, dedupe=f"lot{lot.id}"))
