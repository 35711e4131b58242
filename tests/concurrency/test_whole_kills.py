"""An export whose worker is killed at any statement is whole in the end, and one file; asked for twice at once it is
one job, and in the control, where neither sees the other, two (U11)."""

from __future__ import annotations

import random
import signal
from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.exporting import service
from app.domain.exporting.service import Wanted
from app.domain.longjobs import rules
from app.domain.outbox import service as outbox
from app.flows import exporting, longjobs
from tests.concurrency.dying import in_a_child
from tests.concurrency.failpoints import Failpoint
from tests.concurrency.test_longjob_kills import run_together
from tests.domain.desk.batches import job
from tests.portal import actor_of, make_staff

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ROWS = 40


@pytest.fixture
def desk(live_app, monkeypatch):
    monkeypatch.setattr("app.paging.PIECE", 5)
    with live_app.app_context():
        yield live_app
        db.session.remove()


def asked() -> tuple[int, object]:
    """An export of so many cards, which nobody has begun, and who asked for it."""
    with transaction():
        for number in range(ROWS):
            card = {"title": f"{number}", "colour": "red", "lines": []}
            outbox.tell_staff("money", "staff.money_case", card, dedupe=f"card{number}")
    actor = actor_of(make_staff("finance"))
    wanted = Wanted("notices", "消息", "csv", "channel=feishu", {}, ROWS)
    return service.ask(wanted=wanted, actor=actor), actor


def lines(job_id: int, actor) -> list[str]:
    content = b"".join(exporting.read(service.fetch(job_id=job_id, actor=actor)))
    return content.decode("utf-8-sig").splitlines()


def test_killed_at_random_statements_the_file_is_whole(desk):
    (job_id, actor), kills, chance = asked(), 0, random.Random(11)
    while job(job_id).status in ("queued", "running"):
        # A death that nothing follows stops the job after the fifth; a person lets it go on.
        point = Failpoint(chance.choice(("before", "after")), chance.randint(3, 30)) if kills < 4 else None
        with clock.travel(by=kills * (rules.LEASE + timedelta(seconds=1))):
            ended, _ = in_a_child(lambda: longjobs.run(job_id, seconds=30), point)
        assert ended in (None, signal.SIGKILL)
        kills += 1
    assert kills >= 4
    assert (job(job_id).status, job(job_id).done, job(job_id).total) == ("done", ROWS, ROWS)
    assert len({line.split(",")[0] for line in lines(job_id, actor)[1:-1]}) == ROWS


def test_two_workers_write_one_file(desk):
    job_id, actor = asked()
    assert run_together(desk, lambda: longjobs.run(job_id, seconds=30), 3) == []
    assert job(job_id).status == "done"
    assert len(lines(job_id, actor)) == ROWS + 2


def test_one_person_who_asks_twice_at_once_has_one_job(desk):
    actor = actor_of(make_staff("finance"))
    wanted, made = Wanted("notices", "消息", "csv", "", {}, ROWS), []
    assert run_together(desk, lambda: made.append(service.ask(wanted=wanted, actor=actor)), 4) == []
    assert len(set(made)) == 1


def test_control_asking_without_the_persons_lock_makes_two(desk, monkeypatch):
    actor = actor_of(make_staff("finance"))
    wanted = Wanted("notices", "消息", "csv", "", {}, ROWS)
    monkeypatch.setattr(service, "_open_of", lambda _actor: [])  # what both see who look before either wrote
    assert service.ask(wanted=wanted, actor=actor) != service.ask(wanted=wanted, actor=actor)
