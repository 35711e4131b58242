"""The waitlist with real worker and scheduler processes: told within seconds, and killed across deadlines (Q6, Q13)."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.outbox import consents
from app.domain.outbox.models import JobRun
from app.domain.people.models import User
from app.domain.waitlist.errors import OfferExpired
from app.domain.waitlist.models import WaitlistFlow, WaitlistOffer
from sandbox.testing import running_sandbox
from tests.domain.offers.steps import Full
from tests.factories import parent_actor
from tests.tasks.processes import desk as running_desk
from tests.tasks.processes import wait_for

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

TYPES = ("waitlist_offer", "seat_taken")


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def desk(live_app, tmp_path, sandbox, monkeypatch):
    sandbox.reset()
    folder = tmp_path / "logs"
    folder.mkdir()
    with running_desk(live_app, folder, sandbox, monkeypatch) as running, live_app.app_context():
        yield running
        db.session.remove()


class Phones:
    """What the sandbox has for each family that waits."""

    def __init__(self, full: Full, sandbox):
        self.sandbox = sandbox
        self.openids = [db.session.get(User, family.user_id).openid for family in full.families]
        for family, openid in zip(full.families, self.openids, strict=True):
            for kind in TYPES:
                consents.record(user_id=family.user_id, type=kind, accepted=True, actor=parent_actor(family))
                consents.record(user_id=family.user_id, type=kind, accepted=True, actor=parent_actor(family))
                sandbox.consent(openid, kind, 2)

    def counts(self) -> list[int]:
        return [len(self.sandbox.messages(openid)) for openid in self.openids]


def fresh(look):
    """As the processes have left it by now."""
    db.session.rollback()
    db.session.expire_all()
    return look()


def test_three_waiters_hear_within_ten_seconds_and_the_others_that_it_is_taken(desk, sandbox):
    full = Full(waiting=3)
    phones = Phones(full, sandbox)
    desk.start("worker", "--processes", "2")
    desk.start("scheduler")
    wait_for(lambda: fresh(lambda: db.session.scalar(sa.text("SELECT COUNT(*) FROM job_runs"))) > 0)
    began = time.monotonic()
    full.free(move_on=False)
    wait_for(lambda: phones.counts() == [1, 1, 1], 10)
    assert time.monotonic() - began < 10
    full.confirm(1)
    wait_for(lambda: phones.counts() == [2, 1, 2], 10)


def test_killed_across_deadlines_nothing_is_decided_late_and_all_moves_on_within_five_seconds(desk, sandbox):
    desk.policy("waitlist_window", "6s")
    desk.policy("waitlist_begin_grace", "1s")
    full = Full(waiting=3)
    phones = Phones(full, sandbox)
    worker, scheduler = desk.start("worker", "--processes", "1"), desk.start("scheduler")
    full.free(move_on=False)
    wait_for(lambda: fresh(lambda: len(full.live)) == 3, 40)
    for process in (worker, scheduler):
        process.kill()
        process.wait()
    deadline = full.deadline
    wait_for(lambda: clock.now() >= deadline, 20)
    with pytest.raises(OfferExpired):
        full.confirm(0)
    assert fresh(lambda: [status for _, _, status in full.offers]) == ["live"] * 3
    scheduler = desk.start("scheduler")
    wait_for(lambda: fresh(lambda: (0, "exclusive") in full.live), 40)
    # A process has to start; what it may take then is counted from its first act.
    runs = sa.select(sa.func.min(JobRun.last_started_at)).where(JobRun.last_started_at > deadline)
    moved = db.session.scalar(sa.select(sa.func.max(WaitlistFlow.at)).where(WaitlistFlow.step == "offered"))
    assert deadline <= moved <= db.session.scalar(runs) + timedelta(seconds=5)
    # By itself it goes on: each who sleeps through their own window is passed over within five seconds of it.
    wait_for(lambda: fresh(lambda: full.statuses) == ["expired"] * 3, 60)
    assert full.releases == [("returned", "no_waiters")]
    alone = (WaitlistOffer.kind == "exclusive", WaitlistOffer.status == "lapsed")
    late = [row.ended_at - row.ends_at for row in db.session.query(WaitlistOffer).filter(*alone)]
    assert len(late) == 3
    assert all(timedelta(0) <= one < timedelta(seconds=5) for one in late), late
    desk.start("worker", "--processes", "1")
    wait_for(lambda: phones.counts() == [2, 2, 2], 40)
