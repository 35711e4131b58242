"""Sign-ins of parents in the database (P5)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.people import parent_sessions, registration
from app.domain.people.models import UserSession
from app.domain.policy.models import PolicyValue
from app.errors import Unauthenticated

NOBODY = Actor(type="parent", id=None, name="未登录")


@pytest.fixture
def made(app):
    return registration.register_user(openid="openid-sessions-1", nickname="小雨妈妈", actor=NOBODY)


@pytest.fixture
def opened(made):
    return parent_sessions.open_session(user_id=made.user_id, actor=NOBODY)


def test_only_a_hash_is_kept(opened):
    row = db.session.query(UserSession).one()
    assert row.refresh_hash == parent_sessions.digest(opened.refresh_token)
    assert opened.refresh_token not in str(vars(row))
    assert len(opened.refresh_token) >= 43


def test_who_is_signed_in(made, opened, statements):
    found = parent_sessions.signed_in(opened.id, made.user_id)
    assert len([text for text in statements if text.lstrip().startswith("SELECT")]) == 1
    assert (found.user_id, found.family_id, found.name, found.reads_per_minute) == (
        made.user_id, made.family_id, "小雨妈妈", 300,
    )  # fmt: skip
    assert parent_sessions.signed_in(opened.id, made.user_id + 1) is None
    assert parent_sessions.signed_in("0" * 32, made.user_id) is None


def test_a_changed_limit_is_effective_at_once(made, opened):
    db.session.add(PolicyValue(name="limit_read", value="7", updated_at=clock.now(), updated_by="t"))
    db.session.commit()
    assert parent_sessions.signed_in(opened.id, made.user_id).reads_per_minute == 7


def test_a_refresh_moves_the_end(opened):
    with clock.travel(by=timedelta(days=29)):
        renewed = parent_sessions.refresh(refresh_token=opened.refresh_token)
    assert renewed.id == opened.id
    with clock.travel(by=timedelta(days=58)):
        parent_sessions.refresh(refresh_token=renewed.refresh_token)


@pytest.mark.parametrize("days", [30, 31])
def test_a_lapsed_refresh_token(opened, days):
    with clock.travel(by=timedelta(days=days)), pytest.raises(Unauthenticated):
        parent_sessions.refresh(refresh_token=opened.refresh_token)


def test_spent_unknown_and_ended(made, opened):
    parent_sessions.refresh(refresh_token=opened.refresh_token)
    for token in (opened.refresh_token, "", "x", "码", opened.id):
        with pytest.raises(Unauthenticated):
            parent_sessions.refresh(refresh_token=token)


def test_ending_is_once(made, opened):
    actor = Actor(type="parent", id=made.user_id, name="小雨妈妈", family_id=made.family_id)
    for _ in range(2):
        parent_sessions.end_session(session_id=opened.id, actor=actor)
    assert parent_sessions.signed_in(opened.id, made.user_id) is None
    with pytest.raises(Unauthenticated):
        parent_sessions.refresh(refresh_token=opened.refresh_token)
    assert db.session.query(AuditEntry).filter_by(action="user.signed_out").count() == 1
