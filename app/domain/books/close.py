"""日结: finance signs a studio day, and nothing is dated into it any more (W25).

What is signed is kept whole, as it was shown: a reprint shows the signature's figures and not today's. The lock itself
is in the database: rows of the ledger and payments carry the moment of their writing, and triggers refuse one that lies
in a closed day, whichever clock it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, money
from app.column_types import canonical_json
from app.db import RequestKey, db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.books import day as days
from app.domain.books import rules, tills
from app.domain.books.day import Day, Flow
from app.domain.books.earning import p, rf, tx
from app.domain.books.errors import CloseNotFound, DayClosed, DayMoved
from app.domain.books.models import DayClose
from app.domain.books.rules import Side
from app.domain.books.tills import Till
from app.domain.orders.models import RefundStatus
from app.domain.people import proof, roles
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.reconcile import queries as reconcile
from app.domain.reconcile.queries import BillDay
from app.paging import Listing, Page, keyset, whole
from app.text import clean

_c, _staff = DayClose.__table__, Staff.__table__


@dataclass(frozen=True, slots=True)
class Draft:
    """A day as it stands before it is signed."""

    day: Day
    methods: Sequence[Till]
    people: Sequence[Till]
    bill: BillDay | None
    #: differences of the day that the reconciliation found and nobody has settled
    open_ones: int

    def sides(self, counted_cash: Decimal | None) -> list[Side]:
        """The lines to compare; `counted_cash` in yuan, None while nobody has counted."""
        nets = {till.method: (till.net, till.shown) for till in self.methods}
        bill = None if self.bill is None else self.bill.paid - self.bill.refunded
        return rules.sides(nets, counted_cash=counted_cash, bill=bill, open_ones=self.open_ones)

    @property
    def digest(self) -> str:
        """What the person sees, in one word: whether it still stands when they sign."""
        return _digest(self.plain())

    def plain(self) -> dict[str, Any]:
        day = self.day
        return {
            "day": day.on.isoformat(), "opening": money.plain(day.opening), "closing": money.plain(day.closing),
            "arrears": money.plain(day.arrears), "arrears_families": day.arrears_families,
            "types": [_flow(flow) for flow in day.types], "methods": [_flow(flow) for flow in day.methods],
            "people": [_flow(flow) for flow in day.people], "tills": [_till(till) for till in self.methods],
            "hands": [_till(till) for till in self.people], "open_differences": self.open_ones,
            "bill": None if self.bill is None else {
                "paid": money.plain(self.bill.paid), "refunded": money.plain(self.bill.refunded),
                "payments": self.bill.payments, "refunds": self.bill.refunds,
            },
        }  # fmt: skip


def _flow(flow: Flow) -> dict[str, Any]:
    return {"key": flow.key, "word": flow.word, "in": money.plain(flow.money_in), "out": money.plain(flow.money_out),
            "rows": flow.rows}  # fmt: skip


def _till(till: Till) -> dict[str, Any]:
    return {"method": till.method, "person": till.person, "in": money.plain(till.money_in),
            "out": money.plain(till.money_out), "shown": money.plain(till.shown), "rows": till.rows}  # fmt: skip


def _digest(data: Any) -> str:
    return sha256(canonical_json(data).encode()).hexdigest()


def draft(on: date) -> Draft:
    """The day's figures side by side, as they are now."""
    taken = tills.taken(on)
    return Draft(
        days.figures(on), tills.by_method(taken), tills.by_person(taken), reconcile.bill_day(on),
        reconcile.open_count(on),
    )  # fmt: skip


# ── signing ─────────────────────────────────────────────────────────────────────────────────────────


@transactional
def close(
    *,
    on: date,
    counted_cash: Decimal,
    causes: Mapping[str, str],
    note: str,
    seen: str,
    actor: Actor,
    request_key: RequestKey | None = None,
) -> int:
    """Sign a day; returns the close's id. `counted_cash` is the net of the day's cash in yuan; `causes` says of each
    way that differs why; `seen` is the draft's digest that the person had before them.

    Raises DayNotOver, DayClosed, DayOutOfOrder, DayMoved, Invalid, Forbidden, StepUpRequired.
    """
    roles.require(actor, Permission.BOOKS_CLOSE)
    proof.require_recent(actor)
    now = db_now()
    last = db.session.scalar(sa.select(sa.func.max(_c.c.day)))
    rules.check_day(on, now, last=last, skipped=_first_moved(last, on))
    found = draft(on)
    if found.digest != seen:
        raise DayMoved
    lines = found.sides(counted_cash)
    said = rules.checked_causes(lines, {key: clean(text, rules.CAUSE_MAX + 1) for key, text in causes.items()})
    note = rules.checked_note(clean(note, rules.NOTE_MAX + 1))
    figures = found.plain() | {"sides": [_side(line, said.get(line.key)) for line in lines]}
    close_id = _insert(on, figures, counted_cash, note, actor, now)
    audit.record(
        actor, "books.day_closed", target_type="day_close", target_id=on.isoformat(), reason=note or None,
        after={"opening": figures["opening"], "closing": figures["closing"], "cash": money.plain(counted_cash),
               "causes": said},
    )  # fmt: skip
    return close_id


def _side(line: Side, cause: str | None) -> dict[str, Any]:
    shown = None if line.shown is None else money.plain(line.shown)
    gap = None if line.difference is None else money.plain(line.difference)
    return {"key": line.key, "documents": money.plain(line.documents), "shown": shown, "note": line.note,
            "difference": gap, "cause": cause}  # fmt: skip


def _insert(on: date, figures: dict[str, Any], cash: Decimal, note: str, actor: Actor, now: datetime) -> int:
    row = DayClose(
        day=on, ends_at=clock.day_bounds(on)[1], figures=figures, digest=_signature(on, figures, cash, note),
        counted_cash=cash, note=note, closed_by=actor.id, closed_at=now,
    )  # fmt: skip
    db.session.add(row)
    try:
        db.session.flush()
    except IntegrityError as error:
        # Two who sign at once: the day's unique key lets the first one through.
        raise DayClosed from error
    return row.id


def _signature(on: date, figures: Any, cash: Decimal, note: str) -> str:
    return _digest([on.isoformat(), figures, money.plain(cash), note])


def _first_moved(last: date | None, on: date) -> date | None:
    """The first day between the newest closed one and this one in which money moved; None before the first close."""
    if last is None or on <= last:
        return None
    start, end = clock.day_bounds(last)[1], clock.day_bounds(on)[0]
    spans = (
        (tx.c.created_at, ()), (p.c.created_at, ()), (rf.c.updated_at, (rf.c.status == RefundStatus.SUCCEEDED,)),
    )  # fmt: skip
    firsts = [db.session.scalar(sa.select(sa.func.min(at)).where(at >= start, at < end, *where)) for at, where in spans]
    moved = [first for first in firsts if first is not None]
    return clock.local(min(moved)).date() if moved else None


# ── what was signed ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Signed:
    """A closed day as it was signed. `figures` are texts; `intact` whether row and digest still agree, `same` whether
    the ledger says the same today."""

    row: sa.Row
    figures: dict[str, Any]
    intact: bool
    same: bool


_signed = sa.select(*_c.c, _staff.c.display_name.label("closed_by_name")).join(_staff, _staff.c.id == _c.c.closed_by)


def signed(on: date) -> Signed:
    """What was signed for a day. Raises CloseNotFound."""
    row = db.session.execute(_signed.where(_c.c.day == on)).first()
    if row is None:
        raise CloseNotFound
    day = days.figures(on)
    now = {"opening": money.plain(day.opening), "closing": money.plain(day.closing),
           "types": [_flow(flow) for flow in day.types]}  # fmt: skip
    return Signed(
        row, row.figures, row.digest == _signature(on, row.figures, row.counted_cash, row.note),
        all(row.figures[name] == value for name, value in now.items()),
    )  # fmt: skip


def is_closed(on: date) -> bool:
    """Whether somebody signed this day."""
    return db.session.scalar(sa.select(_c.c.id).where(_c.c.day == on)) is not None


#: the newest closed day
LAST = sa.select(sa.func.max(_c.c.day))


def last_closed() -> date | None:
    """The newest closed day."""
    return db.session.scalar(LAST)


def next_open(last: date | None) -> date | None:
    """The first day that is over and not closed, in which money moved since `last`, the newest close; None when all
    are."""
    return _first_moved(last, clock.today())


def page(*, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """Closed days, the newest first."""
    return keyset(_signed, _c.c.id, before=before, after=after, limit=limit)


def every() -> Listing:
    """All of them, for an export."""
    return whole(_signed, _c.c.id)
