"""One reminder per family and day under 32 triggers at once (I-35); of many workers one claims. With controls."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import ids
from app.db import db, db_now, transaction, transactional
from app.domain.outbox import delivery, pace, service
from app.domain.outbox.models import Notification, Status
from tests.concurrency.processes import pool, together
from tests.domain.outbox.families import make_family

pytestmark = pytest.mark.concurrency
MEMBERS, ROUNDS = 8, 4


@transactional
def _remind(*, family: int, event: str) -> int:
    return len(service.tell_family(family, "arrears", {"owed": "200.00"}, dedupe=event))


def trigger(family: int, member: int) -> int:
    together()
    return sum(_remind(family=family, event=f"{member}-{number}") for number in range(ROUNDS))


def trigger_without_guard(family: int, member: int) -> int:
    """The same with a key of its own for each trigger: what only looks before it writes is not enough."""
    real = service._cooldown_key
    service._cooldown_key = lambda kind, family_id: real(kind, family_id) and f"free:{ids.new_hex()}"
    try:
        return trigger(family, member)
    finally:
        service._cooldown_key = real


def told(family: int) -> int:
    db.session.rollback()
    query = sa.select(sa.func.count()).where(
        Notification.family_id == family, Notification.status != Status.SUPPRESSED, Notification.type == "arrears"
    )
    return db.session.scalar(query)


def run(app, function, family: int) -> list[int]:
    with pool(app, MEMBERS) as members:
        return members.starmap(function, [(family, number) for number in range(MEMBERS)], chunksize=1)


def test_thirty_two_triggers_one_reminder_for_each_parent(live_app):
    with live_app.app_context():
        family, _ = make_family(parents=2, consents={"arrears": 99})
        assert sum(run(live_app, trigger, family)) == 2
        assert told(family) == 2
        held = db.session.scalar(sa.select(sa.func.count()).where(Notification.error_code == "cooldown"))
        assert held == (MEMBERS * ROUNDS - 1) * 2


def test_after_the_cooldown_again_exactly_one(live_app):
    with live_app.app_context():
        family, _ = make_family(consents={"arrears": 99})
        _remind(family=family, event="first")
        with transaction():
            db.session.execute(sa.update(Notification).values(created_at=db_now() - timedelta(hours=25)))
        assert sum(run(live_app, trigger, family)) == 1
        assert told(family) == 2


def test_control_without_the_guard_several_get_through(live_app):
    with live_app.app_context():
        if db.engine.dialect.name == "sqlite":
            return  # one writer at a time: there is nothing to get through beside
        counts = []
        for _ in range(5):
            family, _ = make_family(consents={"arrears": 99})
            run(live_app, trigger_without_guard, family)
            counts.append(told(family))
            if counts[-1] > 1:
                break
        assert max(counts) > 1


def claim_all(row_ids: list[int]) -> list[int]:
    together()
    return [row_id for row_id in row_ids if delivery.claim(notification_id=row_id) is not None]


def claim_blindly(row_ids: list[int]) -> list[int]:
    """The same by looking first and writing then, without the lock."""
    together()
    return [row_id for row_id in row_ids if _take(row_id=row_id)]


@transactional
def _take(*, row_id: int) -> bool:
    table = Notification.__table__
    status = db.session.scalar(sa.select(table.c.status).where(table.c.id == row_id))
    if status != Status.PENDING:
        return False
    db.session.execute(sa.update(table).where(table.c.id == row_id).values(status=Status.SENDING))
    return True


def waiting(count: int) -> list[int]:
    family, _ = make_family(consents={"payment_result": count})
    with transaction():
        return [service.tell_family(family, "payment_result", {}, dedupe=str(n))[0] for n in range(count)]


def test_each_message_is_claimed_once(live_app):
    with live_app.app_context():
        row_ids = waiting(60)
        with pool(live_app, 6) as members:
            claimed = list(itertools.chain(*members.map(claim_all, [row_ids] * 6, chunksize=1)))
        assert sorted(claimed) == row_ids


def test_control_without_the_lock_messages_are_claimed_twice(live_app):
    with live_app.app_context():
        if db.engine.dialect.name == "sqlite":
            return  # one writer at a time: there is no lock to switch off
        for _ in range(5):
            row_ids = waiting(60)
            with pool(live_app, 6) as members:
                claimed = list(itertools.chain(*members.map(claim_blindly, [row_ids] * 6, chunksize=1)))
            if len(claimed) > len(row_ids):
                return
        pytest.fail("the control saw no double claim")


def pace_all(_member: int) -> int:
    together()
    return sum(bool(_one_call()) for _ in range(10))


@transactional
def _one_call() -> bool:
    return pace.take("feishu:race", db_now())


def test_all_workers_keep_one_pace(live_app):
    with live_app.app_context(), pool(live_app, 6) as members:
        began = db_now()
        calls = sum(members.map(pace_all, range(6), chunksize=1))
        seconds = (db_now() - began).total_seconds()
        assert 1 <= calls <= 3 + seconds / 0.71 + 1
