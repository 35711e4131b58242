"""What `flask doctor` says of certificates, keys and the outside, kept for the page and the metrics (U10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import sqlalchemy as sa

from app import clock
from app.db import db, execute, transactional
from app.domain.watch.models import OutsideFinding

_f = OutsideFinding.__table__
#: worst first
ORDER = ("error", "warning", "ok")


class Found(Protocol):
    """A finding of flows/outside_checks.py or flows/key_checks.py."""

    name: str
    level: str
    text: str
    remedy: str
    days: int | None


@transactional
def keep(*, found: Iterable[Found]) -> None:
    """These instead of those of the last look."""
    execute(_f.delete())
    now = clock.now()
    for position, one in enumerate(found):
        execute(
            _f.insert().values(
                position=position, name=one.name[:64], level=one.level, text=one.text[:500],
                remedy=one.remedy[:500], days=one.days, checked_at=now,
            )
        )  # fmt: skip


def known() -> list[sa.Row]:
    """The last look's findings, the worst first."""
    rows = db.session.execute(sa.select(_f).order_by(_f.c.position))
    return sorted(rows, key=lambda row: ORDER.index(row.level))
