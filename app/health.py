"""Whether the process lives (`/healthz`), whether it can serve (`/readyz`, 96.6), and what each part says of itself.

The database away, or its schema behind, is not ready. Redis away, messages late, a setting that differs from what we
rely on (Z1), a clock that drifts (Z13): degraded, and still serving.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, current_app
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app import clock, redis
from app.config import ROOT, ConfigError
from app.db import db
from app.domain.outbox.models import JobRun, Notification, Status

bp = Blueprint("health", __name__)

OK, DEGRADED, DOWN, UNKNOWN = "ok", "degraded", "down", "unknown"
#: a message that has been due for so long says that the workers do not keep up
LATE_AFTER = timedelta(seconds=60)
#: no periodic job has ended for so long: the scheduler is away
SCHEDULER_SILENT = timedelta(minutes=3)
MAX_CLOCK_OFFSET = 2.0
#: with one of these down, the app cannot serve
_VITAL = ("database", "schema")


@dataclass(frozen=True, slots=True)
class Check:
    """One part: `status` is ok, degraded, down or unknown; `text` is Chinese, for the system page."""

    name: str
    label: str
    status: str
    text: str


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)


@bp.get("/healthz")
def healthz():
    """The process lives and its threads answer; looks at nothing else."""
    return {"status": "ok"}


@bp.get("/readyz")
def readyz():
    """200 when it can serve, with what is degraded; 503 with the failing part."""
    found = checks()
    failing = [check.name for check in found if check.name in _VITAL and check.status == DOWN]
    degraded = [check.name for check in found if check.status in (DEGRADED, DOWN) and check.name not in failing]
    body = {
        "status": "unready" if failing else "ready",
        "failing": failing,
        "degraded": degraded,
        "checks": {check.name: check.status for check in found},
    }
    return body, 503 if failing else 200, {"Cache-Control": "no-store"}


def checks() -> list[Check]:
    """Every part, in the order in which one depends on the other. Never raises."""
    database = _check(_database)
    if database.status == DOWN:
        away = "数据库连接不上，无法检查"
        rest = [("schema", "数据表结构"), ("database_settings", "数据库设置"), ("clock", "时钟"),
                ("outbox", "消息发送"), ("scheduler", "定时任务")]  # fmt: skip
        others = [Check(name, label, UNKNOWN, away) for name, label in rest]
        return [database, *others[:3], _check(_redis), *others[3:]]
    return [database, *map(_check, (_schema, _settings, _clock, _redis, _outbox, _scheduler))]


def _check(look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (SQLAlchemyError, RedisError, ConfigError, OSError) as error:
        name, label = _NAMES[look.__name__]
        return Check(name, label, DOWN, f"检查失败：{type(error).__name__}")
    finally:
        db.session.rollback()


_NAMES = {
    "_database": ("database", "数据库"),
    "_schema": ("schema", "数据表结构"),
    "_settings": ("database_settings", "数据库设置"),
    "_clock": ("clock", "时钟"),
    "_redis": ("redis", "Redis"),
    "_outbox": ("outbox", "消息发送"),
    "_scheduler": ("scheduler", "定时任务"),
}


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────


def _database() -> Check:
    began = time.monotonic()
    db.session.execute(sa.text("SELECT 1"))
    took = (time.monotonic() - began) * 1000
    return Check("database", "数据库", OK, f"{database_version()}，响应 {took:.0f} 毫秒")


def database_version() -> str:
    """`MariaDB 10.11.6`, `MySQL 8.4.2` or `SQLite 3.45.1`."""
    if is_sqlite():
        return f"SQLite {db.session.execute(sa.text('SELECT sqlite_version()')).scalar_one()}"
    version = db.session.execute(sa.text("SELECT VERSION()")).scalar_one()
    return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {version.split('-')[0]}"


def _schema() -> Check:
    head, current = newest_revision(), current_revision()
    if current == head:
        return Check("schema", "数据表结构", OK, f"版本 {current}")
    if current is not None and current not in known_revisions():
        # A newer release has migrated already: expand first, contract later, so this one still runs (Z8).
        return Check("schema", "数据表结构", OK, f"版本 {current}，比本程序新")
    return Check("schema", "数据表结构", DOWN, f"版本 {current or '无'}，需要 {head}：请运行 flask db upgrade")


def current_revision() -> str | None:
    """The migration that the database is at; None for an empty one."""
    if not sa.inspect(db.session.connection()).has_table("alembic_version"):
        return None
    return db.session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


@lru_cache(maxsize=1)
def known_revisions() -> tuple[str, ...]:
    """Every migration of this release, newest first."""
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    return tuple(script.revision for script in scripts.walk_revisions())


def newest_revision() -> str:
    return known_revisions()[0]


def _settings() -> Check:
    wrong = wrong_settings()
    if not wrong:
        return Check("database_settings", "数据库设置", OK, "隔离级别、严格模式、字符集、落盘与时区均符合要求")
    return Check("database_settings", "数据库设置", DEGRADED, "；".join(wrong))


def wrong_settings() -> list[str]:
    """What the database sets otherwise than we rely on (Z1), each as a Chinese sentence with its remedy."""
    return _wrong_on_sqlite() if is_sqlite() else _wrong_on_mysql()


def is_sqlite() -> bool:
    return db.session.get_bind().dialect.name == "sqlite"


def _wrong_on_sqlite() -> list[str]:
    wanted = {"journal_mode": "wal", "foreign_keys": "1", "synchronous": "2", "recursive_triggers": "1"}
    found = {name: str(db.session.execute(sa.text(f"PRAGMA {name}")).scalar()) for name in wanted}
    return [f"PRAGMA {n} 应为 {wanted[n]}，现为 {found[n]}" for n in wanted if found[n].lower() != wanted[n]]


def _wrong_on_mysql() -> list[str]:
    found = _variables(
        "transaction_isolation", "tx_isolation", "sql_mode", "time_zone", "character_set_connection",
        "character_set_database", "innodb_flush_log_at_trx_commit",
    )  # fmt: skip
    wrong = []
    isolation = found.get("transaction_isolation") or found.get("tx_isolation") or "?"
    if isolation.replace(" ", "-").upper() != "READ-COMMITTED":
        wrong.append(f"隔离级别应为 READ-COMMITTED，现为 {isolation}")
    if "STRICT_TRANS_TABLES" not in found.get("sql_mode", ""):
        wrong.append("sql_mode 缺少 STRICT_TRANS_TABLES，超长内容会被悄悄截断")
    if found.get("time_zone") not in ("+00:00", "UTC"):
        wrong.append(f"会话时区应为 +00:00，现为 {found.get('time_zone')}")
    for name in ("character_set_connection", "character_set_database"):
        if found.get(name) != "utf8mb4":
            wrong.append(f"{name} 应为 utf8mb4，现为 {found.get(name)}（ALTER DATABASE … CHARACTER SET utf8mb4）")
    if found.get("innodb_flush_log_at_trx_commit") != "1":
        wrong.append(
            "innodb_flush_log_at_trx_commit 应为 1，否则断电会丢失已确认的流水"
            "（SET GLOBAL innodb_flush_log_at_trx_commit=1）"
        )
    return wrong


def _variables(*names: str) -> dict[str, str]:
    query = sa.text("SHOW VARIABLES WHERE Variable_name IN :names").bindparams(sa.bindparam("names", expanding=True))
    return {row[0]: str(row[1]) for row in db.session.execute(query, {"names": list(names)})}


def _clock() -> Check:
    offset = clock_offset()
    status = OK if abs(offset) <= MAX_CLOCK_OFFSET else DEGRADED
    return Check(
        "clock", "时钟", status, f"与数据库相差 {offset:+.3f} 秒" + ("" if status == OK else "，请检查 NTP 对时")
    )


def clock_offset() -> float:
    """Seconds that this machine's clock is ahead of the database's (Z13)."""
    if is_sqlite():
        return 0.0
    before = datetime.now(UTC)
    theirs = db.session.execute(sa.text("SELECT UTC_TIMESTAMP(6)")).scalar_one().replace(tzinfo=UTC)
    after = datetime.now(UTC)
    return (before + (after - before) / 2 - theirs).total_seconds()


def _redis() -> Check:
    began = time.monotonic()
    try:
        redis.client().ping()
    except (RedisError, ConfigError, OSError):
        redis.forget()
        return Check("redis", "Redis", DEGRADED, "连接不上：消息由定时任务补发，其余不受影响")
    settings = current_app.extensions["desk.settings"]
    kind = "内置" if settings.redis_url == "embedded" else "外部"
    return Check("redis", "Redis", OK, f"{kind}，响应 {(time.monotonic() - began) * 1000:.0f} 毫秒")


def _outbox() -> Check:
    oldest = oldest_due()
    if oldest is None or clock.now() - oldest <= LATE_AFTER:
        return Check("outbox", "消息发送", OK, "没有积压")
    late = int((clock.now() - oldest).total_seconds())
    return Check("outbox", "消息发送", DEGRADED, f"最早一条已晚 {late} 秒：请检查 flask worker 与 flask scheduler")


def oldest_due() -> datetime | None:
    """Since when the oldest message that should be on its way is waiting; None when none is."""
    return db.session.execute(
        sa.select(sa.func.min(Notification.next_attempt_at)).where(
            Notification.status == Status.PENDING, Notification.next_attempt_at <= clock.now()
        )
    ).scalar()


def _scheduler() -> Check:
    last = db.session.execute(sa.select(sa.func.max(JobRun.last_finished_at))).scalar()
    if last is None:
        return Check("scheduler", "定时任务", UNKNOWN, "还没有运行过：flask scheduler")
    silent = clock.now() - last
    if silent > SCHEDULER_SILENT:
        return Check(
            "scheduler", "定时任务", DEGRADED, f"已有 {int(silent.total_seconds() // 60)} 分钟没有运行：flask scheduler"
        )
    return Check("scheduler", "定时任务", OK, "运行中")
