"""How a parent comes to be: user, family and wallet in one transaction (P1).

The one module of `people` that stands above the ledger and the search index, because a family without its wallet
must not exist for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.ledger.service import open_wallet
from app.domain.people import rules
from app.domain.people.models import Family, MemberStatus, User
from app.domain.search.service import index_family


@dataclass(frozen=True, slots=True)
class Registered:
    """`created` is False when the openid was known before."""

    user_id: int
    family_id: int
    created: bool


class _OpenidTaken(Exception):
    """Another first sign-in of the same parent committed between our look and our insert."""


def register_user(
    *,
    openid: str,
    unionid: str | None = None,
    nickname: str | None = None,
    consent_version: str | None = None,
    actor: Actor,
) -> Registered:
    """The user of this openid, made with a family and a wallet of its own if there is none (P1).

    Two first sign-ins at once make one user: the unique openid decides, and the loser is given the winner's.
    `nickname` fills an empty one and never overwrites; a consent is recorded with its moment (S8). An actor of
    type parent becomes the user itself in the audit row.
    """
    facts = {"openid": openid, "unionid": unionid, "nickname": nickname, "consent_version": consent_version}
    for _ in range(2):
        try:
            return _register(**facts, actor=actor)
        except _OpenidTaken:
            continue
    raise RuntimeError("an openid was taken, and then nobody's")


@transactional
def _register(
    *, openid: str, unionid: str | None, nickname: str | None, consent_version: str | None, actor: Actor
) -> Registered:
    nickname = rules.optional_name(nickname, field="nickname", label="昵称")
    user = db.session.scalars(sa.select(User).where(User.openid == openid)).one_or_none()
    created = user is None
    if user is None:
        user = add_family_with_parent(openid=openid, unionid=unionid, nickname=nickname)
    elif nickname and not user.nickname:
        _take_nickname(user, nickname)
    if unionid and not user.unionid:
        user.unionid = unionid
    if actor.type == ActorType.PARENT:
        actor = replace(actor, id=user.id, name=user.real_name or user.nickname or "家长", family_id=user.family_id)
    if created:
        audit.record(
            actor, "user.registered", target_type="user", target_id=user.id, family_id=user.family_id,
            new_status=user.member_status,
        )  # fmt: skip
    if consent_version and (consent_version != user.consent_version or user.consent_withdrawn_at is not None):
        record_consent(user, consent_version, actor)
    return Registered(user.id, user.family_id, created)


def add_family_with_parent(*, openid: str, unionid: str | None = None, nickname: str | None = None) -> User:
    """Building block: a new family, its wallet, its first parent, and how both are found."""
    require_transaction()
    now = clock.now()
    family = Family(name="", created_at=now)
    db.session.add(family)
    db.session.flush()
    family.name = rules.family_name(None, nickname, family.id)
    user = User(
        family_id=family.id,
        openid=openid,
        unionid=unionid,
        nickname=nickname,
        member_status=MemberStatus.TRIAL,
        registered_at=now,
    )
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise _OpenidTaken from error
    open_wallet(family.id)
    index_family(family.id)
    return user


def record_consent(user: User, version: str, actor: Actor) -> None:
    """Building block: the parent agreed to this text on how the child's data is handled, now (S8)."""
    require_transaction()
    before = {"consent_version": user.consent_version} if user.consent_version else None
    user.consent_version, user.consent_at, user.consent_withdrawn_at = version, clock.now(), None
    audit.record(
        actor, "user.consented", target_type="user", target_id=user.id, family_id=user.family_id,
        before=before, after={"consent_version": version},
    )  # fmt: skip


def _take_nickname(user: User, nickname: str) -> None:
    family = db.session.get(Family, user.family_id)
    if family.name == rules.family_name(user.real_name, user.nickname, family.id):
        family.name = rules.family_name(user.real_name, nickname, family.id)
    user.nickname = nickname
    db.session.flush()
    index_family(user.family_id)
