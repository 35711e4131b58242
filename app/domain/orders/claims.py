"""Who has a live trial order (O2): one row per openid, phone and student, kept apart by its primary key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import db, execute
from app.domain.orders.models import OrderStatus, PaymentOrder, TrialClaim
from app.domain.people.models import User

_k, _o, _u = TrialClaim.__table__, PaymentOrder.__table__, User.__table__


class Taken(Exception):
    """Somebody else's claim came first."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The order behind a claim."""

    id: int
    order_id: str
    family_id: int
    schedule_id: int
    status: str
    expires_at: datetime

    def live(self, now: datetime) -> bool:
        """A live trial order is pending and before its end, or paid (96.44); what was fully refunded has no claim."""
        return self.status == OrderStatus.PAID or (self.status == OrderStatus.PENDING and now < self.expires_at)


def identities(user_id: int, profile_id: int) -> list[str]:
    """Whom a trial is counted for, in the order in which claims are made."""
    user = db.session.execute(sa.select(_u.c.openid, _u.c.phone_index).where(_u.c.id == user_id)).one()
    found = [f"openid:{user.openid}", f"profile:{profile_id}"]
    if user.phone_index:
        found.append(f"phone:{user.phone_index}")
    return sorted(found)


def holders(names: list[str]) -> list[Holder]:
    """The orders that these identities have claims for, each once."""
    rows = execute(
        sa.select(_o.c.id, _o.c.order_id, _o.c.family_id, _o.c.course_schedule_id, _o.c.status, _o.c.expires_at)
        .select_from(_k.join(_o, _o.c.id == _k.c.order_id))
        .where(_k.c.identity.in_(names))
        .distinct()
    )
    return [Holder(*row) for row in rows]


def claim(names: list[str], order_id: int, *, replacing: list[int]) -> None:
    """Claim for this order; `replacing` are orders that ended by the clock and still have theirs. Raises Taken."""
    if replacing:
        execute(_k.delete().where(_k.c.identity.in_(names), _k.c.order_id.in_(replacing)))
    try:
        for name in names:
            execute(_k.insert().values(identity=name, order_id=order_id))
    except IntegrityError as error:
        raise Taken from error


def release(order_id: int) -> None:
    """The order ended unpaid, or was given back whole: its parent may have another trial."""
    execute(_k.delete().where(_k.c.order_id == order_id))
