"""Which family a member of staff belongs to: nobody gives to their own, or decides for it (W12)."""

from __future__ import annotations

import sqlalchemy as sa

from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.people.models import Staff, User

_staff = Staff.__table__


def belongs_to(person: Staff | sa.Row, family_id: int) -> bool:
    """Whether it is this person's own family: linked to the account, or by openid or phone of one of its parents."""
    if person.family_id == family_id:
        return True
    same = []
    if person.openid:
        same.append(User.openid == person.openid)
    if person.phone_index:
        same.append(User.phone_index == person.phone_index)
    if not same:
        return False
    return db.session.scalar(sa.select(sa.exists().where(User.family_id == family_id, sa.or_(*same))))


def is_own(actor: Actor, family_id: int | None) -> bool:
    """Whether whoever acts belongs to this family, for pages and for use cases that do not hold the person's row;
    what is of no family (None) is nobody's own."""
    if actor.type != ActorType.STAFF or family_id is None:
        return False
    if actor.family_id is not None and actor.family_id == family_id:
        return True
    query = sa.select(_staff.c.family_id, _staff.c.openid, _staff.c.phone_index).where(_staff.c.id == actor.id)
    person = db.session.execute(query).first()
    return person is not None and belongs_to(person, family_id)
