"""What a process counted reaches the hours once, and waits while the database is away (Z14)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from app import clock, counters, slow_statements, tally
from app.domain.watch import hours
from app.domain.watch.hours import HOUR
from app.slow_statements import Slow
from app.tally import Tally

NAME = "GET settings.tally_of_this_test"


@pytest.fixture
def one(app):
    """A process that has told everything so far."""
    made = Tally()
    made.gather()
    made.waiting, made.slow = {}, []
    return made


def answer(count: int, seconds: float = 0.06, status: str = "2xx") -> None:
    for _ in range(count):
        counters.HTTP.labels(method="GET", endpoint="settings.tally_of_this_test", status=status).observe(seconds)


def written() -> hours.Counted:
    now = hours.begin(clock.now())
    return hours.sums(now - HOUR, now + HOUR).get(NAME, hours.Counted())


def test_growth_is_written_once(one):
    answer(3)
    answer(1, 0.3, "5xx")
    one.write()
    assert written() == hours.Counted(4, 1, 480, [0, 3, 3, 4, 4, 4])
    one.write()
    answer(2, 0.01)
    one.write()
    assert written().total == 6
    assert written().within[0] == 2


def test_what_the_database_did_not_take_waits_under_its_hour(one, monkeypatch):
    def away(**_):
        raise OperationalError("INSERT", {}, Exception("away"))

    answer(3)
    with monkeypatch.context() as patch:
        patch.setattr(hours, "add", away)
        with pytest.raises(OperationalError):
            one.write()
    answer(2)
    with clock.travel(by=timedelta(hours=1)):
        one.write()
        now = hours.begin(clock.now())
        assert hours.sums(now - HOUR, now)[NAME].total == 3
        assert hours.sums(now, now + HOUR)[NAME].total == 2


def test_callbacks_and_slow_statements_go_along(one):
    counters.callback("refused")
    counters.callback("settled")
    slow_statements.note("SELECT * FROM wallets WHERE id = 17", 0.5)
    one.write()
    now = hours.begin(clock.now())
    found = hours.sums(now, now + HOUR, "callback")
    assert found["refused"].failed == found["refused"].total == 1
    assert found["settled"].failed == 0
    [slow] = hours.slowest_statements(clock.today(), clock.today())
    assert (slow.statement, slow.runs, slow.longest) == ("SELECT * FROM wallets WHERE id = ?", 1, 500)


def test_probes_and_strangers_are_not_counted(one):
    for endpoint in ("none", "health.healthz", "metrics.metrics", "static"):
        counters.HTTP.labels(method="GET", endpoint=endpoint, status="5xx").observe(1)
    assert not [name for _, name in tally.counted() if name.split()[-1] in tally._LEFT_OUT]


def test_a_flood_while_the_database_is_away_costs_no_memory(one, monkeypatch):
    monkeypatch.setattr(slow_statements, "MOST", 3)
    for number in range(9):
        slow_statements.note("SELECT " + "x" * number, 1)
    assert len(slow_statements.take()) == 3
    one.slow = [Slow(str(number)) for number in range(9)]
    one.gather()
    assert len(one.slow) == 3
