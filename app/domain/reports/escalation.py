"""What has waited too long on the exceptions board: after a day the finance hears of it, after three the manager (Z16).

One card for all that grew late since the last look. An audit row at each item says that it was told, to whom, and since
when it had waited; it is also what keeps a standing item from being told again with every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa

from app import money
from app.db import db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.cases import rules
from app.domain.outbox import service as outbox
from app.domain.reports import board
from app.domain.reports.board import BoardFilter, Item, Source

_log = AuditEntry.__table__

ACTION = "case.escalated"
#: items that a card names; all of them are on the board
SHOWN = 8
#: late items that one run looks at
MOST = 1000

_TARGETS = {Source.CASE: "money_case", Source.DIFFERENCE: "difference", Source.RECEIPT: "adjustment"}


@dataclass(frozen=True, slots=True)
class Level:
    """Who hears of what has waited from `age` on, until the next level's."""

    name: str
    who: str
    age: timedelta
    until: timedelta
    colour: str


LEVELS = (
    Level("finance", "财务", rules.LATE, rules.VERY_LATE, "orange"),
    Level("manager", "店长", rules.VERY_LATE, timedelta.max, "red"),
)


def escalate() -> int:
    """Tell the money group what grew late; returns how many items."""
    now = db_now()
    late = list(_late(now))
    db.session.rollback()
    return sum(_tell(level=level, items=_of_level(level, late, now), now=now) for level in LEVELS)


def _late(now: datetime) -> Iterator[Item]:
    """What has waited for a day or more, the oldest first."""
    after, seen = None, 0
    while seen < MOST:
        page = board.page(BoardFilter(), after=after)
        for item in page.items:
            if item.opened_at > now - rules.LATE:
                return
            seen += 1
            yield item
        after = page.newer
        if after is None:
            return


def _of_level(level: Level, late: list[Item], now: datetime) -> list[Item]:
    return [item for item in late if level.age <= now - item.opened_at < level.until]


@transactional
def _tell(*, level: Level, items: list[Item], now: datetime) -> int:
    fresh = [item for item in items if not _was_told(level, item)]
    if not fresh:
        return 0
    card = _card(level, fresh, now)
    if outbox.tell_staff("money", "staff.money_case", card, dedupe=_key(level, fresh)) is None:
        return 0  # another told the same at the same moment
    for item in fresh:
        audit.record(
            system("exceptions_escalate"), ACTION, target_type=_TARGETS[item.source], target_id=item.id,
            family_id=item.family_id, after={"to": level.name, "since": item.opened_at.isoformat()},
        )  # fmt: skip
    return len(fresh)


def _was_told(level: Level, item: Item) -> bool:
    """A difference that opens again waits anew: its time tells."""
    told = sa.select(_log.c.after).where(
        _log.c.target_type == _TARGETS[item.source], _log.c.target_id == str(item.id), _log.c.action == ACTION
    )
    return {"to": level.name, "since": item.opened_at.isoformat()} in list(db.session.scalars(told))


def _key(level: Level, items: list[Item]) -> str:
    names = "|".join(f"{item.source}{item.id}@{item.opened_at.isoformat()}" for item in items)
    return f"late:{level.name}:{sha256(names.encode()).hexdigest()[:32]}"


def _card(level: Level, items: list[Item], now: datetime) -> dict:
    lines = [[_waited(item.opened_at, now), _line(item)] for item in items[:SHOWN]]
    if len(items) > SHOWN:
        lines.append(["还有", f"{len(items) - SHOWN} 项"])
    hours = int(level.age.total_seconds() // 3600)
    return {
        "title": f"{len(items)} 项异常超过 {hours} 小时没有处理，请{level.who}处理",
        "colour": level.colour,
        "lines": lines,
        "link": {"text": "异常处理", "path": "/exceptions"},
    }


def _line(item: Item) -> str:
    amount = "" if item.amount is None else f" {money.yuan(item.amount)}"
    return f"{item.what} #{item.id}{amount}" + (f" · {item.family_name}" if item.family_name else "")


def _waited(since: datetime, now: datetime) -> str:
    hours = int((now - since).total_seconds() // 3600)
    return f"{hours // 24} 天" if hours >= 48 else f"{hours} 小时"
