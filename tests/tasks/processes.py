"""Worker and scheduler as processes of their own, with a Redis server that a test may stop and start again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app import redis
from app.config import FEISHU_GROUPS
from app.db import db
from app.domain.policy.models import PolicyValue
from sandbox.testing import RunningSandbox
from tests.conftest import _KEYS


class Desk:
    """One desk: a database, a Redis, a sandbox, and the processes on them."""

    def __init__(self, app, folder: Path, sandbox: RunningSandbox, monkeypatch):
        self.app, self.folder, self.sandbox = app, folder, sandbox
        settings = app.extensions["desk.settings"]
        self.environ = {
            **_KEYS,
            "DESK_DATABASE_URL": settings.database_url,
            "DESK_INSTANCE_DIR": str(settings.instance_dir),
            "DESK_REDIS_URL": "embedded",
            "DESK_WECHAT_API_URL": sandbox.url,
            **{f"DESK_FEISHU_{group.upper()}_URL": sandbox.hook_url(group) for group in FEISHU_GROUPS},
        }
        from tests.conftest import make_settings

        self.settings = make_settings(settings.database_url, settings.instance_dir, **self.environ)
        monkeypatch.setitem(app.extensions, "desk.settings", self.settings)
        self._running: list[subprocess.Popen] = []

    def policy(self, name: str, value: str) -> None:
        with self.app.app_context():
            from app import clock

            db.session.add(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))
            db.session.commit()

    def start(self, *command: str) -> subprocess.Popen:
        log = (self.folder / f"{command[0]}-{len(self._running)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", *command],
            env={**os.environ, **self.environ},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self._running.append(process)
        return process

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def redis(self):
        return redis.connect(self.settings, timeout=2)

    def stop(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        redis.stop_embedded(self.settings)


@contextmanager
def desk(app, folder: Path, sandbox: RunningSandbox, monkeypatch) -> Iterator[Desk]:
    made = Desk(app, folder, sandbox, monkeypatch)
    try:
        yield made
    except BaseException:
        print(made.logs()[-6000:])
        raise
    finally:
        made.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> float:
    """Seconds until the condition held. Raises AssertionError when it never does."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - began
