"""Servers of a drill's own: MariaDB and Redis as processes that may be killed and started again at the same address."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

import pymysql
import redis

#: what a database that keeps receipts has to be started with (docs/operations.md)
DURABLE = ("--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1", "--binlog-format=ROW")


class Server(ABC):
    """A process with a log, killed with SIGKILL and started again as often as the drill likes."""

    def __init__(self, folder: Path, port: int):
        self.folder, self.port = folder, port
        self.process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    def launch(self, *more: str) -> None:
        with (self.folder / "process.log").open("a") as log:
            # A group of its own: Ctrl-C at the drill is answered by the drill, which then ends them in order.
            self.process = subprocess.Popen([*self.command(), *more], stdout=log, stderr=log, start_new_session=True)

    def start(self, *more: str, seconds: float = 90) -> float:
        """Start it and wait until it answers; the seconds that took. Raises RuntimeError."""
        self.launch(*more)
        return self.wait(seconds)

    def wait(self, seconds: float = 90) -> float:
        """Seconds until it answered. Raises RuntimeError when it ended or never did."""
        began = time.monotonic()
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() - began > seconds:
                lines = (self.folder / "process.log").read_text(errors="replace").splitlines()
                last = [line for line in lines if "ERROR" in line][-12:] or lines[-12:]
                raise RuntimeError("\n  ".join([f"{self.folder.name} did not come up:", *last]))
            time.sleep(0.05)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: the connections stay, nobody answers on them."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not hear it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()


class MariaDB(Server):
    """A MariaDB with a binary log; `root` without a password, on the loopback only."""

    #: whose process it is
    user = getpass.getuser()

    def __init__(self, folder: Path, port: int, *options: str, binary_log: bool = True):
        super().__init__(folder, port)
        self.data, self.options = folder / "data", options
        self.binary_log = binary_log
        if not (self.data / "mysql").exists():
            self._install()

    def _install(self) -> None:
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", f"--user={self.user}",
             "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, capture_output=True,
        )  # fmt: skip

    def command(self) -> list[str]:
        log = [f"--log-bin={self.data}/log", "--server-id=1"] if self.binary_log else []
        return [
            "mariadbd", "--no-defaults", f"--user={self.user}", f"--datadir={self.data}",
            f"--socket={self.data}/s", f"--port={self.port}", "--bind-address=127.0.0.1", f"--pid-file={self.data}/pid",
            "--skip-name-resolve", "--character-set-server=utf8mb4", "--max-connections=500",
            "--innodb-buffer-pool-size=256M", *log, *DURABLE, *self.options,
        ]  # fmt: skip

    def connect(self, database: str | None = None) -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, connect_timeout=2, autocommit=True
        )

    def query(self, statement: str, *parameters: object) -> tuple:
        """Run one statement on a connection of its own; its rows."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def answers(self) -> bool:
        try:
            self.query("SELECT 1")
        except pymysql.MySQLError:
            return False
        return True

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"


class RedisServer(Server):
    """A Redis without a password, with an append-only file; `options` as on its command line."""

    def __init__(self, folder: Path, port: int, *options: str):
        super().__init__(folder, port)
        self.options = options

    def command(self) -> list[str]:
        return [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
            "--appendonly", "yes", "--maxmemory-policy", "noeviction", *self.options,
        ]  # fmt: skip

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=2, socket_connect_timeout=1)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def ended_by_sigterm() -> None:
    """Let SIGTERM unwind the drill as Ctrl-C does, so that its servers end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
