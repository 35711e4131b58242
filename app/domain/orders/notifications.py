"""Callbacks that verified, as they came: stored once, in the transaction of what they brought (O9, S6)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, ids
from app.db import db, db_now, execute, transactional
from app.domain.orders.models import CallbackNonce, PaymentNotification
from app.prepared import Prepared

_n, _nonces = PaymentNotification.__table__, CallbackNonce.__table__

_by_number = Prepared(sa.select(_n.c.id).where(_n.c.notification_id == sa.bindparam("number")))
_insert, _insert_nonce = Prepared(_n.insert()), Prepared(_nonces.insert())


@dataclass(frozen=True, slots=True)
class Received:
    """A callback: WeChat's number of it, what it is about, and its signed timestamp and nonce. `resource` is what was
    decrypted, with amounts in fen."""

    id: str
    event_type: str
    resource: dict[str, Any]
    timestamp: str
    nonce: str
    body: bytes


def known(received: Received) -> bool:
    """Whether this notification was stored already."""
    return _by_number.row({"number": received.id}) is not None


def store(
    received: Received,
    outcome: str,
    *,
    number: str | None = None,
    transaction_id: str | None = None,
    problem: str | None = None,
) -> None:
    """Building block: keep it, with what became of it, and its nonce. Its twin in another process fails here on the
    unique number, and finds it stored when it is run again."""
    now = clock.now()
    _insert(
        {
            "notification_id": received.id, "event_type": received.event_type[:32], "number": number,
            "transaction_id": transaction_id, "resource": received.resource, "outcome": outcome, "problem": problem,
            "received_at": now, "request_id": ids.request_id(),
        }
    )  # fmt: skip
    try:
        _insert_nonce(
            {"digest": _digest(received.timestamp, received.nonce), "body": _sha(received.body), "seen_at": now}
        )
    except IntegrityError:
        return  # another notification under the same nonce: seen() refuses the next one


@transactional
def keep(*, received: Received, outcome: str, problem: str | None = None, number: str | None = None) -> bool:
    """Store a callback that changes nothing; False if it was there."""
    if known(received):
        return False
    store(received, outcome, number=number, problem=problem)
    return True


def seen(timestamp: str, nonce: str, body: bytes) -> bool:
    """Whether this nonce was used under this timestamp for another body. The same callback once more is no replay:
    its number settles nothing twice, and it gets the answer that it got (96.46)."""
    kept = db.session.scalar(sa.select(_nonces.c.body).where(_nonces.c.digest == _digest(timestamp, nonce)))
    db.session.rollback()
    return kept is not None and kept != _sha(body)


@transactional
def forget_nonces(*, older_than: timedelta) -> int:
    """Nonces whose timestamps no longer pass by themselves."""
    return execute(_nonces.delete().where(_nonces.c.seen_at < db_now() - older_than)).rowcount


def _digest(timestamp: str, nonce: str) -> str:
    return _sha(f"{timestamp}\n{nonce}".encode())


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
