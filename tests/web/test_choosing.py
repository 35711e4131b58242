"""Several rows at once over HTTP: ticked or all that a filter finds, shown first, each with its result (U5, U15)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.longjobs.models import LongJob
from app.domain.outbox import service as outbox
from app.domain.outbox.models import Notification
from app.domain.people.models import StaffSession
from tests.domain.desk import desk
from tests.domain.withdrawals.steps import request as withdraw
from tests.domain.withdrawals.steps import row as withdrawal
from tests.factories import make_family
from tests.portal import Browser, make_staff

APPROVE = "/choose/adjustments-approve"


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture
def asked(app):
    """Three adjustments of three families that wait for a second person."""
    front = make_staff("front_desk")
    return [desk.ask(front, make_family(parent=f"家长{n}"), "100").adjustment_id for n in range(3)]


def text(response) -> str:
    return response.get_data(as_text=True)


def digest(page: str) -> str:
    return re.search(r'name="digest"[^>]* value="([0-9a-f]{64})"', page)[1]


def jobs() -> list[LongJob]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(LongJob).order_by(LongJob.id)))


def prove(moment) -> None:
    """Everybody last proved who they are at this moment."""
    with transaction():
        db.session.execute(sa.update(StaffSession).values(proved_at=moment))


def test_ticked_rows_are_shown_and_then_done_without_script(finance, asked):
    listed = text(finance.get("/approvals"))
    assert listed.count('data-check name="id"') == 3
    assert listed.count("data-check-all") == 1
    assert "办理全部 3 笔" in listed
    url = f"{APPROVE}?id={asked[0]}&id={asked[2]}&id=99999"
    page = text(finance.get(url))
    assert "批准余额调整：共2笔，合计¥200.00。" in re.sub(r"<[^>]+>|\s+", "", page)
    assert "勾选的有 1 笔已不在列表里" in page
    assert jobs() == []
    answer = finance.post(url, {"digest": digest(page)})
    (job,) = jobs()
    assert (answer.status_code, answer.location) == (303, f"/long-jobs/{job.id}")
    assert (job.status, job.done, job.refused) == ("done", 2, 0)
    assert [desk.row(one).status for one in asked] == ["completed", "pending", "completed"]
    result = text(finance.get(answer.location))
    assert result.count("已完成") >= 2
    assert f'href="/adjustments/{asked[2]}"' in result
    file = finance.post(f"/exports/chosen-rows?job={job.id}", {"format": "csv"})
    assert text(file).count("已完成") == 2


def test_all_of_a_filter_is_resolved_again_and_says_when_it_changed(app, finance, asked):
    page = text(finance.get(f"{APPROVE}?all=1&seen=3"))
    assert "名单有变化" not in page
    desk.ask(make_staff("front_desk"), make_family(), "700")
    assert "名单有变化" in text(finance.get(f"{APPROVE}?all=1&seen=3")), "the list had shown fewer"
    refused = finance.post(f"{APPROVE}?all=1&seen=3", {"digest": digest(page)})
    assert refused.status_code == 409
    assert "现在共 4 笔" in text(refused)
    assert jobs() == []
    assert [desk.row(one).status for one in asked] == ["pending"] * 3
    assert finance.post(f"{APPROVE}?all=1", {"digest": digest(text(refused))}).status_code == 303
    assert jobs()[0].done == 4


def test_the_filters_of_the_list_are_the_filters_of_the_choice(app, finance):
    one, other = make_family(balance="300.00"), make_family(balance="300.00")
    asked = [withdraw(one, "50.00"), withdraw(other, "60.00"), withdraw(one, "70.00")]
    listed = text(finance.get(f"/withdrawals?family={one.id}"))
    assert "办理全部 2 笔" in listed
    assert f'<input type="hidden" name="family" value="{one.id}">' in listed
    url = f"/choose/withdrawals-approve?all=1&family={one.id}"
    page = text(finance.get(url))
    assert "120.00" in page
    assert finance.post(url, {"digest": digest(page)}).status_code == 303
    assert [withdrawal(number).status for number in asked] == ["approved", "requested", "approved"]


def test_many_rows_become_a_job_that_waits_for_a_worker(app, finance, asked, monkeypatch):
    monkeypatch.setattr("app.domain.chosen.service.AT_ONCE", 2)
    page = text(finance.get(f"{APPROVE}?all=1"))
    assert "将在后台办理" in page
    answer = finance.post(f"{APPROVE}?all=1", {"digest": digest(page)})
    (job,) = jobs()
    assert (job.status, job.checkpoint) == ("queued", 0)
    assert "未执行" in text(finance.get(answer.location))
    assert desk.row(asked[0]).status == "pending"


def test_who_may_not_is_refused_and_an_unknown_action_is_not_there(app, finance, asked):
    front = Browser(app).sign_in("front_desk")
    assert front.get(APPROVE + "?all=1").status_code == 403
    assert front.post(APPROVE + "?all=1", {"digest": "0" * 64}).status_code == 403
    assert finance.get("/choose/everything").status_code == 404
    assert text(finance.get(f"{APPROVE}?id=1'%20OR%201=1&id={'9' * 40}")).count("没有可以办理的行") == 1
    assert finance.post(f"{APPROVE}?all=1", {"digest": "<script>"}).status_code == 409
    assert jobs() == []


def test_money_asks_for_proof_and_the_same_form_twice_is_done_once(app, finance, asked):
    page = text(finance.get(f"{APPROVE}?all=1"))
    form = {"digest": digest(page), "request_token": "a" * 32}
    prove(clock.now() - timedelta(hours=1))
    assert "/step-up" in finance.post(f"{APPROVE}?all=1", form).location
    assert jobs() == []
    prove(clock.now())
    first = finance.post(f"{APPROVE}?all=1", form)
    again = finance.post(f"{APPROVE}?all=1", form)
    assert first.location == again.location
    assert len(jobs()) == 1


def test_failed_messages_are_sent_again_once_each(app, finance):
    with transaction():
        for number in range(2):
            outbox.tell_staff(
                "money", "staff.long_job", {"title": f"{number}", "colour": "red", "lines": []}, dedupe=f"card{number}"
            )
        db.session.execute(sa.update(Notification).values(status="failed"))
    url = "/choose/notices-resend?all=1&status=failed"
    page = text(finance.get(url))
    assert finance.post(url, {"digest": digest(page)}).status_code == 303
    assert jobs()[0].done == 2
    follow = sa.select(sa.func.count()).select_from(Notification).where(Notification.follows_id.is_not(None))
    assert db.session.scalar(follow) == 2
