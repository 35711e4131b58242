"""`flask scheduler`: starts what is due, once a second. Any number may run; the one with the lease acts (Z5).

It runs the jobs itself, each in a thread with its own application context. So they go on while Redis is away, and
no queue can lose them. While the database is away it waits (96.5).
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app import tally
from app.db import db_now
from app.domain.outbox import jobs
from app.domain.outbox.jobs import LEADER, Job, Run
from app.domain.outbox.schedule import JOBS
from app.errors import DomainError
from app.flows.outage import Outage
from tasks import schedule

log = logging.getLogger("desk.scheduler")

TICK = 1.0
#: seconds that the leader's word holds, and after which it renews it
LEASE, RENEW = 10.0, 3.0
#: seconds after which a light job's success is written down again
NOTE = 60.0
GRACE = 30.0
#: at once; a long verification must not hold up the sweeps
THREADS = 6

_AWAY = (SQLAlchemyError, DomainError)


class Scheduler:
    """One scheduler process."""

    def __init__(self, app: Flask, holder: str | None = None):
        self._app = app
        self.holder = (holder or f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}")[:64]
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="job")
        self._running: set[str] = set()
        self._light: dict[str, datetime] = {}  # when each light job last started here
        self._noted: dict[str, float] = {}
        self._renewed = 0.0
        self._began: datetime | None = None  # by the database's clock, at the first tick
        self.leads = False
        self._away = False
        self._outage = Outage()

    def run(self) -> None:
        """Until SIGTERM."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: self._stop.set())
        log.info("scheduler started", extra={"holder": self.holder})
        while not self._stop.is_set():
            began = time.monotonic()
            self.tick()
            self._stop.wait(max(0.05, TICK - (time.monotonic() - began)))
        self.stop()

    def stop(self) -> None:
        """Wait for what runs and let another one lead at once."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        with suppress(*_AWAY), self._app.app_context():
            if self.leads:
                jobs.release(name=LEADER, holder=self.holder)
        log.info("scheduler stopped")

    def tick(self) -> None:
        """Renew the lease when it is time, and start what is due."""
        try:
            with self._app.app_context():
                leads = self._lead()
                known = jobs.runs() if leads else {}
                # The database's clock: by one of our own that is set back nothing is due until it has caught up.
                now = db_now()
                self._began = self._began or now
                self._outage.back()
            if not leads:
                return
            if self._away:
                log.info("the database is back")
            self._away = False
        except _AWAY as error:
            # Without the lease nobody may act, and this one cannot know whether it still has it.
            self.leads, self._renewed = False, 0.0
            if not self._away:
                log.warning("the database is away, waiting", extra={"error": type(error).__name__})
            self._away = True
            with self._app.app_context():
                self._outage.away()
            return
        self._start_due(known, now)

    def _lead(self) -> bool:
        if not self.leads or time.monotonic() - self._renewed > RENEW:
            led, self.leads = self.leads, jobs.take(name=LEADER, holder=self.holder, seconds=LEASE)
            self._renewed = time.monotonic()
            if led != self.leads:
                log.info("leading" if self.leads else "another scheduler leads", extra={"holder": self.holder})
        return self.leads

    def _start_due(self, known: dict[str, Run], now: datetime) -> None:
        for job in JOBS:
            if job.name in self._running:
                continue
            run = known.get(job.name)
            last = self._light.get(job.name) if job.light else run and run.last_started_at
            if schedule.is_due(job, now, last, self._began):
                self._running.add(job.name)
                if job.light:
                    self._light[job.name] = now
                self._pool.submit(self._run, job, schedule.slot(job, now, last or now - timedelta(days=36500)))

    def _run(self, job: Job, due_at: datetime) -> None:
        try:
            with self._app.app_context():
                _, result = schedule.run(job, self.holder, due_before=due_at)
                if job.light and time.monotonic() - self._noted.get(job.name, -NOTE) >= NOTE:
                    jobs.note(name=job.name, result=result)
                    self._noted[job.name] = time.monotonic()
        except Exception as error:
            # Already logged with its trace where it happened; the next tick tries again.
            self._noted.pop(job.name, None)
            log.warning("job did not finish", extra={"job": job.name, "error": type(error).__name__})
        finally:
            self._running.discard(job.name)


def main(app: Flask) -> None:
    tally.start(app)
    Scheduler(app).run()
