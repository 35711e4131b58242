"""Why a booking, a cancellation or a leave is refused (B2–B4, B11): stable codes of the JSON contract."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class ScheduleNotFound(NotFound):
    code = "SCHEDULE_NOT_FOUND"
    message = "没有找到这节课"


class BookingNotFound(NotFound):
    message = "没有找到这个预约"


class ScheduleStarted(Conflict):
    code = "SCHEDULE_STARTED"
    message = "这节课已经开始，不能再预约"


class ScheduleCancelled(Conflict):
    code = "SCHEDULE_CANCELLED"
    message = "这节课已取消，请选择其他课次"


class ScheduleMoved(Conflict):
    code = "SCHEDULE_MOVED"
    message = "这节课刚刚改了时间，请刷新后再预约"


class TrialNeedsPayment(Conflict):
    code = "TRIAL_NEEDS_PAYMENT"
    message = "体验课须用微信支付预约，不能从钱包扣费"


class AlreadyBooked(Conflict):
    code = "ALREADY_BOOKED"
    message = "该学员已预约这节课"


class TimeConflict(Conflict):
    code = "TIME_CONFLICT"
    message = "该学员在这个时间已有其他课程"


class LevelNotAllowed(Conflict):
    code = "LEVEL_NOT_ALLOWED"
    message = "学员的级别还不能上这节课"


class SeatFull(Conflict):
    """`data` carries the waitlist's state; the edges add alternatives (96.35)."""

    code = "SEAT_FULL"
    message = "这节课已满"


class ArrearsBlocked(Conflict):
    code = "ARREARS_BLOCKED"


class PriceChanged(Conflict):
    code = "PRICE_CHANGED"
    message = "课程价格已变更，请确认新价格后再预约"


class CancelTooLate(Conflict):
    code = "CANCEL_TOO_LATE"


class LeaveNotAllowed(Conflict):
    code = "LEAVE_NOT_ALLOWED"
    message = "体验课不能请假，如需改期请联系馆方"


class LateRefundNeedsSecond(Conflict):
    code = "SECOND_PERSON_NEEDED"
    message = "已过取消时限，退款须由另一人复核"


class AttendanceClosed(Conflict):
    code = "DAY_CLOSED"
    message = "当天已结束，不能再改考勤"


class AttendanceTooEarly(Conflict):
    code = "TOO_EARLY"
    message = "上课前两小时起才能点名"
