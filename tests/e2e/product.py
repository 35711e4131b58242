"""The whole product as processes: web, worker and scheduler on a database of their own, and the sandbox beside them."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
import requests

from sandbox.testing import RunningSandbox, running_sandbox
from tests import databases, migrated
from tests.conftest import pay_environ, pay_folder
from tests.databases import FreshDatabase

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Product:
    """Addresses, the sandbox, and the processes by name."""

    url: str
    sandbox: RunningSandbox
    env: dict[str, str]
    database: FreshDatabase
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return Path(self.env["DESK_INSTANCE_DIR"])

    def start(self, name: str, *command: str) -> None:
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115 - the child keeps it
        with log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)

    def flask(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """A flask command in the product's environment."""
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *arguments],
            cwd=ROOT, env=self.env, capture_output=True, text=True, check=check,
        )  # fmt: skip

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, seconds: float = 20.0, every: float = 0.1):
    """The first true value of `what()`; AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every)


@functools.cache
def _demo(engine: str) -> tuple[FreshDatabase, Path]:
    """A database and an instance folder with the demo in them, made once and then copied: it takes a quarter of a
    minute."""
    database = migrated.take(engine)
    folder = Path(tempfile.mkdtemp(prefix="desk-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(database.drop)
    product = Product("", None, _environ(database, folder), database)
    product.flask("demo", "prepare")
    # Journeys end on a phone, whatever the hour.
    product.flask("policy", "set", "quiet_hours", "off")
    return database, folder


def _environ(database: FreshDatabase, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        **pay_environ(),
        "DESK_ENV": "development", "DESK_DEMO": "1", "DESK_DATABASE_URL": database.url,
        "DESK_INSTANCE_DIR": str(folder), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


@contextmanager
def running_product(engine: str, folder: Path, *, redis_url: str | None = None) -> Iterator[Product]:
    """Start everything with the demo's data; ends it and drops its database afterwards."""
    original, prepared = _demo(engine)
    database = migrated.copy(original, "product")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running_sandbox(url, pay_folder()) as sandbox:
        env = {
            **_environ(database, folder),
            "DESK_REDIS_URL": redis_url or redis_of_this_run(),
            "DESK_PUBLIC_URL": url, "DESK_WECHAT_API_URL": sandbox.url,
            "DESK_WXPAY_API_URL": sandbox.url, "DESK_WORKERS": "1",
            "DESK_RATE_LIMITS": "off",  # one address signs in all the journeys' people
            "DESK_SECRET_KEY": secrets.token_hex(32),
            **{f"DESK_FEISHU_{g.upper()}_URL": sandbox.hook_url(g) for g in ("money", "waitlist", "system")},
        }  # fmt: skip
        product = Product(url, sandbox, env, database)
        try:
            product.start("web", sys.executable, "-m", "gunicorn", "wsgi:app", "-k", "gthread", "-w", "1",
                          "--threads", "8", "-b", f"127.0.0.1:{port}")  # fmt: skip
            product.start("worker", sys.executable, "-m", "flask", "--app", "wsgi", "worker")
            product.start("scheduler", sys.executable, "-m", "flask", "--app", "wsgi", "scheduler")
            wait_until(lambda: answers(f"{url}/readyz"), 60)
            yield product
        finally:
            product.stop()
            database.drop()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def redis_of_this_run() -> str:
    """A numbered database of the server, emptied; the embedded server where there is none."""
    if not databases.has_redis():
        return "embedded"
    url = f"{databases.REDIS_URL}/{10 + os.getpid() % 6}"
    client = redis.Redis.from_url(url)
    client.flushdb()
    client.close()
    return url
