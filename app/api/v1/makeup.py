"""Making up for a missed class from the mini program (M2–M5, M7, M11, M13)."""

from __future__ import annotations

import functools

from flask import Blueprint

from app import clock
from app.api.v1 import bookings, cursors, schedules
from app.api.v1 import makeup_schemas as schemas
from app.api.v1.contract import Call, endpoint
from app.domain.bookings import cancel
from app.domain.bookings.cancel import Cancelled
from app.domain.bookings.errors import BookingNotFound, SeatFull
from app.domain.credits import minutes, rules
from app.domain.credits.errors import CreditNotFound
from app.domain.credits.models import RequestStatus
from app.domain.makeups import asking, book, matching, queries
from app.domain.makeups.book import MadeUp
from app.domain.makeups.matching import Filters, Match, Position
from app.domain.makeups.queries import CreditView
from app.money import ZERO

bp = Blueprint("makeup", __name__, url_prefix="/makeup")
_CREDITS, _CHOICES = "k", "m"


@endpoint(bp, "GET", "/my", summary="我的待补课", query=schemas.CreditsQuery, data=schemas.Credits)
def list_credits(call: Call) -> schemas.Credits:
    """本家庭的全部待补课，新的在前：待补课、已预约、已补课、已失效。"""
    asked, family_id = call.query, call.parent.family_id
    before = cursors.decode(_CREDITS, asked.cursor)
    found = queries.of_family(family_id, shown=asked.status, before=before, limit=asked.limit)
    page = found[: asked.limit]
    balance = queries.family_minutes(family_id)
    return schemas.Credits(
        items=_credits(page, family_id),
        next_cursor=cursors.encode(_CREDITS, page[-1].id) if len(found) > asked.limit else None,
        compensation_minutes=balance, compensation_hint=rules.hint(balance),
    )  # fmt: skip


@endpoint(
    bp, "GET", "/available",
    summary="可补的课", query=schemas.ChoicesQuery, data=schemas.Choices, errors=("CREDIT_NOT_FOUND",),
)  # fmt: skip
def list_choices(call: Call) -> schemas.Choices:
    """一次待补课可以用来上的课：同类型、同级别或更低，有效期之内，时间不冲突；满员的也列出，可以候补。"""
    asked, family_id = call.query, call.parent.family_id
    after = cursors.decode_triple(_CHOICES, asked.cursor)
    credit = matching.missed(asked.credit_id, family_id=family_id)
    if credit is None:
        raise CreditNotFound
    filters = Filters(
        date_from=asked.date_from, date_to=asked.date_to, time_from=asked.time_from, time_to=asked.time_to,
        venue_id=asked.venue_id, coach_id=asked.coach_id, weekday=asked.weekday,
    )  # fmt: skip
    found = matching.available(credit, filters, after=_position(after), limit=asked.limit)
    page = found[: asked.limit]
    balance = minutes.available(credit.profile_id, clock.now())
    return schemas.Choices(
        items=_choices(page, family_id, credit.profile_id),
        next_cursor=_cursor(page[-1].position) if len(found) > asked.limit else None,
        compensation_minutes=balance, compensation_hint=rules.hint(balance),
    )  # fmt: skip


@endpoint(
    bp, "POST", "/book",
    summary="预约补课", body=schemas.MakeupBody, data=schemas.MakeupMade, status=201, key="required", limit="money",
    errors=("SCHEDULE_NOT_FOUND", "BOOKING_NOT_FOUND", "NOT_FOUND", "SCHEDULE_STARTED", "SCHEDULE_CANCELLED",
            "FEATURE_OFF", "NO_CREDIT", "CREDIT_EXPIRED", "TYPE_NOT_ALLOWED", "LEVEL_NOT_ALLOWED", "ALREADY_BOOKED",
            "TIME_CONFLICT", "SEAT_FULL", "SHORTER_CLASS", "NOT_ENOUGH_COMPENSATION"),
)  # fmt: skip
def book_makeup(call: Call) -> schemas.MakeupMade:
    """占座、用掉待补课、结算课时补偿，一起成或一起不成，不扣费。"""
    asked, family_id = call.body, call.parent.family_id

    @functools.cache  # kept with the key inside the transaction, and answered after it
    def present(made: MadeUp) -> schemas.MakeupMade:
        return schemas.MakeupMade(
            makeup_booking_id=made.booking_id, booking=bookings.one(made.booking_id, family_id),
            duration_difference=made.difference, compensation_used=made.used, compensation_earned=made.earned,
            remaining_compensation=made.remaining,
        )  # fmt: skip

    try:
        return present(
            book.book(
                schedule_id=asked.course_schedule_id, profile_id=asked.profile_id,
                original_booking_id=asked.original_booking_id, use_compensation=asked.use_compensation is True,
                accept_shorter=asked.accept_shorter is True, actor=call.actor, request_key=call.request_key(present),
            )
        )  # fmt: skip
    except SeatFull as refusal:
        credit = book.credit_facts(booking_id=asked.original_booking_id)
        raise schedules.with_alternatives(
            refusal, asked.course_schedule_id, asked.profile_id, family_id, credit_id=credit.id
        ) from None


@endpoint(
    bp, "DELETE", "/<id:makeup_booking_id>/cancel",
    summary="取消补课", data=schemas.MakeupCancelled, key="honoured", limit="money",
    errors=("BOOKING_NOT_FOUND", "INVALID_STATE", "CANCEL_TOO_LATE"),
)  # fmt: skip
def cancel_makeup(call: Call, makeup_booking_id: int) -> schemas.MakeupCancelled:
    """在时限之前取消：待补课退回，有效期不变；用掉的课时补偿退回，得到的收回。"""
    family_id = call.parent.family_id
    credit_id = queries.credit_of(makeup_booking_id, family_id=family_id)
    if credit_id is None:
        raise BookingNotFound(code="BOOKING_NOT_FOUND")

    @functools.cache
    def present(done: Cancelled) -> schemas.MakeupCancelled:
        credit = queries.credit(credit_id)
        return schemas.MakeupCancelled(
            booking=bookings.one(done.booking_id, family_id),
            credit=bookings.present_credits([credit], family_id)[0],
            remaining_compensation=minutes.available(credit.profile_id, clock.now()),
        )

    key = call.request_key(present)
    return present(cancel.cancel(booking_id=makeup_booking_id, actor=call.actor, request_key=key))


@endpoint(
    bp, "POST", "/credits/<id:credit_id>/request",
    summary="请前台安排补课", body=schemas.AskBody, data=schemas.Asked, status=201, key="honoured", limit="money",
    errors=("CREDIT_NOT_FOUND", "NO_CREDIT", "CREDIT_EXPIRED", "REQUEST_OPEN"),
)  # fmt: skip
def ask_for_makeup(call: Call, credit_id: int) -> schemas.Asked:
    """前台收到后安排，并在消息里答复您。答复之前同一次待补课不必再问。"""

    def present(request_id: int) -> schemas.Asked:
        return schemas.Asked(id=request_id, status=RequestStatus.OPEN)

    return present(
        asking.ask(
            credit_id=credit_id, text=call.body.text, wishes=call.body.wishes, actor=call.actor,
            request_key=call.request_key(present),
        )
    )  # fmt: skip


# ── the form of the answers ─────────────────────────────────────────────────────────────────────────


def _position(found: tuple[int, int, int] | None) -> Position | None:
    if found is None:
        return None
    group, at, schedule_id = found
    if group > 2:
        raise cursors.invalid()
    return Position(group == 2, cursors.moment(at), schedule_id)


def _cursor(position: Position) -> str:
    return cursors.encode(_CHOICES, 2 if position.lower else 1, cursors.ticks(position.starts_at), position.id)


def _credits(views: list[CreditView], family_id: int) -> list[schemas.MyCredit]:
    makeups = bookings.present([view.makeup for view in views if view.makeup is not None], family_id)
    booked = {one.id: one for one in makeups}
    shown = bookings.present_credits(views, family_id)
    return [
        schemas.MyCredit(**dict(credit), makeup_booking=booked[view.makeup.id] if view.makeup else None)
        for view, credit in zip(views, shown, strict=True)
    ]


def _choices(matches: list[Match], family_id: int, profile_id: int) -> list[schemas.Choice]:
    shown = schedules.present([one.session for one in matches], family_id=family_id, profile_id=profile_id)
    return [
        schemas.Choice(
            schedule=schedule, match=schemas.Match(**one.differences, text=one.text),
            original_price=one.session.price, price=ZERO, duration_difference=one.exchange.difference,
            can_book=one.blocked_by is None, can_join_waitlist=one.can_join_waitlist, blocked_by=one.blocked_by,
        )
        for one, schedule in zip(matches, shown, strict=True)
    ]  # fmt: skip
