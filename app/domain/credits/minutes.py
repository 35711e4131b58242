"""Compensation minutes (M6): lots with an end, used soonest-ending first, with a history that adds up to them.

Building blocks. The lots of one student are locked together before any is read, so that two bookings at once cannot
both use the same minutes.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app.db import db, execute, lock_rows, require_transaction
from app.domain.audit.actor import Actor
from app.domain.credits import rules
from app.domain.credits.models import CompensationHistory, CompensationLot, CompensationUsage, HistoryKind
from app.domain.policy import service as policy

_lots, _usages = CompensationLot.__table__, CompensationUsage.__table__
_history = CompensationHistory.__table__


def usable(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """What a lot must meet so that some of its minutes can be used at `now`."""
    return _lots.c.minutes_left > 0, _lots.c.expires_at > now


def available(profile_id: int, now: datetime) -> int:
    """Minutes that the student could use now, as the last commit left them."""
    query = sa.select(sa.func.coalesce(sa.func.sum(_lots.c.minutes_left), 0))
    return int(db.session.scalar(query.where(_lots.c.profile_id == profile_id, _lots.c.expires_at > now)))


def lock(profile_id: int, now: datetime) -> list[CompensationLot]:
    """Lock the student's lots that can be used now, and give them in the order of use."""
    require_transaction()
    ids = sa.select(_lots.c.id).where(_lots.c.profile_id == profile_id, *usable(now))
    return rules.open_lots(lock_rows(CompensationLot, db.session.scalars(ids)), now)


def give(
    profile_id: int, family_id: int, minutes: int, actor: Actor, now: datetime, *, kind: str, note: str,
    booking_id: int | None = None, expires_at: datetime | None = None,
) -> CompensationLot:  # fmt: skip
    """A new lot of whole minutes; it ends after the policy's time unless `expires_at` says when."""
    require_transaction()
    lot = CompensationLot(
        profile_id=profile_id, family_id=family_id, minutes=minutes, minutes_left=minutes, booking_id=booking_id,
        earned_at=now, expires_at=expires_at or now + policy.get("compensation_ttl"),
    )  # fmt: skip
    db.session.add(lot)
    db.session.flush()
    _write(lot, kind, minutes, actor, now, note, booking_id)
    return lot


def use(lots: list[CompensationLot], minutes: int, booking_id: int, actor: Actor, now: datetime, *, note: str) -> None:
    """Take minutes from lots that `lock` gave, for a longer makeup. Raises NotEnoughCompensation."""
    for lot, taken in rules.share_out(lots, minutes):
        db.session.add(CompensationUsage(lot_id=lot.id, booking_id=booking_id, minutes=taken, used_at=now))
        take(lot, taken, HistoryKind.USED, actor, now, note=note, booking_id=booking_id)


def take(
    lot: CompensationLot, minutes: int, kind: str, actor: Actor, now: datetime, *, note: str,
    booking_id: int | None = None,
) -> None:  # fmt: skip
    """Minutes of a locked lot are gone. The table's CHECK refuses more than there are."""
    lot.minutes_left -= minutes
    db.session.flush()
    _write(lot, kind, -minutes, actor, now, note, booking_id)


def undo(booking_id: int, actor: Actor, now: datetime) -> None:
    """A makeup has ended unheld: what it took comes back, what it gave is taken back where it was not used yet (M6).

    Minutes return to their own lot, with its old end. Where that end is nearer than the policy's least time they come
    as a lot of their own, so that the rest of the old one does not live longer with them. Minutes that were earned by a
    makeup cancelled since do not return: otherwise earning, spending and cancelling both would leave minutes that no
    class was shorter for.
    """
    require_transaction()
    used = {row.lot_id: row.minutes for row in db.session.execute(_still_used(booking_id))}
    earned = set(db.session.scalars(sa.select(_lots.c.id).where(_lots.c.booking_id == booking_id)))
    execute(_usages.update().where(_usages.c.booking_id == booking_id).values(returned_at=now))
    soonest = now + policy.get("compensation_return_min")
    for lot in lock_rows(CompensationLot, used.keys() | earned):
        if lot.id in used:
            _give_back(lot, used[lot.id], booking_id, soonest, actor, now)
        else:
            lot.revoked_at = now
            _take_back(lot, lot.minutes_left, booking_id, actor, now)


def _still_used(booking_id: int) -> sa.Select:
    return sa.select(_usages.c.lot_id, _usages.c.minutes).where(
        _usages.c.booking_id == booking_id, _usages.c.returned_at.is_(None)
    )


def _give_back(
    lot: CompensationLot, minutes: int, booking_id: int, soonest: datetime, actor: Actor, now: datetime
) -> None:
    note = "取消补课，退回所用"
    if lot.revoked_at is None and lot.expires_at < soonest:
        give(lot.profile_id, lot.family_id, minutes, actor, now, kind=HistoryKind.RETURNED, note=note,
             booking_id=booking_id, expires_at=soonest)  # fmt: skip
        return
    lot.minutes_left += minutes
    db.session.flush()
    _write(lot, HistoryKind.RETURNED, minutes, actor, now, note, booking_id)
    if lot.revoked_at is not None:
        _take_back(lot, minutes, booking_id, actor, now)


def _take_back(lot: CompensationLot, minutes: int, booking_id: int, actor: Actor, now: datetime) -> None:
    if minutes > 0:
        take(lot, minutes, HistoryKind.RETURNED, actor, now, note="取消补课，收回所得", booking_id=booking_id)


def _write(
    lot: CompensationLot, kind: str, minutes: int, actor: Actor, now: datetime, note: str, booking_id: int | None
) -> None:
    execute(
        _history.insert().values(
            lot_id=lot.id, profile_id=lot.profile_id, kind=kind, minutes=minutes, booking_id=booking_id,
            actor_type=actor.type, actor_id=actor.id, note=note, created_at=now,
        )
    )  # fmt: skip
