"""What the database and Redis know at this moment, as metrics: the machinery. Of the studio's own affairs tells
app/metrics_studio.py. The alerts look at the same figures (app/domain/watch/rules.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import sqlalchemy as sa
from flask import current_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError
from rq import Queue
from sqlalchemy.exc import SQLAlchemyError

from app import clock, doorbell, health, metrics_studio, redis
from app.config import ConfigError
from app.db import db
from app.domain.outbox.models import JobRun, Notification, Status
from app.domain.outbox.schedule import JOBS
from app.domain.watch import alerts, findings, hours, levels
from app.domain.watch.rules import Samples

Read = Callable[[], Iterable[Metric]]


class Known(Collector):
    """All of it. A part that is away shows as `desk_up` 0, and leaves the others as they are."""

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("desk_up", "Whether a part is well (1), degraded (0.5) or away (0)", labels=["part"])
        for check in health.checks():
            up.add_metric([check.name], {health.OK: 1.0, health.DEGRADED: 0.5}.get(check.status, 0.0))
        yield up
        missing = GaugeMetricFamily("desk_metrics_missing", "Whether these figures could not be read", labels=["read"])
        took = GaugeMetricFamily("desk_metrics_read_seconds", "What reading them took", labels=["read"])
        for read in (*_READS, *metrics_studio.READS):
            name, began = read.__name__.strip("_"), time.perf_counter()
            found = _careful(read)
            yield from found or ()
            missing.add_metric([name], float(found is None))
            took.add_metric([name], time.perf_counter() - began)
        yield missing
        yield took


def samples() -> Samples:
    """Name → [(labels, value)]: what a scrape of this moment would show."""
    found: Samples = {}
    for family in Known().collect():
        found.setdefault(family.name, [])
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _careful(read: Read) -> list[Metric] | None:
    try:
        return list(read())
    except (SQLAlchemyError, RedisError, ConfigError, OSError, ArithmeticError, LookupError, ValueError) as error:
        current_app.logger.warning("metrics: %s is away", read.__name__, extra={"error": type(error).__name__})
        return None
    finally:
        db.session.rollback()


def _clock() -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "desk_clock_offset_seconds", "This machine's clock ahead of the database's", value=health.clock_offset()
    )


def _outbox() -> Iterable[Metric]:
    now = clock.now()
    waiting = GaugeMetricFamily("desk_outbox_waiting", "Messages that are due or under way", labels=["queue"])
    age = GaugeMetricFamily("desk_outbox_oldest_seconds", "Lateness of the oldest due message", labels=["queue"])
    rows = sa.select(
        Notification.queue, sa.func.count().label("count"), sa.func.min(Notification.next_attempt_at).label("oldest")
    ).where(Notification.status.in_([Status.PENDING, Status.SENDING]), Notification.next_attempt_at <= now)
    found = {row.queue: row for row in db.session.execute(rows.group_by(Notification.queue))}
    for queue in doorbell.QUEUES:
        row = found.get(queue)
        waiting.add_metric([queue], row.count if row else 0)
        age.add_metric([queue], max((now - row.oldest).total_seconds(), 0.0) if row else 0.0)
    yield waiting
    yield age


def _deliveries() -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "desk_messages_last_hour", "Messages written in the last hour", labels=["channel", "type", "status"]
    )
    rows = (
        sa.select(Notification.channel, Notification.type, Notification.status, sa.func.count())
        .where(Notification.created_at > clock.now() - timedelta(hours=1))
        .group_by(Notification.channel, Notification.type, Notification.status)
    )
    for channel, kind, status, count in db.session.execute(rows):
        family.add_metric([channel, kind, status], count)
    yield family


def _jobs() -> Iterable[Metric]:
    success = GaugeMetricFamily("desk_job_last_success_timestamp", "When a periodic job last succeeded", labels=["job"])
    failing = GaugeMetricFamily("desk_job_failing", "Whether a job's last run failed", labels=["job"])
    period = GaugeMetricFamily("desk_job_period_seconds", "Seconds between two runs of a job", labels=["job"])
    rows = sa.select(JobRun.name, JobRun.last_success_at, JobRun.last_error)
    # Among the jobs lies the row by which one scheduler leads: it never runs.
    ran = sa.or_(JobRun.last_success_at.is_not(None), JobRun.last_error.is_not(None))
    for name, at, error in db.session.execute(rows.where(ran).order_by(JobRun.name)):
        success.add_metric([name], at.timestamp() if at else 0.0)
        failing.add_metric([name], 1.0 if error else 0.0)
        if name in _PERIODS:
            period.add_metric([name], _PERIODS[name])
    yield success
    yield failing
    yield period


_PERIODS = {job.name: job.period for job in JOBS}


def _queues() -> Iterable[Metric]:
    depth = GaugeMetricFamily("desk_queue_depth", "Jobs waiting in RQ", labels=["queue"])
    connection = redis.client()
    for name in doorbell.QUEUES:
        depth.add_metric([name], Queue(name, connection=connection).count)
    yield depth


def _service() -> Iterable[Metric]:
    calls = GaugeMetricFamily(
        "desk_service_calls", "Calls of this hour and the last, by service level", labels=["level", "result"]
    )
    p95 = GaugeMetricFamily("desk_service_p95_seconds", "Their 95th percentile", labels=["level"])
    for level, kept in levels.lately().items():
        if level in levels.SHARES:
            calls.add_metric([level, "failed"], kept.failed)
            calls.add_metric([level, "ok"], kept.total - kept.failed)
        elif kept.total >= levels.LEAST:
            p95.add_metric([level.removesuffix("_p95")], kept.value / 1000)
    yield calls
    yield p95
    budget = GaugeMetricFamily(
        "desk_error_budget_left", "Share of the failures of seven days that the goal allows and nobody met yet",
        labels=["level"],
    )  # fmt: skip
    for level, kept in levels.of_the_week().items():
        if kept.budget_left is not None:
            budget.add_metric([level], kept.budget_left)
    yield budget


def _callbacks() -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "desk_callbacks_recent", "Callbacks of this hour and the last, of all processes", labels=["outcome"]
    )
    now = hours.begin(clock.now())
    found = hours.sums(now - hours.HOUR, now + hours.HOUR, "callback")
    for outcome in ("settled", "repeated", "mismatch", "unknown", "ignored", "refused"):
        family.add_metric([outcome], found[outcome].total if outcome in found else 0)
    yield family


def _outside() -> Iterable[Metric]:
    days = GaugeMetricFamily("desk_certificate_days", "Days that a certificate is still good for", labels=["name"])
    wrong = GaugeMetricFamily("desk_outside_findings", "What is wrong with keys and the outside", labels=["level"])
    found = findings.known()
    for one in found:
        if one.days is not None:
            days.add_metric([one.name], one.days)
    for level in ("warning", "error"):
        wrong.add_metric([level], sum(one.level == level for one in found))
    yield days
    yield wrong


def _alerts() -> Iterable[Metric]:
    family = GaugeMetricFamily("desk_alert_burning", "Whether an alert of our own burns", labels=["alert"])
    burning = {row.rule for row in alerts.burning()}
    for name in alerts.NAMES:
        family.add_metric([name], float(name in burning))
    yield family


_READS: tuple[Read, ...] = (
    _clock, _outbox, _deliveries, _jobs, _queues, _service, _callbacks, _outside, _alerts,
)  # fmt: skip
