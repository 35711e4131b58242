"""Seals over the audit log (R7): each minute a hash over the new rows and the seal before.

The ranges of ids touch, so that nothing can be altered, removed or slipped in below the last seal without the
recomputed hash saying so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.column_types import canonical_json
from app.db import db, transactional
from app.domain.audit.models import AuditArchive, AuditEntry, AuditSeal

_log = AuditEntry.__table__
_seals = AuditSeal.__table__
_archives = AuditArchive.__table__

#: rows younger than this are left for the next seal
REST = timedelta(seconds=60)
#: rows under one seal at most: a burst is sealed in several
BATCH = 10_000
#: seals of one run at most, so that a first run over a large log does not hold the scheduler
RUNS = 60


@dataclass(frozen=True, slots=True)
class Broken:
    """The first seal that does not hold. `last_id` is the newest row that it covers."""

    seal_id: int
    first_id: int
    last_id: int
    rows_then: int
    rows_now: int


@dataclass(frozen=True, slots=True)
class Verified:
    """`broken` is None when every seal holds. `head` is the newest good seal's hash in hex. `archived` rows have left
    for files: their seals are held to the chain, the files to themselves (`flask audit check`)."""

    seals: int
    rows: int
    unsealed: int
    head: str | None
    broken: Broken | None
    archived: int = 0


def seal_due() -> int:
    """Seal every row older than a minute; returns how many. A periodic job: may run at any time, and twice."""
    sealed = 0
    for _ in range(RUNS):
        try:
            rows = _seal_batch()
        except IntegrityError:
            break  # another scheduler sealed the same rows a moment ago
        sealed += rows
        if rows < BATCH:
            break
    return sealed


@transactional
def _seal_batch() -> int:
    last = db.session.execute(_seals.select().order_by(_seals.c.id.desc()).limit(1)).first()
    after, previous = (last.last_id, last.hash) if last else (0, None)
    upto = _end_of_batch(after)
    if upto is None:
        return 0
    # A row that is inserted but not yet committed has its id already. The shared lock waits for it; without that
    # wait it would appear inside a sealed range and look like a forgery.
    rows = db.session.execute(_range(after, upto).with_for_update(read=True))
    count, digest = _digest(previous, rows)
    values = {"first_id": after + 1, "last_id": upto, "rows": count, "hash": digest, "prev_hash": previous}
    db.session.execute(_seals.insert().values(**values, created_at=clock.now()))
    return count


def _end_of_batch(after: int) -> int | None:
    """The last id of the next seal: below the first row that is too young, and no more than BATCH rows."""
    old = clock.now() - REST
    young = db.session.execute(
        sa.select(_log.c.id).where(_log.c.id > after, _log.c.created_at > old).order_by(_log.c.id).limit(1)
    ).scalar()
    ids = sa.select(_log.c.id).where(_log.c.id > after).order_by(_log.c.id).limit(BATCH)
    if young is not None:
        ids = ids.where(_log.c.id < young)
    return db.session.execute(sa.select(sa.func.max(ids.subquery().c.id))).scalar()


def verify() -> Verified:
    """Recompute every seal from the rows as they are now; stops at the first that does not hold."""
    previous: bytes | None = None
    after = seals = covered = archived = 0
    heads = dict(db.session.execute(sa.select(_archives.c.last_id, _archives.c.head_hash)).all())
    gone = max(heads, default=0)
    for seal in _stream(_seals.select().order_by(_seals.c.id)):
        if seal.last_id <= gone:
            # Its rows lie in a file. An archive ends with the hash of its last seal, which ties both together.
            rows, digest = seal.rows, heads.pop(seal.last_id, seal.hash)
        else:
            rows, digest = _digest(previous, db.session.execute(_range(after, seal.last_id)))
        if digest != seal.hash or seal.prev_hash != previous or seal.first_id != after + 1 or rows != seal.rows:
            broken = Broken(seal.id, seal.first_id, seal.last_id, seal.rows, rows)
            return Verified(seals, covered, 0, previous.hex() if previous else None, broken, archived)
        seals, previous, after = seals + 1, seal.hash, seal.last_id
        covered, archived = (covered, archived + rows) if seal.last_id <= gone else (covered + rows, archived)
    unsealed = db.session.execute(sa.select(sa.func.count()).where(_log.c.id > after)).scalar_one()
    return Verified(seals, covered, unsealed, previous.hex() if previous else None, None, archived)


def _stream(query: sa.Select) -> Iterator:
    # By keys instead of one open cursor: the rows' own queries run on the same connection.
    last = 0
    while True:
        page = list(db.session.execute(query.where(_seals.c.id > last).limit(1000)))
        yield from page
        if len(page) < 1000:
            return
        last = page[-1].id


def _range(after: int, upto: int) -> sa.Select:
    return sa.select(_log).where(_log.c.id > after, _log.c.id <= upto).order_by(_log.c.id)


def line(row: sa.Row) -> str:
    """A row as the text that its seal's hash covers: every column, canonical."""
    return canonical_json(
        {name: value.isoformat() if name == "created_at" else value for name, value in row._mapping.items()}
    )


def chained(previous: bytes | None, lines: list[bytes]) -> bytes:
    """The hash of a seal over these lines after the seal before."""
    sums = hashlib.sha256(previous or bytes(32))
    for one in lines:
        sums.update(one + b"\n")
    return sums.digest()


def _digest(previous: bytes | None, rows) -> tuple[int, bytes]:
    """Every column of every row, one canonical line each, after the seal before."""
    sums, count = hashlib.sha256(previous or bytes(32)), 0
    for row in rows:
        sums.update(line(row).encode() + b"\n")
        count += 1
    return count, sums.digest()
