"""Moving people between families and merging two, on the pages: found, seen, confirmed, done once (P3, P11)."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.changes import families
from app.domain.ledger.models import Wallet
from app.domain.people.models import Profile, User
from tests.domain.desk import desk
from tests.factories import make_family
from tests.portal import Browser, actor_of, make_staff
from tests.web.desk_forms import fields_of


@pytest.fixture
def pair(app):
    return (
        make_family(parent="李妈妈", students=("李雷", "李梅"), balance="300.00"),
        make_family(parent="李爸爸", students=("李雷",), balance="-50.00"),
    )


@pytest.fixture
def browser(app):
    return Browser(app).sign_in("finance")


def merge_url(source) -> str:
    return f"/families/{source.id}/merge"


def fill(browser, url, target, **typed):
    """The form as the page carries it, with what a person types."""
    return fields_of(browser.get(f"{url}?to_family_id={target.id}"), "move-form") | {"reason": "同一家人"} | typed


def balance(family) -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id))


def family_of(model, row_id) -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(model.family_id).where(model.id == row_id))


def text_of(response) -> str:
    return response.get_data(as_text=True)


def test_found_seen_confirmed_done(browser, pair):
    source, target = pair
    found = text_of(browser.get(f"{merge_url(source)}?q=李"))
    assert "李爸爸家庭" in found
    assert found.count("search-hit-text") == 1  # not itself
    typing = browser.client.get(
        f"{merge_url(source)}?q=李", headers={"HX-Request": "true", "HX-Target": "families-found"}
    )
    assert "<form" not in text_of(typing)
    page = text_of(browser.get(f"{merge_url(source)}?to_family_id={target.id}"))
    for words in ("-¥50.00", "¥250.00", "两家都有学员「李雷」", "学员 2 位", "对调两边"):
        assert words in page
    asked = browser.post(merge_url(source), fill(browser, merge_url(source), target))
    assert asked.status_code == 200
    assert "确认合并，不能撤销" in text_of(asked)
    assert balance(target) == -50
    confirmed = fields_of(asked, "move-form") | {"confirmed": "1"}
    done = browser.post(merge_url(source), confirmed)
    assert (done.status_code, done.location) == (303, f"/families/{target.id}")
    assert (balance(source), balance(target)) == (0, 250)
    again = browser.post(merge_url(source), confirmed)
    assert (again.status_code, again.location) == (303, f"/families/{target.id}")
    fresh = browser.post(merge_url(source), confirmed | {"request_token": "f" * 32})
    assert fresh.status_code == 409
    assert "不能再操作" in text_of(fresh)
    assert balance(target) == 250
    gone = text_of(browser.get(f"/families/{source.id}"))
    assert "已并入「李爸爸家庭」" in gone
    assert f'href="/families/{target.id}"' in gone
    for act in ("合并家庭", "转到其他家庭", "调整余额</a>", "冻结、限额与放行"):
        assert act not in gone
    assert "并入过来的家庭" in text_of(browser.get(f"/families/{target.id}"))
    assert "不能再操作" in text_of(browser.get(merge_url(source)))


def test_a_reason_is_asked_for_in_place(browser, pair):
    source, target = pair
    refused = browser.post(merge_url(source), fill(browser, merge_url(source), target, reason=" "))
    assert refused.status_code == 422
    assert "请填写原因" in text_of(refused)
    assert "李爸爸家庭" in text_of(refused)


@pytest.mark.parametrize("other", ["999999", "abc", "9" * 30, "-1"])
def test_a_family_that_is_none(browser, pair, other):
    source, _target = pair
    assert "没有这个家庭" in text_of(browser.get(f"{merge_url(source)}?to_family_id={other}"))
    assert browser.post(merge_url(source), {"to_family_id": other, "reason": "x"}).status_code == 422


def test_itself_and_one_that_is_gone(browser, pair):
    source, target = pair
    third = make_family()
    families.merge_families(from_family_id=third.id, into_family_id=target.id, reason="x",
                            actor=actor_of(make_staff("finance")))  # fmt: skip
    assert "请选择另一个家庭" in text_of(browser.get(f"{merge_url(source)}?to_family_id={source.id}"))
    assert "已并入别的家庭" in text_of(browser.get(f"{merge_url(source)}?to_family_id={third.id}"))
    assert browser.get("/families/999999/merge").status_code == 404


def test_a_balance_that_moved_is_shown_before_anything_is_confirmed(browser, pair):
    source, target = pair
    asked = browser.post(merge_url(source), fill(browser, merge_url(source), target))
    desk.ask(make_staff("finance"), target, "5")
    moved = browser.post(merge_url(source), fields_of(asked, "move-form") | {"confirmed": "1"})
    assert moved.status_code == 409
    assert "余额有变动" in text_of(moved)
    assert balance(source) == 300
    done = browser.post(merge_url(source), fields_of(moved, "move-form") | {"confirmed": "1"})
    assert done.status_code == 303
    assert balance(target) == 255


def test_what_is_under_way_stands_in_the_way(browser, pair):
    source, target = pair
    desk.ask(make_staff("front_desk"), source, "80")
    page = text_of(browser.get(f"{merge_url(source)}?to_family_id={target.id}"))
    assert "还有 1 笔待处理的余额调整" in page
    assert "下一步" not in page
    forced = browser.post(merge_url(source), fill(browser, merge_url(source), target, confirmed="1"))
    assert forced.status_code == 409
    assert "办结后再合并" in text_of(forced)


def test_ones_own_family_is_refused_in_place(app, pair):
    source, target = pair
    browser = Browser(app).sign_in(make_staff("finance", family_id=target.id))
    refused = browser.post(merge_url(source), fill(browser, merge_url(source), target, confirmed="1"))
    assert refused.status_code == 403
    assert "您自己的家庭" in text_of(refused)


def test_a_stale_proof_asks_again(app, pair):
    from datetime import timedelta

    from app import clock

    source, target = pair
    browser = Browser(app).sign_in("finance")
    with clock.travel(by=timedelta(minutes=11)):
        fields = fill(browser, merge_url(source), target)
        asked = browser.htmx(merge_url(source), fields)
        assert (asked.status_code, asked.headers["HX-Trigger"]) == (403, "desk:step-up")


def test_a_student_moves_with_an_amount(browser, pair):
    source, target = pair
    url = f"/families/{source.id}/students/{source.profile_ids[1]}/move"
    page = text_of(browser.get(f"{url}?to_family_id={target.id}"))
    assert "随 李梅 转走" in page
    for amount, words in (("300.01", "不能转出"), ("1e3", "金额只能是")):
        refused = browser.post(url, fill(browser, url, target, amount=amount))
        assert refused.status_code in (409, 422)
        assert words in text_of(refused)
    asked = browser.post(url, fill(browser, url, target, amount="80"))
    assert "确认转移" in text_of(asked)
    assert "¥220.00" in text_of(asked)
    confirmed = fields_of(asked, "move-form") | {"confirmed": "1"}
    for _ in range(2):  # a double click
        done = browser.post(url, confirmed)
        assert (done.status_code, done.location) == (303, f"/families/{target.id}")
    assert family_of(Profile, source.profile_ids[1]) == target.id
    assert (balance(source), balance(target)) == (220, 30)
    for confirmed in ({}, {"confirmed": "1"}):
        assert browser.post(url, {"to_family_id": target.id, "reason": "x", **confirmed}).status_code == 404


def test_a_parent_moves_without_money(browser, pair):
    source, target = pair
    url = f"/families/{target.id}/parents/{target.user_id}/move"  # from a family that owes
    page = text_of(browser.get(f"{url}?to_family_id={source.id}"))
    assert "随转余额" not in page
    done = browser.htmx(url, fill(browser, url, source, confirmed="1"))
    assert done.headers["HX-Redirect"] == f"/families/{source.id}"
    assert family_of(User, target.user_id) == source.id
    assert (balance(source), balance(target)) == (300, -50)
    other = f"/families/{source.id}/students/{target.profile_ids[0]}/move"
    assert browser.get(other).status_code == 404


def test_hostile_names_stay_text(browser, pair):
    source, _ = pair
    evil = make_family(parent="<img src=x onerror=alert(1)>", students=("<script>1</script>",))
    page = text_of(browser.get(f"{merge_url(source)}?to_family_id={evil.id}"))
    asked = text_of(browser.post(merge_url(source), fill(browser, merge_url(source), evil, reason='"><b>x')))
    for text in (page, asked):
        assert "<img src=x" not in text
        assert "<script>1" not in text
        assert "<b>x" not in text


def test_who_sees_the_buttons(app, pair):
    source, _ = pair
    for role, seen in (("finance", True), ("manager", True), ("front_desk", False), ("auditor", False)):
        page = text_of(Browser(app).sign_in(role).get(f"/families/{source.id}"))
        assert ("合并家庭" in page) is seen
    for role, seen in (("finance", True), ("front_desk", False)):
        browser = Browser(app).sign_in(role)
        for person in (f"students/{source.profile_ids[0]}", f"parents/{source.user_id}"):
            panel = text_of(browser.htmx(f"/families/{source.id}/{person}"))
            assert (f"{person}/move" in panel) is seen
