"""Writing the search index: called in the transaction that makes or renames somebody (U2). Reading: queries.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from app.db import db, require_transaction
from app.domain.people.models import Family, Profile, User
from app.domain.search.models import SearchTerm
from app.domain.search.terms import NAME_LENGTH, normalized, terms

_index = SearchTerm.__table__
_CHUNK = 500


def index_family(family_id: int) -> None:
    """(Re)write the terms of a family: its name, its parents' nicknames and real names, its students' names.

    A merged family has none. Building block; it flushes the new names first.
    """
    index_families([family_id])


def index_families(family_ids: list[int]) -> None:
    """The same for many at once: an import of thousands takes a few statements for each hundred."""
    require_transaction()
    db.session.flush()
    for start in range(0, len(family_ids), _CHUNK):
        chunk = family_ids[start : start + _CHUNK]
        db.session.execute(_index.delete().where(_index.c.family_id.in_(chunk)))
        rows = [row for owner, family_id, name in _names(chunk) for row in term_rows(*owner, family_id, name)]
        if rows:
            db.session.execute(_index.insert(), rows)


def term_rows(owner_type: str, owner_id: int, family_id: int, name: str) -> list[dict[str, Any]]:
    """The rows of one name; whoever inserts thousands of families at once uses it directly."""
    plain = normalized(name)[:NAME_LENGTH]
    return [
        {"term": term, "name": plain, "owner_type": owner_type, "owner_id": owner_id, "family_id": family_id}
        for term in terms(name)
    ]


def _names(family_ids: list[int]) -> Iterator[tuple[tuple[str, int], int, str]]:
    """((owner type, owner id), family id, name) of everybody in these families."""
    families = sa.select(Family.id, Family.name).where(Family.id.in_(family_ids), Family.merged_into.is_(None))
    live = set()
    for family_id, name in db.session.execute(families):
        live.add(family_id)
        yield ("family", family_id), family_id, name
    users = sa.select(User.id, User.family_id, User.nickname, User.real_name).where(User.family_id.in_(live))
    for user_id, family_id, *names in db.session.execute(users):
        for name in dict.fromkeys(filter(None, names)):
            yield ("user", user_id), family_id, name
    profiles = sa.select(Profile.id, Profile.family_id, Profile.name).where(Profile.family_id.in_(live))
    for profile_id, family_id, name in db.session.execute(profiles):
        yield ("profile", profile_id), family_id, name
