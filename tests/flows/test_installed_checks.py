"""`flask doctor` on what somebody installed: jobs that fail or are late, rights that are too many or too few."""

from __future__ import annotations

import re
from datetime import timedelta

import sqlalchemy as sa

from app import clock, health
from app.db import db, transaction
from app.domain.outbox.models import JobRun
from app.flows import installed_checks
from app.flows.outside_checks import ERROR, OK, WARNING
from tests.architecture.source import ROOT

GRANTS = (ROOT / "deploy" / "grants.sql").read_text(encoding="utf-8")


def ran(name: str, *, ago: timedelta, error: str | None = None) -> None:
    with transaction():
        db.session.execute(sa.delete(JobRun).where(JobRun.name == name))
        db.session.add(JobRun(name=name, last_success_at=clock.now() - ago, last_error=error))


def test_a_job_that_failed_and_one_that_is_late(app):
    ran("audit_seal", ago=timedelta(seconds=30))
    ran("ledger_check", ago=timedelta(minutes=10), error="Timeout")
    ran("request_keys_cleanup", ago=timedelta(hours=4))
    found = {finding.name: finding for finding in installed_checks.periodic_jobs()}
    assert found["任务 ledger_check"].text == "上次失败：Timeout"
    assert "flask jobs run ledger_check" in found["任务 ledger_check"].remedy
    assert "上次成功是" in found["任务 request_keys_cleanup"].text
    assert "任务 audit_seal" not in found
    assert found["定时任务"].text.startswith("1 个按时成功")


def test_a_user_that_may_do_everything_is_said(app):
    found = list(installed_checks.rights())
    if health.is_sqlite():
        assert found == []
        return
    assert [finding.level for finding in found] == [WARNING]
    assert "能改写或删除" in found[0].text
    assert "wallet_transactions" in found[0].text


def test_rights_by_table(app, monkeypatch):
    """As `app` sees them; that the grants are so is shown by tests/domain/test_grants.py."""
    monkeypatch.setattr(health, "is_sqlite", lambda: False)
    tables = installed_checks._tables()
    rows = [(name, "INSERT") for name in tables]
    assert "wallets" in tables

    def answer(on_table):
        monkeypatch.setattr(
            db.session, "execute", lambda query: on_table if "table_privileges" in str(query) else [("USAGE",)]
        )
        return list(installed_checks.rights())

    assert [finding.level for finding in answer(rows)] == [OK]
    few = answer([row for row in rows if row[0] != "wallets"])
    assert [(finding.level, finding.text) for finding in few] == [(ERROR, "不能写入 wallets")]
    many = answer([*rows, ("audit_log", "UPDATE")])
    assert [finding.text for finding in many] == ["能改写或删除 audit_log"]


def test_the_logs_are_those_of_the_grants():
    appended = set(re.findall(r"GRANT INSERT ON `DATABASE`\.`(\w+)`\s+TO 'app'", GRANTS))
    written = set(re.findall(r"GRANT INSERT\b.*? ON `DATABASE`\.`(\w+)`\s+TO 'app'", GRANTS))
    assert appended == installed_checks.LOGS
    assert set(db.metadata.tables) - written <= installed_checks.READ_ONLY
