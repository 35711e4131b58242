"""`flask worker`: a supervisor with DESK_WORKERS processes, each of which works off the queues with RQ.

Each process does one job after another without forking: a job is one network call, and a fork costs more than
that. A process that dies is started again, and what it had claimed is sent again when its lease ends. Losing Redis
or the database costs waiting, never the process (96.5).
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from flask import Flask
from redis import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested

from app import create_app, ids, redis, tally
from app.config import ROOT, Settings
from tasks.queues import SERIALIZER, all_queues

log = logging.getLogger("desk.worker")

#: jobs after which a process makes room for a fresh one
MAX_JOBS = 5000
#: seconds: between looks for a Redis that is away; that a stop waits for what runs
PATIENCE, GRACE = 1.0, 30.0


class DeskWorker(SimpleWorker):
    """RQ's worker with an application context per job. Runs functions of `tasks` and no others."""

    def __init__(self, app: Flask, stopping: threading.Event, *args: Any, **kwargs: Any):
        self.app = app
        self.stopping = stopping
        super().__init__(*args, **kwargs)

    def request_stop(self, signum, frame) -> None:
        self.stopping.set()
        super().request_stop(signum, frame)

    def perform_job(self, job, queue) -> bool:
        if not job.func_name.startswith("tasks."):
            # Whoever can write to Redis could name any function there is.
            self.handle_job_failure(job, queue, exc_string=f"{job.func_name} is no task")
            log.error("refused a job that is no task", extra={"job": job.id})
            return False
        with self.app.app_context():
            ids.set_request_id(job.id)
            return super().perform_job(job, queue)

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        # RQ would keep trying the old address for ever; leaving the loop lets `work` look where Redis is now.
        try:
            super().heartbeat(*args, **kwargs)
        except RedisError:
            raise StopRequested from None


def work(app: Flask, *, burst: bool = False) -> None:
    """Work off the queues until SIGTERM, MAX_JOBS, or, with `burst`, until they are empty."""
    settings: Settings = app.extensions["desk.settings"]
    stopping, away = threading.Event(), False
    while not stopping.is_set():
        for name in (signal.SIGTERM, signal.SIGINT):  # RQ's own handlers are in force only while it works
            signal.signal(name, lambda *_: stopping.set())
        try:
            connection = redis.connect(settings, timeout=None)
            connection.ping()
            worker = DeskWorker(
                app,
                stopping,
                all_queues(connection),
                connection=connection,
                serializer=SERIALIZER,
                worker_ttl=45,
                maintenance_interval=60,
                log_job_description=False,
                exception_handlers=[_log_failure],
            )
            if away:
                log.info("redis is back")
            away = False
            worker.work(burst=burst, logging_level="WARNING", max_jobs=MAX_JOBS)
            if burst or worker.successful_job_count + worker.failed_job_count >= MAX_JOBS:
                return
        except (RedisError, redis.RedisUnavailable, OSError) as error:
            if not away:
                log.warning("redis is away, waiting", extra={"error": type(error).__name__})
            away = True
        stopping.wait(PATIENCE)


def _log_failure(job, kind, value, _traceback) -> bool:
    log.error(
        "job failed", extra={"job": job.id, "function": job.func_name, "error": f"{kind.__name__}: {value}"[:300]}
    )
    return True


class Supervisor:
    """Keeps `count` work processes running until it is told to stop; SIGTERM lets them finish what runs (Z8)."""

    def __init__(self, count: int):
        self._count = count
        self._children: list[subprocess.Popen] = []
        self._stop = threading.Event()

    def run(self) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        log.info("worker started", extra={"processes": self._count})
        while not self._stop.is_set():
            self._children = [child for child in self._children if self._lives(child)]
            while len(self._children) < self._count:
                self._children.append(_start_child())
            self._stop.wait(1.0)
        self._finish()

    @staticmethod
    def _lives(child: subprocess.Popen) -> bool:
        code = child.poll()
        if code:
            log.warning("a work process died, starting another", extra={"pid": child.pid, "code": code})
        return code is None

    def _finish(self) -> None:
        for child in self._children:
            child.terminate()
        until = time.monotonic() + GRACE
        for child in self._children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("a work process did not finish in time", extra={"pid": child.pid})
                child.kill()
                child.wait()
        log.info("worker stopped")


def _start_child() -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tasks.worker", str(os.getpid())],
        env={**os.environ, "PYTHONPATH": path},
        # Ctrl-C in a terminal reaches the whole group, and RQ takes a second signal as "drop everything": only the
        # supervisor hears the terminal and passes on one signal.
        start_new_session=True,
    )


def _follow(supervisor: int) -> None:
    """End with the supervisor, even when it was killed without a chance to say so."""

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """One work process; its argument is the supervisor's process id."""
    _follow(int(sys.argv[1]))
    app = create_app()
    tally.start(app)
    work(app)


if __name__ == "__main__":
    main()
