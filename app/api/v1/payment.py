"""Trial orders and WeChat Pay for the mini program (O1–O8)."""

from __future__ import annotations

import functools
import io

import segno
from flask import Blueprint, Response

from app.api.v1 import payment_schemas as schemas
from app.api.v1 import schedules
from app.api.v1.contract import Call, endpoint
from app.domain.bookings.errors import SeatFull
from app.domain.orders import checkout, queries
from app.domain.orders.checkout import Checkout
from app.domain.orders.errors import OrderNotFound
from app.domain.orders.models import TradeType
from app.domain.orders.queries import OrderView
from app.flows import once, payments

bp = Blueprint("payment", __name__, url_prefix="/payment")

#: modules of quiet zone, and the least width in pixels (96.81)
_BORDER, _PIXELS = 4, 300


@endpoint(
    bp, "POST", "/orders/create",
    summary="预约体验课并下单", body=schemas.NewOrderBody, data=schemas.Order, status=201, given_back=True,
    key="required", limit="money",
    errors=("SCHEDULE_NOT_FOUND", "NOT_FOUND", "AMOUNT_MISMATCH", "NOT_A_TRIAL_CLASS", "TRIAL_ALREADY_BOOKED",
            "FEATURE_OFF", "SCHEDULE_CANCELLED", "SCHEDULE_STARTED", "ALREADY_BOOKED", "TIME_CONFLICT", "SEAT_FULL"),
)  # fmt: skip
def create_order(call: Call) -> schemas.Order:
    """占座并生成待支付订单；同一节课已有待支付订单时原样给回（200）。"""
    family_id, asked = call.parent.family_id, call.body

    @functools.cache
    def present(done: Checkout) -> schemas.Order:
        call.status = 201 if done.created else 200
        return one(done.order_id, family_id)

    try:
        return present(
            checkout.create(
                schedule_id=asked.course_schedule_id, profile_id=asked.profile_id, amount=asked.amount,
                actor=call.actor, request_key=call.request_key(present),
            )
        )  # fmt: skip
    except SeatFull as refusal:
        raise schedules.with_alternatives(refusal, asked.course_schedule_id, asked.profile_id, family_id) from None


@endpoint(
    bp, "GET", "/orders/<number:order_id>", summary="一个订单", data=schemas.Order, errors=("NOT_FOUND",),
)  # fmt: skip
def get_order(call: Call, order_id: str) -> schemas.Order:
    """待支付时至多每 5 秒向微信查一次；微信不答也照常回答。"""
    return shown(payments.read(order_id, family_id=call.parent.family_id))


@endpoint(
    bp, "POST", "/orders/<number:order_id>/cancel",
    summary="取消订单，或报告没付成", body=schemas.CancelOrderBody, body_optional=True, data=schemas.Order,
    key="honoured", limit="money", errors=("NOT_FOUND",),
)  # fmt: skip
def cancel_order(call: Call, order_id: str) -> schemas.Order:
    """先向微信关单再释放座位；其间已付成的，按已支付处理。已支付的订单不变。"""
    return cancelled(call, order_id, call.body.result, call.body.reason)


@endpoint(
    bp, "POST", "/wxpay/create",
    summary="发起微信支付", body=schemas.PrepayBody, data=schemas.Prepay, key="honoured", limit="money",
    errors=("NOT_FOUND", "ORDER_NOT_PAYABLE", "ORDER_EXPIRED", "FEATURE_OFF", "PAYMENT_UNAVAILABLE"),
)  # fmt: skip
def create_prepay(call: Call) -> schemas.Prepay:
    """占座有效期间可反复调用，沿用同一次预支付，签名每次新做。"""
    asked = call.body
    found = once.run(
        call.request_key(schemas.Prepay.model_validate),
        lambda: payments.prepay(order_id=asked.order_id, trade_type=asked.trade_type, actor=call.actor),
    )
    return schemas.Prepay.model_validate(found)


@endpoint(
    bp, "GET", "/wxpay/qrcode/<number:order_id>",
    summary="付款二维码", query=schemas.QrQuery, data=schemas.Prepay, limit="money",
    media=("image/png", "image/svg+xml"),
    errors=("NOT_FOUND", "ORDER_NOT_PAYABLE", "ORDER_EXPIRED", "FEATURE_OFF", "PAYMENT_UNAVAILABLE"),
)  # fmt: skip
def get_qrcode(call: Call, order_id: str) -> Response:
    """没有扫码支付时先发起。图片不缓存，至少 300 像素宽，四周留白。"""
    found = payments.prepay(order_id=order_id, trade_type=TradeType.NATIVE, actor=call.actor)
    code, image = segno.make_qr(found.code_url, error="m"), io.BytesIO()
    width = code.symbol_size(border=_BORDER)[0]
    code.save(image, kind=call.query.format, scale=-(-_PIXELS // width), border=_BORDER)
    kind = "image/png" if call.query.format == "png" else "image/svg+xml"
    return Response(image.getvalue(), headers={"Content-Type": kind, "Cache-Control": "no-store"})


# ── the form of the answers ─────────────────────────────────────────────────────────────────────────


def cancelled(call: Call, order_id: str, result: str, reason: str | None) -> schemas.Order:
    """End an order, or this try at it, and show it."""
    family_id = call.parent.family_id
    return shown(
        once.run(
            call.request_key(shown),
            lambda: payments.cancel(
                order_id=order_id, result=result, reason=reason, family_id=family_id, actor=call.actor
            ),
        )
    )


def shown(view: OrderView) -> schemas.Order:
    """An order in the contract's form."""
    schedule = schedules.present([view.schedule], family_id=view.family_id, profile_id=view.profile_id)[0]
    names = [name for name in schemas.Order.model_fields if name != "schedule"]
    return schemas.Order.model_validate({name: getattr(view, name) for name in names} | {"schedule": schedule})


def one(order_id: str, family_id: int) -> schemas.Order:
    """This family's order of that number. Raises OrderNotFound."""
    view = queries.order(order_id, family_id=family_id)
    if view is None:
        raise OrderNotFound
    return shown(view)
