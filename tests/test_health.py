"""`/healthz`, `/readyz` and what each part says of itself (96.6, Z1, Z13)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock, create_app, health
from app.db import db, transaction
from app.domain.outbox.models import JobRun, Notification, Status
from tests.conftest import make_settings


def ready(client) -> tuple[int, dict]:
    answer = client.get("/readyz")
    return answer.status_code, answer.json


def by_name() -> dict[str, health.Check]:
    return {check.name: check for check in health.checks()}


def test_the_process_lives(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_redis_away_is_degraded_and_still_ready(client):
    status, body = ready(client)
    assert status == 200
    assert body["degraded"] == ["redis"]
    assert body["failing"] == []


@pytest.mark.parametrize("url", ["mysql+pymysql://desk@127.0.0.1:1/desk", "sqlite:////nonexistent/folder/desk.db"])
def test_the_database_away_is_not_ready(url, tmp_path):
    client = create_app(make_settings(url, tmp_path)).test_client()
    status, body = ready(client)
    assert status == 503
    assert body["failing"] == ["database"]
    assert client.get("/healthz").status_code == 200


def test_an_empty_database_is_not_ready(tmp_path):
    client = create_app(make_settings(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path)).test_client()
    status, body = ready(client)
    assert (status, body["failing"]) == (503, ["schema"])


def test_a_schema_behind_is_not_ready_and_one_ahead_is(client):
    db.session.execute(sa.text("UPDATE alembic_version SET version_num = :old"), {"old": health.known_revisions()[-1]})
    db.session.commit()
    assert ready(client)[0] == 503
    db.session.execute(sa.text("UPDATE alembic_version SET version_num = '9999_of_tomorrow'"))
    db.session.commit()
    assert ready(client)[0] == 200


def note(status: str = Status.PENDING, **values) -> None:
    now = clock.now()
    values = {"next_attempt_at": now, "created_at": now, "dedupe_key": f"health-{now.timestamp()}"} | values
    with transaction():
        db.session.execute(
            Notification.__table__.insert().values(
                channel="feishu", type="test", queue="default", recipient="system", payload={}, attempts=0,
                status=status, **values,
            )
        )  # fmt: skip


def test_late_messages_are_degraded(client):
    note()
    assert by_name()["outbox"].status == health.OK
    with clock.travel(by=timedelta(seconds=61)):
        status, body = ready(client)
        assert status == 200
        assert "outbox" in body["degraded"]
        assert "flask worker" in by_name()["outbox"].text


def test_messages_that_may_not_go_yet_are_not_late(client):
    note(next_attempt_at=clock.now() + timedelta(hours=8))
    note(status=Status.SENT)
    with clock.travel(by=timedelta(hours=1)):
        assert by_name()["outbox"].status == health.OK


def test_the_scheduler(client):
    assert by_name()["scheduler"].status == health.UNKNOWN
    with transaction():
        db.session.add(JobRun(name="outbox_sweep", last_finished_at=clock.now()))
    assert by_name()["scheduler"].status == health.OK
    with clock.travel(by=timedelta(minutes=10)):
        assert by_name()["scheduler"].status == health.DEGRADED


def test_the_settings_that_we_rely_on_are_there(app):
    assert health.wrong_settings() == []


def test_settings_that_differ_are_named(live_app):
    with live_app.app_context():
        if health.is_sqlite():
            wrongs = {"PRAGMA synchronous=NORMAL": "synchronous", "PRAGMA recursive_triggers=OFF": "recursive_triggers"}
        else:
            wrongs = {
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ": "隔离级别",
                "SET SESSION sql_mode=''": "sql_mode",
                "SET SESSION time_zone='+08:00'": "时区",
                "SET NAMES latin1": "utf8mb4",
            }
        for statement, word in wrongs.items():
            db.session.connection().exec_driver_sql("COMMIT") if health.is_sqlite() else None
            db.session.connection().exec_driver_sql(statement)
            assert any(word in sentence for sentence in health.wrong_settings()), statement
            db.session().invalidate()


def test_a_clock_that_drifts_is_degraded(app, monkeypatch):
    monkeypatch.setattr(health, "clock_offset", lambda: 2.5)
    assert by_name()["clock"].status == health.DEGRADED
    monkeypatch.setattr(health, "clock_offset", lambda: -1.9)
    assert by_name()["clock"].status == health.OK


def test_the_offset_is_measured_against_the_database(app):
    assert abs(health.clock_offset()) < 2
    assert datetime.now(UTC).tzinfo is UTC
