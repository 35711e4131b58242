"""The database: column types, the one owner of commit, locks in one order, retry of whole transactions.

What this file relies on was measured on MariaDB 10.11 and SQLite 3.40 (docs/decisions/0003-transactions.md):
READ COMMITTED with locks taken before reads, `populate_existing` on every lock, BEGIN IMMEDIATE for every
write on SQLite, ROLLBACK before any retry, and a COMMIT whose answer is lost counted as unknown.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session

from app import clock, connections, guards
from app.column_types import Ascii, LongText, UTCDateTime, canonical_json
from app.errors import Busy, DomainError, IdempotencyKeyReused, OutcomeUnknown, Replayed

log = logging.getLogger("desk.db")


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class _Database(SQLAlchemy):
    """Ends a request's session without a word where its connection has died."""

    def _teardown_session(self, exc: BaseException | None) -> None:
        try:
            super()._teardown_session(exc)
        except DBAPIError:
            # The answer is made, and what it says has been committed or only read: a ROLLBACK that nobody hears must
            # not turn it into a 500.
            log.warning("a connection died before its session was closed")
            self.session.registry.clear()


db = _Database(model_class=Base, session_options={"expire_on_commit": False, "autoflush": True})


def db_now() -> datetime:
    """The database's clock, by which every deadline is judged (Z13); costs one round trip."""
    if db.session.get_bind().dialect.name == "sqlite":
        return clock.now()
    moment = db.session.execute(sa.text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
    return clock.shifted(moment.replace(tzinfo=UTC))


# ── transactions ────────────────────────────────────────────────────────────────────────────────────

# R6: whoever locks rows of several tables takes them in this order, ids ascending within a table. Families to profiles
# are ours: they queue those who would book one person or room twice at a time (docs/decisions/0013-bookings.md).
# Long work holds its job through each row, and who decides is held before what they decide about.
LOCK_ORDER = (
    "long_jobs", "staff", "adjustment_batches",
    "families", "coaches", "venues", "profiles", "course_schedules", "seat_releases", "waitlist_entries",
    "waitlist_offers", "payment_orders", "payment_attempts", "refunds", "seat_reservations", "bookings",
    "makeup_credits", "compensation_lots", "makeup_requests", "transaction_questions", "wallet_adjustments",
    "withdrawals", "wallets",
)  # fmt: skip

MAX_TRIES = 5
MAX_SECONDS = 2.0

# 1213 deadlock (at COMMIT too on Galera), 1205 lock wait, 1020 changed since read, 3101 group replication.
_CONTENTION = {1213, 1205, 1020, 3101}
# The connection died; before COMMIT the server has rolled back. 1927/4031: killed, idle timeout.
_LOST = {2006, 2013, 2055, 1927, 4031, 0}
# Nothing was executed: no node, too many connections, cannot connect, the server is going down.
_AWAY = connections.NOT_HERE | {1040, 1053, 1203, 2002, 2003}
# The disk is full: the statement was undone, and works again once somebody has made room.
_NO_ROOM = {1114, 1021, 1026, 3, 20}


@dataclass(frozen=True)
class RequestKey:
    """One request's idempotency key (R5): who asked, the key, a digest of what was asked.

    `present` turns the use case's result into the answer that a repetition gets, as plain JSON data.
    """

    scope: str
    key: str
    fingerprint: str
    present: Callable[[Any], dict[str, Any]] | None = None

    @staticmethod
    def digest(*parts: Any) -> str:
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


@dataclass
class _Open:
    """What a running transaction has and gathers."""

    connection: Connection
    session: Session
    wake: set[tuple[str, int]] = field(default_factory=set)
    queues: set[int] = field(default_factory=set)
    locked_rank: int = -1
    #: (table, id) of rows that are ours: writing them again waits for nobody
    locked: set[tuple[str, int]] = field(default_factory=set)
    memo: dict[str, Any] = field(default_factory=dict)


class CommitUnknown(Exception):
    """COMMIT was sent and no answer came: it may or may not have happened."""


_current: ContextVar[_Open | None] = ContextVar("open_transaction", default=None)
_doorbell: Callable[[set[tuple[str, int]], set[int]], None] | None = None

#: told each outcome (committed, refused, retried, exhausted, unknown) with the use case's name; app.metrics counts
metrics_hook: Callable[[str, str], None] = lambda outcome, use_case: None  # noqa: E731


def count_outcome(outcome: str, use_case: str) -> None:
    """Count a use case that was decided before its transaction began."""
    metrics_hook(outcome, use_case)


def install_doorbell(ring: Callable[[set[tuple[str, int]], set[int]], None] | None) -> None:
    """`create_app` installs what is called after a commit: with the (queue, id) pairs of messages, and the sessions
    whose waitlist moves on."""
    global _doorbell
    _doorbell = ring


def require_transaction() -> _Open:
    """First line of every building block: it changes and flushes, somebody else commits."""
    current = _current.get()
    if current is None:
        raise RuntimeError("a building block was called outside a transaction")
    return current


def execute(statement: sa.Executable, parameters: Any = None) -> CursorResult:
    """Run a Core statement on the open transaction's connection, past the session, which costs half as much again.

    Pending objects are flushed first, as the session would.
    """
    current = require_transaction()
    current.session.flush()
    return current.connection.execute(statement, parameters)


def in_transaction() -> bool:
    """Whether a use case is running."""
    return _current.get() is not None


def transaction_memo() -> dict[str, Any] | None:
    """Room for what is read once per transaction; None outside of one."""
    current = _current.get()
    return None if current is None else current.memo


def wake_after_commit(queue: str, row_id: int) -> None:
    """Ring for this row once the transaction has committed; losing it only costs the sweep's few seconds."""
    require_transaction().wake.add((queue, row_id))


def wake_queue_after_commit(schedule_id: int) -> None:
    """Ring for this session's waitlist once the transaction has committed; losing it costs the job's second."""
    require_transaction().queues.add(schedule_id)


@contextmanager
def transaction():
    """One whole transaction: commit on leaving, roll back on any exception. Refuses to run inside another."""
    if _current.get() is not None:
        raise RuntimeError("a use case was called inside another")
    session = db.session()
    if session.new or session.dirty or session.deleted:
        raise RuntimeError("changes were pending before the transaction began")
    session.rollback()  # ends the read phase (the login loader always reads) and forgets what it saw
    token, flag = _current.set(None), guards.enter_transaction()
    try:
        state = _Open(session.connection(execution_options={"sqlite_begin": "IMMEDIATE"}), session)
        _current.set(state)
        yield state
        session.flush()
        try:
            session.commit()
        except DBAPIError as error:
            if _code(error) in _LOST | {1180, 1053}:
                raise CommitUnknown from error
            raise
    except BaseException:
        _quiet_rollback(session)
        raise
    finally:
        guards.leave_transaction(flag)
        _current.reset(token)
    if (state.wake or state.queues) and _doorbell is not None:
        _doorbell(state.wake, state.queues)


def _quiet_rollback(session) -> None:
    # The connection may be the very thing that died; the first error is the one to tell.
    try:
        session.rollback()
    except Exception:
        session.invalidate()


F = TypeVar("F", bound=Callable[..., Any])


def transactional(use_case: F) -> F:
    """Make a function a use case: one transaction, retried whole on contention (R6, Z4).

    With `request_key=RequestKey(...)` the key is claimed first, in the same transaction; a repetition raises
    Replayed with the kept answer, another request under the key IdempotencyKeyReused. Raises Busy after the
    last try and OutcomeUnknown when COMMIT's answer was lost and there is no key to settle it.
    """

    name = f"{use_case.__module__.removeprefix('app.').removeprefix('domain.')}.{use_case.__name__}"

    @functools.wraps(use_case)
    def run(*args, **kwargs):
        request_key: RequestKey | None = kwargs.get("request_key")
        settles = request_key is not None or kwargs.get("idempotency_key") is not None
        began = time.monotonic()
        for attempt in range(1, MAX_TRIES + 1):
            try:
                with transaction():
                    if request_key is not None:
                        _claim(request_key)
                    result = use_case(*args, **kwargs)
                    if request_key is not None:
                        _keep(request_key, result)
                metrics_hook("committed", name)
                return result
            except DomainError:
                metrics_hook("refused", name)
                raise
            except CommitUnknown as error:
                metrics_hook("unknown", name)
                log.warning("commit answer lost", extra={"use_case": use_case.__qualname__})
                if not settles:
                    raise OutcomeUnknown from error
            except DBAPIError as error:
                if isinstance(error, IntegrityError) or not is_transient(error):
                    raise
                metrics_hook("retried", name)
                if attempt == MAX_TRIES or time.monotonic() - began > MAX_SECONDS:
                    metrics_hook("exhausted", name)
                    raise Busy from error
            # Full jitter: those who collided must not collide again in step.
            time.sleep(random.uniform(0, min(0.25, 0.01 * 2**attempt)))  # noqa: S311 - not a secret
        raise Busy

    run.is_use_case = True
    return run  # type: ignore[return-value]


def within(use_case: F) -> F:
    """A use case as a step of the transaction that is open: a row of long work does exactly what a click does, in one
    transaction with its checkpoint (U15). It takes no request key: the checkpoint says what was done."""

    @functools.wraps(use_case)
    def run(*args, **kwargs):
        require_transaction()
        return use_case.__wrapped__(*args, **kwargs)  # type: ignore[attr-defined]

    return run  # type: ignore[return-value]


def is_transient(error: DBAPIError) -> bool:
    """Whether the whole transaction may simply be run again."""
    if isinstance(error.orig, sqlite3.OperationalError):
        text = str(error.orig)
        return "locked" in text or "busy" in text or "is full" in text
    return _code(error) in _CONTENTION | _LOST | _AWAY | _NO_ROOM or error.connection_invalidated


def is_away(error: DBAPIError) -> bool:
    """Whether the database could not be reached at all."""
    return _code(error) in _LOST | _AWAY


def _code(error: DBAPIError) -> int | None:
    args = getattr(error.orig, "args", ())
    return args[0] if args and isinstance(args[0], int) else None


def note_lock(table: str, *ids: int) -> None:
    """Say that rows of this table are locked next. Raises RuntimeError when that breaks LOCK_ORDER; with `ids` only
    where one of them is not ours already."""
    state = require_transaction()
    rows = {(table, one) for one in ids}
    if rows and rows <= state.locked:
        return
    state.locked |= rows
    if table in LOCK_ORDER:
        rank = LOCK_ORDER.index(table)
        if rank < state.locked_rank:
            raise RuntimeError(f"{table} is locked after {LOCK_ORDER[state.locked_rank]}")
        state.locked_rank = rank


def lock_rows(model: type, ids: Iterable[int]) -> list[Any]:
    """Lock rows of one table by id, ascending, and return them as they are now, in that order.

    Raises RuntimeError when an earlier lock of this transaction comes later in LOCK_ORDER: two use cases that
    lock in different orders deadlock under load, so the mistake is made loud at once.
    """
    ids = sorted(set(ids))
    if not ids:
        return []
    note_lock(model.__tablename__, *ids)
    query = (
        sa.select(model)
        .where(model.id.in_(ids))
        .order_by(model.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(db.session.scalars(query))


def lock_row(model: type, row_id: int) -> Any | None:
    """Lock one row by id; None if there is none."""
    rows = lock_rows(model, [row_id])
    return rows[0] if rows else None


# ── request keys ────────────────────────────────────────────────────────────────────────────────────


class KeptRequest(db.Model):
    """A request that was done under its key, with the answer that a repetition gets. Only successes stay."""

    __tablename__ = "request_keys"

    #: who asked: `user:12`, `staff:3`
    scope = sa.Column(Ascii(48), primary_key=True)
    key = sa.Column(Ascii(64), primary_key=True)
    #: SHA-256 hex over method, path and body
    fingerprint = sa.Column(Ascii(64), nullable=False)
    answer = sa.Column(LongText(), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False, index=True)


_requests = KeptRequest.__table__


def _claim(request: RequestKey) -> None:
    """Insert the key first: its unique index makes a simultaneous twin wait for us instead of doing it too."""
    kept = recall(request)
    if kept is not None:
        raise Replayed(kept)
    try:
        db.session.execute(
            _requests.insert().values(
                scope=request.scope, key=request.key, fingerprint=request.fingerprint, created_at=clock.now()
            )
        )
    except IntegrityError:
        # The twin committed between our look and our insert. READ COMMITTED shows it now.
        db.session.rollback()
        kept = recall(request)
        if kept is None:
            raise
        raise Replayed(kept) from None


def recall(request: RequestKey) -> dict[str, Any] | None:
    """The kept answer of this request, or None. Raises IdempotencyKeyReused for another request's key."""
    row = db.session.execute(
        sa.select(_requests.c.fingerprint, _requests.c.answer).where(
            _requests.c.scope == request.scope, _requests.c.key == request.key
        )
    ).first()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise IdempotencyKeyReused
    return json.loads(row.answer or "{}")


def _keep(request: RequestKey, result: Any) -> None:
    answer = request.present(result) if request.present is not None else {}
    db.session.execute(
        _requests.update()
        .where(_requests.c.scope == request.scope, _requests.c.key == request.key)
        .values(answer=canonical_json(answer))
    )
