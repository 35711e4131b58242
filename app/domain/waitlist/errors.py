"""Why a place in a queue, or an answer to an offer, is refused (Q1, 96.55, 96.61): codes of the JSON contract."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class EntryNotFound(NotFound):
    message = "没有找到这个候补"


class SeatAvailable(Conflict):
    code = "SEAT_AVAILABLE"
    message = "这节课还有名额，可以直接预约"


class WaitlistFull(Conflict):
    """`data` carries the queue's state; the edges add alternatives (Q24)."""

    code = "WAITLIST_FULL"
    message = "候补队列已满，请选择其他课程"


class AlreadyWaiting(Conflict):
    code = "ALREADY_WAITING"
    message = "该学员已在这节课的候补队列中"


class WaitlistClosed(Conflict):
    code = "WAITLIST_CLOSED"
    message = "这节课的候补已截止"


class NoOffer(Conflict):
    code = "NO_OFFER"
    message = "目前没有可确认的候补名额"


class OfferExpired(Conflict):
    code = "OFFER_EXPIRED"
    message = "候补确认已过期，名额已顺位给下一位候补用户"


class SeatTaken(Conflict):
    code = "SEAT_TAKEN"
    message = "名额已被抢占"
