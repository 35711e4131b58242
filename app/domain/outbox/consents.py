"""How many messages a parent still allows, per type (Q14): +1 a tap, −1 a message, none after 43101.

WeChat keeps no count that we may ask for, so ours is an estimate: it decides whether trying makes sense.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.outbox.kinds import KINDS
from app.domain.outbox.models import MessageConsent
from app.domain.policy import switches
from app.domain.policy.switches import Capability
from app.errors import Invalid

_table = MessageConsent.__table__
#: more than anybody needs; keeps a phone gone wild from counting for ever
MOST = 1000


@transactional
def record(*, user_id: int, type: str, accepted: bool, actor: Actor, request_key: RequestKey | None = None) -> int:
    """The parent answered WeChat's question for one type: count a yes. Returns what is left.

    Raises Invalid for an unknown type. A no changes nothing (96.73).
    """
    if type not in KINDS:
        raise Invalid.field("template", "没有这个消息模板")
    if accepted:
        change(user_id, type, +1)
        audit.record(actor, "notification.consented", target_type="user", target_id=user_id, family_id=actor.family_id,
                     after={"type": type})  # fmt: skip
    return of_type(user_id, type)


def remaining(user_id: int) -> dict[str, int]:
    """Every type → messages left for this parent."""
    query = sa.select(_table.c.type, _table.c.remaining).where(_table.c.user_id == user_id)
    kept = {row.type: row.remaining for row in db.session.execute(query)}
    return {name: kept.get(name, 0) for name in KINDS}


def of_type(user_id: int, type: str) -> int:
    """Messages left of one type."""
    query = sa.select(_table.c.remaining).where(_table.c.user_id == user_id, _table.c.type == type)
    return db.session.scalar(query) or 0


def change(user_id: int, type: str, by: int) -> None:
    """Building block: add to the count."""
    require_transaction()
    if _add(user_id, type, by):
        return
    try:
        db.session.execute(
            _table.insert().values(user_id=user_id, type=type, remaining=max(by, 0), updated_at=clock.now())
        )
    except IntegrityError:
        # Two taps at once: the other one made the row.
        if not _add(user_id, type, by):
            raise


def spend(user_id: int, type: str) -> bool:
    """Building block: take one; False, and nothing changed, when none is left."""
    require_transaction()
    taken = db.session.execute(
        _table.update()
        .where(_table.c.user_id == user_id, _table.c.type == type, _table.c.remaining > 0)
        .values(remaining=_table.c.remaining - 1, updated_at=clock.now())
    )
    return taken.rowcount == 1


def spend_or_why(row: sa.Row) -> tuple[str, str] | None:
    """Building block: spend a consent for this message; else code and sentence why WeChat is not asked (96.74, Z15)."""
    if not switches.is_open(Capability.WECHAT_MESSAGE, row.family_id):
        return "feature_off", "微信消息没有对这个家庭开放"
    return None if spend(row.user_id, row.type) else ("no_consent", "家长没有可用的订阅授权")


def clear(user_id: int, type: str) -> None:
    """Building block: WeChat says that none is left (43101)."""
    require_transaction()
    db.session.execute(
        _table.update()
        .where(_table.c.user_id == user_id, _table.c.type == type)
        .values(remaining=0, updated_at=clock.now())
    )


def _add(user_id: int, type: str, by: int) -> bool:
    more = sa.case((_table.c.remaining + by > MOST, MOST), else_=_table.c.remaining + by)
    done = db.session.execute(
        _table.update()
        .where(_table.c.user_id == user_id, _table.c.type == type)
        .values(remaining=more, updated_at=clock.now())
    )
    return done.rowcount == 1
