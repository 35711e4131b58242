"""`flask doctor`: whether the periodic jobs succeed, and whether the database user may do what it should, no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa

from app import clock, config, health
from app.db import db
from app.domain.outbox import jobs
from app.domain.outbox.schedule import JOBS
from app.flows.outside_checks import ERROR, OK, WARNING, Finding

#: rows are written once (Z7): `app` may add to them and nothing else
LOGS = frozenset(
    {"wallet_transactions", "audit_log", "audit_seals", "compensation_history", "day_closes", "erasure_certificates"}
)
#: what `migrate` alone writes
READ_ONLY = frozenset({"alembic_version", "audit_archives"})
_GRANTS = "用 root 运行 sh deploy/database.sh grants"
_ON_TABLES = (
    "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE table_schema = DATABASE()"
)
_ON_SCHEMA = (
    "SELECT privilege_type FROM information_schema.schema_privileges"
    " WHERE REPLACE(table_schema, '\\\\_', '_') = DATABASE()"
    " UNION SELECT privilege_type FROM information_schema.user_privileges"
)


def periodic_jobs() -> Iterator[Finding]:
    """Jobs whose last run failed, or that have not succeeded for three of their periods (Z11)."""
    known, now, well = jobs.runs(), clock.now(), 0
    for job in JOBS:
        run = known.get(job.name)
        late = run and run.last_success_at and now - run.last_success_at > timedelta(seconds=3 * job.period)
        again = f"flask jobs run {job.name} 会说明原因"
        if run and run.last_error:
            yield Finding(f"任务 {job.name}", WARNING, f"上次失败：{run.last_error}", again)
        elif late:
            yield Finding(f"任务 {job.name}", WARNING, f"上次成功是 {run.last_success_at:%Y-%m-%d %H:%M} UTC", again)
        else:
            well += bool(run and run.last_success_at)
    yield Finding("定时任务", OK, f"{well} 个按时成功，共 {len(JOBS)} 个")


def rights() -> Iterator[Finding]:
    """Whether this connection could rewrite the logs, or cannot write a table that a new release brought (Z7)."""
    if health.is_sqlite():
        return
    on_table: dict[str, set[str]] = {}
    for table, right in db.session.execute(sa.text(_ON_TABLES)):
        on_table.setdefault(table, set()).add(right.upper())
    everywhere = {right.upper() for (right,) in db.session.execute(sa.text(_ON_SCHEMA))}
    rewrites = LOGS if everywhere & {"UPDATE", "DELETE", "DROP"} else _rewritten(on_table)
    if rewrites:
        level = ERROR if config.current().production else WARNING
        yield Finding("数据库权限", level, f"能改写或删除 {'、'.join(sorted(rewrites))}", f"改用 app 账号，并{_GRANTS}")
    closed = [] if "INSERT" in everywhere else [t for t in _tables() if "INSERT" not in on_table.get(t, ())]
    if closed:
        yield Finding("数据库权限", ERROR, f"不能写入 {'、'.join(closed)}", _GRANTS)
    if not rewrites and not closed:
        yield Finding("数据库权限", OK, "流水与审计只能追加，其余可写")


def _rewritten(on_table: dict[str, set[str]]) -> frozenset[str]:
    return frozenset(name for name in LOGS if on_table.get(name, set()) & {"UPDATE", "DELETE", "DROP"})


def _tables() -> list[str]:
    """What `app` writes: every table of ours that is in this database, but for those that `migrate` alone writes."""
    there = set(sa.inspect(db.session.connection()).get_table_names())
    return sorted(there & set(db.metadata.tables) - READ_ONLY)
