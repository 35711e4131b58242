"""Every list, sweep and deadline finds its rows by an index, over a studio of six years (Z17).

Every page is opened with its filters, every list of the parents read, every periodic job run, and each statement that
they sent is explained. MariaDB only: SQLite's plans are another matter, and no studio of that size runs on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.outbox.schedule import JOBS
from tasks import schedule
from tests import databases
from tests.architecture import seeded
from tests.conftest import committing_app
from tests.plans import crowd, explain, visits
from tests.plans.exempt import WHOLE, WHOLE_JOBS
from tests.statements import run_by

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(1200),  # half a minute of work, and a busy machine has little time for it
    pytest.mark.skipif("mysql" not in databases.engines(), reason="plans are asked of MariaDB"),
]

#: jobs that have been done before on a day like any other: what they left is not read again
_BEFORE = ("ledger_verify", "data_cleanup", "request_keys_cleanup", "sign_in_cleanup")


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[dict[str, object]]:
    """One of everything, and three thousand copies of each; the ids of the ones."""
    with committing_app("mysql", tmp_path_factory.mktemp("instance"), DESK_RATE_LIMITS="off") as app:
        settings = app.extensions["desk.settings"]
        nobody = dataclasses.replace(settings.wxpay, mchid="")  # so that no job asks the outside
        with app.app_context():
            ids = seeded.ids()
            crowd.fill()
            app.extensions["desk.settings"] = dataclasses.replace(settings, wxpay=nobody)
            for name in _BEFORE:
                schedule.run(schedule.BY_NAME[name], "test")
            crowd.analyze()
            yield {"app": app, "ids": ids}
            db.session.remove()


def whole(ran) -> list[str]:
    """What of these statements reads a whole table that grows, and has no leave to."""
    db.session.rollback()
    with db.engine.connect() as connection:
        found = explain.scans(connection, ran, crowd.SMALL)
    return [str(scan) for scan in found if not any(one.is_this(scan) for one in WHOLE)]


def test_every_page_with_its_filters(studio):
    opened = []
    found = whole(run_by(lambda: opened.extend(visits.pages(studio["app"], studio["ids"]))))
    assert {status for _, status in opened} <= {200, 302, 404}
    assert sum(1 for _, status in opened if status == 200) > 250
    assert not found, "\n".join(found)


def test_every_list_of_the_parents(studio):
    opened = []
    found = whole(run_by(lambda: opened.extend(visits.parents_lists(studio["app"], studio["ids"]))))
    assert sum(1 for _, status in opened if status == 200) > 15
    assert not found, "\n".join(found)


@pytest.mark.parametrize("job", [job for job in JOBS if job.name not in WHOLE_JOBS], ids=lambda job: job.name)
def test_every_job(studio, job):
    done = []
    found = whole(run_by(lambda: done.append(schedule.run(job, "test")[0])))
    assert done == [True]
    assert not found, "\n".join(found)


def test_no_exemption_is_idle():
    names = {job.name for job in JOBS}
    assert set(WHOLE_JOBS) <= names
    assert set(crowd.SMALL) <= set(db.metadata.tables)


# ── controls ────────────────────────────────────────────────────────────────────────────────────────


def test_control_a_query_without_an_index_is_found(studio):
    unindexed = sa.text("SELECT id FROM bookings WHERE override_reason = 'x'")
    assert [line.partition(":")[0] for line in whole(run_by(lambda: db.session.execute(unindexed)))] == ["bookings"]
    walked = sa.text("SELECT count(*) FROM wallet_adjustments AS a")
    assert [line.partition(":")[0] for line in whole(run_by(lambda: db.session.execute(walked)))] == [
        "wallet_adjustments"
    ]
    paged = sa.text("SELECT id FROM bookings ORDER BY id DESC LIMIT 50")
    assert whole(run_by(lambda: db.session.execute(paged))) == []


def test_control_a_dropped_index_is_found(studio):
    """Last, as it leaves the database without it."""
    job = schedule.BY_NAME["outbox_sweep"]
    assert whole(run_by(lambda: schedule.run(job, "test"))) == []
    with db.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE notifications DROP INDEX ix_notifications_due")
    assert [line.partition(":")[0] for line in whole(run_by(lambda: schedule.run(job, "test")))] == ["notifications"]
