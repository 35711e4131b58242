"""The report of behaviour reads the days that it is asked for, by an index, however long the studio has been open."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.reports import behaviour as figures
from app.domain.reports import behaviour_rows, quiet
from app.domain.reports.behaviour_rows import Asked, Figure
from app.domain.reports.payments import Span
from app.domain.seats.models import SeatRefusal
from app.domain.waitlist.models import WaitlistEntry
from tests.factories import make_family, make_session
from tests.statements import run_by

#: what grows with the years; names are joined to what was found
GROWING = ("bookings", "course_schedules", "waitlist_entries", "seat_refusals")


@pytest.fixture
def years(app):
    """Two thousand classes of the past, each with two bookings, a wait and a refusal."""
    family = make_family(students=("甲", "乙"))
    row = db.session.get(CourseSchedule, make_session())
    now = clock.now()
    columns = {"course_id": row.course_id, "coach_id": row.coach_id, "venue_id": row.venue_id, "capacity": 6,
               "booked": 2, "held": 0, "kept": 0, "override_seats": 0, "status": "scheduled", "version": 1,
               "created_at": now}  # fmt: skip
    begins = [now - timedelta(hours=8 * n) for n in range(2000)]
    db.session.execute(
        CourseSchedule.__table__.insert(),
        [columns | {"starts_at": at, "ends_at": at + timedelta(hours=1)} for at in begins],
    )
    made = {"family_id": family.id, "kind": "regular", "source": "wallet", "status": "attended", "price": Decimal(0),
            "free_cancel": False}  # fmt: skip
    classes = db.session.execute(sa.select(CourseSchedule.id, CourseSchedule.starts_at)).all()
    db.session.execute(
        Booking.__table__.insert(),
        [made | {"course_schedule_id": one.id, "profile_id": student, "created_at": one.starts_at - timedelta(days=2)}
         for one in classes for student in family.profile_ids],
    )  # fmt: skip
    student = family.profile_ids[0]
    waited = {
        "profile_id": student, "family_id": family.id, "status": "expired", "rank": 0, "joined_position": 1,
        "auto_accept": False, "use_compensation": False, "accept_shorter": False, "joined_at": now, "ended_at": now,
        "end_reason": "cutoff",
    }  # fmt: skip
    db.session.execute(WaitlistEntry.__table__.insert(), [waited | {"course_schedule_id": one.id} for one in classes])
    refused = {"profile_id": student, "code": "SEAT_FULL", "refused_at": now}
    db.session.execute(
        SeatRefusal.__table__.insert(), [refused | {"course_schedule_id": one.id} for one in classes]
    )  # fmt: skip


def plans(read) -> list[tuple[str, list[str]]]:
    """Each statement that `read` runs, with the lines of its plan that read a whole table or index."""
    ran, connection = run_by(read), db.session.connection()
    found = []
    for statement, parameters in ran:
        if connection.dialect.name == "sqlite":
            lines = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            whole = [line for line in lines if line.startswith("SCAN")]
        else:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings()
            whole = [f"SCAN {row['table']}" for row in rows if row["type"] in ("ALL", "index")]
        found.append((statement, whole))
    return found


def test_a_weeks_figures_read_a_week(years):
    today = clock.today()
    asked = Asked(Span(today - timedelta(days=6), today))

    def read():
        figures.lead(Figure.MADE, asked)
        figures.ends(asked)
        figures.demand(asked)
        figures.trials(asked)
        quiet.count()
        for figure in Figure:
            behaviour_rows.behind(figure, asked)

    found = plans(read)
    assert len(found) > 20
    for statement, whole in found:
        assert not [line for line in whole if line.split()[1] in GROWING], (whole, statement)


def test_the_control_reads_a_whole_table(years):
    [(_, whole)] = plans(lambda: db.session.execute(sa.select(sa.func.sum(Booking.price))))
    assert whole in (["SCAN bookings"],)
