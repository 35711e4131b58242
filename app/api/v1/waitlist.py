"""Waiting for a full class from the mini program (Q1–Q16)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from flask import Blueprint

from app.api.v1 import bookings, payment, schedules
from app.api.v1 import waitlist_schemas as schemas
from app.api.v1.contract import Call, endpoint
from app.domain.offers import answer, join, staff
from app.domain.offers.answer import Confirmed
from app.domain.people.roles import Permission
from app.domain.waitlist import queries
from app.domain.waitlist.errors import EntryNotFound, WaitlistFull
from app.domain.waitlist.estimate import estimated_wait
from app.domain.waitlist.queries import EntryView

bp = Blueprint("waitlist", __name__, url_prefix="/waitlist")
#: what refuses the use of a credit (Q22)
_MAKEUP = ("CREDIT_NOT_FOUND", "NO_CREDIT", "CREDIT_EXPIRED", "TYPE_NOT_ALLOWED", "SHORTER_CLASS",
           "NOT_ENOUGH_COMPENSATION")  # fmt: skip


@endpoint(
    bp, "POST", "/join",
    summary="候补", body=schemas.JoinBody, data=schemas.Joined, status=201, key="honoured", limit="money",
    errors=("SCHEDULE_NOT_FOUND", "NOT_FOUND", "SCHEDULE_STARTED", "SCHEDULE_CANCELLED", "WAITLIST_CLOSED",
            "ALREADY_BOOKED", "ALREADY_WAITING", "TRIAL_ALREADY_BOOKED", "TIME_CONFLICT", "LEVEL_NOT_ALLOWED",
            "SEAT_AVAILABLE", "WAITLIST_FULL", "FEATURE_OFF", *_MAKEUP),
)  # fmt: skip
def join_waitlist(call: Call) -> schemas.Joined:
    """排进一节满员课的候补，轮到时从钱包扣费或用待补课。还有空位时答 SEAT_AVAILABLE，直接预约即可。"""
    family_id, asked = call.parent.family_id, call.body

    @functools.cache  # kept with the key inside the transaction, and answered after it
    def present(entry_id: int) -> schemas.Joined:
        view = _found(entry_id, family_id)
        call.message = f"您是第{view.position}位候补"
        return schemas.Joined(
            waitlist_id=view.id, position=view.position, estimated_wait_time=_estimate(view),
            alternatives=schedules.alternatives(
                view.schedule.id, profile_id=view.profile_id, family_id=family_id, credit_id=view.credit_id
            ),
            entry=_present([view], family_id)[0],
        )  # fmt: skip

    try:
        return present(
            join.join(
                schedule_id=asked.course_schedule_id, profile_id=asked.profile_id, actor=call.actor,
                auto_accept=asked.auto_accept is True, credit_id=asked.credit_id,
                use_compensation=asked.use_compensation is True, accept_shorter=asked.accept_shorter is True,
                request_key=call.request_key(present),
            )
        )  # fmt: skip
    except WaitlistFull as refusal:
        raise schedules.with_alternatives(
            refusal, asked.course_schedule_id, asked.profile_id, family_id, credit_id=asked.credit_id
        ) from None


@endpoint(bp, "GET", "/my", summary="我的候补", query=schemas.EntriesQuery, data=schemas.Entries)
def list_waits(call: Call) -> schemas.Entries:
    """本家庭的全部候补，新的在前；位次和剩余时间在读取时计算。"""
    family_id = call.parent.family_id
    views = queries.of_family(family_id, status=call.query.status)
    return schemas.Entries(items=_present(views, family_id), next_cursor=None)


@endpoint(
    bp, "GET", "/position/<id:waitlist_id>", summary="候补位次", data=schemas.Position, errors=("NOT_FOUND",),
)  # fmt: skip
def get_position(call: Call, waitlist_id: int) -> schemas.Position:
    """现在排第几位、预计等多久，以及轮到时的名额和剩余时间。"""
    view = _found(waitlist_id, call.parent.family_id)
    return schemas.Position(
        position=view.position, queue_length=view.queue_length, estimated_wait_time=_estimate(view),
        offer=_offer(view),
    )  # fmt: skip


@endpoint(
    bp, "PATCH", "/<id:waitlist_id>",
    summary="修改候补", body=schemas.EntryChangeBody, data=schemas.Entry, limit="money",
    errors=("NOT_FOUND", "INVALID_STATE", "LEVEL_NOT_ALLOWED", *_MAKEUP),
)  # fmt: skip
def patch_wait(call: Call, waitlist_id: int) -> schemas.Entry:
    """只改请求中出现的字段。关掉自动预约立即生效；credit_id 填 null 则改回从钱包扣费。"""
    family_id, asked = call.parent.family_id, call.body
    _found(waitlist_id, family_id)
    # A null is an answer only for the credit; a switch that is null was not said.
    without = "credit_id" in asked.model_fields_set and asked.credit_id is None
    if without or asked.model_dump(exclude_none=True):
        join.change(
            entry_id=waitlist_id, actor=call.actor, auto_accept=asked.auto_accept, credit_id=asked.credit_id,
            without_credit=without, use_compensation=asked.use_compensation, accept_shorter=asked.accept_shorter,
        )  # fmt: skip
    return _entry(waitlist_id, family_id)


@endpoint(
    bp, "DELETE", "/<id:waitlist_id>",
    summary="退出候补", data=schemas.Entry, key="honoured", limit="money", errors=("NOT_FOUND", "INVALID_STATE"),
)  # fmt: skip
def leave_wait(call: Call, waitlist_id: int) -> schemas.Entry:
    """随时可以退出，不收费；轮到的名额让给下一位。"""
    family_id = call.parent.family_id

    @functools.cache
    def present(_done: None) -> schemas.Entry:
        return _entry(waitlist_id, family_id)

    key = call.request_key(present)
    return present(join.leave(entry_id=waitlist_id, actor=call.actor, request_key=key))


@endpoint(
    bp, "PUT", "/<id:waitlist_id>/respond",
    summary="回应候补名额", body=schemas.RespondBody, data=schemas.Responded, key="required", limit="money",
    errors=("NOT_FOUND", "NO_OFFER", "OFFER_EXPIRED", "SEAT_TAKEN", "WAITLIST_CLOSED", "SCHEDULE_STARTED",
            "SCHEDULE_CANCELLED", "ALREADY_BOOKED", "TIME_CONFLICT", "LEVEL_NOT_ALLOWED", "TRIAL_ALREADY_BOOKED",
            "SEAT_FULL", "WALLET_FROZEN", "WALLET_CLOSED", "ARREARS_BLOCKED", "OVERDRAFT_LIMIT_EXCEEDED",
            "NO_CREDIT", "CREDIT_EXPIRED", "TYPE_NOT_ALLOWED", "SHORTER_CLASS", "NOT_ENOUGH_COMPENSATION"),
)  # fmt: skip
def respond_to_offer(call: Call, waitlist_id: int) -> schemas.Responded:
    """确认即占座、从钱包扣费或用待补课、成立预约；体验课得到一个待支付的订单。扣不了费时名额保留到最晚确认时间。"""
    family_id = call.parent.family_id

    @functools.cache
    def present(done: Confirmed | int) -> schemas.Responded:
        entry = _entry(waitlist_id, family_id)
        if not isinstance(done, Confirmed):
            return schemas.Responded(entry=entry, booking=None, order=None, clashes=[])
        return schemas.Responded(
            entry=entry,
            booking=None if done.booking_id is None else bookings.one(done.booking_id, family_id),
            order=None if done.order_id is None else payment.one(done.order_id, family_id),
            clashes=_present(answer.clashes(waitlist_id), family_id),
        )

    work = {"begin": answer.begin, "confirm": answer.confirm, "decline": answer.decline}[call.body.action]
    return present(work(entry_id=waitlist_id, actor=call.actor, request_key=call.request_key(present)))


@endpoint(
    bp, "GET", "/<id:waitlist_id>/notifications",
    summary="候补通知", data=schemas.Notices, errors=("NOT_FOUND",),
)  # fmt: skip
def list_notices(call: Call, waitlist_id: int) -> schemas.Notices:
    """这次候补收到过的名额通知和您的回应，新的在前。"""
    _found(waitlist_id, call.parent.family_id)
    items = [schemas.Notice.model_validate(one) for one in queries.notifications(waitlist_id)]
    return schemas.Notices(items=items, next_cursor=None)


@endpoint(
    bp, "POST", "/notify",
    summary="重发名额通知", body=schemas.NotifyBody, data=schemas.Notice, key="honoured",
    staff=Permission.WAITLIST_MANAGE,
    errors=("FORBIDDEN", "NOT_FOUND", "NO_OFFER", "INVALID_STATE", "RESEND_LIMIT", "NO_CONSENT"),
)  # fmt: skip
def resend_notice(call: Call) -> schemas.Notice:
    """馆方使用（运营台的登录）：再发一次名额通知，一分钟一次，每个名额至多三次。家长调用一律答 403。"""

    @functools.cache
    def present(_none: None) -> schemas.Notice:
        return schemas.Notice.model_validate(queries.notifications(call.body.waitlist_id)[0])

    return present(
        staff.resend(entry_id=call.body.waitlist_id, actor=call.actor, request_key=call.request_key(present))
    )


# ── the form of the answers ─────────────────────────────────────────────────────────────────────────


def _found(entry_id: int, family_id: int) -> EntryView:
    view = queries.entry(entry_id, family_id=family_id)
    if view is None:
        raise EntryNotFound
    return view


def _entry(entry_id: int, family_id: int) -> schemas.Entry:
    return _present([_found(entry_id, family_id)], family_id)[0]


def _estimate(view: EntryView) -> str | None:
    return None if view.position is None else estimated_wait(view.schedule.id, view.position)


def _offer(view: EntryView) -> schemas.Offer | None:
    return None if view.offer is None else schemas.Offer.model_validate(view.offer)


def _present(views: Sequence[EntryView], family_id: int) -> list[schemas.Entry]:
    cards = {view.schedule.id: view.schedule for view in views}
    shown = {one.id: one for one in schedules.present(list(cards.values()), family_id=family_id)}
    return [
        schemas.Entry(
            id=view.id, status=view.status, status_text=view.status_text, position=view.position,
            queue_length=view.queue_length, schedule=shown[view.schedule.id], profile_id=view.profile_id,
            profile_name=view.profile_name, joined_at=view.joined_at, auto_accept=view.auto_accept,
            credit_id=view.credit_id, use_compensation=view.use_compensation, accept_shorter=view.accept_shorter,
            offer=_offer(view),
        )
        for view in views
    ]  # fmt: skip
