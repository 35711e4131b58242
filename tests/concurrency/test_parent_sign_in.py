"""First sign-ins at once make one user (P1); of two refreshes of one token one wins (P5). Each with its control."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import db, transactional
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.ledger.models import Wallet
from app.domain.people import parent_sessions, registration
from app.domain.people.models import Family, User, UserSession
from app.errors import Unauthenticated
from tests.concurrency.processes import pool, together

pytestmark = pytest.mark.concurrency

PHONES = 4
OPENID = "openid-race-0001"
NOBODY = Actor(type="parent", id=None, name="未登录")


def _count(model) -> int:
    return db.session.execute(sa.select(sa.func.count()).select_from(model)).scalar_one()


# ── first sign-in ───────────────────────────────────────────────────────────────────────────────────


def sign_in_first(openid: str) -> tuple[int, int, bool]:
    together()
    made = registration.register_user(openid=openid, nickname="小雨妈妈", consent_version="1", actor=NOBODY)
    return made.user_id, made.family_id, made.created


def test_first_sign_ins_at_once_make_one_user(live_app):
    with pool(live_app, PHONES) as members:
        for attempt in range(5):
            answers = members.map(sign_in_first, [f"{OPENID}-{attempt}"] * PHONES, chunksize=1)
            assert len({(user, family) for user, family, _ in answers}) == 1
            assert [created for *_, created in answers].count(True) == 1
    with live_app.app_context():
        assert _count(User) == _count(Family) == _count(Wallet) == 5
        assert db.session.query(AuditEntry).filter_by(action="user.registered").count() == 5


@transactional
def _add_unseen(*, openid: str) -> int:
    return registration.add_family_with_parent(openid=openid).id


def look_then_add(openid: str, member: int, constrained: bool) -> bool:
    """Registration as somebody would write it who trusts the look: nobody is there, so add one."""
    seen = db.session.execute(sa.select(User.id).where(User.openid == openid)).first()
    db.session.rollback()
    together()
    if seen is not None:
        return False
    try:
        _add_unseen(openid=openid if constrained else f"{openid}-{member}")
    except registration._OpenidTaken:
        return False
    return True


@pytest.mark.parametrize("constrained", [True, False])
def test_control_the_unique_openid_is_what_decides(live_app, constrained):
    """All look before any adds. With the constraint one gets through; where it can't bite, all do."""
    with pool(live_app, PHONES) as members:
        tasks = [(OPENID, member, constrained) for member in range(PHONES)]
        added = members.starmap(look_then_add, tasks, chunksize=1)
    assert sum(added) == (1 if constrained else PHONES)
    with live_app.app_context():
        assert _count(User) == _count(Family) == _count(Wallet) == sum(added)


# ── refresh ─────────────────────────────────────────────────────────────────────────────────────────


def refresh(token: str) -> str | None:
    together()
    try:
        return parent_sessions.refresh(refresh_token=token).refresh_token
    except Unauthenticated:
        return None


def _signed_in() -> str:
    made = registration.register_user(openid=OPENID, actor=NOBODY)
    return parent_sessions.open_session(user_id=made.user_id, actor=NOBODY).refresh_token


def test_one_of_many_refreshes_wins(live_app):
    with live_app.app_context():
        token = _signed_in()
    with pool(live_app, PHONES) as members:
        for _ in range(5):
            new = [answer for answer in members.map(refresh, [token] * PHONES, chunksize=1) if answer]
            assert len(new) == 1
            token = new[0]
    with live_app.app_context():
        assert db.session.query(UserSession).one().refresh_hash == parent_sessions.digest(token)


@transactional
def _renew_by_id(*, session_id: str, token: str) -> None:
    db.session.query(UserSession).filter_by(id=session_id).update({"refresh_hash": parent_sessions.digest(token)})


def look_then_renew(token: str, member: int) -> bool:
    row = db.session.query(UserSession).filter_by(refresh_hash=parent_sessions.digest(token)).one_or_none()
    db.session.rollback()
    together()
    if row is None:
        return False
    _renew_by_id(session_id=row.id, token=f"new-{member}")
    return True


def test_control_without_the_guard_all_win(live_app):
    with live_app.app_context():
        token = _signed_in()
    with pool(live_app, PHONES) as members:
        assert all(members.starmap(look_then_renew, [(token, member) for member in range(PHONES)], chunksize=1))
