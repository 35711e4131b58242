"""The doorbell after a commit: rings when Redis is there, and costs nothing when it is not (R4, Z6)."""

from __future__ import annotations

import time

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from app import doorbell, redis
from app.db import transaction
from app.domain.outbox import service
from app.domain.outbox.models import Status
from tests.conftest import make_settings
from tests.domain.outbox.families import make_family, rows

CARD = {"title": "x", "colour": "blue", "lines": []}


@pytest.fixture
def embedded(app, tmp_path, monkeypatch):
    """The test's application with an embedded Redis of its own."""
    settings = make_settings("sqlite:////nowhere/x.db", tmp_path, DESK_REDIS_URL="embedded")
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    _forget(app)
    yield redis.connect(settings, timeout=2)
    redis.stop_embedded(settings)
    _forget(app)


def _forget(app) -> None:
    app.extensions["desk.redis"].clear()
    app.extensions["desk.doorbell"]["closed_until"] = 0.0


def write(dedupe: str = "1", queue: str = "default") -> int:
    with transaction():
        return service.tell_staff("money", "staff.test", CARD, dedupe=dedupe, queue=queue)


def queued(connection, name: str) -> list[str]:
    return Queue(name, connection=connection, serializer=JSONSerializer).job_ids


def test_a_commit_queues_the_row_by_its_id_alone(app, embedded):
    row_id = write(queue="urgent")
    assert queued(embedded, "urgent") == [f"notice-{row_id}-0"]
    job = Queue("urgent", connection=embedded, serializer=JSONSerializer).fetch_job(f"notice-{row_id}-0")
    assert (job.func_name, job.args) == ("tasks.notifications.deliver", [row_id])


def test_asked_twice_it_is_queued_once(app, embedded):
    row_id = write()
    assert doorbell.enqueue_delivery("default", row_id, "0")
    assert doorbell.enqueue_delivery("default", row_id, "0")
    assert doorbell.enqueue_delivery("default", row_id, "1")
    assert queued(embedded, "default") == [f"notice-{row_id}-0", f"notice-{row_id}-1"]


def test_a_rollback_rings_nobody(app, embedded):
    def fail():
        with transaction():
            service.tell_staff("money", "staff.test", CARD, dedupe="1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert queued(embedded, "default") == []


def test_without_redis_the_operation_succeeds_at_once_and_the_row_waits(app):
    _forget(app)
    family, _ = make_family(consents={"payment_result": 20})
    began = time.monotonic()
    for number in range(20):
        with transaction():
            service.tell_family(family, "payment_result", {}, dedupe=str(number))
    assert time.monotonic() - began < 3.0
    assert [r.status for r in rows(family_id=family)] == [Status.PENDING] * 20


def test_the_breaker_leaves_a_dead_redis_alone(app, monkeypatch):
    _forget(app)
    tries = []
    real = redis.client
    monkeypatch.setattr(redis, "client", lambda: tries.append(1) or real())
    for number in range(5):
        assert not doorbell.enqueue_delivery("default", number, "0")
    assert len(tries) == 1
    app.extensions["desk.doorbell"]["closed_until"] = 0.0
    assert not doorbell.enqueue_delivery("default", 9, "0")
    assert len(tries) == 2


def test_a_large_commit_does_not_ring_for_ever(app, embedded, monkeypatch):
    monkeypatch.setattr(doorbell, "BUDGET", 0.0)
    began = time.monotonic()
    doorbell.ring({("bulk", number) for number in range(1000)})
    assert time.monotonic() - began < 0.5
    assert len(queued(embedded, "bulk")) <= 1


def test_an_embedded_redis_that_cannot_start_is_a_redis_that_is_away(app, tmp_path, monkeypatch):
    settings = make_settings("sqlite:////nowhere/x.db", tmp_path, DESK_REDIS_URL="embedded")
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    monkeypatch.setattr(redis, "_binary", lambda: "/bin/false")
    _forget(app)
    assert not doorbell.enqueue_delivery("default", 1, "0")
    _forget(app)
