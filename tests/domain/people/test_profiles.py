"""Rules of names, days and phones, and what the services refuse without any edge before them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from app import clock
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.people import phones, profiles, queries, registration, rules
from app.domain.people.models import Profile, User
from app.domain.people.profiles import PhoneTaken, StudentFacts
from app.errors import Invalid, NotFound

NOBODY = Actor(type="parent", id=None, name="未登录")


def new_parent(n: int = 1) -> Actor:
    made = registration.register_user(openid=f"openid-profiles-{n}", nickname=f"家长{n}", actor=NOBODY)
    return Actor(type="parent", id=made.user_id, name=f"家长{n}", family_id=made.family_id)


@pytest.mark.parametrize(
    ("text", "name"),
    [("小雨", "小雨"), ("  小  雨 ", "小 雨"), ("a\x00b\x07c", "abc"), ("\u2066小\u2069雨", "小雨"),
     ("👩‍👧 妈妈", "👩‍👧 妈妈"), ("\U0001fae8❤️\ue000\u0378", "\U0001fae8❤️"),
     ("雨" * 64, "雨" * 64), ("Ænïn O'Neil", "Ænïn O'Neil"),
     ("<b>小雨</b>", "<b>小雨</b>")],
)  # fmt: skip
def test_names(text, name):
    assert rules.person_name(text) == name


@pytest.mark.parametrize("text", ["", " ", "\u202e", "\x00", "雨" * 65])
def test_no_names(text):
    with pytest.raises(Invalid) as caught:
        rules.person_name(text, field="real_name", label="真实姓名")
    assert set(caught.value.errors) == {"real_name"}
    assert "真实姓名" in caught.value.message


def test_birthdays(app):
    today = clock.today()
    assert rules.birthday(today) == today
    assert rules.birthday(date(1900, 1, 1)) == date(1900, 1, 1)
    for wrong in (today + timedelta(days=1), date(1899, 12, 31)):
        with pytest.raises(Invalid):
            rules.birthday(wrong)


@pytest.mark.parametrize(
    ("real", "nick", "name"),
    [
        ("张敏", "小雨妈妈", "张敏家庭"),
        (None, "小雨妈妈", "小雨妈妈家庭"),
        (None, None, "新家庭7"),
        ("长" * 64, None, "长" * 62 + "家庭"),
    ],
)
def test_family_names(real, nick, name):
    assert rules.family_name(real, nick, 7) == name


def test_services_judge_by_themselves(app):
    actor = new_parent()
    with pytest.raises(Invalid):
        profiles.add_profile(facts=StudentFacts("x" * 65), actor=actor)
    with pytest.raises(Invalid):
        profiles.add_profile(facts=StudentFacts("小雨", clock.today() + timedelta(days=1)), actor=actor)
    with pytest.raises(ValueError, match="boy"):
        profiles.add_profile(facts=StudentFacts("小雨", gender="boy"), actor=actor)
    with pytest.raises(Invalid):
        profiles.add_profile(facts=StudentFacts("小雨", level="L9"), actor=actor)
    assert db.session.query(Profile).count() == 0
    with pytest.raises(NotFound):
        profiles.update_profile(profile_id=1, changes={"name": "x"}, actor=actor)


def test_phone_forms_are_one_number(app):
    one, two = new_parent(1), new_parent(2)
    card = profiles.set_phone(phone="+86 137-1234-1234", actor=one)
    assert card.phone_masked == "137****1234"
    assert profiles.set_phone(phone="13712341234", actor=one) == card
    with pytest.raises(PhoneTaken):
        profiles.set_phone(phone="8613712341234", actor=two)
    assert profiles.set_phone(phone="13712340000", actor=two).phone_masked == "137****0000"
    user = db.session.get(User, two.id)
    assert user.phone_tail == phones.tail_index("0000")


def test_a_number_taken_between_look_and_write(app, monkeypatch):
    one, two = new_parent(1), new_parent(2)
    profiles.set_phone(phone="13712341234", actor=one)
    real = db.session.execute

    class Nobody:
        def first(self):
            return None

    def blind(statement, *args, **kwargs):
        text = str(statement)
        if text.startswith("SELECT users.id") and "phone_index" in text:
            return Nobody()
        return real(statement, *args, **kwargs)

    monkeypatch.setattr(db.session, "execute", blind)
    with pytest.raises(PhoneTaken):
        profiles.set_phone(phone="13712341234", actor=two)
    monkeypatch.undo()
    assert queries.find_user(two.id).phone_masked is None


def test_queries_of_nobody(app):
    assert queries.find_user(999) is None
    assert queries.profiles_of(999) == []
    assert queries.members_of(999) == []
    assert queries.has_profile(1, 1) is False
