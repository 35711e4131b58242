"""Families with parents for the tests of messages."""

from __future__ import annotations

import itertools

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.outbox.models import MessageConsent, Notification, NotificationPreference
from app.domain.people.models import Family, User

_numbers = itertools.count(1)


def make_family(*, parents: int = 1, consents: dict[str, int] | None = None) -> tuple[int, list[int]]:
    """A family with parents who allow `consents` messages per type: (family id, user ids)."""
    now = clock.now()
    family = Family(name="张女士家庭", created_at=now)
    db.session.add(family)
    db.session.flush()
    users = [
        User(family_id=family.id, openid=f"openid-{next(_numbers):06d}", nickname="小雨妈妈", registered_at=now)
        for _ in range(parents)
    ]
    db.session.add_all(users)
    db.session.flush()
    for user in users:
        for kind, remaining in (consents or {}).items():
            db.session.add(MessageConsent(user_id=user.id, type=kind, remaining=remaining, updated_at=now))
    db.session.commit()
    return family.id, [u.id for u in users]


def prefer(user_id: int, kind: str, enabled: bool) -> None:
    db.session.add(NotificationPreference(user_id=user_id, type=kind, enabled=enabled, updated_at=clock.now()))
    db.session.commit()


def remaining(user_id: int, kind: str) -> int:
    query = sa.select(MessageConsent.remaining).where(MessageConsent.user_id == user_id, MessageConsent.type == kind)
    return db.session.scalar(query) or 0


def rows(**where) -> list[Notification]:
    db.session.expire_all()
    return list(db.session.scalars(sa.select(Notification).filter_by(**where).order_by(Notification.id)))


def grant(user_id: int, kind: str, remaining: int) -> None:
    db.session.add(MessageConsent(user_id=user_id, type=kind, remaining=remaining, updated_at=clock.now()))
    db.session.commit()
