"""What a booking allows, and when: pure functions and one table of states (spec 30)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from app import clock, money
from app.domain.bookings.errors import (
    ArrearsBlocked,
    CancelTooLate,
    LevelNotAllowed,
    ScheduleCancelled,
    ScheduleStarted,
    TrialNeedsPayment,
)
from app.domain.bookings.models import BookingKind, BookingSource, BookingStatus
from app.domain.catalog.models import ScheduleStatus
from app.domain.ledger import rules as wallet_rules
from app.errors import InvalidState
from app.money import ZERO

#: children arrive early: the roll can be marked this long before the class
ROLL_OPENS = timedelta(hours=2)

STATUS_TEXTS = {
    BookingStatus.BOOKED: "已预约",
    BookingStatus.ATTENDED: "已到课",
    BookingStatus.ABSENT: "缺课",
    BookingStatus.CANCELLED: "已取消",
    BookingStatus.ON_LEAVE: "已请假",
}
KIND_TEXTS = {BookingKind.TRIAL: "体验课", BookingKind.REGULAR: "正式课", BookingKind.MAKEUP: "补课"}
SOURCE_TEXTS = {
    BookingSource.WECHAT_PAY: "微信支付",
    BookingSource.WALLET: "钱包",
    BookingSource.MAKEUP_CREDIT: "待补课",
    BookingSource.STAFF: "前台",
}


class Event(StrEnum):
    CANCEL = "cancel"
    LEAVE = "leave"
    ATTEND = "attend"
    MISS = "miss"
    UNMARK = "unmark"


_S, _E = BookingStatus, Event
TRANSITIONS: dict[tuple[str, str], BookingStatus] = {
    (_S.BOOKED, _E.CANCEL): _S.CANCELLED,
    (_S.BOOKED, _E.LEAVE): _S.ON_LEAVE,
    (_S.BOOKED, _E.ATTEND): _S.ATTENDED,
    (_S.BOOKED, _E.MISS): _S.ABSENT,
    (_S.ATTENDED, _E.MISS): _S.ABSENT,
    (_S.ABSENT, _E.ATTEND): _S.ATTENDED,
    (_S.ATTENDED, _E.UNMARK): _S.BOOKED,
    (_S.ABSENT, _E.UNMARK): _S.BOOKED,
}


def next_status(status: str, event: Event) -> BookingStatus:
    """Raises InvalidState with what the booking is now (96.31)."""
    following = TRANSITIONS.get((status, event))
    if following is None:
        raise InvalidState(f"该预约{STATUS_TEXTS[BookingStatus(status)]}，不能进行这项操作")
    return following


def check_session(status: str, starts_at: datetime, now: datetime, *, is_trial: bool) -> None:
    """The session itself can be booked from the wallet. Raises ScheduleStarted, ScheduleCancelled,
    TrialNeedsPayment (96.34)."""
    if status == ScheduleStatus.CANCELLED:
        raise ScheduleCancelled
    if now >= starts_at:
        raise ScheduleStarted
    if is_trial:
        raise TrialNeedsPayment


def check_level(course_rank: int | None, student_rank: int | None, lowest_rank: int | None) -> None:
    """A student takes their own level or lower; without a confirmed one only the lowest (96.33).

    Ranks rise with the level. A course without a level is for everybody. Raises LevelNotAllowed.
    """
    if course_rank is None:
        return
    allowed = student_rank if student_rank is not None else lowest_rank
    if allowed is None or course_rank > allowed:
        raise LevelNotAllowed


def check_arrears(balance: Decimal, block_threshold: Decimal, *, bypassed: bool) -> None:
    """W23. `block_threshold` is positive yuan. Raises ArrearsBlocked."""
    if not bypassed and balance < 0 and balance <= -block_threshold:
        raise ArrearsBlocked(
            f"您已欠费 {money.yuan(-balance)}，请先充值后再预约",
            data={"balance": money.plain(balance), "threshold": money.plain(block_threshold)},
        )


def check_wallet(
    status: str, balance: Decimal, price: Decimal, *, limit: Decimal, threshold: Decimal, bypassed: bool
) -> None:
    """A wallet would pay this price now: what a booking asks of it, without one. `limit` and `threshold` are positive
    yuan. Raises WalletFrozen, WalletClosed, ArrearsBlocked, OverdraftLimitExceeded."""
    wallet_rules.check_status(status, -price)
    check_arrears(balance, threshold, bypassed=bypassed)
    if price > ZERO:
        wallet_rules.check_limit(balance, -price, limit)


def cutoff_policy(kind: str) -> str:
    """Name of the policy that says how long before the start a booking of this kind may still be cancelled."""
    return "makeup_cancel_cutoff" if kind == BookingKind.MAKEUP else "booking_cancel_cutoff"


def cancel_until(starts_at: datetime, cutoff: timedelta, *, free: bool) -> datetime:
    """The last moment, inclusive (96.36), at which a parent may cancel; `free` after the studio moved the class."""
    return starts_at if free else starts_at - cutoff


def in_time(now: datetime, starts_at: datetime, cutoff: timedelta, *, free: bool) -> bool:
    return now < starts_at and now <= cancel_until(starts_at, cutoff, free=free)


def too_late(kind: str, now: datetime, starts_at: datetime, cutoff: timedelta) -> CancelTooLate:
    """The refusal, which suggests leave where leave can still be taken (B3, B11)."""
    if now >= starts_at:
        return CancelTooLate("这节课已经开始，不能取消")
    hours = cutoff.total_seconds() / 3600
    said = f"{hours:g}小时" if hours >= 1 else f"{cutoff.total_seconds() / 60:g}分钟"
    instead = "如需改期请联系馆方" if kind == BookingKind.TRIAL else "您可以改为请假，保留一次补课机会"
    return CancelTooLate(f"开课前{said}内不能取消，{instead}")


def can_cancel(status: str, kind: str, now: datetime, starts_at: datetime, cutoff: timedelta, *, free: bool) -> bool:
    return status == BookingStatus.BOOKED and in_time(now, starts_at, cutoff, free=free)


def can_leave(status: str, kind: str, now: datetime, starts_at: datetime) -> bool:
    return status == BookingStatus.BOOKED and kind != BookingKind.TRIAL and now < starts_at


def roll_is_open(now: datetime, starts_at: datetime) -> bool:
    return now >= starts_at - ROLL_OPENS


def day_is_over(now: datetime, starts_at: datetime) -> bool:
    """The studio day of the class has ended: marks stay (C5)."""
    return now >= clock.day_bounds(clock.local(starts_at).date())[1]
