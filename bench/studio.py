"""A whole studio on the benchmark's database, in the processes of production: gunicorn with gunicorn.conf.py, worker,
scheduler, a Redis of its own, and the sandbox for WeChat and Feishu; and what each of them costs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from app.config import FEISHU_GROUPS
from bench.context import Context
from bench.http import ROOT, _await
from tests.conftest import _KEYS, pay_environ, pay_folder

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Studio:
    """`processes` by what they are: web, worker, scheduler, sandbox, redis; `server` is the database's, where known."""

    url: str
    sandbox: str
    server: int | None
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def pids(self, what: str) -> list[int]:
        """The process and its children; of the web and the worker those are what does the work."""
        return family(self.processes[what].pid)

    def seconds(self) -> dict[str, float]:
        """Processor time that each part used until now, the database server with them where it runs here."""
        used = {what: sum(map(processor_time, self.pids(what))) for what in self.processes}
        return used | ({"database": processor_time(self.server)} if self.server else {})


@contextmanager
def running(context: Context, **extra: str) -> Iterator[Studio]:
    """Start it all, wait until it answers, end it. `extra` are more settings."""
    ports = {name: free_port() for name in ("web", "sandbox", "redis")}
    url, sandbox = (f"http://127.0.0.1:{ports[name]}" for name in ("web", "sandbox"))
    folder = context.instance / "studio"
    folder.mkdir(exist_ok=True)
    environ = {
        **os.environ, **_KEYS, **pay_environ(),
        "MALLOC_ARENA_MAX": "2",  # as in deploy/
        "DESK_ENV": "development", "DESK_DATABASE_URL": context.database.url,
        "DESK_INSTANCE_DIR": str(context.instance), "DESK_LOG_FORMAT": "json", "DESK_LOG_LEVEL": "WARNING",
        "DESK_PUBLIC_URL": url, "DESK_WECHAT_API_URL": sandbox, "DESK_WXPAY_API_URL": sandbox,
        "DESK_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0" if shutil.which("redis-server") else "embedded",
        **{f"DESK_FEISHU_{group.upper()}_URL": f"{sandbox}/open-apis/bot/v2/hook/{group}" for group in FEISHU_GROUPS},
        **extra,
    }  # fmt: skip
    python, flask = [sys.executable, "-m"], [sys.executable, "-m", "flask", "--app", "wsgi"]
    commands = {
        "redis": ["redis-server", "--port", str(ports["redis"]), "--save", "", "--dir", str(folder)],
        "sandbox": [*python, "sandbox", "--port", str(ports["sandbox"]), "--app-url", url, "--pay-keys",
                    str(pay_folder())],
        "web": [*python, "gunicorn", "wsgi:app", "-b", f"127.0.0.1:{ports['web']}"],
        "worker": [*flask, "worker"],
        "scheduler": [*flask, "scheduler"],
    }  # fmt: skip
    if not shutil.which("redis-server"):
        del commands["redis"]
    studio = Studio(url, sandbox, _database_server(context))
    try:
        for what, command in commands.items():
            with (folder / f"{what}.log").open("w") as log:
                studio.processes[what] = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log)
            if what in ports:
                _await(ports[what])
        yield studio
    finally:
        for process in reversed(studio.processes.values()):
            process.terminate()
        for process in studio.processes.values():
            process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ── what processes cost (Linux) ─────────────────────────────────────────────────────────────────────


def family(pid: int) -> list[int]:
    """This process and all that came of it."""
    found = [pid]
    for one in found:
        try:
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except FileNotFoundError:
            continue
    return found


def processor_time(pid: int) -> float:
    """Seconds of user and system time that this process used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> float | None:
    """MB in memory; None when the process is gone."""
    try:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024
    except (FileNotFoundError, ProcessLookupError, AttributeError):
        return None


def _database_server(context: Context) -> int | None:
    """The server's process, where it runs on this machine and lets us know."""
    with context.bare() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@pid_file")
        try:
            return int(Path(cursor.fetchone()[0]).read_text())
        except (OSError, ValueError):
            return None


def await_healthy(url: str, seconds: float = 300) -> None:
    """Until the web answers what it is for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if requests.get(f"{url}/healthz", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise SystemExit("the portal did not come up")
