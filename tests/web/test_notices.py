"""通知中心: lists, filters, one message with its attempts, sending again, the delivery report."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.outbox import delivery, service
from app.domain.outbox.models import Notification
from app.domain.outbox.outcomes import Outcome, Result
from tests import factories
from tests.domain.outbox.families import grant, make_family, rows
from tests.portal import Browser

FACTS = {"course": "体验课", "amount": "200.00", "result": "支付成功", "time": "2026-11-20T11:00:00+00:00",
         "remark": "<script>alert(1)</script>"}  # fmt: skip


def tell(family: int, number: int = 1) -> int:
    with transaction():
        return service.tell_family(family, "payment_result", FACTS, dedupe=f"n{family}-{number}")[0]


def fail(row_id: int, outcome: Outcome | None = None) -> None:
    claimed = delivery.claim(notification_id=row_id)
    delivery.settle(claimed=claimed, outcome=outcome or Outcome(Result.REFUSED, "40003", "家长的微信标识无效"))


@pytest.fixture
def family(app):
    return make_family(consents={"payment_result": 200})[0]


def text(response) -> str:
    return response.get_data(as_text=True)


def test_lists_newest_first_in_pages(app, family):
    ids = [tell(family, n) for n in range(55)]
    browser = Browser(app).sign_in("auditor")
    page = text(browser.get(f"/notices?family={family}"))
    assert f"/notices/{ids[-1]}" in page
    assert f'"/notices/{ids[0]}"' not in page
    assert "更早" in page
    older = text(browser.htmx(f"/notices?family={family}&before={ids[5]}"))
    assert f"/notices/{ids[0]}" in older
    assert "<html" not in older


def test_filters_narrow_and_nonsense_is_ignored(app, family):
    sent, failed = tell(family, 1), tell(family, 2)
    fail(failed)
    browser = Browser(app).sign_in("finance")

    def shown(query: str) -> str:
        return text(browser.htmx(f"/notices?family={family}&{query}"))

    assert f"/notices/{failed}" in shown("status=failed")
    assert f'"/notices/{sent}"' not in shown("status=failed")
    assert "没有符合条件的消息" in shown("type=arrears")
    assert f"/notices/{failed}" in shown("channel=wechat&type=payment_result")
    assert "没有符合条件的消息" in shown("to=2001-01-01")
    assert f"/notices/{failed}" in shown("status=nonsense&channel=x&from=2001-13-45&before=abc")


def test_one_message_shows_words_attempts_and_what_took_over(app, family):
    row_id = tell(family)
    fail(row_id)
    page = text(Browser(app).sign_in("front_desk").htmx(f"/notices/{row_id}"))
    assert "第 1 次：对方拒绝" in page
    assert "家长的微信标识无效" in page
    assert "40003" in page
    assert "支付金额：¥200.00" in page
    assert "之后由此送达" in page
    assert "<script>alert" not in page
    assert "重新发送</button>" not in page  # the front desk may look and not send
    whole = text(Browser(app).sign_in("finance").get(f"/notices/{row_id}"))
    assert "<html" in whole
    assert "重新发送" in whole


def test_a_message_that_waits_shows_what_would_be_sent(app, family):
    page = text(Browser(app).sign_in("finance").htmx(f"/notices/{tell(family)}"))
    assert "按现在的模板，内容是" in page
    assert "支付状态：支付成功" in page


def test_unknown_message_is_not_found(app):
    assert Browser(app).sign_in("finance").get("/notices/999999999").status_code == 404


def test_sending_again_makes_a_new_message_once(app, family):
    row_id = tell(family)
    fail(row_id)
    browser = Browser(app).sign_in("finance")
    data = {"request_token": "a" * 32}
    first = browser.post(f"/notices/{row_id}/resend", data)
    assert first.status_code == 303
    [new] = rows(follows_id=row_id, channel="wechat")
    assert first.headers["Location"].endswith(f"/notices/{new.id}")
    assert (new.status, new.type, new.payload) == ("pending", "payment_result", FACTS)
    again = browser.post(f"/notices/{row_id}/resend", data)
    assert again.headers["Location"].endswith(f"/notices/{new.id}")
    assert len(rows(follows_id=row_id, channel="wechat")) == 1
    [note] = db.session.execute(
        db.text("SELECT actor_name, target_id FROM audit_log WHERE action = 'notification.resent'")
    )
    assert note.target_id == str(row_id)


def test_sending_again_by_htmx_answers_with_the_new_message(app, family):
    row_id = tell(family)
    fail(row_id)
    answer = Browser(app).sign_in("manager").htmx(f"/notices/{row_id}/resend", {})
    assert answer.status_code == 200
    assert "desk:toast" in answer.headers["HX-Trigger"]
    assert "原消息" in text(answer)


@pytest.mark.parametrize(("role", "status"), [("front_desk", 403), ("auditor", 403), ("admin", 403)])
def test_who_may_not_send_again(app, family, role, status):
    row_id = tell(family)
    fail(row_id)
    assert Browser(app).sign_in(role).post(f"/notices/{row_id}/resend").status_code == status
    assert rows(follows_id=row_id, channel="wechat") == []


def test_what_is_under_way_is_not_sent_again(app, family):
    row_id = tell(family)
    answer = Browser(app).sign_in("finance").post(f"/notices/{row_id}/resend")
    assert answer.status_code == 409
    assert "还在等待发送" in text(answer)


def test_without_consent_sending_again_says_to_call(app):
    family, _ = make_family()
    row_id = tell(family)
    answer = Browser(app).sign_in("finance").post(f"/notices/{row_id}/resend")
    assert answer.status_code == 409
    assert "请电话联系" in text(answer)


def test_an_in_app_message_goes_to_wechat_once_the_parent_allows_it(app):
    family, [user] = make_family()
    row_id = tell(family)
    grant(user, "payment_result", 1)
    assert Browser(app).sign_in("finance").post(f"/notices/{row_id}/resend").status_code == 303
    [new] = rows(follows_id=row_id)
    assert new.channel == "wechat"
    assert new.recipient.startswith("openid-")


def test_who_may_look(app):
    assert Browser(app).sign_in("admin").get("/notices").status_code == 403
    assert Browser(app).get("/notices").status_code in (302, 303)


def test_delivery_report_counts_by_day_and_type(app):
    family, _ = make_family(consents={"payment_result": 9})
    ids = [tell(family, n) for n in range(4)]
    for row_id in ids[:2]:
        claimed = delivery.claim(notification_id=row_id)
        delivery.settle(claimed=claimed, outcome=Outcome(Result.SENT, message_id="m"))
    fail(ids[2])
    with transaction():
        db.session.execute(
            Notification.__table__.update()
            .where(Notification.id == ids[0])
            .values(created_at=clock.now() - timedelta(days=3))
        )
    from app.domain.outbox import queries
    from app.domain.outbox.queries import NoticeFilter

    today = clock.today()
    asked = NoticeFilter(family_id=family, date_from=today - timedelta(days=6), date_to=today)
    days = {line.key: line for line in queries.delivery_by_day(asked)}
    assert len(days) == 7
    last = days[today.isoformat()]
    assert (last.sent, last.failed, last.in_app, last.waiting) == (1, 1, 1, 1)
    assert last.rate == pytest.approx(0.5)
    assert days[(today - timedelta(days=3)).isoformat()].sent == 1
    assert days[(today - timedelta(days=2)).isoformat()].rate is None
    [line] = queries.delivery_by_type(asked)
    assert (line.key, line.sent, line.failed) == ("payment_result", 2, 1)
    page = text(Browser(app).sign_in("auditor").get("/notices/delivery"))
    assert "支付结果" in page
    assert 'data-chart="delivery-chart-data"' in page


def test_delivery_report_of_an_empty_or_mad_period(app):
    browser = Browser(app).sign_in("auditor")
    assert "这段时间没有消息" in text(browser.get("/notices/delivery?from=2001-01-01&to=2001-01-05"))
    for query in ("from=9999-12-31&to=0001-01-01", "from=2000-01-01&to=2000-01-01", "to=2199-12-31", "from=x"):
        assert browser.get(f"/notices/delivery?{query}").status_code == 200
        assert browser.get(f"/notices?{query}").status_code == 200


def test_the_family_tab_lists_its_messages(app):
    family = factories.make_family().id
    row_id = tell(family)
    page = text(Browser(app).sign_in("front_desk").get(f"/families/{family}/messages"))
    assert f"/notices/{row_id}" in page
