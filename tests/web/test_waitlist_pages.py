"""The waitlist in the portal: the board, its polling, every act with and without script, and who may do what."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.catalog.models import CourseSchedule, CourseType
from app.domain.outbox import consents
from app.domain.waitlist.models import SeatRelease, WaitlistEntry, WaitlistOffer
from tests.domain.offers.steps import Full
from tests.factories import make_family
from tests.portal import Browser


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


@pytest.fixture
def auditor(app):
    return Browser(app).sign_in("auditor")


def text(response) -> str:
    return html.unescape(response.get_data(as_text=True))


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(response)))


def act(browser: Browser, full: Full, number: int, word: str, **fields):
    return browser.post(f"/waitlist/entries/{full.entries[number]}/{word}", fields)


def live(full: Full) -> list[tuple[int, str]]:
    db.session.rollback()
    return full.live


# ── the board ───────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_board_says_what_would_be_there(front):
    assert "未来 14 天没有人候补" in text(front.get("/waitlist"))


def test_the_board_tells_who_waits_who_was_told_and_who_can_pay(front):
    full = Full(waiting=1)
    full.wait(balance="-700.00")
    full.free()
    page = front.get("/waitlist")
    said = words(page)
    for word in ("候补 2/8", "为候补保留 1", "先到先得", "不可触达", "欠费达到上限", "可扣费", "取消预约"):
        assert word in said
    assert 'data-countdown="已到时"' in text(page)
    assert re.search(r"候补看板</span>\s*<span class=\"desk-count num\" title=\"1 项", text(page))
    assert re.search(r"等待确认的候补名额\s*</span>\s*<strong[^>]*>1<", text(front.get("/")))
    with clock.travel(by=timedelta(minutes=16)):
        assert "已到时" not in words(front.get("/waitlist")), "what has lapsed is offered no more"


def test_what_wants_a_person_is_found_by_filter(front):
    calm, busy = Full(waiting=1), Full(waiting=1)
    busy.free()
    for show, found in (("offered", busy), ("call", busy), ("full", None)):
        page = text(front.get(f"/waitlist?show={show}"))
        assert (f'id="queue-{busy.session}"' in page) is (found is busy)
        assert f'id="queue-{calm.session}"' not in page
    assert "没有符合条件的候补" in text(front.get("/waitlist?show=full"))
    one = text(front.get(f"/waitlist?session={calm.session}"))
    assert f'id="queue-{calm.session}"' in one
    assert f'id="queue-{busy.session}"' not in one
    assert front.get("/waitlist?show=nonsense&type=nothing&session=x").status_code == 200


def test_the_page_asks_by_revision_and_hears_nothing_while_nothing_changed(front):
    full = Full(waiting=2)
    page = text(front.get("/waitlist?show=offered"))
    assert 'data-live="3"' in page
    url = re.search(r'data-live="3" hx-get="([^"]+)"', page)[1]
    assert "show=offered" in url
    assert front.htmx(url).status_code == 204
    full.free()
    fresh = front.htmx(url)
    assert fresh.status_code == 200
    assert "先到先得" in words(fresh)
    assert front.htmx(url).status_code == 200
    assert front.get(url).status_code == 200, "the address itself is a page"


def test_one_more_seat_goes_to_the_queue(front, manager):
    full = Full(waiting=2)
    version = db.session.get(CourseSchedule, full.session).version
    url = f"/waitlist/sessions/{full.session}/capacity"
    assert front.post(url, {"version": version}).status_code == 403
    assert manager.post(url, {"version": version}).status_code == 303
    full.advance()
    assert live(full) == [(0, "open"), (1, "open")]
    stale = manager.htmx(url, {"version": version})
    assert stale.status_code == 409
    assert "没有执行" in text(stale)
    assert manager.post("/waitlist/sessions/999999/capacity", {"version": 1}).status_code == 404
    assert db.session.get(CourseSchedule, full.session, populate_existing=True).capacity == 2


# ── one wait ────────────────────────────────────────────────────────────────────────────────────────


def test_a_wait_tells_where_it_stands_and_what_may_be_done(front, auditor):
    full = Full(waiting=2)
    full.free()
    url = f"/waitlist/entries/{full.entries[0]}"
    said = words(front.get(url))
    for word in (
        "待确认",
        "第 1 位，共 2 人",
        "代家长确认",
        "¥1,000.00→¥800.00",
        "单独通知",
        "跳过",
        "调整顺位",
        "移出候补",
    ):
        assert word in said
    seen = words(auditor.get(url))
    assert "第 1 位" in seen
    assert "代家长确认" not in seen
    assert act(auditor, full, 0, "confirm").status_code == 403
    assert front.get("/waitlist/entries/999999").status_code == 404
    assert front.post("/waitlist/entries/999999/skip", {"reason": "x"}).status_code == 404
    assert act(front, full, 0, "dance").status_code == 404


def test_the_desk_confirms_for_the_parent(front):
    full = Full(waiting=2)
    full.free()
    assert act(front, full, 1, "confirm").status_code == 303
    db.session.rollback()
    assert full.statuses == ["waiting", "confirmed"]
    assert "已补上" in words(front.get(f"/waitlist/entries/{full.entries[1]}"))
    again = act(front, full, 1, "confirm")
    assert again.status_code == 303
    late = act(front, full, 0, "confirm")
    assert late.status_code == 409
    assert "名额已被抢占" in words(late)


def test_pressed_twice_is_done_once(front):
    full = Full(waiting=2)
    full.free()
    token = {"request_token": "0123456789abcdef0123456789abcdef", "reason": "先答应过"}
    first = act(front, full, 1, "offer", **token)
    second = act(front, full, 1, "offer", **token)
    assert (first.status_code, second.status_code) == (303, 303)
    assert live(full) == [(1, "exclusive")]
    assert db.session.scalar(sa.select(sa.func.count()).where(WaitlistOffer.kind == "exclusive")) == 1


@pytest.mark.parametrize("word", ["offer", "skip", "move", "remove"])
def test_a_decision_against_the_order_wants_a_reason(front, word):
    full = Full(waiting=2)
    full.free()
    before = live(full)
    refused = act(front, full, 0, word, reason="  ", position="2")
    assert refused.status_code == 422
    assert re.search(r"请填写(移出)?原因", words(refused))
    assert f'action="/waitlist/entries/{full.entries[0]}/{word}"' in text(refused)
    assert live(full) == before


def test_a_place_is_checked_and_set(front):
    full = Full(waiting=3)
    for position in ("", "0", "4", "x", "²", "1"):
        refused = act(front, full, 0, "move", reason="补偿", position=position)
        assert refused.status_code == 422, position
    assert act(front, full, 0, "move", reason="补偿", position="3").status_code == 303
    page = words(front.get(f"/waitlist?session={full.session}"))
    assert "补偿" in page
    assert page.index("候1家庭") < page.index("候2家庭") < page.index("候0家庭")


def test_from_a_row_only_the_board_looks_again(front):
    full = Full(waiting=1)
    full.free()
    url = f"/waitlist/entries/{full.entries[0]}"
    done = front.htmx(f"{url}/called", {"from": "row"}, page="/waitlist")
    assert (done.status_code, done.headers["HX-Reswap"]) == (204, "none")
    assert "desk:waitlist-changed" in done.headers["HX-Trigger"]
    refused = front.htmx(f"{url}/resend", {"from": "row"}, page="/waitlist")
    assert refused.status_code == 409
    assert "desk:toast" in refused.headers["HX-Trigger"]
    assert not refused.get_data()
    panel = front.htmx(f"{url}/called", {"note": "晚上再打"}, page="/waitlist")
    assert panel.status_code == 200
    assert "晚上再打" in words(panel)
    assert "desk:waitlist-changed" in panel.headers["HX-Trigger"]


def test_a_message_is_sent_again_from_the_row(front):
    full = Full(waiting=1)
    with transaction():
        consents.change(full.families[0].user_id, "waitlist_offer", 5)
    full.free()
    assert "再通知" in words(front.get("/waitlist"))
    with clock.travel(by=timedelta(seconds=70)):
        assert act(front, full, 0, "resend").status_code == 303
        assert act(front, full, 0, "resend").status_code == 409
        assert "已重发" in words(front.get("/waitlist"))


def test_an_ended_wait_has_no_buttons(front):
    full = Full(waiting=2)
    full.leave(0)
    page = words(front.get(f"/waitlist/entries/{full.entries[0]}"))
    assert "已退出" in page
    assert "移出候补" not in page
    assert act(front, full, 0, "skip", reason="x").status_code == 409


# ── adding ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_student_is_found_and_added(front):
    full = Full(waiting=1)
    other = make_family(parent="周女士", students=("周小鱼",), balance="500.00")
    url = f"/waitlist/sessions/{full.session}/add"
    assert "把哪位学员加入候补" in words(front.get(url))
    assert f"student={other.profile_ids[0]}" in text(front.get(f"{url}?q=周小鱼"))
    assert "排在第 2 位" in words(front.get(f"{url}?student={other.profile_ids[0]}"))
    assert front.post(url, {"student": other.profile_ids[0]}).status_code == 303
    again = front.post(url, {"student": other.profile_ids[0]})
    assert again.status_code == 409
    assert "已在这节课的候补队列中" in words(again)
    assert front.post(url, {"student": "x"}).status_code == 404
    assert front.get(f"{url}?student=999999").status_code == 404
    assert "代加" in words(front.get("/waitlist"))


def test_beyond_the_capacity_a_reason_is_asked_for(front):
    with transaction():
        db.session.execute(sa.update(CourseType).values(waitlist_capacity=1))
    full = Full(waiting=1)
    with transaction():
        db.session.execute(sa.update(CourseType).values(waitlist_capacity=1))
    other = make_family(parent="周女士", students=("周小鱼",), balance="500.00")
    url = f"/waitlist/sessions/{full.session}/add"
    assert "超出候补人数的原因" in words(front.get(f"{url}?student={other.profile_ids[0]}"))
    refused = front.post(url, {"student": other.profile_ids[0]})
    assert refused.status_code == 422
    assert "请填写为什么仍要加入" in words(refused)
    assert front.post(url, {"student": other.profile_ids[0], "reason": "老学员"}).status_code == 303
    assert db.session.scalar(sa.select(sa.func.count()).select_from(WaitlistEntry)) == 2


# ── the seats' stories, the family, the session ─────────────────────────────────────────────────────


def test_a_seat_tells_its_story(front):
    full = Full(waiting=2)
    full.free()
    full.confirm(1)
    release = db.session.scalar(sa.select(SeatRelease.id))
    assert f'href="/waitlist/releases/{release}"' in text(front.get("/waitlist/releases"))
    story = words(front.get(f"/waitlist/releases/{release}"))
    for word in ("已补上", "取消预约", "得到名额", "被别人先确认", "座位空出", "通知名额"):
        assert word in story
    assert "没有符合条件的名额" in text(front.get("/waitlist/releases?status=kept"))
    assert front.get("/waitlist/releases/999999").status_code == 404


def test_the_family_and_the_session_show_the_queue(front):
    full = Full(waiting=2)
    full.free()
    family = words(front.get(f"/families/{full.families[1].id}/waitlist"))
    assert "待确认" in family
    assert "没有候补" in words(front.get(f"/families/{make_family().id}/waitlist"))
    session = words(front.get(f"/schedule/{full.session}"))
    for word in ("候补 2/8", "在看板处理", "空出过的名额", "为候补保留"):
        assert word in session
