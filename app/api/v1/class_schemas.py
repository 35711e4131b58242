"""The shapes of classes and bookings in the contract (95), field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.v1 import fields as f
from app.api.v1.schemas import Answer, Request
from app.domain.bookings.models import BookingKind, BookingSource, BookingStatus

MyState = Literal["none", "held", "booked", "waiting", "offered", "full"]


class Named(Answer):
    id: int = Field(title="编号", examples=[3])
    name: str = Field(title="名称", examples=["一号馆"])


class SchedulesQuery(Request):
    date_from: f.Day = Field(None, title="开始日期", description="上海时间的日子，含当天；不填则从现在起")
    date_to: f.Day = Field(None, title="结束日期", description="上海时间的日子，含当天")
    type: f.Code = Field(None, title="课程类型", description="类型代码")
    level: f.LevelName = Field(None, title="级别")
    venue_id: f.Id = Field(None, title="场馆编号")
    coach_id: f.Id = Field(None, title="教练编号")
    available: f.Switch | None = Field(None, title="是否有空位")
    profile_id: f.Id = Field(None, title="学员编号", description="my_state 只看这位学员")
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class ScheduleQuery(Request):
    profile_id: f.Id = Field(None, title="学员编号", description="my_state 只看这位学员")


class Schedule(Answer):
    id: int = Field(title="编号", examples=[120])
    course_name: str = Field(title="课程", examples=["少儿体操启蒙"])
    course_type: str = Field(title="课程类型", examples=["regular"])
    level: str | None = Field(title="级别", examples=["L1"])
    coach: Named = Field(title="教练")
    venue: Named = Field(title="场馆")
    starts_at: f.Moment = Field(title="开始时间")
    ends_at: f.Moment = Field(title="结束时间")
    duration_minutes: int = Field(title="分钟数", examples=[60])
    price: f.Money = Field(title="价格", examples=["200.00"])
    status: Literal["scheduled", "cancelled", "finished"] = Field(title="状态")
    capacity: int = Field(title="名额", examples=[6])
    booked: int = Field(title="已预约", examples=[4])
    held: int = Field(title="支付中", examples=[0])
    available: int = Field(title="空位", examples=[2])
    waitlist_count: int = Field(title="候补人数", examples=[0])
    waitlist_capacity: int = Field(title="候补上限", examples=[8])
    my_state: MyState = Field(title="与我的关系")


class Schedules(Answer):
    items: list[Schedule] = Field(title="各课次")
    next_cursor: str | None = Field(title="下一页")


class Availability(Answer):
    capacity: int = Field(title="名额", examples=[6])
    booked: int = Field(title="已预约", examples=[4])
    held: int = Field(title="支付中", examples=[0])
    kept_for_waitlist: int = Field(title="为候补保留", examples=[0])
    available: int = Field(title="空位", examples=[2])
    waitlist_count: int = Field(title="候补人数", examples=[0])
    waitlist_capacity: int = Field(title="候补上限", examples=[8])
    my_state: MyState = Field(title="与我的关系")


class BookingBody(Request):
    course_schedule_id: f.BodyId = Field(title="课次编号", examples=[120])
    profile_id: f.BodyId = Field(title="学员编号", examples=[31])
    price: f.Price = Field(None, title="看到的价格", description="给出时，价格有变则不扣费，答 PRICE_CHANGED")


class EndBody(Request):
    reason: f.Note = Field(None, title="原因", examples=["孩子感冒"])


class BookingsQuery(Request):
    status: Literal[tuple(BookingStatus)] | None = Field(None, title="状态")  # type: ignore[valid-type]
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class Booking(Answer):
    id: int = Field(title="编号", examples=[900])
    kind: Literal[tuple(BookingKind)] = Field(title="种类")  # type: ignore[valid-type]
    status: Literal[tuple(BookingStatus)] = Field(title="状态")  # type: ignore[valid-type]
    status_text: str = Field(title="状态说明", examples=["已预约"])
    source: Literal[tuple(BookingSource)] = Field(title="来源")  # type: ignore[valid-type]
    price: f.Money = Field(title="价格", examples=["200.00"])
    schedule: Schedule = Field(title="课次")
    profile_id: int = Field(title="学员编号", examples=[31])
    profile_name: str = Field(title="学员", examples=["小雨"])
    order_id: str | None = Field(title="订单编号")
    created_at: f.Moment = Field(title="预约时间")
    can_cancel: bool = Field(title="现在可否取消")
    can_leave: bool = Field(title="现在可否请假")
    cancel_until: f.Moment = Field(title="最晚取消时间", description="含这一刻")


class Bookings(Answer):
    items: list[Booking] = Field(title="各预约")
    next_cursor: str | None = Field(title="下一页")


class BookingMade(Answer):
    booking: Booking = Field(title="预约")
    balance: f.Money = Field(title="扣费后的余额")


class BookingCancelled(Answer):
    booking: Booking = Field(title="预约")
    refund_amount: f.Money = Field(title="退回金额", examples=["200.00"])
    balance: f.Money = Field(title="现在的余额")


class Credit(Answer):
    id: int = Field(title="编号", examples=[70])
    status: Literal["available", "booked", "done", "expired"] = Field(title="状态")
    status_text: str = Field(title="状态说明", examples=["待补课"])
    original_booking_id: int = Field(title="原预约", examples=[900])
    original_schedule: Schedule = Field(title="原课次")
    left_at: f.Moment = Field(title="请假时间")
    valid_until: f.Moment = Field(title="有效期至")
    course_type: str = Field(title="课程类型", examples=["regular"])
    level: str | None = Field(title="级别", examples=["L1"])
    minutes: int = Field(title="分钟数", examples=[60])
    profile_id: int = Field(title="学员编号", examples=[31])


class OnLeave(Answer):
    booking: Booking = Field(title="预约")
    makeup_credit: Credit = Field(title="待补课")
