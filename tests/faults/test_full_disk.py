"""A database whose disk is full: who asks is told to come again, and with room it goes on (I-42).

SQLite's file is kept from growing by its own limit of pages. What MariaDB says of a full disk was seen in
`tests/drills/disk.py`; here it says so by itself.
"""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.db import db, execute, transactional
from app.domain.audit.actor import system
from app.domain.ledger import queries, service, verify
from app.errors import Busy
from bench.parents import Parent, make_parents, make_sessions
from tests.conftest import committing_app

pytestmark = pytest.mark.concurrency

ACTOR = system("test")
TABLE_FULL, FILE_NOT_WRITTEN = 1114, 3


@pytest.fixture
def sqlite(tmp_path):
    with committing_app("sqlite", tmp_path, DESK_RATE_LIMITS="off") as app, app.app_context():
        yield app


def _set_limit(pages: int) -> None:
    """For each connection that is taken from the pool from now on: SQLite keeps this limit per connection."""
    limits = db.engine.__dict__.setdefault("test_limits", [])
    if not limits:
        sa.event.listen(db.engine, "checkout", lambda raw, *_: raw.execute(f"PRAGMA max_page_count = {limits[-1]}"))
    limits.append(pages)
    db.session.rollback()


def _leave_no_room() -> None:
    _set_limit(db.session.scalar(sa.text("PRAGMA page_count")))


def _make_room() -> None:
    _set_limit(10**6)


def _debit(wallet_id: int, key: str) -> None:
    service.debit(wallet_id=wallet_id, amount=Decimal("1.00"), idempotency_key=key, reference_type="booking",
                  reference_id=key, reason="正式课扣费" * 60, actor=ACTOR)  # fmt: skip


def _debit_until_full(wallet_id: int) -> tuple[list[str], str]:
    done = []
    for _ in range(2000):
        key = uuid.uuid4().hex
        try:
            _debit(wallet_id, key)
        except Busy:
            return done, key
        done.append(key)
    raise AssertionError("the disk did not get full")


def _opened() -> tuple[int, Parent, list[int]]:
    [parent], classes = make_parents(1, balance="9000.00"), make_sessions(40, capacity=9, price="1.00")
    return queries.wallet(family_id=parent.family_id).id, parent, classes


def test_what_was_acknowledged_stays_and_the_rest_goes_on_with_room(sqlite, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    wallet_id, _parent, _classes = _opened()
    _leave_no_room()
    done, refused = _debit_until_full(wallet_id)
    assert queries.wallet(wallet_id=wallet_id).balance == Decimal(9000 - len(done))
    assert verify.run(full=True, keep_anchor=False).sound
    db.session.rollback()
    _make_room()
    _debit(wallet_id, refused)
    assert queries.wallet(wallet_id=wallet_id).balance == Decimal(9000 - len(done) - 1)
    assert verify.run(full=True).sound


def test_the_phone_hears_503_and_the_same_request_is_done_with_room(sqlite, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    wallet_id, parent, classes = _opened()
    client = sqlite.test_client()

    def book(class_id: int):
        body = {"course_schedule_id": class_id, "profile_id": parent.profile_ids[0]}
        headers = {"Authorization": f"Bearer {parent.token}", "Idempotency-Key": f"full-disk-{class_id}"}
        return client.post("/api/v1/bookings", json=body, headers=headers)

    _leave_no_room()
    _debit_until_full(wallet_id)
    for class_id in classes:  # a page that is begun has room for a few
        told = book(class_id)
        if told.status_code != 201:
            break
    assert told.status_code == 503
    assert told.headers["Retry-After"]
    _make_room()
    assert book(class_id).status_code == 201


@pytest.mark.parametrize("code", [TABLE_FULL, FILE_NOT_WRITTEN])
def test_what_mariadb_says_of_a_full_disk_is_come_again(code, tmp_path):
    with committing_app("mysql", tmp_path) as app, app.app_context():
        with pytest.raises(Busy):
            _signal(code)
        # The control: what is no full disk is told as it is.
        with pytest.raises(DBAPIError):
            _signal(1644)


@transactional
def _signal(code: int) -> None:
    execute(sa.text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}"))
