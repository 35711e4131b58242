"""Orders and refunds over HTTP: lists, one order, money over the counter, refunds by two persons, the analytics."""

from __future__ import annotations

import dataclasses
import io
import re
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.desk import receipts
from app.domain.desk.models import Receipt
from app.domain.desk.queries import receipts_of
from app.domain.desk.receipts import Owner
from app.domain.ledger.models import Wallet
from app.domain.orders import attempts, desk_queries, refunds
from app.domain.orders.models import OfflinePayment, OrderStatus, PaymentOrder, Refund, RefundStatus
from app.domain.people.models import StaffSession, User
from app.domain.reports import payments as figures
from tests.domain.desk.desk import receipt
from tests.domain.orders import steps
from tests.factories import make_course, make_family, make_session
from tests.gateways.receipt_files import png
from tests.portal import Browser, actor_of, make_staff

HOSTILE = "<img src=x onerror=alert(1)>'\"; DROP TABLE refunds; --"
FILES = {"content_type": "multipart/form-data"}


@pytest.fixture
def family(app):
    return make_family(parent="章女士", balance="620.00", students=("张小明",), phone="13812345678")


@pytest.fixture
def session(app):
    return steps.trial_session()


@pytest.fixture
def order_id(family, session):
    return steps.order(family, session)


@pytest.fixture
def paid(family, order_id):
    steps.pay(family, order_id, number="4200001234567890")
    return order_id


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture
def manager(app):
    return Browser(app).sign_in("manager")


def text(response) -> str:
    return response.get_data(as_text=True)


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text(response)))


def listed(browser, **args) -> set[str]:
    """Beginnings of the orders that the list shows."""
    return set(re.findall(r'href="/orders/([0-9a-f]{32})"', text(browser.get("/orders", query_string=args))))


def refund_row() -> Refund:
    db.session.rollback()
    return db.session.query(Refund).populate_existing().one()


def wish(amount="200.00", **more) -> dict:
    return {"amount": amount, "refund_to": "original", "reason": "家长改期不来", "frees_seat": "y", **more}


def asked(staff, order_id: str, amount="200.00", **more) -> str:
    plain = {"reason": "不来了", "refund_to": "original", "frees_seat": True} | more
    return refunds.ask(order_id=order_id, amount=Decimal(amount), actor=actor_of(staff), **plain)


# ── the list and one order ──────────────────────────────────────────────────────────────────────────


def test_the_list_is_empty_at_first_and_says_what_will_be_there(front):
    answer = front.get("/orders")
    assert answer.status_code == 200
    assert "还没有订单" in text(answer)


@pytest.mark.parametrize("how", ["linked", "phone", "openid"])
def test_ones_own_familys_order_is_for_others(app, family, paid, how):
    parent = db.session.get(User, family.user_id)
    same = {"linked": {"family_id": family.id}, "phone": {"phone_index": parent.phone_index},
            "openid": {"openid": parent.openid}}[how]  # fmt: skip
    mother = Browser(app).sign_in(make_staff("finance", **same))
    for address in (f"/orders/{paid}", f"/orders/{paid}/refund"):
        page = text(mother.get(address))
        assert "这是您自己的家庭" in page
        assert 'name="amount"' not in page


def test_filters_find_exactly_the_orders_that_they_say(front, paid, session):
    other = make_family(phone="13999990000")
    waiting = steps.order(other, session)
    assert listed(front) == {paid, waiting}
    assert listed(front, status="paid") == {paid}
    assert listed(front, status="pending") == {waiting}
    assert listed(front, q="5678") == {paid}
    assert listed(front, q="13999990000") == {waiting}
    assert listed(front, q=paid[:9]) == {paid}
    assert listed(front, q=paid[:7]) == set()
    assert listed(front, q="4200001234567890") == {paid}
    assert listed(front, q="420000123456789") == set()
    assert listed(front, q=HOSTILE) == set()
    tomorrow = (clock.today() + timedelta(days=1)).isoformat()
    assert listed(front, **{"from": tomorrow}) == set()
    assert listed(front, seat="none") == set()


def test_a_pending_order_past_its_end_is_expired_before_any_job(front, order_id):
    with transaction():
        db.session.execute(sa.update(PaymentOrder).values(expires_at=clock.now() - timedelta(seconds=1)))
    assert listed(front, status="pending") == set()
    assert listed(front, status="expired") == {order_id}
    assert "已过期" in words(front.get(f"/orders/{order_id}"))


def test_the_list_goes_on_by_keyset(front, session):
    made = [steps.order(make_family(), session) for _ in range(4)]
    first = desk_queries.orders(desk_queries.OrderFilter(), limit=3)
    assert [line.row.order_id for line in first.items] == made[:0:-1]
    second = desk_queries.orders(desk_queries.OrderFilter(), before=first.older, limit=3)
    assert [line.row.order_id for line in second.items] == made[:1]


def test_an_order_tells_its_payment_seat_and_history(front, paid):
    page = words(front.get(f"/orders/{paid}"))
    for said in ("¥200.00", "已支付", "已订座", "张小明", "4200001234567890", "创建体验课订单", "订单已支付", "扫码"):
        assert said in page
    assert front.htmx(f"/orders/{paid}").get_data(as_text=True).startswith("<article")
    assert "申请退款" not in page  # the front desk may not


def test_an_order_that_does_not_exist_is_not_found(front):
    assert front.get(f"/orders/{'0' * 32}").status_code == 404
    assert front.get("/orders/<script>").status_code == 404
    assert front.post(f"/orders/{'0' * 32}/offline", {"method": "cash", "note": "x"}).status_code == 404


def test_asking_wechat_while_it_is_away_says_so_and_changes_nothing(front, family, order_id):
    steps.begin(family, order_id)
    answer = front.post(f"/orders/{order_id}/ask")
    assert answer.status_code == 503
    assert "没有执行" in words(answer)
    assert steps.row(order_id).status == OrderStatus.PENDING


@pytest.mark.parametrize("number", ["", "abc", "123", HOSTILE, "1" * 40])
def test_a_number_that_wechat_cannot_have_is_not_asked_about(front, number):
    answer = front.post("/orders/ask", {"transaction_id": number})
    assert answer.status_code == 422
    assert "10 到 32 位数字" in words(answer)


# ── money over the counter (O23) ────────────────────────────────────────────────────────────────────


def test_money_over_the_counter_takes_two_persons(front, finance, order_id):
    entered = front.post(f"/orders/{order_id}/offline", {"method": "cash", "note": "张女士到店付现"})
    assert entered.status_code == 303
    entry = db.session.query(OfflinePayment).one().id
    assert steps.row(order_id).status == OrderStatus.PENDING
    assert "您登记的" in words(front.get(f"/orders/{order_id}"))
    assert "确认收到 ¥200.00" in words(finance.get(f"/orders/{order_id}"))
    assert front.post(f"/orders/offline/{entry}/approve").status_code == 403
    assert finance.post(f"/orders/offline/{entry}/approve").status_code == 303
    assert steps.row(order_id).status == OrderStatus.PAID
    assert "线下收款" in words(finance.get(f"/orders/{order_id}"))
    assert finance.post(f"/orders/offline/{entry}/approve").status_code == 409


def test_who_entered_it_cannot_confirm_it(finance, order_id):
    finance.post(f"/orders/{order_id}/offline", {"method": "cash", "note": "付现"})
    entry = db.session.query(OfflinePayment).one().id
    refused = finance.post(f"/orders/offline/{entry}/approve")
    assert refused.status_code == 403
    assert "须由另一位同事确认" in words(refused)
    assert steps.row(order_id).status == OrderStatus.PENDING


def test_a_form_over_the_counter_that_lacks_something_comes_back_filled(front, order_id):
    answer = front.post(f"/orders/{order_id}/offline", {"method": "pos", "note": HOSTILE, "external_no": ""})
    assert answer.status_code == 422
    assert "刷卡单号" in words(answer)
    assert "onerror" in text(answer)
    assert "<img src=x" not in text(answer)
    assert db.session.query(OfflinePayment).count() == 0


def test_the_slip_of_a_card_stays_with_a_form_that_lacks_something_and_with_the_order(front, finance, order_id):
    given = {"method": "pos", "external_no": "880012", "note": " ", "receipts": (io.BytesIO(png()), "刷卡小票.png")}
    refused = front.post(f"/orders/{order_id}/offline", given, **FILES)
    assert (refused.status_code, "刷卡小票.png" in words(refused)) == (422, True)
    token = re.search(r'name="kept" value="([^"]+)"', text(refused))[1]
    given = {"method": "pos", "external_no": "880012", "note": "刷卡"}
    assert "请上传这次收款的回单" in words(front.post(f"/orders/{order_id}/offline", given))
    assert front.post(f"/orders/{order_id}/offline", given | {"kept": token}).status_code == 303
    slip = db.session.query(Receipt).one()
    assert f"/receipts/{slip.id}" in text(finance.get(f"/orders/{order_id}"))
    assert finance.get(f"/receipts/{slip.id}").status_code == 200
    entry = db.session.query(OfflinePayment).one().id
    assert finance.post(f"/orders/offline/{entry}/approve").status_code == 303
    assert "线下收款凭证" in words(finance.get(f"/orders/{order_id}"))
    assert finance.get(f"/receipts/{slip.id}/where").location.endswith(f"/orders/{order_id}")


def test_a_refund_by_hand_shows_its_receipt(finance, manager, family, paid):
    refund_no = refunds.ask(order_id=paid, amount=Decimal("50.00"), reason="退", refund_to="original",
                            actor=actor_of(finance.staff))  # fmt: skip
    with transaction():
        owner = Owner("refund", refund_row().id, family.id, ("refund", refund_no))
        receipts.attach(owner, [receipt()], actor_of(manager.staff))
    (kept,) = receipts_of("refund", refund_row().id)
    shown = manager.get(f"/refunds/{refund_no}")
    assert ("退款凭证" in words(shown), f"/receipts/{kept.id}" in text(shown)) == (True, True)
    assert manager.get(f"/receipts/{kept.id}/where").location.endswith(f"/refunds/{refund_no}")


def test_an_entry_is_rejected_with_a_reason_or_withdrawn_by_its_author(front, finance, order_id):
    front.post(f"/orders/{order_id}/offline", {"method": "cash", "note": "付现"})
    entry = db.session.query(OfflinePayment).one().id
    assert finance.post(f"/orders/offline/{entry}/reject", {"note": " "}).status_code == 422
    assert finance.post(f"/orders/offline/{entry}/reject", {"note": "没有收到"}).status_code == 303
    front.post(f"/orders/{order_id}/offline", {"method": "cash", "note": "又付"})
    second = db.session.query(OfflinePayment).order_by(OfflinePayment.id.desc()).first().id
    assert front.post(f"/orders/offline/{second}/withdraw").status_code == 303
    assert steps.row(order_id).status == OrderStatus.PENDING


# ── asking for a refund ─────────────────────────────────────────────────────────────────────────────


def test_the_form_shows_what_is_left_and_the_suggestion_with_its_rule(finance, paid):
    page = finance.get(f"/orders/{paid}/refund")
    assert page.status_code == 200
    assert 'value="200.00"' in text(page)
    for said in ("还可退", "建议退款", "首次体验，尚未报名正式课", "此前退款", "注册日期"):
        assert said in words(page)
    assert "到课" not in words(page)
    assert "缺课" not in words(page)


def test_it_says_what_it_will_do_before_it_does_it(finance, paid):
    preview = finance.post(f"/orders/{paid}/refund", wish())
    assert preview.status_code == 200
    assert "申请退款 ¥200.00？" in words(preview)
    assert "释放座位" in words(preview)
    assert db.session.query(Refund).count() == 0
    done = finance.post(f"/orders/{paid}/refund", wish(confirmed="1"))
    assert done.status_code == 303
    row = refund_row()
    assert (row.status, row.amount, row.frees_seat) == (RefundStatus.REQUESTED, Decimal("200.00"), True)
    assert done.location.endswith(f"/refunds/{row.refund_no}")


def test_the_same_form_twice_asks_once(finance, paid):
    form = wish(amount="50.00", confirmed="1", request_token="a" * 32)
    first, second = (finance.post(f"/orders/{paid}/refund", form) for _ in range(2))
    assert first.status_code == 303
    assert second.location == first.location
    assert db.session.query(Refund).count() == 1


@pytest.mark.parametrize(("changed", "said"), [
    ({"amount": "200.01"}, "最多还可退"), ({"amount": "0"}, "退款金额"), ({"amount": "abc"}, "金额"),
    ({"amount": "-1"}, "金额"), ({"reason": "  "}, "请填写退款原因"), ({"reason": "长" * 81}, "最多 80 个字"),
    ({"refund_to": "moon"}, "请选择退款去向"), ({"amount": "1e2"}, "金额"),
])  # fmt: skip
def test_a_refund_that_makes_no_sense_comes_back_with_the_reason(finance, paid, changed, said):
    answer = finance.post(f"/orders/{paid}/refund", wish(**changed, confirmed="1"))
    assert answer.status_code == 422
    assert said in words(answer)
    assert db.session.query(Refund).count() == 0


def test_hostile_words_stay_words(finance, manager, paid):
    finance.post(f"/orders/{paid}/refund", wish(reason=HOSTILE[:40], note=HOSTILE, confirmed="1"))
    for page in (f"/orders/{paid}", f"/refunds/{refund_row().refund_no}", "/refunds"):
        shown = text(manager.get(page))
        assert "&lt;img src=x" in shown
        assert "<img src=x" not in shown


def test_without_fresh_proof_nothing_is_asked(finance, paid):
    with transaction():
        db.session.execute(sa.update(StaffSession).values(proved_at=clock.now() - timedelta(hours=2)))
    answer = finance.htmx(f"/orders/{paid}/refund", wish(confirmed="1"))
    assert answer.status_code == 403
    assert "desk:step-up" in answer.headers["HX-Trigger"]
    assert db.session.query(Refund).count() == 0


def test_a_booking_that_a_wallet_paid_goes_back_into_the_wallet(finance, manager, family):
    booking = place.book(
        schedule_id=make_session(make_course(price="120.00")), profile_id=family.profile_ids[0],
        actor=actor_of(finance.staff),
    ).booking_id  # fmt: skip
    page = finance.get(f"/bookings/{booking}/refund")
    assert "不能原路退回" in words(page)
    assert "申请退款" in words(finance.get(f"/bookings/{booking}"))
    refused = finance.post(f"/bookings/{booking}/refund", wish("120.00", confirmed="1"))
    assert refused.status_code == 422
    assert (
        finance.post(f"/bookings/{booking}/refund", wish("20.00", refund_to="wallet", confirmed="1")).status_code == 303
    )
    number = refund_row().refund_no
    assert manager.post(f"/refunds/{number}/approve", {"version": "1"}).status_code == 303
    assert refund_row().status == RefundStatus.SUCCEEDED
    db.session.rollback()
    assert db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id)) == Decimal("520.00")


def test_money_from_over_the_counter_goes_back_over_it(front, finance, manager, order_id):
    front.post(f"/orders/{order_id}/offline", {"method": "cash", "note": "付现"})
    assert manager.post(f"/orders/offline/{db.session.query(OfflinePayment).one().id}/approve").status_code == 303
    page = text(finance.get(f"/orders/{order_id}/refund"))
    assert 'value="cash"' in page
    assert 'value="wallet"' in page
    assert 'value="original"' not in page
    refused = finance.post(f"/orders/{order_id}/refund", wish(confirmed="1"))
    assert refused.status_code == 422
    assert "请选择现金退还或退到钱包" in words(refused)
    asked_for = finance.post(f"/orders/{order_id}/refund", wish(refund_to="cash"))
    assert "把现金当面退给家长并登记" in words(asked_for)
    assert finance.post(f"/orders/{order_id}/refund", wish(refund_to="cash", confirmed="1")).status_code == 303
    number = refund_row().refund_no
    assert "由同事当面退给家长现金 ¥200.00" in words(manager.get(f"/refunds/{number}"))
    assert manager.post(f"/refunds/{number}/approve", {"version": "1"}).status_code == 303
    assert "登记现金已退" in words(finance.get(f"/refunds/{number}"))
    assert "登记现金已退" not in words(front.get(f"/refunds/{number}"))
    assert "有 1 笔现金退款已批准" in words(finance.get("/refunds"))
    assert number in text(finance.get("/refunds?to_where=cash&status=approved"))
    hand = {"method": "cash", "version": str(refund_row().version)}
    assert front.post(f"/refunds/{number}/pay-out", hand | {"note": "退了"}).status_code == 403
    assert finance.post(f"/refunds/{number}/pay-out", hand | {"note": ""}).status_code == 422
    assert finance.post(f"/refunds/{number}/pay-out", hand | {"note": "已当面退给张女士"}).status_code == 303
    done = words(finance.get(f"/refunds/{number}"))
    assert "已当面退给张女士" in done
    assert "已退款" in done
    assert finance.post(f"/refunds/{number}/pay-out", hand | {"note": "再退一次"}).status_code == 409
    assert "笔现金退款已批准" not in words(finance.get("/refunds"))


# ── deciding ────────────────────────────────────────────────────────────────────────────────────────


def test_another_person_approves_and_the_seat_is_free(finance, manager, paid):
    number = asked(finance.staff, paid)
    assert "批准退款 ¥200.00" in words(manager.get(f"/refunds/{number}"))
    own = finance.post(f"/refunds/{number}/approve", {"version": "1"})
    assert own.status_code == 403
    assert "须由另一位同事" in words(own)
    done = manager.htmx(f"/refunds/{number}/approve", {"version": "1"})
    assert done.status_code == 200
    assert "desk:order-changed" in done.headers["HX-Trigger"]
    assert refund_row().status == RefundStatus.APPROVED
    booking = db.session.get(Booking, steps.row(paid).booking_id)
    assert booking.status == "cancelled"
    assert manager.post(f"/refunds/{number}/approve", {"version": "1"}).status_code == 409


def test_a_stale_page_decides_nothing(finance, manager, paid):
    number = asked(finance.staff, paid)
    refused = manager.post(f"/refunds/{number}/approve", {"version": "7"})
    assert refused.status_code == 409
    assert "内容有了变化" in words(refused)
    assert refund_row().status == RefundStatus.REQUESTED


def test_rejected_with_a_reason_or_withdrawn_by_its_author(finance, manager, paid):
    number = asked(finance.staff, paid, "50.00")
    assert manager.post(f"/refunds/{number}/reject", {"note": ""}).status_code == 422
    assert manager.post(f"/refunds/{number}/withdraw").status_code == 403
    assert manager.post(f"/refunds/{number}/reject", {"note": "不符合规定"}).status_code == 303
    assert "不符合规定" in words(manager.get(f"/refunds/{number}"))
    again = asked(finance.staff, paid, "50.00")
    assert finance.post(f"/refunds/{again}/withdraw").status_code == 303


def test_a_failed_refund_offers_what_a_person_can_do(finance, manager, paid):
    number = asked(finance.staff, paid)
    with transaction():
        db.session.execute(sa.update(Refund).values(status="failed", error_code="NOT_ENOUGH", error="商户余额不足"))
    page = words(manager.get(f"/refunds/{number}"))
    for said in ("商户余额不足", "重新提交微信", "登记人工退款", "关闭", "向微信查询"):
        assert said in page
    assert manager.post(f"/refunds/{number}/retry").status_code == 303
    assert refund_row().status == RefundStatus.PROCESSING


def test_the_list_of_refunds_filters_and_counts_in_the_menu(finance, manager, paid):
    number = asked(finance.staff, paid, "50.00")
    page = manager.get("/refunds?status=requested")
    assert number in text(page)
    assert number not in text(manager.get("/refunds?status=failed"))
    assert "没有符合条件的退款" in text(manager.get("/refunds?status=failed"))
    assert re.search(r"待审批的退款\s*</span>\s*<strong[^>]*>1<", text(manager.get("/")))


# ── where they are met ──────────────────────────────────────────────────────────────────────────────


def test_the_family_page_has_orders_and_refunds(finance, family, paid):
    asked(finance.staff, paid, "50.00")
    page = words(finance.get(f"/families/{family.id}/orders"))
    assert "订单与退款" in page
    assert "已支付" in page
    assert "待审批" in page
    assert "没有体验课订单" in text(finance.get(f"/families/{make_family().id}/orders"))


def test_search_finds_an_order_by_its_numbers(front, paid):
    for query in (paid, paid[:10], "4200001234567890"):
        assert f'href="/orders/{paid}"' in text(front.get("/search", query_string={"q": query}))
    assert f'href="/orders/{paid}"' not in text(front.get("/search", query_string={"q": "张小明"}))


def test_pages_say_what_wechat_pay_lacks(front, monkeypatch, app):
    settings = app.extensions["desk.settings"]
    bare = dataclasses.replace(settings, wxpay=dataclasses.replace(settings.wxpay, mchid="", apiv3_key=""))
    monkeypatch.setitem(app.extensions, "desk.settings", bare)
    page = words(front.get("/orders"))
    assert "DESK_WXPAY_MCHID" in page
    assert "DESK_WXPAY_APIV3_KEY" in page
    assert "微信支付还没有开通" in page


# ── analytics (O25) ─────────────────────────────────────────────────────────────────────────────────


def test_analytics_count_what_a_hand_would_count(front, family, session, paid):
    other = make_family()
    tried = steps.order(other, session)
    begun = steps.begin(other, tried)
    attempts.note_start(attempt_id=begun.id, result="SYSTEM_ERROR")
    with transaction():
        db.session.execute(
            sa.update(PaymentOrder).where(PaymentOrder.order_id == tried)
            .values(status="failed", failure_reason="余额不足", ended_at=clock.now())
        )  # fmt: skip
    span = figures.Span(clock.today(), clock.today())
    total, day = figures.lines(span)
    assert total.counts == day.counts
    wanted = {"started": 1, "start_failed": 1, "received": 1, "unnotified": 1, "duplicates": 0, "paid": 1, "unpaid": 1}
    assert {name: total.counts[name] for name in wanted} == wanted
    assert total.start_rate == 0
    assert total.median is not None
    assert dict(figures.reasons(span)) == {"余额不足": 1, "发起支付时微信答复 SYSTEM_ERROR": 1}
    for figure, number in total.counts.items():
        assert len(figures.behind(figure, span)) == number
    page = words(front.get("/orders/analytics"))
    assert "余额不足" in page
    assert "发起支付成功" in page
    assert tried[:8] in text(front.get("/orders/analytics/unpaid"))
    assert front.get("/orders/analytics/moon").status_code == 404


def test_a_day_without_payments_has_no_rates(front):
    page = front.get("/orders/analytics?from=2024-01-01&to=2024-01-02")
    assert page.status_code == 200
    assert "这段时间没有支付" in text(page)
    assert front.get("/orders/analytics?from=moon&to=2999-01-01").status_code == 200


def test_the_export_is_recorded_and_holds_the_days(finance, paid):
    answer = finance.post("/exports/payments", {"format": "csv"})
    assert answer.mimetype == "text/csv"
    assert clock.today().isoformat() in text(answer)
