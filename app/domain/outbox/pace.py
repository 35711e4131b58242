"""One pace per channel, shared by all workers through a row: Feishu's limits, and a provider's pause (N4, N9).

The row keeps the moment from which the channel is wholly free. Each call moves it on by one interval; a call may
be made while it lies less than a burst of intervals ahead. So three cards go at once, and 84 in a minute at most,
well under the 5 a second and 100 a minute at which Feishu refuses.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db import db, require_transaction
from app.domain.outbox.models import ChannelPace

_table = ChannelPace.__table__

INTERVAL = timedelta(milliseconds=710)
BURST = 3


def free_at(name: str) -> datetime | None:
    """The moment that the row keeps, or None when the channel was never used."""
    return db.session.scalar(sa.select(_table.c.free_at).where(_table.c.name == name))


def calls_left(name: str, now: datetime) -> int:
    """How many calls may be made at once: 0 to BURST."""
    kept = free_at(name)
    if kept is None or kept <= now:
        return BURST
    return max(0, BURST - -(-(kept - now) // INTERVAL))


def take(name: str, now: datetime) -> bool:
    """Building block: take one call; False, and nothing changed, when none is left or another worker was faster."""
    require_transaction()
    kept = free_at(name)
    if kept is None:
        return _insert(name, now + INTERVAL)
    if calls_left(name, now) < 1:
        return False
    moved = max(kept, now) + INTERVAL
    query = _table.update().where(_table.c.name == name, _table.c.free_at == kept).values(free_at=moved)
    return db.session.execute(query).rowcount == 1


def pause(name: str, until: datetime) -> None:
    """Building block: nobody calls before `until`; a longer pause that is already there stays."""
    require_transaction()
    # The burst would let calls through that early, so the moment kept lies a burst later.
    until += INTERVAL * (BURST - 1)
    query = _table.update().where(_table.c.name == name)
    later = sa.case((_table.c.free_at < until, until), else_=_table.c.free_at)
    if not db.session.execute(query.values(free_at=later)).rowcount:
        _insert(name, until)


def _insert(name: str, moment: datetime) -> bool:
    try:
        db.session.execute(_table.insert().values(name=name, free_at=moment))
    except IntegrityError:
        return False
    return True
