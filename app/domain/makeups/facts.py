"""What messages and cards say of a credit: the missed class, the student, the end."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.db import execute
from app.domain.bookings.models import Booking
from app.domain.catalog.models import Course, CourseSchedule
from app.domain.credits.models import MakeupCredit
from app.domain.people.models import Profile

_k, _b, _s = MakeupCredit.__table__, Booking.__table__, CourseSchedule.__table__
_c, _p = Course.__table__, Profile.__table__


def told(credit_id: int) -> dict[str, str]:
    """The facts of a `makeup_credit` message, as plain JSON."""
    query = (
        sa.select(_c.c.name.label("course"), _s.c.starts_at, _p.c.name.label("student"), _k.c.valid_until)
        .select_from(
            _k.join(_b, _b.c.id == _k.c.booking_id)
            .join(_s, _s.c.id == _b.c.course_schedule_id)
            .join(_c, _c.c.id == _s.c.course_id)
            .join(_p, _p.c.id == _k.c.profile_id)
        )
        .where(_k.c.id == credit_id)
    )
    row = execute(query).one()
    return {
        "course": row.course, "starts_at": row.starts_at.isoformat(), "student": row.student,
        "expires_on": clock.local(row.valid_until).date().isoformat(),
    }  # fmt: skip
