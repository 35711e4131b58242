"""The audit log's seals: what they cover, and that every kind of tampering is named."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit import seals
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry, AuditSeal


def write(count: int) -> None:
    with transaction():
        for number in range(count):
            audit.record(
                system("测试"), "test.done", target_type="thing", target_id=number, after={"数": number}, reason="原因"
            )


def seal_all() -> int:
    with clock.travel(by=timedelta(seconds=61)):
        return seals.seal_due()


def test_rows_are_sealed_once_they_are_a_minute_old(app):
    write(3)
    assert seals.seal_due() == 0
    assert seal_all() == 3
    assert seal_all() == 0
    found = seals.verify()
    assert (found.broken, found.rows, found.unsealed) == (None, 3, 0)


def test_an_empty_log_verifies(app):
    found = seals.verify()
    assert (found.seals, found.head, found.broken) == (0, None, None)


def test_young_rows_stay_out_of_the_seal_and_are_counted(app):
    write(2)
    with clock.travel(by=timedelta(seconds=61)):
        write(1)
        assert seals.seal_due() == 2
    assert seals.verify().unsealed == 1


def test_a_burst_takes_several_seals(app, monkeypatch):
    monkeypatch.setattr(seals, "BATCH", 4)
    write(10)
    assert seal_all() == 10
    found = seals.verify()
    assert (found.seals, found.rows, found.broken) == (3, 10, None)


def _drop_triggers() -> None:
    for table in ("audit_log", "audit_seals"):
        for action in ("update", "delete"):
            db.session.execute(sa.text(f"DROP TRIGGER {table}_no_{action}"))


TAMPERINGS = {
    "altered": "UPDATE audit_log SET reason = '别的' WHERE id = {second}",
    "removed": "DELETE FROM audit_log WHERE id = {second}",
    "slipped in": (
        "INSERT INTO audit_log (id, created_at, actor_type, actor_name, action, target_type, target_id)"
        " VALUES ({gap}, '2026-01-01 00:00:00', 'system', 'x', 'a.b', 'thing', '1')"
    ),
    "seal's hash": (
        "UPDATE audit_seals SET hash = prev_hash WHERE id = (SELECT * FROM (SELECT max(id) FROM audit_seals) x)"
    ),
    "seal removed": "DELETE FROM audit_seals WHERE id = (SELECT * FROM (SELECT min(id) FROM audit_seals) x)",
}


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_tampering_is_named(live_app, kind):
    # A real database: DDL commits by itself on MariaDB, so the triggers can't be dropped inside a test's transaction.
    with live_app.app_context():
        write(2)
        with transaction():
            first = db.session.scalar(sa.select(sa.func.min(AuditEntry.id)))
            db.session.execute(
                AuditEntry.__table__.insert().values(
                    id=first + 10, created_at=clock.now(), actor_type="system", actor_name="x", action="a.b",
                    target_type="thing", target_id="1",
                )
            )  # fmt: skip
        assert seal_all() == 3
        write(2)
        assert seal_all() == 2
        assert seals.verify().broken is None
        _drop_triggers()
        db.session.execute(sa.text(TAMPERINGS[kind].format(second=first + 1, gap=first + 5)))
        db.session.commit()
        broken = seals.verify().broken
        assert broken is not None
        if kind in ("altered", "removed", "slipped in"):
            assert broken.first_id <= first + 1 <= broken.last_id


@pytest.mark.parametrize("sql", ["UPDATE audit_seals SET last_id = 5", "DELETE FROM audit_seals"])
def test_seals_stay(app, sql):
    write(1)
    seal_all()
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        db.session.execute(sa.text(sql))


def test_a_second_scheduler_makes_no_second_seal(app, monkeypatch):
    write(2)
    seal_all()
    seal = db.session.execute(sa.select(AuditSeal.__table__)).one()
    with pytest.raises(sa.exc.IntegrityError), transaction():
        db.session.execute(
            AuditSeal.__table__.insert().values(
                first_id=seal.first_id, last_id=seal.last_id + 9, rows=0, hash=bytes(32), created_at=clock.now()
            )
        )
    assert seals.verify().broken is None
