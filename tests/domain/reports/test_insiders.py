"""What colleagues should look at: each finding with exactly its rows, counted by hand (S1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.audit import service as audit
from app.domain.desk import approvals
from app.domain.people import sessions
from app.domain.people.models import Staff, User
from app.domain.reports import digest, insiders, insiders_by_person
from app.domain.reports.insiders import Finding
from app.domain.reports.payments import Span
from app.domain.waitlist.models import WaitlistEntry
from tests.domain.desk import desk
from tests.domain.waitlist.counted import entry, offer
from tests.factories import make_course, make_family, make_session
from tests.portal import Browser, actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")
MINUTE = timedelta(minutes=1)


def today() -> dict[Finding, list]:
    db.session.rollback()
    return insiders.table(Span(clock.today(), clock.today()))


def test_sums_just_below_the_limit():
    finance, family = make_staff("finance"), make_family()
    near = desk.ask(finance, family, "1600.00")
    desk.ask(finance, make_family(), "1599.99")
    desk.ask(finance, make_family(), "2000.01")  # waits for another: not one person's
    assert [row.adjustment_id for row in today()[Finding.NEAR_LIMIT]] == [near.adjustment_id]


@pytest.mark.parametrize("link", ["family_id", "openid", "phone_index"])
def test_money_for_a_colleagues_family(link):
    family = make_family(phone="13700001234")
    parent = db.session.get(User, family.user_id)
    values = {"family_id": family.id, "openid": parent.openid, "phone_index": parent.phone_index}
    kin = make_staff("front_desk", **{link: values[link]})
    finance = make_staff("finance")
    done = desk.ask(finance, family, "100.00")
    desk.ask(finance, make_family(), "100.00")
    (row,) = today()[Finding.LINKED]
    assert (row.adjustment_id, row.other, row.who) == (done.adjustment_id, kin.display_name, finance.display_name)


def test_two_accounts_on_one_device_and_approvals_without_a_look():
    clerk, finance = make_staff("front_desk"), make_staff("finance")
    both = desk.ask(clerk, make_family(), "100.00")
    approvals.approve(adjustment_id=both.adjustment_id, actor=actor_of(finance))
    slow = desk.ask(clerk, make_family(), "100.00")
    with clock.travel(by=2 * MINUTE):
        approvals.approve(adjustment_id=slow.adjustment_id, actor=elsewhere(finance))
    found = today()
    assert [row.adjustment_id for row in found[Finding.ONE_DEVICE]] == [both.adjustment_id]
    assert [row.adjustment_id for row in found[Finding.HASTY]] == [both.adjustment_id]
    assert found[Finding.HASTY][0].other == clerk.display_name


def elsewhere(staff: Staff):
    return replace(actor_of(staff), ip="10.0.0.9", user_agent="another browser")


def test_an_offer_past_somebody_who_came_earlier():
    session, now = make_session(make_course()), clock.now()
    first, second = (entry(session, joined=now - minutes * MINUTE) for minutes in (30, 20))
    offer(session, first, kind="exclusive", at=now - 15 * MINUTE)
    assert today()[Finding.OVERTAKEN] == []
    offer(session, second, kind="exclusive", at=now - 10 * MINUTE)  # the first was asked before: in order
    assert today()[Finding.OVERTAKEN] == []
    later = entry(session, joined=now - 9 * MINUTE)
    passed_over = entry(session, joined=now - 10 * MINUTE)
    offer(session, later, kind="exclusive", at=now - MINUTE)
    (row,) = today()[Finding.OVERTAKEN]
    assert f"家庭 {family_of(passed_over)} " in row.about


def family_of(entry_id: int) -> int:
    return db.session.get(WaitlistEntry, entry_id).family_id


def test_queues_changed_by_hand_and_counts_by_person():
    clerk = make_staff("front_desk")
    with transaction():
        for action in ("waitlist.moved", "people.revealed", "people.revealed"):
            audit.record(actor_of(clerk), action, target_type="waitlist_entry", target_id=1, reason="家长来电")
    (row,) = today()[Finding.REORDERED]
    assert (row.who, row.about) == (clerk.display_name, "调整顺位：家长来电")
    (person,) = [
        one for one in insiders_by_person.table(Span(clock.today(), clock.today())) if one.staff_id == clerk.id
    ]
    assert dict(person.counts) == {"queues": 1, "reveals": 2}


def test_a_device_never_seen_before():
    clerk = make_staff("front_desk")
    with transaction():
        for agent in ("desk computer", "desk computer", "a phone"):
            sessions.start(clerk.id, ip="127.0.0.1", user_agent=agent)
    (row,) = today()[Finding.NEW_DEVICE]
    assert row.who == clerk.display_name
    assert "a phone" in row.about


def test_the_digest_counts_yesterdays():
    with clock.travel(by=timedelta(days=-1)):
        desk.ask(make_staff("finance"), make_family(), "2000.00")
    lines = {label: (value, path) for label, value, path in digest.lines()}
    yesterday = clock.today() - timedelta(days=1)
    assert lines["昨日内控提示"] == ("1 条", f"/reports/insiders?from={yesterday}&to={yesterday}")


def test_the_page_its_file_and_who_may_look(app):
    finance = make_staff("finance", display_name='<img src=x onerror="alert(1)">')
    done = desk.ask(finance, make_family(), "1900.00")
    browser = Browser(app).sign_in("auditor")
    page = browser.get("/reports/insiders").get_data(as_text=True)
    assert f"/adjustments/{done.adjustment_id}" in page
    assert "¥1900.00，单笔限额 ¥2000.00" in page
    assert "<img src=x" not in page
    taken = browser.post("/exports/insiders", {"format": "csv"})
    assert "贴近限额的单人调整" in taken.get_data(as_text=True)
    assert Browser(app).sign_in("finance").get("/reports/insiders").status_code == 403
