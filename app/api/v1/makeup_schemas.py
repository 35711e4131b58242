"""The shapes of makeups and compensation minutes in the contract (95), field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.v1 import fields as f
from app.api.v1.class_schemas import Booking, Credit, Schedule
from app.api.v1.schemas import Answer, Request
from app.domain.credits.models import HistoryKind, RequestStatus
from app.domain.credits.rules import Shown

_HINT = {"title": "提示", "description": "没有可用的课时补偿时为 null", "examples": ["您有课时补偿可使用"]}


class CreditsQuery(Request):
    status: Literal[tuple(Shown)] | None = Field(None, title="状态")  # type: ignore[valid-type]
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class MyCredit(Credit):
    makeup_booking: Booking | None = Field(title="补课的预约", description="还没有约补课时为 null")


class Credits(Answer):
    items: list[MyCredit] = Field(title="各次待补课", description="新的在前")
    next_cursor: str | None = Field(title="下一页")
    compensation_minutes: int = Field(title="课时补偿", description="全家可用的分钟数", examples=[30])
    compensation_hint: str | None = Field(**_HINT)


class ChoicesQuery(Request):
    credit_id: f.NeededId = Field(title="待补课编号")
    date_from: f.Day = Field(None, title="开始日期", description="上海时间的日子，含当天")
    date_to: f.Day = Field(None, title="结束日期", description="上海时间的日子，含当天")
    time_from: f.TimeOfDay = Field(None, title="最早开始时刻", description="上海时间，含这一刻")
    time_to: f.TimeOfDay = Field(None, title="最晚开始时刻", description="上海时间，含这一刻")
    venue_id: f.Id = Field(None, title="场馆编号")
    coach_id: f.Id = Field(None, title="教练编号")
    weekday: f.Weekday = Field(None, title="星期", description="1 是星期一，7 是星期日")
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class Match(Answer):
    level: str = Field(title="级别", examples=["级别相同"])
    type: str = Field(title="类型", examples=["类型相同"])
    coach: str = Field(title="教练", examples=["教练不同（何骏）"])
    venue: str = Field(title="场地", examples=["场地相同"])
    minutes: str = Field(title="时长", examples=["少0.5小时"])
    text: str = Field(title="合在一起的一句话")


class Choice(Answer):
    schedule: Schedule = Field(title="课次")
    match: Match = Field(title="与原课程比较")
    original_price: f.Money = Field(title="这节课的原价", examples=["180.00"])
    price: f.Money = Field(title="补课价格", examples=["0.00"])
    duration_difference: int = Field(title="时长差", description="这节课减原课程的分钟数", examples=[-30])
    can_book: bool = Field(title="现在可否预约", description="较短的课须同意，较长的课须同意使用课时补偿")
    can_join_waitlist: bool = Field(title="现在可否用待补课候补")
    blocked_by: Literal["SEAT_FULL", "NOT_ENOUGH_COMPENSATION"] | None = Field(title="不能预约的原因")


class Choices(Answer):
    items: list[Choice] = Field(title="各课次", description="同级别的在前，各按时间")
    next_cursor: str | None = Field(title="下一页")
    compensation_minutes: int = Field(title="课时补偿", description="这位学员可用的分钟数", examples=[30])
    compensation_hint: str | None = Field(**_HINT)


class MakeupBody(Request):
    course_schedule_id: f.BodyId = Field(title="课次编号", examples=[120])
    profile_id: f.BodyId = Field(title="学员编号", examples=[31])
    original_booking_id: f.BodyId = Field(title="原预约", description="请了假的那个预约", examples=[900])
    use_compensation: bool | None = Field(None, title="用课时补偿", description="较长的课用课时补偿补足")
    accept_shorter: bool | None = Field(None, title="接受较短的课", description="少的时长成为课时补偿")


class MakeupMade(Answer):
    makeup_booking_id: int = Field(title="补课预约编号", examples=[905])
    booking: Booking = Field(title="预约")
    duration_difference: int = Field(title="时长差", description="这节课减原课程的分钟数", examples=[-30])
    compensation_used: int = Field(title="用掉的课时补偿", description="分钟", examples=[0])
    compensation_earned: int = Field(title="得到的课时补偿", description="分钟", examples=[30])
    remaining_compensation: int = Field(title="现有课时补偿", description="这位学员的，分钟", examples=[30])


class MakeupCancelled(Answer):
    booking: Booking = Field(title="预约")
    credit: Credit = Field(title="退回的待补课")
    remaining_compensation: int = Field(title="现有课时补偿", description="这位学员的，分钟", examples=[0])


class AskBody(Request):
    text: f.RequestText = Field(title="要求", examples=["请帮忙安排周六上午的课"])
    wishes: f.Note = Field(None, title="希望的时间、教练等", examples=["周六上午，江教练"])


class Asked(Answer):
    id: int = Field(title="编号", examples=[12])
    status: Literal[tuple(RequestStatus)] = Field(title="状态")  # type: ignore[valid-type]


# ── compensation minutes ────────────────────────────────────────────────────────────────────────────


class MinutesQuery(Request):
    profile_id: f.NeededId = Field(title="学员编号")


class Lot(Answer):
    id: int = Field(title="编号", examples=[5])
    minutes_left: int = Field(title="剩余分钟", examples=[30])
    earned_at: f.Moment = Field(title="获得时间")
    expires_at: f.Moment = Field(title="到期时间", description="这一刻起失效")


class Minutes(Answer):
    minutes: int = Field(title="可用分钟", examples=[30])
    lots: list[Lot] = Field(title="各笔", description="先到期的在前，也先用")


class HistoryQuery(Request):
    profile_id: f.NeededId = Field(title="学员编号")
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class Change(Answer):
    id: int = Field(title="编号", examples=[8])
    kind: Literal[tuple(HistoryKind)] = Field(title="种类")  # type: ignore[valid-type]
    kind_text: str = Field(title="种类说明", examples=["获得"])
    minutes: int = Field(title="分钟", description="增加为正，减少为负", examples=[30])
    at: f.Moment = Field(title="时间")
    schedule: Schedule | None = Field(title="有关的课次")
    note: str = Field(title="说明", examples=["少儿体操"])


class History(Answer):
    items: list[Change] = Field(title="各次变动", description="新的在前")
    next_cursor: str | None = Field(title="下一页")
