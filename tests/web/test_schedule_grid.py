"""A week laid out as a table: where sessions stand, what shares a cell, and how high the hours are."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

from app import clock
from app.domain.catalog.queries import SessionCard
from app.web.schedule import grid

MONDAY = date(2026, 11, 16)


def session(number: int, day: int, begins: str, minutes: int = 60, venue: str = "一号馆") -> SessionCard:
    starts_at = datetime.fromisoformat(f"{MONDAY + timedelta(days=day)}T{begins}").replace(tzinfo=clock.STUDIO_ZONE)
    return SessionCard(
        id=number, course_id=1, course_name="启蒙体操", course_type="regular", type_name="正式课", is_trial=False,
        level="L1", coach_id=1, coach_name="江晓燕", venue_id=1, venue_name=venue, starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=minutes), price=Decimal("200.00"),
        status="scheduled", capacity=6, booked=0, held=0, kept=0, waitlist_count=0,
        waitlist_capacity=8, version=1,
    )  # fmt: skip


def placed(*sessions: SessionCard) -> dict[tuple[int, str], tuple[int, list[int]]]:
    """(weekday, "HH:MM") of each cell with sessions → (half hours, ids); and that every row is whole."""
    rows = grid.rows(sessions, MONDAY)
    found, free, hour = {}, [0] * 7, rows[0].hour
    for n, row in enumerate(rows):
        columns = [day for day in range(7) if free[day] == 0]
        assert len(row.cells) == len(columns), "a row has a cell of each day that no longer one covers"
        for day, cell in zip(columns, row.cells, strict=True):
            assert cell.day == MONDAY + timedelta(days=day)
            free[day] = cell.span
            if cell.sessions:
                found[day, f"{hour + n // 2}:{30 * (n % 2):02d}"] = (cell.span, [one.id for one in cell.sessions])
        free = [left - 1 for left in free]
    assert free == [0] * 7
    return found


def test_a_week_without_sessions_has_no_rows():
    assert grid.rows([], MONDAY) == []


def test_the_table_runs_over_whole_hours_and_says_them():
    rows = grid.rows([session(1, 0, "16:30"), session(2, 3, "18:00", 75)], MONDAY)
    assert [row.hour for row in rows] == [16, None, 17, None, 18, None, 19, None]


def test_sessions_stand_at_their_day_and_time():
    assert placed(session(1, 0, "16:30"), session(2, 6, "09:00", 90)) == {(0, "16:30"): (2, [1]), (6, "9:00"): (3, [2])}


def test_what_overlaps_shares_a_cell_from_the_first_start_to_the_last_end():
    chain = (session(1, 2, "10:00"), session(2, 2, "10:30", 60), session(3, 2, "11:15", 45))
    assert placed(*reversed(chain)) == {(2, "10:00"): (4, [1, 2, 3])}


def test_one_that_begins_as_another_ends_has_its_own_cell():
    assert placed(session(1, 0, "16:00"), session(2, 0, "17:00")) == {(0, "16:00"): (2, [1]), (0, "17:00"): (2, [2])}


def test_a_shared_half_hour_is_shared_even_if_the_minutes_are_not():
    assert placed(session(1, 0, "16:00", 75), session(2, 0, "17:20", 30)) == {(0, "16:00"): (4, [1, 2])}


def test_at_the_same_time_venues_come_in_their_order():
    assert placed(session(1, 0, "16:00", venue="2号馆"), session(2, 0, "16:00", venue="1号馆")) == {
        (0, "16:00"): (2, [2, 1])
    }


def test_a_session_past_midnight_ends_its_own_day_and_a_minute_is_half_an_hour():
    assert placed(session(1, 0, "23:10", 120), session(2, 1, "23:59", 1)) == {
        (0, "23:00"): (2, [1]), (1, "23:30"): (1, [2]),
    }  # fmt: skip


def test_days_are_the_studios_not_those_of_utc():
    early = session(1, 1, "06:00")
    assert early.starts_at.astimezone(clock.UTC).date() == MONDAY
    assert list(grid.by_day([early])) == [MONDAY + timedelta(days=1)]


def test_hours_grow_with_what_stands_in_them_and_never_beyond_the_style_sheet():
    one = grid.rows([session(1, 0, "16:00")], MONDAY)
    assert [row.size for row in one] == [4, 4]
    three = grid.rows([session(n, 0, "16:00") for n in range(3)] + [session(9, 1, "18:00")], MONDAY)
    assert [row.size for row in three] == [10, 10, 1, 1, 4, 4]
    assert {row.size for row in grid.rows([session(n, 0, "16:00") for n in range(40)], MONDAY)} == {grid.STEPS}
