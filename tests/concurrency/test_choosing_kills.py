"""Chosen rows whose workers are killed at any statement, two workers at one choice, two persons with the same choice:
each row once (U15). Sending a message again is what nothing but the checkpoint guards; its control does a row twice.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import db, transaction
from app.domain.chosen import rows, service
from app.domain.chosen.actions import ACTIONS
from app.domain.longjobs import service as jobs
from app.domain.longjobs.models import LongJob, LongJobRow
from app.domain.outbox import queries as notices
from app.domain.outbox import service as outbox
from app.domain.outbox.models import Notification
from app.domain.outbox.queries import NoticeFilter
from app.flows import longjobs
from tests.concurrency.dying import in_a_child, killed_until_done
from tests.concurrency.test_longjob_kills import run_together
from tests.domain.chosen.choose import ask, waiting
from tests.domain.desk import desk as money
from tests.domain.desk.batches import job
from tests.factories import make_family
from tests.portal import make_staff

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ROWS = 40
RESEND = ACTIONS["notices-resend"]


@pytest.fixture
def desk(live_app):
    with live_app.app_context():
        yield live_app
        db.session.remove()


def choice(count: int = ROWS) -> int:
    """A job that sends so many lost messages again."""
    with transaction():
        for number in range(count):
            card = {"title": f"{number}", "colour": "red", "lines": []}
            outbox.tell_staff("money", "staff.money_case", card, dedupe=f"lost{number}")
        db.session.execute(sa.update(Notification).values(status="failed"))
    chosen = rows.resolve(RESEND, notices.select(NoticeFilter(type="staff.money_case")))
    return ask(make_staff("finance"), chosen, action=RESEND.name)


def followers() -> list[int]:
    """How many messages followed each that was sent again."""
    db.session.rollback()
    query = sa.select(sa.func.count()).where(Notification.follows_id.is_not(None)).group_by(Notification.follows_id)
    return list(db.session.scalars(query))


def test_killed_at_random_statements_each_row_is_done_once(desk):
    job_id = choice()
    assert killed_until_done(job_id, (5, 120), seed=15) >= 3
    assert (job(job_id).status, job(job_id).done) == ("done", ROWS)
    assert db.session.query(LongJobRow).filter_by(job_id=job_id).count() == ROWS
    assert followers() == [1] * ROWS


def test_two_workers_at_one_choice_do_each_row_once(desk):
    job_id = choice(15)
    assert run_together(desk, lambda: longjobs.run(job_id, seconds=30), 3) == []
    assert job(job_id).done == 15
    assert followers() == [1] * 15


def test_two_persons_who_chose_the_same_rows_do_each_once(desk):
    families, front = [make_family() for _ in range(6)], make_staff("front_desk")
    for family in families:
        money.ask(front, family, "100")
    chosen = waiting()
    both = [ask(make_staff(role), chosen) for role in ("finance", "manager")]
    acts = iter([lambda one=one: longjobs.run(one, seconds=30) for one in both])
    assert run_together(desk, lambda: next(acts)(), 2) == []
    assert [money.movements(family) for family in families] == [1] * 6
    done = [job(one) for one in both]
    assert [one.status for one in done] == ["done", "done"]
    assert (sum(one.done for one in done), sum(one.refused for one in done)) == (6, 6)


def test_control_a_checkpoint_in_its_own_transaction_does_a_row_twice(desk, monkeypatch):
    job_id = choice(3)
    monkeypatch.setattr(jobs, "hold", lambda job_id, owner: db.session.get(LongJob, job_id, populate_existing=True))
    monkeypatch.setattr(jobs, "note", lambda job, outcome, **_: job.total - job.checkpoint - 1)
    ended, statements = in_a_child(lambda: service.do_row(job_id=job_id, owner="w"), None)
    assert ended is None
    assert statements[-1] == "COMMIT"
    # Killed here, before a checkpoint of its own: the row is there, and comes once more.
    service.do_row(job_id=job_id, owner="w")
    assert (followers(), job(job_id).checkpoint) == ([2], 0)
