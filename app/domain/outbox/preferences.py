"""What a parent turned off (N6): the five types of 96.76 and no others."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.outbox.kinds import SWITCHABLE
from app.domain.outbox.models import NotificationPreference
from app.errors import Invalid

_table = NotificationPreference.__table__


def get(user_id: int) -> dict[str, bool]:
    """Every switchable type → whether this parent wants it. On, until turned off."""
    query = sa.select(_table.c.type, _table.c.enabled).where(_table.c.user_id == user_id)
    kept = {row.type: bool(row.enabled) for row in db.session.execute(query)}
    return {name: kept.get(name, True) for name in SWITCHABLE}


@transactional
def put(
    *, user_id: int, wanted: dict[str, Any], actor: Actor, request_key: RequestKey | None = None
) -> dict[str, bool]:
    """Change the types named in `wanted` and return all. Raises Invalid for another type or what is no boolean."""
    wrong = {name: ["没有这个可关闭的消息类型"] for name in wanted if name not in SWITCHABLE}
    for name, on in wanted.items():
        if name not in wrong and not isinstance(on, bool):
            wrong[name] = ["只能是 true 或 false"]
    if wrong:
        raise Invalid(errors=wrong)
    before = get(user_id)
    changed = {name: on for name, on in wanted.items() if before[name] != on}
    for name, on in wanted.items():
        _set(user_id, name, on)
    if changed:
        audit.record(
            actor,
            "notification.preferences_set",
            target_type="user",
            target_id=user_id,
            family_id=actor.family_id,
            before={name: before[name] for name in changed},
            after=changed,
        )
    return before | changed


def _set(user_id: int, type: str, enabled: bool) -> None:
    values = {"enabled": enabled, "updated_at": clock.now()}
    mine = sa.and_(_table.c.user_id == user_id, _table.c.type == type)
    if db.session.execute(_table.update().where(mine).values(values)).rowcount:
        return
    try:
        db.session.execute(_table.insert().values(user_id=user_id, type=type, **values))
    except IntegrityError:
        db.session.execute(_table.update().where(mine).values(values))
