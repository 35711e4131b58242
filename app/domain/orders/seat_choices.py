"""The trial classes that a payment without a seat can be given one in."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.orders.models import PaymentOrder

_o, _s, _c, _t = PaymentOrder.__table__, CourseSchedule.__table__, Course.__table__, CourseType.__table__

#: classes ahead that are offered
SHOWN = 30


def with_room(order_id: str) -> list[SessionCard]:
    """Trial classes ahead with a free seat, the one that was paid for first, then by time. Nothing is locked."""
    own = db.session.scalar(sa.select(_o.c.course_schedule_id).where(_o.c.order_id == order_id))
    found = list(
        db.session.scalars(
            sa.select(_s.c.id)
            .join(_c, _c.c.id == _s.c.course_id)
            .join(_t, _t.c.id == _c.c.course_type_id)
            .where(_t.c.is_trial, _s.c.status == ScheduleStatus.SCHEDULED, _s.c.starts_at > clock.now())
            .order_by(_s.c.starts_at, _s.c.id)
            .limit(SHOWN * 2)
        )
    )
    cards = catalog.session_cards([*found, *([own] if own and own not in found else [])])
    ahead = [cards[one] for one in found if cards[one].available > 0]
    return sorted(ahead, key=lambda card: card.id != own)[:SHOWN]
