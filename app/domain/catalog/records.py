"""What course types, courses, coaches and venues share: unique names, archiving, an audit row for each change.

Building blocks: the use cases in `courses.py` are the transactions.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock, money
from app.db import db, lock_row
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.catalog import rules
from app.domain.catalog.errors import CoachNotFound, CourseNotFound, CourseTypeNotFound, NameTaken, VenueNotFound
from app.domain.catalog.models import Coach, Course, CourseType, Venue
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.errors import NotFound

#: model → (first word of its audit actions, what is raised where it is missing, its word in sentences)
_KINDS: dict[type, tuple[str, type[NotFound], str]] = {
    CourseType: ("course_type", CourseTypeNotFound, "课程类型"),
    Course: ("course", CourseNotFound, "课程"),
    Coach: ("coach", CoachNotFound, "教练"),
    Venue: ("venue", VenueNotFound, "场馆"),
}


def create_named(model: type, name: str, actor: Actor) -> int:
    roles.require(actor, Permission.SCHEDULE_EDIT)
    values = {"name": _own_name(model, name)}
    check_unique(model, "name", values["name"])
    return add(model, values, actor)


def rename(model: type, row_id: int, name: str, actor: Actor) -> None:
    roles.require(actor, Permission.SCHEDULE_EDIT)
    name = _own_name(model, name)
    row = locked(model, row_id)
    check_unique(model, "name", name, but=row_id)
    change(row, {"name": name}, actor)


def _own_name(model: type, name: str) -> str:
    return rules.name(name, label="教练姓名" if model is Coach else "场馆名称")


def locked(model: type, row_id: int) -> Any:
    row = lock_row(model, row_id)
    if row is None:
        raise _KINDS[model][1]
    return row


def check_unique(
    model: type, field: str, value: str, *, but: int | None = None, label: str = "名称", **among: int
) -> None:
    """Raises NameTaken; says so too where the one that has the name is archived, since nobody sees it then."""
    query = sa.select(model).filter_by(**{field: value} | among)
    for row in db.session.scalars(query):
        # MySQL's default collation holds more to be equal than people do, all emoji for instance.
        if row.id != but and getattr(row, field) == value:
            archived = getattr(row, "archived_at", None) is not None
            raise _taken(model, field, label, "（已停用，可以恢复它）" if archived else "")


def _taken(model: type, field: str, label: str, hint: str = "") -> NameTaken:
    sentence = f"已有同样{label}的{_KINDS[model][2]}{hint}"
    return NameTaken(sentence, errors={field: [sentence]})


def add(model: type, values: dict[str, Any], actor: Actor) -> int:
    row = model(**values, created_at=clock.now())
    db.session.add(row)
    _flush(model)
    kind = _KINDS[model][0]
    audit.record(actor, f"{kind}.created", target_type=kind, target_id=row.id, after=_shown(values))
    return row.id


def change(row: Any, values: dict[str, Any], actor: Actor) -> bool:
    """Write what differs, with its audit row; whether anything did."""
    before = {name: getattr(row, name) for name, value in values.items() if getattr(row, name) != value}
    if not before:
        return False
    for name in before:
        setattr(row, name, values[name])
    _flush(type(row))
    kind = _KINDS[type(row)][0]
    after = {name: values[name] for name in before}
    audit.record(
        actor, f"{kind}.updated", target_type=kind, target_id=row.id, before=_shown(before), after=_shown(after)
    )
    return True


def _flush(model: type) -> None:
    try:
        db.session.flush()
    except IntegrityError as error:
        # Two at once: the other one committed between our look and our write.
        raise _taken(model, "name", "名称") from error


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    return {name: money.plain(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def archive(model: type, row_id: int, actor: Actor) -> None:
    roles.require(actor, Permission.SCHEDULE_EDIT)
    row = locked(model, row_id)
    if row.archived_at is None:
        row.archived_at = clock.now()
        _note(row, "archived", actor)


def restore(model: type, row_id: int, actor: Actor) -> None:
    roles.require(actor, Permission.SCHEDULE_EDIT)
    row = locked(model, row_id)
    if row.archived_at is not None:
        row.archived_at = None
        _note(row, "restored", actor)


def _note(row: Any, word: str, actor: Actor) -> None:
    db.session.flush()
    kind = _KINDS[type(row)][0]
    audit.record(actor, f"{kind}.{word}", target_type=kind, target_id=row.id, after={"name": row.name})
