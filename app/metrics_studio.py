"""What the database knows of the studio's affairs, as metrics: money, promises, deadlines, seats (Z11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily, Metric

from app import clock
from app.db import db
from app.domain.ledger import arrears
from app.domain.ledger.models import LedgerAnchor
from app.domain.reconcile import health as money_health
from app.domain.reconcile import queries as reconcile
from app.domain.reports import deadlines, filling, makeups_checks, payments_checks, waitlist_checks
from app.domain.reports.payments import Span


def _anchors() -> Iterable[Metric]:
    last = db.session.execute(
        sa.select(LedgerAnchor.created_at, LedgerAnchor.wallets, LedgerAnchor.transactions)
        .order_by(LedgerAnchor.id.desc())
        .limit(1)
    ).first()
    # Before the first verification there is no moment: an alert would otherwise reckon from 1970.
    verified = GaugeMetricFamily("desk_ledger_verified_timestamp", "When the ledger was last verified")
    if last:
        verified.add_metric([], last[0].timestamp())
    yield verified
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


def _two_days() -> Span:
    """Yesterday and today, so that an alarm does not fall silent at midnight."""
    today = clock.today()
    return Span(today - timedelta(days=1), today)


def _promises(subject: str, kept: str, broken: str, found: Mapping[str, tuple[int, int]]) -> Iterable[Metric]:
    """`desk_<subject>_promises` and those of them that were broken; `found` is promise → (all, broken)."""
    each = GaugeMetricFamily(f"desk_{subject}_promises", kept, labels=["promise"])
    not_kept = GaugeMetricFamily(f"desk_{subject}_promises_broken", broken, labels=["promise"])
    for name, (judged, wrong) in found.items():
        each.add_metric([name], judged)
        not_kept.add_metric([name], wrong)
    yield each
    yield not_kept


def _makeups() -> Iterable[Metric]:
    span = _two_days()
    found = {name: check(span) for name, check in makeups_checks.CHECKS.items()}
    yield GaugeMetricFamily(
        "desk_compensation_drift_minutes", "Minutes by which lots of these days differ from their history",
        value=sum(abs((one.left or 0) - (one.said or 0)) for one in found["minutes"].broken),
    )  # fmt: skip
    yield from _promises("makeup", "Makeup bookings and lots of these two days", "Those that failed or are wrong",
                         {name: (one.judged, len(one.broken)) for name, one in found.items()})  # fmt: skip


def _waitlist() -> Iterable[Metric]:
    span = _two_days()
    found = {name: check(span) for name, check in waitlist_checks.CHECKS.items()}
    yield from _promises("waitlist", "Offers and cutoffs of these two days", "Those that came late",
                         {name: (one.judged, len(one.broken)) for name, one in found.items()})  # fmt: skip


def _payments() -> Iterable[Metric]:
    found, line = payments_checks.checks(_two_days())
    yield from _promises("payment", "Payments and holds of these two days", "Those not kept to",
                         {name: (one.judged, one.broken) for name, one in found.items()})  # fmt: skip
    # Without an order that was paid there is no time it took.
    took = GaugeMetricFamily("desk_payment_seconds", "Seconds from order to seat in these days", labels=["quantile"])
    for quantile, seconds in (("0.5", line.median), ("0.9", line.p90)):
        if seconds is not None:
            took.add_metric([quantile], seconds)
    yield took


def _money() -> Iterable[Metric]:
    held = GaugeMetricFamily(
        "desk_money_check_held_timestamp", "When an invariant of the money last held", labels=["check"]
    )
    failing = GaugeMetricFamily("desk_money_check_failing", "Rows where an invariant does not hold", labels=["check"])
    for one in money_health.states():
        if one.last_held_at:
            held.add_metric([one.name], one.last_held_at.timestamp())
        failing.add_metric([one.name], one.failing)
    yield held
    yield failing
    waiting = GaugeMetricFamily("desk_reconcile_open", "Differences that nobody settled", labels=["source"])
    for source, count in reconcile.open_by_source().items():
        waiting.add_metric([source], count)
    yield waiting


def _deadlines() -> Iterable[Metric]:
    overdue = GaugeMetricFamily("desk_deadline_overdue", "Rows past a deadline that still wait", labels=["deadline"])
    late = GaugeMetricFamily("desk_deadline_late_seconds", "Lateness of the oldest of them", labels=["deadline"])
    for kind, one in deadlines.late().items():
        overdue.add_metric([kind], one.count)
        late.add_metric([kind], one.seconds)
    yield overdue
    yield late
    # The same once more, under the name by which operations know it.
    waiting = next(one.value for one in overdue.samples if one.labels["deadline"] == "class_reminders")
    yield GaugeMetricFamily(
        "desk_class_reminders_waiting", "Bookings whose reminder is due and unwritten", value=waiting
    )


def _seats() -> Iterable[Metric]:
    seats = GaugeMetricFamily("desk_seats", "Seats of the classes of the next seven days", labels=["state"])
    for state, count in filling.coming_seats().items():
        seats.add_metric([state], count)
    yield seats
    freed = GaugeMetricFamily(
        "desk_waitlist_seats", "Seats that came free yesterday and today, by what became of them", labels=["result"]
    )
    for result, count in filling.freed_seats(_two_days()).items():
        freed.add_metric([result], count)
    yield freed
    yield GaugeMetricFamily("desk_waitlist_waiting", "Students who wait for a seat", value=filling.waiting())


READS = (_anchors, _arrears, _deadlines, _seats, _waitlist, _makeups, _payments, _money)
