"""Processes whose clock is wrong beside a database whose clock is right (I-39, Z13): what they write keeps its order,
deadlines do not move, and it is said aloud. The clock of a whole process is shifted by libfaketime."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, db_now
from app.domain.ledger import verify
from app.domain.ledger.models import WalletTransaction
from bench.parents import make_parents, make_sessions
from sandbox.pay_callbacks import headers_for, seal
from sandbox.pay_state import PayAccount
from tasks.scheduler import Scheduler
from tests import databases
from tests.conftest import committing_app, pay_folder
from tests.domain.orders.steps import trial_session
from tests.faults.shifted import LIBRARIES, Shifted

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.faults,
    pytest.mark.skipif("mysql" not in databases.engines(), reason="SQLite has no clock of its own"),
]
needs_faketime = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")

HOUR = timedelta(hours=1)


@pytest.fixture
def mysql(tmp_path):
    with committing_app("mysql", tmp_path / "here", DESK_RATE_LIMITS="off") as app, app.app_context():
        yield app


@pytest.fixture
def web(mysql, tmp_path):
    """Starts processes: `web("+10m")`."""
    url, running = str(db.engine.url.render_as_string(hide_password=False)), []

    def start(shift: str) -> Shifted:
        running.append(Shifted(url, tmp_path / f"web{len(running)}", shift))
        return running[-1]

    yield start
    for process in running:
        process.stop()


def book(process: Shifted, parent, session: int, child: int) -> int:
    headers = {"Authorization": f"Bearer {parent.token}", "Idempotency-Key": uuid.uuid4().hex}
    body = {"course_schedule_id": session, "profile_id": child}
    return process.request("POST", "/api/v1/bookings", json=body, headers=headers)[0]


@needs_faketime
def test_the_ledger_keeps_its_order_whatever_the_clocks_say(web):
    [parent], classes = make_parents(1, balance="9000.00"), make_sessions(12, capacity=9, price="10.00")
    db.session.remove()
    ahead, behind, stepping = web("+10m"), web("-10m"), web("+0")
    for number, session in enumerate(classes):
        if number == 6:
            stepping.set("-1h")
        process = (ahead, behind, stepping)[number % 3]
        assert book(process, parent, session, parent.profile_ids[0]) == 201
    rows = db.session.execute(
        sa.select(WalletTransaction.seq, WalletTransaction.created_at).order_by(WalletTransaction.id)
    ).all()
    assert [row.seq for row in rows] == list(range(1, 14))
    assert verify.run(full=True).sound
    # The control: the clocks really were wrong, so an order by time would have been another.
    moments = [row.created_at for row in rows]
    assert moments != sorted(moments)
    assert max(moments) - min(moments) > HOUR


@needs_faketime
@pytest.mark.parametrize("shift", ["+10m", "-10m", "-1h"])
def test_a_hold_ends_by_the_databases_clock(shift, web):
    [parent], session = make_parents(1, balance="0.01"), trial_session()
    db.session.remove()
    process = web(shift)
    headers = {"Authorization": f"Bearer {parent.token}", "Idempotency-Key": uuid.uuid4().hex}
    body = {"course_schedule_id": session, "profile_id": parent.profile_ids[0]}
    before = db_now()
    db.session.rollback()
    status, answer = process.request("POST", "/api/v1/payment/orders/create", json=body, headers=headers)
    assert status == 201, answer
    ends = db.session.scalar(sa.text("SELECT expires_at FROM seat_reservations")).replace(tzinfo=before.tzinfo)
    assert before + timedelta(minutes=15) <= ends <= db_now() + timedelta(minutes=15)
    # The control: by the process's own clock it would end elsewhere.
    assert abs(process.now() - time.time()) > 500


@needs_faketime
def test_a_clock_that_is_wrong_is_said_aloud(web):
    right, ahead, behind = web("+0"), web("+10m"), web("-10m")
    for process, minutes in ((ahead, "+600"), (behind, "-600")):
        status, answer = process.request("GET", "/readyz")
        assert (status, answer["checks"]["clock"]) == (200, "degraded")
        assert f"相差 {minutes}" in process.flask("doctor").replace("+599", "+600").replace("-599", "-600")
        assert "✗ DeskClockOff" in process.flask("alerts", "list")
    # The control.
    assert right.request("GET", "/readyz")[1]["checks"]["clock"] == "ok"
    assert "✓ DeskClockOff" in right.flask("alerts", "list")


@needs_faketime
@pytest.mark.parametrize("shift", ["+10m", "-10m"])
def test_a_callback_out_of_the_window_is_refused_and_reported(shift, web):
    account = PayAccount.read(pay_folder())
    body = seal(account, "COUPON.USED", {"mchid": account.mchid}, "coupon", "EV-1")
    wrong, right = web(shift), web("+0")

    def tell(process: Shifted) -> int:
        headers = headers_for(account, body) | {"Content-Type": "application/json"}
        return process.request("POST", "/api/v1/payment/wxpay/callback", data=body.decode(), headers=headers)[0]

    assert tell(wrong) == 401
    assert "callback refused" in wrong.log()
    assert '"stale"' in wrong.log()
    assert "✗ DeskClockOff" in wrong.flask("alerts", "list")
    # The control: the same words of WeChat's, heard by a process whose clock is right.
    assert tell(right) == 200


def test_a_scheduler_whose_clock_is_set_back_goes_on(mysql, monkeypatch):
    """By its own clock nothing would have been due for an hour: no offer would have moved on, no message been swept."""
    started: list[str] = []
    scheduler, real = Scheduler(mysql), clock.now

    def submit(_run, job, _due_at: datetime) -> None:
        started.append(job.name)
        scheduler._running.discard(job.name)

    monkeypatch.setattr(scheduler._pool, "submit", submit)
    db.session.remove()
    scheduler.tick()
    assert "waitlist_advance" in started
    monkeypatch.setattr(clock, "now", lambda: real() - HOUR)
    started.clear()
    time.sleep(1.1)
    scheduler.tick()
    scheduler.stop()
    assert "waitlist_advance" in started
