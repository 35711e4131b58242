"""What this process counted, handed on to the hours of all processes and machines (Z14).

The Prometheus counters are the only ones. What they grew by waits here, under the hour in which it was seen, until the
database has taken it: a database that is away for an hour costs nothing, a process that is killed its last half
minute. Where COMMIT's answer is lost the same growth may be added twice.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
from dataclasses import dataclass, field
from datetime import datetime

from flask import Flask

from app import clock, counters, slow_statements
from app.db import db
from app.domain.policy import service as policy
from app.domain.watch import hours
from app.domain.watch.hours import BOUNDS, Counted

log = logging.getLogger("desk.tally")

#: seconds between two writings of a process
PAUSE = 30.0
#: not what people wait for: files, probes, and the scrape itself
_LEFT_OUT = frozenset({"static", "none", "health.healthz", "health.readyz", "metrics.metrics"})
_BUCKETS = {str(bound / 1000): number for number, bound in enumerate(BOUNDS)}

Key = tuple[str, str]


@dataclass
class Tally:
    """Of one process."""

    seen: dict[Key, Counted] = field(default_factory=dict)
    waiting: dict[tuple[datetime, str, str], Counted] = field(default_factory=dict)
    slow: list[slow_statements.Slow] = field(default_factory=list)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def gather(self) -> None:
        """Move what the counters grew by to the hour of now."""
        hour = hours.begin(clock.now())
        for (kind, name), now in counted().items():
            grown = now - self.seen.get((kind, name), Counted())
            if grown:
                key = (hour, kind, name)
                self.waiting[key] = self.waiting.get(key, Counted()) + grown
                self.seen[(kind, name)] = now
        self.slow += slow_statements.take()
        # A flood of different texts while the database is away must not fill the memory.
        del self.slow[: -slow_statements.MOST]

    def write(self) -> None:
        """Gather, and give the database all that waits. Raises what the database raises; nothing is lost then."""
        with self._one:
            self.gather()
            slow_statements.set_threshold(policy.get("slow_statement_from") / 1000)
            db.session.rollback()
            if self.waiting or self.slow:
                hours.add(counted=self.waiting, slow=self.slow)
                self.waiting, self.slow = {}, []


def counted() -> dict[Key, Counted]:
    """(kind, name) → what this process counted since it began."""
    found: dict[Key, Counted] = {}
    for family in counters.HTTP.collect():
        for sample in family.samples:
            _http(found, sample.name.rsplit("_", 1)[-1], sample.labels, sample.value)
    for family in counters.CALLBACKS.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                outcome = sample.labels["outcome"]
                one = found.setdefault(("callback", outcome), Counted())
                one.total += int(sample.value)
                one.failed += int(sample.value) if outcome == "refused" else 0
    return found


def _http(found: dict[Key, Counted], part: str, labels: dict[str, str], value: float) -> None:
    if labels["endpoint"] in _LEFT_OUT or part == "created":
        return
    one = found.setdefault(("http", f"{labels['method']} {labels['endpoint']}"[:96]), Counted())
    if part == "count":
        one.total += int(value)
        one.failed += int(value) if labels["status"] == "5xx" else 0
    elif part == "sum":
        one.milliseconds += round(value * 1000)
    elif labels["le"] in _BUCKETS:
        one.within[_BUCKETS[labels["le"]]] += int(value)


_tally = Tally()


def start(app: Flask) -> None:
    """Write down what this process counts, every half minute and once more when it ends. Processes that serve call
    this; a command that ends at once has nothing to say."""
    if app.config["TESTING"]:
        return
    stop = threading.Event()
    threading.Thread(target=_work, args=(app, stop), name="tally", daemon=True).start()
    atexit.register(_last, app, stop)


def _work(app: Flask, stop: threading.Event) -> None:
    # Processes that began together must not write together for ever.
    while not stop.wait(PAUSE * random.uniform(0.8, 1.2)):  # noqa: S311 - not a secret
        _write(app)


def _last(app: Flask, stop: threading.Event) -> None:
    stop.set()
    _write(app)


def _write(app: Flask) -> None:
    try:
        with app.app_context():
            _tally.write()
    except Exception as error:
        # It waits for the next time; counting must never stop what is counted.
        log.warning("counts are kept for later", extra={"error": type(error).__name__})
