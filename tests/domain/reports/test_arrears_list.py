"""The list of families in arrears: who is on it, in which order, page by page, and what stands beside them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.ledger import control, queries
from app.domain.outbox.models import Notification
from app.domain.people.models import User
from app.domain.reports import arrears, waiting
from app.domain.reports.arrears import Show
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def owing(balance: str, *, days: int = 0, **more):
    with clock.travel(by=timedelta(days=-days)):
        return make_family(balance=balance, **more)


def every(show: Show = Show.ALL) -> list[arrears.Owing]:
    return [one for piece in arrears.every(show).pieces() for one in piece]


def families(show: Show = Show.ALL) -> list[int]:
    return [one.family_id for one in every(show)]


def test_who_owes_most_stands_first_and_nobody_else_is_there():
    make_family(balance="0.00")
    make_family(balance="100.00")
    little, much, middle = owing("-0.01"), owing("-300.00"), owing("-20.00")
    assert families() == [much.id, middle.id, little.id]
    figures = arrears.sums()
    assert figures.owed == Decimal("320.01")
    assert figures.families == {"all": 3, "late": 0, "blocked": 0}


def test_nobody_owes():
    make_family(balance="5.00")
    assert families() == []
    assert arrears.sums() == arrears.Sums({"all": 0, "late": 0, "blocked": 0}, Decimal("0.00"))
    page = arrears.page(Show.ALL)
    assert (page.newer, page.older) == (None, None)


def test_late_is_what_the_task_list_counts():
    owing("-10.00", days=13)
    exactly = owing("-20.00", days=14)
    long = owing("-30.00", days=40)
    assert families(Show.LATE) == [long.id, exactly.id]
    assert waiting.count(["arrears_tasks"])["arrears_tasks"] == arrears.sums().families["late"] == 2
    assert [one.days for one in every(Show.LATE)] == [40, 14]


def test_blocked_is_what_the_wallet_says():
    manager = actor_of(make_staff("manager"))
    made = [owing(sum_) for sum_ in ("-599.99", "-600.00", "-700.00", "-10.00", "-800.00")]
    control.grant_bypass(family_id=made[2].id, until=clock.today(), reason="下周充值", actor=manager)
    control.freeze(family_id=made[3].id, reason="核对", actor=manager)
    blocked = {family.id for family in made if queries.wallet(family_id=family.id).state == "blocked"}
    assert blocked == set(families(Show.BLOCKED)) == {made[1].id, made[3].id, made[4].id}
    assert {one.family_id for one in every() if one.blocked} == blocked
    assert arrears.sums().families["blocked"] == 3
    with clock.travel(by=timedelta(days=1)):
        assert made[2].id in families(Show.BLOCKED), "a bypass ends by itself"


def test_page_by_page_both_ways_with_equal_sums(monkeypatch):
    made = [owing(sum_).id for sum_ in ("-50.00", "-20.00", "-20.00", "-20.00", "-10.00")]
    first = arrears.page(Show.ALL, limit=2)
    second = arrears.page(Show.ALL, before=first.older, limit=2)
    third = arrears.page(Show.ALL, before=second.older, limit=2)
    assert [one.family_id for page in (first, second, third) for one in page.items] == made
    assert (first.newer, third.older) == (None, None)
    back = arrears.page(Show.ALL, after=third.newer, limit=2)
    assert [one.family_id for one in back.items] == made[2:4]
    again = arrears.page(Show.ALL, after=back.newer, limit=2)
    assert [one.family_id for one in again.items] == made[:2]
    assert again.newer is None
    monkeypatch.setattr(arrears, "PIECE", 2)
    assert families() == made
    assert arrears.every(Show.ALL).count() == len(made)


@pytest.mark.parametrize("place", ["", "x", "1_x", "_", "1.234_5", "-5_1", "99999999999_1", "5_" + "9" * 19, "1_²"])
def test_a_place_that_is_none_begins_at_the_top(place):
    family = owing("-10.00")
    assert [one.family_id for one in arrears.page(Show.ALL, before=place).items] == [family.id]


def test_the_parent_to_call_is_masked():
    family = owing("-10.00", parent="张女士")
    with transaction():
        db.session.add(User(openid="second", family_id=family.id, nickname="张先生", phone="13812345678",
                            registered_at=clock.now(), member_status="trial"))  # fmt: skip
    (one,) = every()
    assert (one.parent, one.phone_masked) == ("张先生", "138****5678")
    nobody = owing("-5.00")
    assert [(one.parent, one.phone_masked) for one in every()][1] == ("张女士", None), nobody


def test_what_was_told_last_belongs_to_this_arrears():
    family = owing("-10.00", days=3)
    (one,) = every()
    assert one.told is not None, "the debit itself tells"
    with transaction():
        for note in db.session.scalars(sa.select(Notification).where(Notification.family_id == family.id)):
            note.created_at = clock.now() - timedelta(days=30)
    (one,) = every()
    assert one.told is None, "that was an arrears before"
    with transaction():
        for note in db.session.scalars(sa.select(Notification).where(Notification.family_id == family.id)):
            note.created_at, note.status = clock.now(), "suppressed"
    (one,) = every()
    assert one.told is None, "what was held back told nobody"
