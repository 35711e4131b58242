"""Redis is stopped, a clerk adjusts a balance over the portal, Redis comes back: the parent is told (Z6, 96.3)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import redis
import requests
import sqlalchemy as sa

from app import clock
from app import redis as desk_redis
from app.db import db, transaction
from app.domain.ledger import queries
from app.domain.outbox.models import MessageConsent, Notification, Status
from app.domain.people.models import User
from bench import killed_web
from sandbox.testing import running_sandbox
from tests.e2e.product import ROOT, answers, free_port
from tests.tasks.processes import desk as running_desk
from tests.tasks.processes import wait_for

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]


class RedisServer:
    """A server of this test's own, that it may stop and start at the same address."""

    def __init__(self):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.binary = shutil.which("redis-server") or str(desk_redis._binary())

    def start(self) -> None:
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, 10)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        with redis.Redis.from_url(self.url, socket_timeout=1) as client:
            return client.ping()


@contextmanager
def web(desk):
    """The portal under gunicorn; its address."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "-k", "gthread", "-w", "1", "--threads", "4",
               "-b", f"127.0.0.1:{port}"]  # fmt: skip
    with (desk.folder / "web.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **desk.environ}, stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 150)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def adjust(session: requests.Session, page: str, amount: str) -> float:
    """Send the real form; seconds that it took."""
    reader = killed_web.FormReader("adjust")
    reader.feed(session.get(page, timeout=30).text)
    fields = {**reader.fields, **{name: value for name, value in killed_web.FIELDS.items() if value}, "amount": amount}
    began = time.monotonic()
    answer = session.post(page, data=fields, timeout=30, allow_redirects=False)
    assert answer.status_code == 303, answer.text[:300]
    return time.monotonic() - began


def test_an_adjustment_made_without_redis_is_told_when_it_is_back(live_app, tmp_path, monkeypatch):
    server = RedisServer()
    server.start()
    folder = tmp_path / "logs"
    folder.mkdir()
    try:
        with (
            running_sandbox() as sandbox,
            running_desk(live_app, folder, sandbox, monkeypatch) as desk,
            live_app.app_context(),
        ):
            desk.environ |= {"DESK_REDIS_URL": server.url, "DESK_RATE_LIMITS": "off", "DESK_ENV": "development"}
            desk.policy("quiet_hours", "off")  # whenever the test runs
            [clerk, *_], [family] = killed_web.prepare(live_app, 1)
            openid = _consent(family)
            sandbox.consent(openid, "balance_changed", 10)
            desk.start("worker", "--processes", "1")
            desk.start("scheduler")
            with web(desk) as url:
                session = killed_web.sign_in(url, clerk)
                page = f"{url}/families/{family}/adjust"
                adjust(session, page, "1.00")
                wait_for(lambda: len(sandbox.messages(openid)) == 1, 60)

                server.stop()
                taken = adjust(session, page, "500.00")
                assert taken < 5  # Redis is never worth a long wait
                db.session.rollback()
                assert str(queries.wallet(family_id=family).balance).endswith("501.00")
                assert Status.PENDING in _statuses()

                server.start()
                wait_for(lambda: len(sandbox.messages(openid)) == 2, 60)
            wait_for(lambda: set(_statuses()) == {Status.SENT}, 60)
            assert "500.00" in str(sandbox.messages(openid))
            db.session.remove()
    finally:
        server.stop()


def _consent(family_id: int) -> str:
    """The openid of the family's parent, who now gets its messages by WeChat."""
    user = db.session.scalar(sa.select(User).where(User.family_id == family_id))
    user_id, openid = user.id, user.openid
    with transaction():
        db.session.add(MessageConsent(user_id=user_id, type="balance_changed", remaining=10, updated_at=clock.now()))
    return openid


def _statuses() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(Notification.status)))
