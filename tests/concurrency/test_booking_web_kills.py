"""Kill -9 of the web process at every statement of a request to `/api/v1/bookings`, under gunicorn with real tokens:
the client that heard nothing sends the same request again and has one booking (B1, B9, 96.13)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from app.api.v1 import tokens
from app.db import db
from app.domain.ledger import verify
from app.domain.people import parent_sessions
from tests.concurrency.booking_jobs import Job, make_jobs, traces
from tests.concurrency.failpoints import Failpoint
from tests.conftest import _KEYS

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def gunicorn(app):
    """The product on the test's database, with workers that can be told to die; its address."""
    settings = app.extensions["desk.settings"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        **os.environ, **_KEYS, "DESK_ENV": "development", "DESK_DATABASE_URL": settings.database_url,
        "DESK_INSTANCE_DIR": str(settings.instance_dir), "DESK_REDIS_URL": "redis://127.0.0.1:1/0",
        "DESK_RATE_LIMITS": "off",
    }  # fmt: skip
    # Preloaded, so that a worker that died is a fork away from its successor; three, so that nobody waits for it.
    command = [sys.executable, "-m", "gunicorn", "tests.concurrency.dying_web:app", "--preload", "-k", "gthread",
               "-w", "3", "--threads", "2", "-b", f"127.0.0.1:{port}", "--log-level", "critical"]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=ROOT, env=environ, **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if requests.get(f"{url}/healthz", timeout=2).ok:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


class Phone:
    """A parent's mini program: one request under one key, as often as it takes."""

    def __init__(self, url: str, job: Job):
        session_id = parent_sessions.open_session(user_id=job.actor.id, actor=job.actor).id
        token = tokens.issue(user_id=job.actor.id, session_id=session_id, seconds=3600)
        self.headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"phone-{job.action}-{job.number}"}
        self.url, self.body = f"{url}/api/v1/bookings", {"reason": "生病"}
        if job.action == "book":
            self.body = {"course_schedule_id": job.schedule_id, "profile_id": job.profile_id}
        else:
            self.url += f"/{job.booking_id}/{job.action}"
        db.session.remove()

    def send(self, failpoint: str | None = None) -> requests.Response:
        headers = self.headers | ({"X-Failpoint": failpoint} if failpoint else {})
        return requests.post(self.url, json=self.body, headers=headers, timeout=30)

    def insist(self) -> requests.Response:
        """Send it until there is an answer."""
        for _ in range(50):
            try:
                return self.send()
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError("nobody answers")


@pytest.mark.parametrize("action", ["book", "cancel"])
def test_a_worker_killed_at_every_statement_leaves_all_or_none(live_app, action):
    with live_app.app_context(), gunicorn(live_app) as url:
        warm, first = make_jobs(action, 2)
        Phone(url, warm).send()
        phone = Phone(url, first)
        none = traces(first)
        answer = phone.send("none")
        assert answer.status_code == (201 if action == "book" else 200), answer.text
        whole, statements = traces(first), int(answer.headers["X-Statements"])
        assert whole != none
        points = [Failpoint("before", number + 1) for number in range(statements)]
        points += [Failpoint("after", statements)]
        for job, point in zip(make_jobs(action, len(points)), points, strict=True):
            phone = Phone(url, job)
            with pytest.raises(requests.ConnectionError):
                phone.send(str(point))
            assert traces(job) == (whole if point.moment == "after" else none), point
            told = phone.insist()
            assert told.status_code == answer.status_code, (point, told.text)
            assert traces(job) == whole, point
            again = phone.send()
            assert (again.status_code, again.json()["data"]) == (told.status_code, told.json()["data"]), point
            assert traces(job) == whole, point
        assert len(points) > 20
        assert verify.run(full=True).sound
