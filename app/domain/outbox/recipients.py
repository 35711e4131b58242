"""Who is told of what (N12), with what they allow and want, in one query."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.domain.outbox.kind import Audience, Kind
from app.domain.outbox.models import MessageConsent, NotificationPreference
from app.prepared import Prepared

# People come after messages in the order of imports, so their table is named, as in a foreign key.
_users = sa.table("users", sa.column("id"), sa.column("family_id"), sa.column("openid"))
_consents = MessageConsent.__table__
_preferences = NotificationPreference.__table__


@dataclass(frozen=True, slots=True)
class Recipient:
    user_id: int
    openid: str
    #: consents that are left at WeChat, by our count
    remaining: int
    #: what this parent set for the type; None when never asked
    preference: bool | None
    wants: bool


_query = Prepared(
    sa.select(_users.c.id, _users.c.openid, _consents.c.remaining, _preferences.c.enabled)
    .select_from(
        _users.outerjoin(
            _consents, sa.and_(_consents.c.user_id == _users.c.id, _consents.c.type == sa.bindparam("kind"))
        ).outerjoin(
            _preferences, sa.and_(_preferences.c.user_id == _users.c.id, _preferences.c.type == sa.bindparam("kind"))
        )
    )
    .where(_users.c.family_id == sa.bindparam("family"))
    .order_by(_users.c.id)
)


def of_family(family_id: int, kind: Kind, user_id: int | None) -> list[Recipient]:
    """The parents to consider, by id. For messages to who acted: that parent, and others who opted in.

    Who acted may have left the family since, as when a student moved to another one (P11): then it is everybody's.
    """
    found = _query({"family": family_id, "kind": kind.type}).rows
    to_all = kind.audience == Audience.FAMILY or all(row[0] != user_id for row in found)
    people = []
    for person_id, openid, remaining, enabled in found:
        mine = to_all or person_id == user_id
        if mine or enabled is True:
            wants = not kind.switchable or enabled is not False
            people.append(Recipient(person_id, openid, remaining or 0, enabled, wants))
    return people
