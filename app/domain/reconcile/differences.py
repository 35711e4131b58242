"""Differences as rows: written by a comparison, closed by the next one or by finance, opened again (W24)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, db_now, execute, lock_row, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import persons
from app.domain.desk.errors import Stale
from app.domain.orders import refund_rules
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.roles import Permission
from app.domain.reconcile import words
from app.domain.reconcile.findings import Found, Kind, Source
from app.domain.reconcile.models import DifferenceStatus, ReconcileDifference, ReconcileRun
from app.errors import InvalidState, NotFound

_d, _runs = ReconcileDifference.__table__, ReconcileRun.__table__

#: rows per statement
PART = 500
GONE = "再次核对时已相符"
NOTE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """What one comparison speaks of: of these kinds, and of one day where `day` says so, it found everything."""

    source: Source
    kinds: Sequence[Kind]
    day: date | None = None
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.source}:{self.day or self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison changed; `found` is how many differences there are now, settled ones among them."""

    found: int = 0
    opened: int = 0
    reopened: int = 0
    changed: int = 0
    closed: int = 0


# ── what a comparison writes ────────────────────────────────────────────────────────────────────────


def enter(scope: Scope, judged: int) -> None:
    """Building block: two comparisons of one scope at once queue here, so that neither writes what the other found."""
    require_transaction()
    now = db_now()
    row = {"scope": scope.key, "source": scope.source, "day": scope.day, "ran_at": now, "judged": judged, "found": 0}
    mine = _runs.c.scope == scope.key
    if execute(_runs.update().where(mine).values(ran_at=now, judged=judged)).rowcount:
        return
    try:
        execute(_runs.insert(), row)
    except IntegrityError:
        # The twin committed between our look and our insert; now its row can be waited for.
        execute(_runs.update().where(mine).values(ran_at=now, judged=judged))


def record(scope: Scope, found: Sequence[Found], actor: Actor) -> Outcome:
    """Building block, after `enter`: what is new is opened, what changed is opened again, what is gone is closed.

    What finance settled stays settled for as long as its figures stay the same.
    """
    require_transaction()
    now = db_now()
    known = _known(scope, found)
    counts: Counter[str] = Counter()
    fresh, seen = [], set()
    for one in found:
        place = (one.day, one.kind, one.key)
        if place in seen:
            raise ValueError(f"two differences at {place}")
        seen.add(place)
        row = known.get(place)
        if row is None:
            fresh.append(_values(scope.source, one) | {"opened_at": now, "seen_at": now})
        else:
            counts[_met(row, one, scope.source, now)] += 1
    _insert(fresh)
    same = [row.id for place, row in known.items() if place in seen]
    for part in _parts(same):
        execute(_d.update().where(_d.c.id.in_(part)).values(seen_at=now))
    gone = [row for place, row in known.items() if place not in seen and row.status == DifferenceStatus.OPEN]
    for part in _parts([row.id for row in gone]):
        execute(
            _d.update()
            .where(_d.c.id.in_(part))
            .values(status=DifferenceStatus.SETTLED, settled_at=now, settled_by=None, note=GONE)
        )
    execute(_runs.update().where(_runs.c.scope == scope.key).values(found=len(found)))
    outcome = Outcome(len(found), len(fresh), counts["reopened"], counts["changed"], len(gone))
    if outcome.opened or outcome.reopened or outcome.changed or outcome.closed:
        audit.record(
            actor, "reconcile.recorded", target_type="reconcile", target_id=scope.key,
            after={"found": outcome.found, "opened": outcome.opened, "reopened": outcome.reopened,
                   "changed": outcome.changed, "closed": outcome.closed},
        )  # fmt: skip
    return outcome


def _known(scope: Scope, found: Sequence[Found]) -> dict[tuple, Any]:
    """The rows that this comparison may touch: all open ones of its scope, and settled ones that it met again."""
    columns = sa.select(_d.c.id, _d.c.day, _d.c.kind, _d.c.key, _d.c.digest, _d.c.status, _d.c.settled_by)
    mine = [_d.c.source == scope.source, _d.c.kind.in_(scope.kinds)]
    if scope.day is not None:
        mine.append(_d.c.day == scope.day)
    rows = list(execute(columns.where(*mine, _d.c.status == DifferenceStatus.OPEN)))
    for part in _parts(sorted({one.key for one in found})):
        rows += execute(columns.where(*mine, _d.c.status == DifferenceStatus.SETTLED, _d.c.key.in_(part)))
    return {(row.day, row.kind, row.key): row for row in rows}


def _met(row: Any, one: Found, source: Source, now: Any) -> str:
    """What meeting a known difference again means: `same`, `changed`, `reopened`."""
    settled = row.status == DifferenceStatus.SETTLED
    by_system = settled and row.settled_by is None
    if row.digest == one.digest and not by_system:
        return "same"
    values = _values(source, one)
    if settled:
        values |= {"settled_at": None, "settled_by": None, "note": None, "opened_at": now}
    execute(_d.update().where(_d.c.id == row.id).values(**values))
    return "reopened" if settled else "changed"


def _values(source: Source, one: Found) -> dict[str, Any]:
    return {
        "day": one.day, "source": source, "kind": one.kind, "key": one.key, "expected": one.expected[:200],
        "found": one.found[:200], "expected_amount": one.expected_amount, "found_amount": one.found_amount,
        "digest": one.digest, "family_id": one.family_id, "target_type": one.target_type, "target_id": one.target_id,
        "status": DifferenceStatus.OPEN,
    }  # fmt: skip


def _insert(rows: list[dict[str, Any]]) -> None:
    for part in _parts(rows):
        execute(_d.insert(), part)


def _parts(items: Sequence[Any]) -> Iterator[Any]:
    return (items[start : start + PART] for start in range(0, len(items), PART))


@transactional
def record_books(*, name: str, kinds: Sequence[Kind], found: Iterable[Found], judged: int, actor: Actor) -> Outcome:
    """Keep what one check of the books found; of all days."""
    scope = Scope(Source.BOOKS, kinds, name=name)
    enter(scope, judged)
    return record(scope, list(found), actor)


# ── what people are told ────────────────────────────────────────────────────────────────────────────


@transactional
def tell() -> int:
    """A card for the money group while there are open differences: once a day, and when they change (W24). Returns
    how many are open."""
    query = sa.select(_d.c.id, _d.c.kind, _d.c.digest).where(_d.c.status == DifferenceStatus.OPEN).order_by(_d.c.id)
    rows = list(execute(query))
    if not rows:
        return 0
    state = hashlib.sha256("|".join(f"{row.id}:{row.digest}" for row in rows).encode()).hexdigest()
    by_kind = Counter(row.kind for row in rows)
    lines = [[words.KIND_TEXTS[kind], f"{by_kind[kind]} 项"] for kind in Kind if by_kind[kind]]
    outbox.tell_staff(
        "money", "staff.reconcile",
        {"title": f"对账差异 {len(rows)} 项待处理", "colour": "red", "lines": lines,
         "text": "请逐项核对，写明处理结果。", "link": {"text": "去对账", "path": "/reconcile"}},
        dedupe=f"{clock.today()}:{state}",
    )  # fmt: skip
    return len(rows)


# ── what finance does ───────────────────────────────────────────────────────────────────────────────


@transactional
def settle(
    *, difference_id: int, note: str, actor: Actor, digest: str | None = None, request_key: RequestKey | None = None
) -> None:
    """Settle a difference with a sentence on what was done. `digest` is that of the figures the person saw.

    Raises NotFound, InvalidState, Stale, Invalid, OwnFamily, Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.RECONCILE_SETTLE)
    proof.require_recent(actor)
    note = refund_rules.checked_note(note, "请写明核对的结果和处理方式", most=NOTE_LENGTH)
    person = persons.hold(actor)[actor.id]
    row = lock_row(ReconcileDifference, difference_id)
    if row is None:
        raise NotFound("没有这项差异")
    if row.family_id is not None:
        persons.refuse_own_family(person, row.family_id)
    if row.status == DifferenceStatus.SETTLED:
        raise InvalidState("这项差异已处理过了")
    if digest is not None and digest != row.digest:
        raise Stale
    row.status, row.settled_at, row.settled_by, row.note = DifferenceStatus.SETTLED, db_now(), actor.id, note
    db.session.flush()
    audit.record(
        actor, "reconcile.settled", target_type="difference", target_id=row.id, family_id=row.family_id,
        old_status=DifferenceStatus.OPEN, new_status=row.status, reason=note,
        after={"kind": row.kind, "day": row.day.isoformat(), "expected": row.expected, "found": row.found},
    )  # fmt: skip
