"""The trial orders of the tiny app: enough of the contract for the phone's pages; WeChat's part is the sandbox's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import g, request

from app.gateways.wechat_pay import CloseOutcome, OrderPaid
from app.ids import new_hex

TEXTS = {"pending": "待支付", "paid": "已支付", "cancelled": "已取消", "expired": "已过期"}


def register(app, answer) -> None:
    """Add the calls. `app.wechat_pay` asks the sandbox; `app.orders` by number; `app.unsure` confirms stay open;
    `app.right_amount` is what the server says a trial costs; `app.make_order(session, profile_id)` holds a seat."""
    app.wechat_pay, app.orders, app.unsure, app.right_amount = None, {}, 0, "200.00"

    def shown(order):
        return {name: value for name, value in order.items() if name not in ("openid", "trade_no")}

    def set_seat(order, seat):
        change = (seat in ("held", "confirmed")) - (order["seat_status"] in ("held", "confirmed"))
        order["schedule"]["available"] -= change
        order["schedule"]["my_state"] = {"held": "held", "confirmed": "booked"}.get(seat, "none")
        order["seat_status"] = seat
        held = seat == "held"
        order["hold"] = {
            "reservation_id": "r1", "status": "temporary" if held else "cancelled",
            "expires_at": (datetime.now(UTC) + timedelta(minutes=15)).isoformat(), "seconds_left": 900 if held else 0,
        }  # fmt: skip
        order["next_action"] = "none"
        if order["status"] == "pending":
            order["next_action"] = "pay" if held else "reserve"

    def set_status(order, status):
        order.update(status=status, status_text=TEXTS[status])

    def look(order):
        trade = app.wechat_pay.query(out_trade_no=order["trade_no"]) if order["trade_no"] else None
        if order["status"] != "pending" or trade is None or trade.trade_state != "SUCCESS":
            return
        profile = next(one for one in g.user["profiles"] if one["id"] == order["profile_id"])
        set_status(order, "paid")
        set_seat(order, "confirmed")
        app.bookings.append({
            "id": len(app.bookings) + 1, "kind": "trial", "status": "booked", "status_text": "已预约",
            "source": "wechat_pay", "price": order["amount"], "schedule": order["schedule"],
            "profile_id": profile["id"], "profile_name": profile["name"], "order_id": order["order_id"],
            "created_at": order["created_at"], "can_cancel": True, "can_leave": False,
            "cancel_until": order["schedule"]["starts_at"],
        })  # fmt: skip
        order.update(booking_id=len(app.bookings), paid_at=datetime.now(UTC).isoformat())

    def full(session):
        free = [one for one in app.sessions if one["course_type"] == "trial" and one["available"] > 0]
        data = {"alternatives": free, "waitlist_count": 0, "waitlist_capacity": 8}
        return answer(data, 409, "这节课已满", error="SEAT_FULL") if session["available"] <= 0 else None

    def make(session, profile_id):
        now, number = datetime.now(UTC), new_hex()
        app.orders[number] = order = {
            "order_id": number, "amount": app.right_amount, "currency": "CNY", "schedule": session,
            "profile_id": profile_id, "created_at": now.isoformat(),
            "expires_at": (now + timedelta(minutes=30)).isoformat(), "paid_at": None, "closing": False,
            "booking_id": None, "refunds": [], "seat_status": "released", "trade_no": None,
            "openid": app.tokens[request.headers["Authorization"].removeprefix("Bearer ")],
        }  # fmt: skip
        set_status(order, "pending")
        set_seat(order, "held")
        return shown(order)

    app.make_order = make

    @app.post("/api/v1/payment/orders/create")
    def create():
        asked = request.json
        session = app.sessions[asked["course_schedule_id"] - 1]
        live = [one for one in app.orders.values() if one["status"] in ("pending", "paid")]
        again = [one for one in live if one["status"] == "pending" and one["schedule"] is session]
        if asked["amount"] != app.right_amount:
            data = {"amount": app.right_amount}
            return answer(data, 422, "体验课价格已变更，请确认后再下单", error="AMOUNT_MISMATCH")
        if again:
            return answer(shown(again[0]))
        if live:
            return answer(None, 409, "您已预约过体验课，无法重复预约", error="TRIAL_ALREADY_BOOKED")
        if refusal := full(session):
            return refusal
        return answer(make(session, asked["profile_id"]), 201)

    @app.post("/api/v1/payment/wxpay/create")
    def prepay():
        order = app.orders[request.json["order_id"]]
        if order["seat_status"] != "held":
            return answer(None, 409, "占座已过期，请重新占座", error="ORDER_NOT_PAYABLE")
        order["trade_no"] = order["trade_no"] or new_hex()
        try:
            prepay_id = app.wechat_pay.prepay_jsapi(
                out_trade_no=order["trade_no"], description="体验课", total_fen=20000, openid=order["openid"],
                time_expire=datetime.fromisoformat(order["hold"]["expires_at"]).replace(microsecond=0),
                notify_url="http://127.0.0.1:9/nobody",
            )  # fmt: skip
        except OrderPaid:
            return answer(None, 409, "订单已支付", error="ORDER_NOT_PAYABLE")
        except Exception:
            return answer(None, 503, "微信支付暂时不可用，请稍后再试", error="PAYMENT_UNAVAILABLE")
        return answer({"pay_params": app.wechat_pay.sign_pay(prepay_id), "expires_at": order["hold"]["expires_at"]})

    @app.get("/api/v1/payment/orders/<number>")
    def show(number):
        if number not in app.orders:
            return answer(None, 404, "没有这个订单", error="NOT_FOUND")
        look(app.orders[number])
        return answer(shown(app.orders[number]))

    @app.post("/api/v1/payment/orders/<number>/cancel")
    def end(number):
        order = app.orders[number]
        order["reported"] = request.json
        closed = app.wechat_pay.close(order["trade_no"]) if order["trade_no"] else CloseOutcome.CLOSED
        look(order)
        if order["status"] == "pending":
            assert closed in (CloseOutcome.CLOSED, CloseOutcome.UNKNOWN_ORDER)
            order["trade_no"] = None
            if request.json["result"] == "cancelled":
                set_status(order, "cancelled")
            set_seat(order, "released")
        return answer(shown(order))

    @app.post("/api/v1/bookings/seat-reserve")
    def reserve():
        order = app.orders[request.json["order_id"]]
        if refusal := full(order["schedule"]):
            return refusal
        set_seat(order, "held")
        return answer(order["hold"])

    @app.post("/api/v1/bookings/confirm")
    def confirm():
        order = app.orders[request.json["order_id"]]
        if app.unsure:
            app.unsure -= 1
            return answer({"status": "pending", "retry_after": 0.2}, 202)
        look(order)
        return answer(app.bookings[order["booking_id"] - 1])
