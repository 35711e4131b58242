"""A parent comes to be with family and wallet, or not at all (P1)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.db import db
from app.domain.audit.actor import Actor, system
from app.domain.audit.models import AuditEntry
from app.domain.ledger.models import Wallet
from app.domain.people import registration
from app.domain.people.models import Family, User
from app.domain.search.models import SearchTerm
from app.errors import Invalid

OPENID = "openid-reg-0001"
NOBODY = Actor(type="parent", id=None, name="未登录")


def register(**more):
    return registration.register_user(**({"openid": OPENID, "actor": NOBODY} | more))


def test_a_new_openid(app):
    made = register(unionid="u1", nickname=" 小雨\u202e妈妈 ", consent_version="2026-09")
    user, wallet = db.session.get(User, made.user_id), db.session.query(Wallet).one()
    assert made.created
    assert (user.nickname, user.unionid, user.member_status) == ("小雨妈妈", "u1", "trial")
    assert user.registered_at.tzinfo is not None
    assert user.enrolled_at is None
    assert (wallet.family_id, wallet.balance, wallet.status, wallet.version) == (
        made.family_id, Decimal("0.00"), "active", 0,
    )  # fmt: skip
    assert db.session.get(Family, made.family_id).name == "小雨妈妈家庭"
    assert db.session.query(SearchTerm).filter_by(family_id=made.family_id).count() > 0
    rows = db.session.query(AuditEntry).order_by(AuditEntry.id).all()
    assert [row.action for row in rows] == ["user.registered", "user.consented"]
    # By number: what stands in the audit log cannot be deleted, and names must be.
    assert all((row.actor_id, row.actor_name) == (user.id, f"家长 {user.id}") for row in rows)


def test_without_a_nickname_the_family_has_a_number(app):
    made = register()
    assert db.session.get(Family, made.family_id).name == f"新家庭{made.family_id}"
    register(nickname="小雨妈妈")
    assert db.session.get(Family, made.family_id).name == "小雨妈妈家庭"


def test_a_known_openid_keeps_what_it_has(app):
    first = register(nickname="小雨妈妈", unionid="u1", consent_version="1")
    consented_at = db.session.get(User, first.user_id).consent_at
    again = register(nickname="别名", unionid="u2", consent_version="1")
    user = db.session.get(User, first.user_id)
    assert again == registration.Registered(first.user_id, first.family_id, created=False)
    assert (user.nickname, user.unionid, user.consent_at) == ("小雨妈妈", "u1", consented_at)
    assert db.session.query(AuditEntry).filter_by(action="user.consented").count() == 1
    register(consent_version="2")
    assert db.session.get(User, first.user_id).consent_version == "2"
    row = db.session.query(AuditEntry).filter_by(action="user.consented").order_by(AuditEntry.id.desc()).first()
    assert (row.before, row.after) == ({"consent_version": "1"}, {"consent_version": "2"})


def test_a_unionid_is_filled_in_later(app):
    made = register()
    register(unionid="u9")
    assert db.session.get(User, made.user_id).unionid == "u9"


def test_another_actor_stays_itself(app):
    register(actor=system("demo"))
    row = db.session.query(AuditEntry).filter_by(action="user.registered").one()
    assert (row.actor_type, row.actor_name) == ("system", "demo")


def test_openids_are_compared_as_bytes(app):
    one, two = register(openid="AbCdEf-1"), register(openid="abcdef-1")
    assert one.user_id != two.user_id


def test_a_wrong_nickname_makes_nothing(app):
    with pytest.raises(Invalid) as caught:
        register(nickname="x" * 65)
    assert set(caught.value.errors) == {"nickname"}
    assert db.session.query(Family).count() == db.session.query(Wallet).count() == 0


def test_a_failure_half_way_makes_nothing(app, monkeypatch):
    def broken(family_id):
        raise RuntimeError("no wallet today")

    monkeypatch.setattr(registration, "open_wallet", broken)
    with pytest.raises(RuntimeError):
        register()
    assert db.session.query(Family).count() == db.session.query(User).count() == 0


def test_the_loser_of_a_race_is_given_the_winners_user(app, monkeypatch):
    """The look finds nobody, the insert meets the unique openid: as when the other one committed in between."""
    winner = register()
    real, looked = db.session.scalars, []

    class Nobody:
        def one_or_none(self):
            return None

    def blind(statement, *args, **kwargs):
        if not looked and "openid" in str(statement):
            looked.append(statement)
            return Nobody()
        return real(statement, *args, **kwargs)

    monkeypatch.setattr(db.session, "scalars", blind)
    assert register() == registration.Registered(winner.user_id, winner.family_id, created=False)
    assert looked
    assert db.session.query(Family).count() == db.session.query(Wallet).count() == 1
