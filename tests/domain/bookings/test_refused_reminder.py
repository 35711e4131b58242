"""Who may not book because of arrears is reminded, once a day with all other arrears messages (W23, 96.77)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import place
from app.domain.bookings.errors import ArrearsBlocked
from app.domain.outbox.models import Notification
from tests.factories import make_family, make_session, parent_actor

pytestmark = pytest.mark.usefixtures("app")

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


def try_to_book(family, at: datetime) -> None:
    with clock.travel(to=at), pytest.raises(ArrearsBlocked):
        place.book(schedule_id=make_session(), profile_id=family.profile_ids[0], actor=parent_actor(family))


def arrears(family) -> list[tuple[str, str, str | None]]:
    query = sa.select(Notification).where(Notification.family_id == family.id, Notification.type == "arrears")
    rows = db.session.scalars(query.order_by(Notification.id))
    return [(row.payload["occasion"], row.status, row.text) for row in rows]


def test_on_day_0_nothing_more_is_said():
    with clock.travel(to=NOON):
        family = make_family(balance="-600.00")
    try_to_book(family, NOON + timedelta(hours=1))
    assert [(occasion, status) for occasion, status, _ in arrears(family)] == [
        ("first", "sent"),
        ("refused", "suppressed"),
    ]


def test_later_it_says_why_the_booking_failed():
    with clock.travel(to=NOON):
        family = make_family(balance="-600.00")
    try_to_book(family, NOON + timedelta(days=2))
    _, (occasion, status, words) = arrears(family)
    assert (occasion, status) == ("refused", "sent")
    assert words == "您的钱包已欠费 ¥600.00，达到上限，刚才的预约没有成功。请先充值，再重新预约。"


def test_pressing_the_button_again_and_again_writes_little():
    with clock.travel(to=NOON):
        family = make_family(balance="-600.00")
    for minute in range(10):
        try_to_book(family, NOON + timedelta(days=2, minutes=minute))
    assert [(occasion, status) for occasion, status, _ in arrears(family)] == [
        ("first", "sent"),
        ("refused", "sent"),
        ("refused", "suppressed"),
    ]
    try_to_book(family, NOON + timedelta(days=3, minutes=1))
    assert arrears(family)[-1][:2] == ("refused", "sent")
