"""The alerts of our own: judged each minute, kept in rows, told in the SYSTEM group when they begin, while they last,
and when they are over (Z11). Two judges at once do nothing twice: each step locks the alert's row, and each card has
its own key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, db_now, execute, transactional
from app.domain.outbox import service as outbox
from app.domain.policy import service as policy
from app.domain.watch.catalogue import BY_NAME, RULES
from app.domain.watch.models import Alert
from app.domain.watch.rules import Finding, Rule, Samples, Severity

NAMES = tuple(BY_NAME)
#: findings that a card names
SHOWN = 5

_a = Alert.__table__


def threshold(rule: Rule, figures: dict[str, object]) -> float:
    """The rule's figure, in the unit of its metric: `figures` are the policies in force."""
    if not isinstance(rule.threshold, str):
        return float(rule.threshold)
    value = figures[rule.threshold]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if rule.unit == "%":
        return float(value) / 100
    # Goals are milliseconds for people, metrics seconds for Prometheus.
    return float(value) / 1000 if rule.threshold.startswith("goal_") else float(value)


def policies() -> tuple[str, ...]:
    """The policies that hold thresholds."""
    return tuple(dict.fromkeys(rule.threshold for rule in RULES if isinstance(rule.threshold, str)))


def judge(samples: Samples) -> tuple[list[str], list[str]]:
    """Compare the figures with every rule, keep and tell what follows; (titles that burn, names that can't be told).

    A rule whose figures are missing stays as it is: not to know is neither alarm nor recovery.
    """
    figures, now = policy.get_many(*policies(), "alert_reminder_after"), db_now()
    known = set(db.session.scalars(sa.select(_a.c.open_rule).where(_a.c.open_rule.is_not(None))))
    db.session.rollback()
    blind = []
    for rule in RULES:
        found = rule.find(samples, now.timestamp(), threshold(rule, figures))
        if found is None:
            blind.append(rule.name)
        elif found or rule.name in known:
            _step(rule=rule, found=found, now=now, again=figures["alert_reminder_after"])
    return [BY_NAME[row.rule].title for row in burning()], blind


@transactional
def _step(*, rule: Rule, found: Sequence[Finding], now: datetime, again: timedelta) -> None:
    row = execute(sa.select(_a).where(_a.c.open_rule == rule.name).with_for_update()).first()
    if not found:
        if row is not None:
            _calm(rule, row, now)
        return
    said = in_words(rule, found)
    if row is None:
        row = _begin(rule, said, now)
    if row is None:
        return  # another judge began it
    values = {"said": said, "quiet_since": None}
    if row.fired_at is None and now - row.since >= rule.lasts:
        values |= _tell(rule, row, said, now, "begins") | {"fired_at": now}
    elif row.fired_at is not None and now - row.told_at >= again:
        values |= _tell(rule, row, said, now, "lasts")
    execute(_a.update().where(_a.c.id == row.id).values(values))


def _begin(rule: Rule, said: str, now: datetime) -> sa.Row | None:
    try:
        execute(_a.insert().values(rule=rule.name, open_rule=rule.name, since=now, told=0, said=said))
    except IntegrityError:
        return None
    return execute(sa.select(_a).where(_a.c.open_rule == rule.name)).first()


def _calm(rule: Rule, row: sa.Row, now: datetime) -> None:
    mine = _a.c.id == row.id
    if row.fired_at is None:
        execute(_a.delete().where(mine))
    elif row.quiet_since is None:
        execute(_a.update().where(mine).values(quiet_since=now))
    elif now - row.quiet_since >= rule.calm:
        told = _tell(rule, row, row.said, now, "ends")
        execute(_a.update().where(mine).values(**told, recovered_at=now, open_rule=None))


# ── the cards ───────────────────────────────────────────────────────────────────────────────────────

_HEADS = {"begins": "告警", "lasts": "告警仍在", "ends": "已恢复"}


def _tell(rule: Rule, row: sa.Row, said: str, now: datetime, what: str) -> dict[str, object]:
    """Write the card; what the row keeps of it."""
    over = what == "ends"
    lines = [["情况", said], ["开始", f"{clock.local(row.since):%m-%d %H:%M}"]]
    if what != "begins":
        lines.append(["已持续" if not over else "共持续", lasting((row.quiet_since or now) - row.since)])
    if not over:
        lines.append(["处理", rule.remedy])
    colour = "green" if over else "red" if rule.severity == Severity.CRITICAL else "orange"
    card = {"title": f"{_HEADS[what]}：{rule.title}", "colour": colour, "lines": lines,
            "link": {"text": "系统状态", "path": "/system"}}  # fmt: skip
    if not over:
        card["text"] = f"运行手册 docs/operations/alerts.md「{rule.name}」"
    urgent = rule.severity == Severity.CRITICAL and not over
    outbox.tell_staff("system", "system.alert", card, dedupe=f"alert:{row.id}:{row.told}",
                      queue="urgent" if urgent else "default")  # fmt: skip
    return {"told_at": now, "told": row.told + 1}


def in_words(rule: Rule, found: Sequence[Finding]) -> str:
    """`refunds 2000 秒、holds 600 秒 等 3 处`, at most 500 characters."""
    parts = [f"{labels} {_figure(rule, value)}".strip() for labels, value in found[:SHOWN]]
    more = f" 等 {len(found)} 处" if len(found) > SHOWN else ""
    return ("、".join(parts) + more)[:500]


def _figure(rule: Rule, value: float) -> str:
    if rule.unit == "%":
        return f"{value * 100:.1f}%"
    return f"{value:.{0 if value == int(value) else 1}f}{rule.unit}" if rule.unit else ""


def lasting(span: timedelta) -> str:
    """`3 天 4 小时`, `2 小时 5 分钟`, `2 小时`, `5 分钟`."""
    minutes = int(span.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "天"), (hours, "小时")] if days else [(hours, "小时"), (minutes, "分钟")]
    return " ".join(f"{count} {word}" for count, word in parts if count) or "不到 1 分钟"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert as pages show it."""

    rule: str
    title: str
    remedy: str
    severity: str
    said: str
    since: datetime
    told_at: datetime | None
    recovered_at: datetime | None

    @property
    def lasted(self) -> str:
        return lasting((self.recovered_at or clock.now()) - self.since)


def burning() -> list[Shown]:
    """What burns now, the oldest first."""
    return _shown(sa.select(_a).where(_a.c.open_rule.is_not(None), _a.c.fired_at.is_not(None)).order_by(_a.c.since))


def fired_between(first: datetime, before: datetime) -> list[Shown]:
    """What was told in this time, the newest first."""
    return _shown(
        sa.select(_a).where(_a.c.fired_at >= first, _a.c.fired_at < before).order_by(_a.c.fired_at.desc()).limit(100)
    )


def _shown(query: sa.Select) -> list[Shown]:
    return [
        Shown(row.rule, rule.title, rule.remedy, rule.severity, row.said, row.since, row.told_at, row.recovered_at)
        for row in db.session.execute(query)
        if (rule := BY_NAME.get(row.rule))
    ]
