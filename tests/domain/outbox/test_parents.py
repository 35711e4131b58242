"""What a parent's phone asks for: consents, preferences, in-app messages."""

from __future__ import annotations

import pytest

from app.db import RequestKey, db, transaction
from app.domain.audit.actor import Actor
from app.domain.outbox import consents, preferences, queries, service
from app.domain.outbox.kinds import KINDS, SWITCHABLE
from app.errors import Invalid, NotFound, Replayed
from tests.domain.outbox.families import make_family, remaining, rows


def parent(user: int, family: int) -> Actor:
    return Actor(type="parent", id=user, name="小雨妈妈", family_id=family)


@pytest.fixture
def someone(app):
    family, [user] = make_family()
    return family, user, parent(user, family)


def test_each_tap_counts_and_a_no_does_not(someone):
    _, user, actor = someone
    assert consents.record(user_id=user, type="arrears", accepted=True, actor=actor) == 1
    assert consents.record(user_id=user, type="arrears", accepted=True, actor=actor) == 2
    assert consents.record(user_id=user, type="arrears", accepted=False, actor=actor) == 2
    left = consents.remaining(user)
    assert left["arrears"] == 2
    assert set(left) == set(KINDS)
    assert sum(left.values()) == 2


def test_a_tap_sent_twice_counts_once(someone):
    _, user, actor = someone
    key = RequestKey(f"user:{user}", "k1", "f", lambda left: {"remaining": left})
    consents.record(user_id=user, type="arrears", accepted=True, actor=actor, request_key=key)
    with pytest.raises(Replayed) as again:
        consents.record(user_id=user, type="arrears", accepted=True, actor=actor, request_key=key)
    assert again.value.answer == {"remaining": 1}
    assert remaining(user, "arrears") == 1


def test_an_unknown_template_is_refused(someone):
    _, user, actor = someone
    with pytest.raises(Invalid) as refusal:
        consents.record(user_id=user, type="nonsense", accepted=True, actor=actor)
    assert "template" in refusal.value.errors


def test_a_phone_gone_wild_does_not_count_for_ever(someone):
    _, user, _ = someone
    with transaction():
        consents.change(user, "arrears", consents.MOST)
        consents.change(user, "arrears", 1)
    assert remaining(user, "arrears") == consents.MOST


def test_spending_stops_at_nothing(someone):
    _, user, _ = someone
    with transaction():
        assert not consents.spend(user, "arrears")
        consents.change(user, "arrears", 1)
        assert consents.spend(user, "arrears")
        assert not consents.spend(user, "arrears")
        consents.change(user, "arrears", 3)
        consents.clear(user, "arrears")
        assert not consents.spend(user, "arrears")


def test_building_blocks_need_a_transaction(app):
    for block in (lambda: consents.change(1, "x", 1), lambda: consents.spend(1, "x"), lambda: consents.clear(1, "x")):
        with pytest.raises(RuntimeError):
            block()


def test_preferences_are_on_until_turned_off(someone):
    _, user, actor = someone
    assert preferences.get(user) == dict.fromkeys(SWITCHABLE, True)
    assert preferences.put(user_id=user, wanted={"low_balance": False}, actor=actor)["low_balance"] is False
    assert preferences.get(user)["low_balance"] is False
    assert preferences.put(user_id=user, wanted={"low_balance": True}, actor=actor)["low_balance"] is True
    assert preferences.put(user_id=user, wanted={}, actor=actor) == dict.fromkeys(SWITCHABLE, True)
    changes = db.session.scalars(db.text("SELECT action FROM audit_log")).all()
    assert changes.count("notification.preferences_set") == 2


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"payment_result": False}, "payment_result"),
        ({"nonsense": True}, "nonsense"),
        ({"low_balance": 0}, "low_balance"),
        ({"low_balance": None}, "low_balance"),
        ({"low_balance": "false"}, "low_balance"),
    ],
)
def test_what_cannot_be_turned_off_is_refused_and_nothing_changes(someone, wanted, field):
    _, user, actor = someone
    with pytest.raises(Invalid) as refusal:
        preferences.put(user_id=user, wanted={"balance_changed": False, **wanted}, actor=actor)
    assert list(refusal.value.errors) == [field]
    assert preferences.get(user)["balance_changed"] is True


def write(family: int, count: int) -> None:
    for number in range(count):
        with transaction():
            service.tell_family(family, "withdrawal_result", {"amount": f"{number}.00"}, dedupe=f"w{number}")


def test_in_app_messages_come_newest_first_in_pages(someone):
    family, user, _ = someone
    write(family, 5)
    first, last = queries.in_app(user, limit=2)
    assert first[0].text.startswith("您申请的提现 ¥4.00")
    assert last == first[-1].id
    more, last = queries.in_app(user, before=last, limit=2)
    rest, end = queries.in_app(user, before=last, limit=2)
    assert len({r.id for r in [*first, *more, *rest]}) == 5
    assert end is None


def test_reading_one(someone):
    family, user, _ = someone
    write(family, 2)
    [newest, oldest], _ = queries.in_app(user)
    assert queries.unread_count(user) == 2
    first = queries.mark_read(user_id=user, notification_id=newest.id)
    assert first.read_at is not None
    assert queries.mark_read(user_id=user, notification_id=newest.id).read_at == first.read_at
    assert queries.unread_count(user) == 1
    assert [r.id for r in queries.in_app(user, unread=True)[0]] == [oldest.id]


def test_others_messages_do_not_exist(someone):
    family, user, _ = someone
    write(family, 1)
    _, [stranger] = make_family()
    [row], _ = queries.in_app(user)
    with pytest.raises(NotFound):
        queries.mark_read(user_id=stranger, notification_id=row.id)
    assert queries.unread_count(user) == 1


def test_a_wechat_message_is_not_in_the_list(app):
    family, [user] = make_family(consents={"withdrawal_result": 1})
    write(family, 1)
    assert queries.in_app(user) == ([], None)
    [row] = rows(user_id=user)
    with pytest.raises(NotFound):
        queries.mark_read(user_id=user, notification_id=row.id)
