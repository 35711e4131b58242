"""The waitlist's table of states and its reckoning of time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta

import pytest

from app import clock
from app.domain.waitlist import rules
from app.domain.waitlist.models import EntryStatus
from app.domain.waitlist.rules import Event
from app.errors import InvalidState

NIGHT = (time(21, 30), time(8, 0))
NOON = (time(12, 0), time(14, 0))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """On the studio's clock."""
    return datetime(2026, 11, day, hour, minute, tzinfo=clock.STUDIO_ZONE).astimezone(UTC)


@pytest.mark.parametrize(("status", "event"), list(itertools.product(EntryStatus, Event)))
def test_each_event_in_each_state(status, event):
    following = rules.TRANSITIONS.get((status, event))
    if following is None:
        with pytest.raises(InvalidState, match=rules.ENTRY_TEXTS[status]):
            rules.next_status(status, event)
    else:
        assert rules.next_status(status, event) == following


@pytest.mark.parametrize(
    ("moment", "quiet", "asleep"),
    [
        (at(21, 21, 29), NIGHT, None),
        (at(21, 21, 30), NIGHT, (at(21, 21, 30), at(22, 8))),
        (at(22, 3), NIGHT, (at(21, 21, 30), at(22, 8))),
        (at(22, 8), NIGHT, None),
        (at(21, 12), NOON, (at(21, 12), at(21, 14))),
        (at(21, 11, 59), NOON, None),
        (at(21, 3), None, None),
    ],
)
def test_quiet_hours(moment, quiet, asleep):
    assert rules.quiet_now(moment, quiet) == asleep


@pytest.mark.parametrize(
    ("starts_at", "quiet", "cutoff"),
    [
        (at(22, 19), None, at(22, 13)),
        (at(22, 19), NIGHT, at(22, 13)),
        (at(22, 9), NIGHT, at(21, 21, 30)),  # 03:00 moves to the evening before
        (at(22, 14), NIGHT, at(22, 8)),
    ],
)
def test_a_cutoff_in_quiet_hours_moves_to_their_beginning(starts_at, quiet, cutoff):
    assert rules.cutoff_at(starts_at, timedelta(hours=6), quiet) == cutoff


@pytest.mark.parametrize(
    ("start", "minutes", "quiet", "deadline"),
    [
        (at(21, 10), 15, None, at(21, 10, 15)),
        (at(21, 10), 15, NIGHT, at(21, 10, 15)),
        (at(21, 21, 20), 15, NIGHT, at(22, 8, 5)),  # ten minutes in the evening, five in the morning
        (at(21, 21, 15), 15, NIGHT, at(21, 21, 30)),
        (at(21, 23), 15, NIGHT, at(22, 8, 15)),
        (at(21, 11, 50), 60, NOON, at(21, 14, 50)),
        (at(22, 12, 50), 15, None, at(22, 13)),  # never past the cutoff
    ],
)
def test_a_window_stands_still_in_quiet_hours(start, minutes, quiet, deadline):
    assert rules.deadline_of(start, timedelta(minutes=minutes), quiet, at(22, 13)) == deadline


def test_the_grace_never_shortens_the_window():
    begun = at(21, 10)
    assert rules.grace_end(at(21, 10, 15), begun, timedelta(minutes=5)) == at(21, 10, 15)
    assert rules.grace_end(at(21, 10, 2), begun, timedelta(minutes=5)) == at(21, 10, 5)
