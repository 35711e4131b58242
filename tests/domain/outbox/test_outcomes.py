"""What becomes of a message after an attempt: one table (N4, 96.74–75)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.outbox.models import Status
from app.domain.outbox.outcomes import DELAYS, Outcome, Result, decide, jittered

YOUNG, OLD = timedelta(minutes=1), timedelta(hours=25)


def after(result: Result, attempt: int = 1, *, repeats=True, falls=True, age=YOUNG, **outcome):
    return decide(
        Outcome(result, "x", **outcome), attempt=attempt, most=6, age=age, repeats_unknown=repeats, can_fall_back=falls
    )


@pytest.mark.parametrize(
    ("decision", "status", "gives_back", "falls_back"),
    [
        (after(Result.SENT), Status.SENT, False, False),
        (after(Result.REFUSED), Status.FAILED, True, True),
        (after(Result.REFUSED, no_consent=True), Status.FAILED, False, True),
        (after(Result.REFUSED, falls=False), Status.FAILED, True, False),
        (after(Result.TEMPORARY, 1), Status.PENDING, True, False),
        (after(Result.TEMPORARY, 5), Status.PENDING, True, False),
        (after(Result.TEMPORARY, 6), Status.FAILED, True, True),
        (after(Result.UNKNOWN, 1), Status.PENDING, True, False),
        (after(Result.UNKNOWN, 6), Status.FAILED, False, True),
        (after(Result.UNKNOWN, 1, repeats=False), Status.FAILED, False, True),
        (after(Result.PAUSED, 6), Status.PENDING, True, False),
        (after(Result.PAUSED, 1, age=OLD), Status.FAILED, True, True),
        (after(Result.PAUSED, 1, age=OLD, falls=False), Status.PENDING, True, False),
    ],
)
def test_decisions(decision, status, gives_back, falls_back):
    assert (decision.status, decision.gives_back, decision.falls_back) == (status, gives_back, falls_back)


def test_delays_grow_by_the_table_with_jitter():
    for attempt, seconds in enumerate(DELAYS, 1):
        found = {after(Result.TEMPORARY, attempt).delay for _ in range(50)}
        assert all(0.8 * seconds <= delay <= 1.2 * seconds for delay in found)
        assert len(found) > 1
    assert DELAYS == (2, 5, 15, 60, 300)


def test_a_pause_is_the_providers_and_costs_no_try():
    decision = after(Result.PAUSED, pause=100)
    assert not decision.counts
    assert 80 <= decision.delay <= 120


def test_more_tries_than_delays_keep_the_last():
    decision = decide(
        Outcome(Result.TEMPORARY), attempt=9, most=20, age=YOUNG, repeats_unknown=True, can_fall_back=True
    )
    assert decision.delay >= 240
    assert jittered(0) == 0
