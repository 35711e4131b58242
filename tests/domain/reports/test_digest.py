"""The morning's digest (U17): once a day, nothing that counts nothing, each line a way to its list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.bookings import place
from app.domain.credits.models import CompensationLot, MakeupCredit
from app.domain.makeups import lots
from app.domain.outbox import cards
from app.domain.outbox.models import Notification
from app.domain.policy.models import PolicyValue
from app.domain.reconcile import bill
from app.domain.reconcile.models import BillKind
from app.domain.reports import digest
from app.gateways import feishu
from tests.domain.makeups.steps import Away
from tests.factories import make_family, make_session, parent_actor
from tests.portal import Browser

pytestmark = pytest.mark.usefixtures("app")

MORNING = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)  # 08:30 in the studio


def sent() -> list[dict]:
    query = sa.select(Notification.payload).where(Notification.type == "staff.digest").order_by(Notification.id)
    return list(db.session.scalars(query))


def test_once_a_day_from_its_hour_on_and_not_in_the_afternoon():
    for at, done in (
        (MORNING - timedelta(seconds=1), False),
        (MORNING, True),
        (MORNING + timedelta(hours=1), False),
        (MORNING + timedelta(days=1, hours=3), True),
        (MORNING + timedelta(days=2, hours=4), False),
    ):
        with clock.travel(to=at):
            assert digest.send() is done, at
    assert [card["title"] for card in sent()] == ["今日待办 2026-11-21", "今日待办 2026-11-22"]


def test_its_hour_is_a_policy():
    with transaction():
        db.session.add(PolicyValue(name="digest_at", value="07:15", updated_at=clock.now(), updated_by="test"))
    with clock.travel(to=MORNING - timedelta(minutes=75)):
        assert digest.send()


def test_nothing_waits():
    assert digest.lines() == []
    with clock.travel(to=MORNING):
        digest.send()
    assert sent()[0]["text"] == "没有需要处理的事项。"


def test_what_waits_is_counted_and_leads_to_its_list(app):
    make_family(balance="-120.50")
    one = Away(90, 60)
    one.book(one.session(60), accept_shorter=True)
    with transaction():
        db.session.execute(sa.update(MakeupCredit).values(valid_until=clock.now() + timedelta(days=2)))
        db.session.execute(sa.update(CompensationLot).values(expires_at=clock.now() + timedelta(days=3)))
    yesterday = clock.today() - timedelta(days=1)
    unknown = bill.Line(BillKind.PAYMENT, "42-unknown", "nobody", Decimal("88.00"), clock.day_bounds(yesterday)[0])
    bill.record(day=yesterday, actor=system("test"), lines=[unknown])
    lines = digest.lines()
    assert [line[:2] for line in lines] == [
        ["欠费", "1 户，合计 ¥120.50"],
        ["3 天内到期的待补课", "1 次"],
        ["3 天内到期的课时补偿", "1 位学员，共 30 分钟"],
        ["对账差异", "1 条"],
    ]
    browser = Browser(app).sign_in("manager")
    for _label, _value, path in lines:
        assert browser.client.get(path).status_code == 200, path


def test_every_list_it_can_name_is_there(app, monkeypatch):
    """With everything waiting, each line's path is a page."""
    monkeypatch.setattr(digest.lots, "left", lambda _days: lots.Left(30, 1))
    monkeypatch.setattr(digest, "_unreached", lambda: 2)
    monkeypatch.setattr(digest.waiting, "count", lambda names: dict.fromkeys(names, 3))
    monkeypatch.setattr(digest.makeups, "count", lambda _filter: 3)
    lines = digest.lines()
    assert len(lines) == 13
    monkeypatch.undo()
    browser = Browser(app).sign_in("manager")
    for label, _value, path in lines:
        assert browser.client.get(path).status_code == 200, label


def test_families_with_a_class_today_whom_wechat_does_not_reach(app):
    with clock.travel(to=MORNING):
        family = make_family(balance="500.00")
        today = make_session(starts_in=timedelta(hours=5))
        place.book(schedule_id=today, profile_id=family.profile_ids[0], actor=parent_actor(family))
        # Its messages had no consent: they are in the mini program alone.
        (line,) = digest.lines()
        assert line[:2] == ["微信联系不上、今天有课的家庭", "1 户"]
        browser = Browser(app).sign_in("manager")
        shown = browser.client.get(line[2]).get_data(as_text=True)
        assert f"/families/{family.id}" in shown
        other = make_family(parent="周末才来", balance="500.00")
        place.book(schedule_id=make_session(starts_in=timedelta(days=2)), profile_id=other.profile_ids[0],
                   actor=parent_actor(other))  # fmt: skip
        assert f'/families/{other.id}"' in browser.client.get("/notices").get_data(as_text=True)
        assert f'/families/{other.id}"' not in browser.client.get(line[2]).get_data(as_text=True)
    with clock.travel(to=MORNING + timedelta(days=1)):
        assert digest.lines() == []


def test_a_line_of_a_card_may_lead_somewhere():
    card = {"title": "待办", "colour": "blue", "lines": [["欠费", "2 户 [x](http://evil)", "/arrears"], ["甲", "乙"]]}
    cards.check("money", card)
    assert cards.plain_text(card).splitlines()[1] == "甲：乙"
    text = feishu.card_body(card, "https://desk.test")["card"]["elements"][0]["text"]["content"]
    assert "](https://desk.test/arrears)" in text
    assert text.count("](") == 1  # what stands in a value is no link
    with pytest.raises(ValueError, match="lines"):
        cards.check("money", {**card, "lines": [["欠费", "2 户", "https://evil"]]})
