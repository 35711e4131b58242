"""Prometheus metrics (Z11); each name is explained in docs/operations/metrics.md.

What happens in this process is counted here. What the database knows (outbox, jobs, last verification) is read when
somebody scrapes, so that it is right whichever process answers. Under gunicorn the counters of all worker processes
are added up through PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py sets.
"""

from __future__ import annotations

import functools
import hmac
import os
import time
from collections.abc import Iterable
from datetime import timedelta

import sqlalchemy as sa
from flask import Blueprint, Flask, Response, abort, current_app, g, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis import RedisError
from rq import Queue
from sqlalchemy.exc import SQLAlchemyError

from app import clock, config, doorbell, health, redis
from app import db as database
from app.config import ConfigError
from app.db import db
from app.domain.bookings import reminders
from app.domain.ledger import arrears
from app.domain.ledger.models import LedgerAnchor
from app.domain.outbox.models import JobRun, Notification, Status
from app.domain.reconcile import health as money_health
from app.domain.reconcile import queries as reconcile
from app.domain.reports import makeups_checks, waitlist_checks
from app.domain.reports.payments import Span

bp = Blueprint("metrics", __name__)

_HTTP = Histogram(
    "desk_http_request_seconds",
    "Seconds from the first byte of a request to its answer",
    ["method", "endpoint", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
_OPERATIONS = Counter(
    "desk_operations",
    "Use cases by name and result: committed, refused, retried, exhausted, unknown",
    ["use_case", "result"],
)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
    app.before_request(_begin)
    app.after_request(_observe)
    database.metrics_hook = _count


def _count(result: str, use_case: str) -> None:
    _OPERATIONS.labels(use_case=use_case, result=result).inc()


def _begin() -> None:
    g.measured_from = time.perf_counter()


def _observe(response: Response) -> Response:
    began = g.pop("measured_from", None)
    if began is not None:
        # The endpoint, never the path: strangers may invent as many paths as they like.
        _seconds(request.method, request.endpoint, response.status_code // 100).observe(time.perf_counter() - began)
    return response


# Found once: prometheus_client would check and join the labels on each request.
@functools.lru_cache(maxsize=4096)
def _seconds(method: str, endpoint: str | None, hundred: int) -> Histogram:
    return _HTTP.labels(
        method=method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other",
        endpoint=endpoint or "none",
        status=f"{hundred}xx",
    )


@bp.get("/metrics")
def metrics():
    """Only for this machine itself, or with `Authorization: Bearer DESK_METRICS_TOKEN`; else 404."""
    if not _allowed():
        abort(404)
    return Response(_everything(), mimetype=None, content_type=CONTENT_TYPE_LATEST)


def _allowed() -> bool:
    settings = config.current()
    offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.metrics_token and hmac.compare_digest(offered.encode(), settings.metrics_token.encode()):
        return True
    # A proxy on this machine makes everybody look local: then the token is the only way.
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"))
    return request.remote_addr in _LOOPBACK and not forwarded


def _everything() -> bytes:
    counted = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    known = CollectorRegistry(auto_describe=False)
    known.register(_Known())
    return generate_latest(counted) + generate_latest(known)


class _Known(Collector):
    """What the database and Redis know at this moment. A part that is away shows as `desk_up` 0."""

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("desk_up", "Whether a part is well (1), degraded (0.5) or away (0)", labels=["part"])
        for check in health.checks():
            up.add_metric([check.name], {health.OK: 1.0, health.DEGRADED: 0.5}.get(check.status, 0.0))
        yield up
        for read in (
            _clock,
            _outbox,
            _deliveries,
            _jobs,
            _anchors,
            _arrears,
            _reminders,
            _waitlist,
            _makeups,
            _money,
            _queues,
        ):
            try:
                yield from read()
            except (SQLAlchemyError, RedisError, ConfigError, OSError) as error:
                current_app.logger.warning("metrics: %s is away", read.__name__, extra={"error": type(error).__name__})
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
    rows = sa.select(JobRun.name, JobRun.last_success_at, JobRun.last_error)
    # Among the jobs lies the row by which one scheduler leads: it never runs.
    ran = sa.or_(JobRun.last_success_at.is_not(None), JobRun.last_error.is_not(None))
    for name, at, error in db.session.execute(rows.where(ran).order_by(JobRun.name)):
        success.add_metric([name], at.timestamp() if at else 0.0)
        failing.add_metric([name], 1.0 if error else 0.0)
    yield success
    yield failing


def _anchors() -> Iterable[Metric]:
    last = db.session.execute(
        sa.select(LedgerAnchor.created_at, LedgerAnchor.wallets, LedgerAnchor.transactions)
        .order_by(LedgerAnchor.id.desc())
        .limit(1)
    ).first()
    yield GaugeMetricFamily(
        "desk_ledger_verified_timestamp",
        "When the ledger was last verified",
        value=last[0].timestamp() if last else 0.0,
    )
    yield GaugeMetricFamily("desk_ledger_wallets", "Wallets in the last verification", value=last[1] if last else 0)
    yield GaugeMetricFamily("desk_ledger_transactions", "Rows in the last verification", value=last[2] if last else 0)


def _arrears() -> Iterable[Metric]:
    families = GaugeMetricFamily("desk_arrears_families", "Families that owe, by how far it went", labels=["stage"])
    yuan = GaugeMetricFamily("desk_arrears_yuan", "What they owe together", labels=["stage"])
    for stage, (count, owed) in arrears.standing().items():
        families.add_metric([stage], count)
        yuan.add_metric([stage], float(owed))
    yield families
    yield yuan


def _reminders() -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "desk_class_reminders_waiting", "Bookings whose reminder is due and unwritten", value=reminders.waiting()
    )


def _two_days() -> Span:
    """Yesterday and today, so that an alarm does not fall silent at midnight."""
    today = clock.today()
    return Span(today - timedelta(days=1), today)


def _makeups() -> Iterable[Metric]:
    span = _two_days()
    judged = GaugeMetricFamily("desk_makeup_promises", "Makeup bookings and lots of these two days", labels=["promise"])
    broken = GaugeMetricFamily("desk_makeup_promises_broken", "Those that failed or are wrong", labels=["promise"])
    for name, check in makeups_checks.CHECKS.items():
        found = check(span)
        judged.add_metric([name], found.judged)
        broken.add_metric([name], len(found.broken))
    yield judged
    yield broken


def _waitlist() -> Iterable[Metric]:
    span = _two_days()
    judged = GaugeMetricFamily("desk_waitlist_promises", "Offers and cutoffs of these two days", labels=["promise"])
    broken = GaugeMetricFamily("desk_waitlist_promises_broken", "Those that came late", labels=["promise"])
    for name, check in waitlist_checks.CHECKS.items():
        found = check(span)
        judged.add_metric([name], found.judged)
        broken.add_metric([name], len(found.broken))
    yield judged
    yield broken


def _money() -> Iterable[Metric]:
    held = GaugeMetricFamily(
        "desk_money_check_held_timestamp", "When an invariant of the money last held", labels=["check"]
    )
    failing = GaugeMetricFamily("desk_money_check_failing", "Rows where an invariant does not hold", labels=["check"])
    for one in money_health.states():
        held.add_metric([one.name], one.last_held_at.timestamp() if one.last_held_at else 0.0)
        failing.add_metric([one.name], one.failing)
    yield held
    yield failing
    waiting = GaugeMetricFamily("desk_reconcile_open", "Differences that nobody settled", labels=["source"])
    for source, count in reconcile.open_by_source().items():
        waiting.add_metric([source], count)
    yield waiting


def _queues() -> Iterable[Metric]:
    depth = GaugeMetricFamily("desk_queue_depth", "Jobs waiting in RQ", labels=["queue"])
    connection = redis.client()
    for name in doorbell.QUEUES:
        depth.add_metric([name], Queue(name, connection=connection).count)
    yield depth
