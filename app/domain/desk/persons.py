"""Who is at the desk: locked, so that one person's clicks queue; and kept away from their own family (W12)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app.db import db, lock_rows, require_transaction
from app.domain.audit.actor import Actor, ActorType
from app.domain.desk.errors import OwnFamily
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment
from app.domain.desk.rules import WINDOW, DirectLimits, DirectSums
from app.domain.people.belonging import belongs_to
from app.domain.people.models import Staff, StaffStatus
from app.domain.people.roles import ROLE_PERMISSIONS, Permission
from app.domain.policy import service as policy
from app.errors import Forbidden
from app.money import ZERO

_adjustments = WalletAdjustment.__table__


def hold(actor: Actor, *others: int) -> dict[int, Staff]:
    """Lock the acting person's row, and those of `others` concerned, before anything else is locked.

    The sums of W12 are per person over all families, so two clicks on two families at once would both see the sum
    from before; this row makes them queue. Raises Forbidden for whoever is not an active member of staff.
    """
    require_transaction()
    if actor.type != ActorType.STAFF or actor.id is None:
        raise Forbidden
    people = {person.id: person for person in lock_rows(Staff, {actor.id, *others})}
    if actor.id not in people or people[actor.id].status != StaffStatus.ACTIVE:
        raise Forbidden
    return people


def refuse_own_family(person: Staff, family_id: int) -> None:
    """Raises OwnFamily."""
    if belongs_to(person, family_id):
        raise OwnFamily


def may_direct(person: Staff) -> bool:
    """Whether this account may complete its own adjustments now; asked again when a receipt comes days later."""
    return person.status == StaffStatus.ACTIVE and Permission.ADJUSTMENT_DIRECT in ROLE_PERMISSIONS.get(person.role, ())


def limits() -> DirectLimits:
    return DirectLimits(
        single=policy.get("adjustment_direct_limit"),
        family=policy.get("adjustment_family_daily_limit"),
        person=policy.get("adjustment_daily_limit"),
        prepayment=policy.get("prepayment_cap") if policy.get("prepayment_guard") else None,
    )


def direct_sums(person_id: int, family_id: int, now: datetime) -> DirectSums:
    """What this person completed without approval in the last 24 h. What was undone is back and does not count."""
    undo = _adjustments.alias("undo")
    undone = sa.exists().where(
        undo.c.undoes_live == _adjustments.c.id, undo.c.status == AdjustmentStatus.COMPLETED
    )  # fmt: skip
    of_family = sa.case((_adjustments.c.family_id == family_id, _adjustments.c.amount), else_=ZERO)
    row = db.session.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(of_family), ZERO), sa.func.coalesce(sa.func.sum(_adjustments.c.amount), ZERO)
        ).where(
            _adjustments.c.asked_by == person_id,
            _adjustments.c.decided_at > now - WINDOW,
            _adjustments.c.status == AdjustmentStatus.COMPLETED,
            _adjustments.c.decided_by.is_(None),
            _adjustments.c.undoes_id.is_(None),
            ~undone,
        )
    ).one()
    return DirectSums(family=row[0], person=row[1])
