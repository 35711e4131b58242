"""Booking, cancelling and taking leave from the mini program (B1–B6)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from flask import Blueprint

from app.api.v1 import class_schemas as schemas
from app.api.v1 import cursors, payment, payment_schemas, schedules
from app.api.v1.contract import Call, endpoint
from app.domain.bookings import cancel, leave, place, queries
from app.domain.bookings.cancel import Cancelled
from app.domain.bookings.errors import BookingNotFound, SeatFull
from app.domain.bookings.leave import OnLeave
from app.domain.bookings.place import Booked
from app.domain.bookings.queries import BookingView
from app.domain.makeups import queries as makeups
from app.domain.makeups.queries import CreditView
from app.domain.orders import checkout
from app.domain.orders import queries as orders
from app.domain.orders.errors import OrderExpired, OrderNotPayable
from app.domain.orders.models import OrderStatus
from app.flows import once, payments

bp = Blueprint("bookings", __name__, url_prefix="/bookings")
_LIST = "b"


@endpoint(
    bp, "POST", "",
    summary="预约正式课", body=schemas.BookingBody, data=schemas.BookingMade, status=201, key="required",
    limit="money",
    errors=("SCHEDULE_NOT_FOUND", "NOT_FOUND", "SCHEDULE_STARTED", "SCHEDULE_CANCELLED", "SCHEDULE_MOVED",
            "FEATURE_OFF", "TRIAL_NEEDS_PAYMENT", "ALREADY_BOOKED", "TIME_CONFLICT", "LEVEL_NOT_ALLOWED", "SEAT_FULL",
            "PRICE_CHANGED", "WALLET_FROZEN", "WALLET_CLOSED", "ARREARS_BLOCKED", "OVERDRAFT_LIMIT_EXCEEDED"),
)  # fmt: skip
def make_booking(call: Call) -> schemas.BookingMade:
    """占座、从钱包扣费、成立预约，三件事一起成或一起不成。"""
    family_id = call.parent.family_id

    @functools.cache  # kept with the key inside the transaction, and answered after it
    def present(done: Booked) -> schemas.BookingMade:
        return schemas.BookingMade(booking=one(done.booking_id, family_id), balance=done.balance)

    try:
        return present(
            place.book(
                schedule_id=call.body.course_schedule_id, profile_id=call.body.profile_id, price=call.body.price,
                actor=call.actor, request_key=call.request_key(present),
            )
        )  # fmt: skip
    except SeatFull as refusal:
        asked = call.body
        raise schedules.with_alternatives(refusal, asked.course_schedule_id, asked.profile_id, family_id) from None


@endpoint(bp, "GET", "/my", summary="我的预约", query=schemas.BookingsQuery, data=schemas.Bookings)
def list_bookings(call: Call) -> schemas.Bookings:
    """本家庭的全部预约，新的在前。"""
    asked = call.query
    found = queries.of_family(
        call.parent.family_id, status=asked.status, before=cursors.decode(_LIST, asked.cursor), limit=asked.limit
    )
    page = found[: asked.limit]
    more = cursors.encode(_LIST, page[-1].id) if len(found) > asked.limit else None
    return schemas.Bookings(items=present(page, call.parent.family_id), next_cursor=more)


@endpoint(bp, "GET", "/<id:booking_id>", summary="一个预约", data=schemas.Booking, errors=("NOT_FOUND",))
def get_booking(call: Call, booking_id: int) -> schemas.Booking:
    """一个预约的详情，以及现在可否取消、可否请假。"""
    return one(booking_id, call.parent.family_id)


@endpoint(
    bp, "POST", "/<id:booking_id>/cancel",
    summary="取消预约", body=schemas.EndBody, body_optional=True, data=schemas.BookingCancelled, key="honoured",
    limit="money", errors=("NOT_FOUND", "INVALID_STATE", "CANCEL_TOO_LATE"),
)  # fmt: skip
def cancel_booking(call: Call, booking_id: int) -> schemas.BookingCancelled:
    """在时限之前取消：钱退回钱包，座位放出。"""
    family_id = call.parent.family_id

    @functools.cache
    def present(done: Cancelled) -> schemas.BookingCancelled:
        booking = one(done.booking_id, family_id)
        return schemas.BookingCancelled(booking=booking, refund_amount=done.refund, balance=done.balance)

    key = call.request_key(present)
    return present(cancel.cancel(booking_id=booking_id, actor=call.actor, reason=call.body.reason, request_key=key))


@endpoint(
    bp, "POST", "/<id:booking_id>/leave",
    summary="请假", body=schemas.EndBody, body_optional=True, data=schemas.OnLeave, key="honoured", limit="money",
    errors=("NOT_FOUND", "INVALID_STATE", "LEAVE_NOT_ALLOWED", "SCHEDULE_STARTED"),
)  # fmt: skip
def leave_booking(call: Call, booking_id: int) -> schemas.OnLeave:
    """开课前请假：不退费，得到一次补课机会。"""
    family_id = call.parent.family_id

    @functools.cache
    def present(done: OnLeave) -> schemas.OnLeave:
        return schemas.OnLeave(
            booking=one(done.booking_id, family_id),
            makeup_credit=present_credits([makeups.credit(done.credit_id)], family_id)[0],
        )

    key = call.request_key(present)
    return present(leave.take_leave(booking_id=booking_id, actor=call.actor, reason=call.body.reason, request_key=key))


# ── the seat of a trial order ───────────────────────────────────────────────────────────────────────


@endpoint(
    bp, "POST", "/seat-reserve",
    summary="为体验课订单占座", body=payment_schemas.OrderBody, data=payment_schemas.Hold, key="honoured",
    limit="money",
    errors=("NOT_FOUND", "SEAT_FULL", "ORDER_NOT_PAYABLE", "ORDER_EXPIRED", "SCHEDULE_CANCELLED", "SCHEDULE_STARTED",
            "TIME_CONFLICT", "ALREADY_BOOKED"),
)  # fmt: skip
def reserve_seat(call: Call) -> payment_schemas.Hold:
    """给出还有效的占座；已过期而订单未过期时重新占座。"""
    order_id, family_id = call.body.order_id, call.parent.family_id

    @functools.cache
    def present(_done: str) -> payment_schemas.Hold:
        return payment_schemas.Hold.model_validate(orders.order(order_id, family_id=family_id).hold)

    try:
        key = call.request_key(present)
        return present(checkout.reserve(order_id=order_id, actor=call.actor, request_key=key))
    except SeatFull as refusal:
        view = orders.order(order_id, family_id=family_id)
        raise schedules.with_alternatives(refusal, view.schedule.id, view.profile_id, family_id) from None


@endpoint(
    bp, "DELETE", "/seat-release",
    summary="放弃体验课订单", body=payment_schemas.OrderBody, body_or_query=True, data=payment_schemas.Order,
    key="honoured", limit="money", errors=("NOT_FOUND",),
)  # fmt: skip
def release_seat(call: Call) -> payment_schemas.Order:
    """与取消订单相同。order_id 放在请求内容里或地址的参数里都可以。"""
    return payment.cancelled(call, call.body.order_id, "cancelled", None)


@endpoint(
    bp, "POST", "/confirm",
    summary="确认已支付", body=payment_schemas.OrderBody, data=schemas.Booking, accepted=payment_schemas.Unknown,
    key="honoured", limit="money", errors=("NOT_FOUND", "ORDER_NOT_PAYABLE", "ORDER_EXPIRED", "PAYMENT_UNAVAILABLE"),
)  # fmt: skip
def confirm_booking(call: Call) -> schemas.Booking | payment_schemas.Unknown:
    """支付完成后调用：已到账则给出预约；还不知道时答 202，过 retry_after 秒再来。"""
    family_id = call.parent.family_id
    view = once.run(
        call.request_key(lambda done: one(done.booking_id, family_id)),
        lambda: payments.confirm(order_id=call.body.order_id, family_id=family_id, actor=call.actor),
        keep=lambda done: done.booking_id is not None,
    )
    if view.booking_id is not None:
        return one(view.booking_id, family_id)
    if view.status in (OrderStatus.PENDING, OrderStatus.PAID) or view.closing:
        call.status = 202
        return payment_schemas.Unknown(status="pending", retry_after=payment_schemas.RETRY_AFTER)
    raise OrderExpired if view.over else OrderNotPayable(f"订单{view.status_text}")


# ── the form of the answers ─────────────────────────────────────────────────────────────────────────


def one(booking_id: int, family_id: int) -> schemas.Booking:
    """This family's booking. Raises BookingNotFound."""
    found = queries.booking(booking_id, family_id=family_id)
    if found is None:
        raise BookingNotFound
    return present([found], family_id)[0]


def present(views: Sequence[BookingView], family_id: int) -> list[schemas.Booking]:
    """Bookings in the contract's form; one query for all their sessions."""
    cards = {view.schedule.id: view.schedule for view in views}
    shown = {card.id: card for card in schedules.present(list(cards.values()), family_id=family_id)}
    return [
        schemas.Booking(
            id=view.id, kind=view.kind, status=view.status, status_text=view.status_text, source=view.source,
            price=view.price, schedule=shown[view.schedule.id], profile_id=view.profile_id,
            profile_name=view.profile_name, order_id=view.order_id, created_at=view.created_at,
            can_cancel=view.can_cancel, can_leave=view.can_leave, cancel_until=view.cancel_until,
        )
        for view in views
    ]  # fmt: skip


def present_credits(views: Sequence[CreditView], family_id: int) -> list[schemas.Credit]:
    """Makeup credits in the contract's form; one query for all their sessions."""
    cards = {view.original_schedule.id: view.original_schedule for view in views}
    shown = {card.id: card for card in schedules.present(list(cards.values()), family_id=family_id)}
    return [
        schemas.Credit(
            id=view.id, status=view.status, status_text=view.status_text,
            original_booking_id=view.original_booking_id, original_schedule=shown[view.original_schedule.id],
            left_at=view.left_at, valid_until=view.valid_until, course_type=view.course_type, level=view.level,
            minutes=view.minutes, profile_id=view.profile_id,
        )
        for view in views
    ]  # fmt: skip
