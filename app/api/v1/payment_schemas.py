"""The shapes of orders and payments in the contract (95), field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.v1 import fields as f
from app.api.v1.class_schemas import Schedule
from app.api.v1.schemas import Answer, Request
from app.domain.orders.models import OrderStatus, RefundStatus, RefundTo
from app.domain.orders.queries import NextAction, SeatStatus
from app.domain.seats.models import ReservationStatus

#: seconds after which it is worth asking again (96.48)
RETRY_AFTER = 3

_ORDER_ID = {"title": "订单编号", "examples": ["9f2c4e0a6b7d4f1e8a3c5d7b9e1f2a4c"]}


class OrderBody(Request):
    order_id: f.PublicNumber = Field(**_ORDER_ID)


class NewOrderBody(Request):
    course_schedule_id: f.BodyId = Field(title="课次编号", examples=[120])
    profile_id: f.BodyId = Field(title="学员编号", examples=[31])
    amount: f.Price = Field(None, title="看到的金额", description="与体验课价格不同时答 AMOUNT_MISMATCH")


class CancelOrderBody(Request):
    result: Literal["cancelled", "failed"] = Field(
        "cancelled", title="结果", description="failed：这次没付成，订单保留"
    )
    reason: f.Note = Field(None, title="原因", examples=["用户取消支付"])


class PrepayBody(OrderBody):
    trade_type: Literal["JSAPI", "NATIVE"] = Field("JSAPI", title="支付方式")


class QrQuery(Request):
    format: Literal["png", "svg"] = Field("png", title="图片格式")


class Hold(Answer):
    reservation_id: str = Field(title="占座编号")
    status: Literal[tuple(ReservationStatus)] = Field(title="状态")  # type: ignore[valid-type]
    expires_at: f.Moment = Field(title="占座到")
    seconds_left: int = Field(title="剩余秒数", examples=[840])


class OrderRefund(Answer):
    refund_no: str = Field(title="退款编号")
    amount: f.Money = Field(title="金额", examples=["200.00"])
    status: Literal[tuple(RefundStatus)] = Field(title="状态")  # type: ignore[valid-type]
    refund_to: Literal[tuple(RefundTo)] = Field(  # type: ignore[valid-type]
        title="退到", description="original 原路，wallet 钱包，cash 到店领现金"
    )
    created_at: f.Moment = Field(title="申请时间")
    succeeded_at: f.Moment | None = Field(title="到账时间")


class Order(Answer):
    order_id: str = Field(**_ORDER_ID)
    status: Literal[tuple(OrderStatus)] = Field(title="状态")  # type: ignore[valid-type]
    status_text: str = Field(title="状态说明", examples=["待支付"])
    seat_status: Literal[tuple(SeatStatus)] = Field(title="座位")  # type: ignore[valid-type]
    amount: f.Money = Field(title="金额", examples=["200.00"])
    currency: Literal["CNY"] = Field(title="币种")
    schedule: Schedule = Field(title="课次")
    profile_id: int = Field(title="学员编号", examples=[31])
    created_at: f.Moment = Field(title="下单时间")
    expires_at: f.Moment = Field(title="订单到期时间")
    paid_at: f.Moment | None = Field(title="支付时间")
    closing: bool = Field(title="微信还在关单", description="此时仍可能到账，会按已支付处理")
    hold: Hold | None = Field(title="占座")
    booking_id: int | None = Field(title="预约编号")
    refunds: list[OrderRefund] = Field(title="退款")
    next_action: Literal[tuple(NextAction)] = Field(title="接下来")  # type: ignore[valid-type]


class PayParams(Answer):
    timeStamp: str
    nonceStr: str
    package: str
    signType: str
    paySign: str
    appId: str


class Prepay(Answer):
    order_id: str = Field(**_ORDER_ID)
    trade_type: Literal["JSAPI", "NATIVE"] = Field(title="支付方式")
    expires_at: f.Moment = Field(title="最晚支付时间")
    pay_params: PayParams | None = Field(title="wx.requestPayment 的参数", description="JSAPI 时给出")
    code_url: str | None = Field(title="二维码内容", description="NATIVE 时给出")


class Unknown(Answer):
    status: Literal["pending"] = Field(title="状态")
    retry_after: int = Field(title="多少秒后再来", examples=[RETRY_AFTER])
