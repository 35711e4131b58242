"""Rotating the data keys and rebuilding the indexes, some hundred rows per transaction, while everything runs.

Stands above the search index, as registration does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.people.models import Family, Profile, Staff, User
from app.domain.people.phones import tail_index, whole_index
from app.domain.people.roles import Permission, require
from app.domain.search.service import index_families
from app.vault import sealed_with_newest

PART = 500
#: every sealed column with its Chinese word
SEALED = ((User, "phone", "手机号"), (Profile, "birthday", "生日"), (Staff, "totp_secret", "动态验证码密钥"))


@dataclass(frozen=True, slots=True)
class Reindexed:
    phones: int
    families: int


def rotate(*, actor: Actor) -> dict[str, int]:
    """Seal again what an older key sealed; returns how many by what. Raises CannotDecrypt."""
    done = {}
    for model, column, word in SEALED:
        done[word] = sum(_reseal(model=model, column=column, ids=ids) for ids in _parts(model))
    _note(action="data.rotated", after=done, actor=actor)
    return done


@transactional
def _reseal(*, model: type, column: str, ids: list[int]) -> int:
    table = model.__table__
    chosen = sa.select(table.c.id, sa.type_coerce(table.c[column], sa.LargeBinary).label("box"))
    rows = db.session.execute(
        chosen.where(table.c.id.in_(ids), table.c[column].is_not(None)).order_by(table.c.id).with_for_update()
    )
    old = [row.id for row in rows if not sealed_with_newest(bytes(row.box))]
    for row in db.session.execute(sa.select(table.c.id, table.c[column].label("plain")).where(table.c.id.in_(old))):
        db.session.execute(table.update().where(table.c.id == row.id).values({column: row.plain}))
    return len(old)


def reindex(*, actor: Actor) -> Reindexed:
    """Compute phone indexes and search terms anew."""
    phones = sum(_index_phones(ids=ids) for ids in _parts(User))
    families = sum(_index_families(ids=ids) for ids in _parts(Family))
    _note(action="data.reindexed", after={"phones": phones, "families": families}, actor=actor)
    return Reindexed(phones, families)


@transactional
def _index_phones(*, ids: list[int]) -> int:
    table = User.__table__
    found = sa.select(table.c.id, table.c.phone).where(table.c.id.in_(ids), table.c.phone.is_not(None))
    rows = list(db.session.execute(found.order_by(table.c.id).with_for_update()))
    for row in rows:
        indexes = {"phone_index": whole_index(row.phone), "phone_tail": tail_index(row.phone[-4:])}
        db.session.execute(table.update().where(table.c.id == row.id).values(indexes))
    return len(rows)


@transactional
def _index_families(*, ids: list[int]) -> int:
    index_families(ids)
    return len(ids)


@transactional
def _note(*, action: str, after: dict, actor: Actor) -> None:
    require(actor, Permission.SYSTEM_RUN)
    audit.record(actor, action, target_type="data", target_id="keys", after=after)


def _parts(model: type) -> Iterator[list[int]]:
    """All ids, PART at a time, ascending."""
    last = 0
    while ids := list(db.session.scalars(sa.select(model.id).where(model.id > last).order_by(model.id).limit(PART))):
        db.session.rollback()
        yield ids
        last = ids[-1]
