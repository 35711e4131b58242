"""The shapes of the waitlist in the contract (95), field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.v1 import fields as f
from app.api.v1.class_schemas import Booking, Schedule
from app.api.v1.payment_schemas import Order
from app.api.v1.schemas import Answer, Request
from app.domain.waitlist.models import EntryStatus, OfferKind

_CREDIT = {
    "title": "待补课编号",
    "description": "轮到时用这次待补课，不从钱包扣费；修改时填 null 则改回从钱包扣费",
    "examples": [70],
}
_COMPENSATION = {"title": "用课时补偿", "description": "课比原课程长时，用课时补偿补足"}
_SHORTER = {"title": "接受较短的课", "description": "课比原课程短也可以，少的时长成为课时补偿"}
_CONSENT = {
    "title": "自动预约",
    "description": "事先同意：一轮到就直接预约，从钱包扣费或用待补课，不再询问；随时可以关掉",
}


class JoinBody(Request):
    course_schedule_id: f.BodyId = Field(title="课次编号", examples=[120])
    profile_id: f.BodyId = Field(title="学员编号", examples=[31])
    auto_accept: bool | None = Field(None, **_CONSENT)
    credit_id: f.BodyId | None = Field(None, **_CREDIT)
    use_compensation: bool | None = Field(None, **_COMPENSATION)
    accept_shorter: bool | None = Field(None, **_SHORTER)


class EntryChangeBody(Request):
    auto_accept: bool | None = Field(None, **_CONSENT)
    credit_id: f.BodyId | None = Field(None, **_CREDIT)
    use_compensation: bool | None = Field(None, **_COMPENSATION)
    accept_shorter: bool | None = Field(None, **_SHORTER)


class EntriesQuery(Request):
    status: Literal[tuple(EntryStatus)] | None = Field(None, title="状态")  # type: ignore[valid-type]


class RespondBody(Request):
    action: Literal["begin", "confirm", "decline"] = Field(
        title="回应", description="begin 开始预约（记下开始的时间），confirm 确认预约，decline 不要了"
    )


class NotifyBody(Request):
    waitlist_id: f.BodyId = Field(title="候补编号", examples=[410])


class Offer(Answer):
    id: int = Field(title="编号", examples=[77])
    kind: Literal[tuple(OfferKind)] = Field(  # type: ignore[valid-type]
        title="种类", description="open 同时给所有候补家长，先确认先得；exclusive 只给您一位"
    )
    deadline: f.Moment = Field(title="最晚确认时间", description="这一刻起就晚了")
    decision_seconds_left: int = Field(title="剩余秒数", examples=[840])
    server_time: f.Moment = Field(title="服务器时间", description="倒计时以它为准")
    begun_at: f.Moment | None = Field(title="开始预约的时间")


class Entry(Answer):
    id: int = Field(title="候补编号", examples=[410])
    status: Literal[tuple(EntryStatus)] = Field(title="状态")  # type: ignore[valid-type]
    status_text: str = Field(title="状态说明", examples=["候补中"])
    position: int | None = Field(title="第几位", description="结束后为 null", examples=[4])
    queue_length: int = Field(title="候补人数", examples=[5])
    schedule: Schedule = Field(title="课次")
    profile_id: int = Field(title="学员编号", examples=[31])
    profile_name: str = Field(title="学员", examples=["小雨"])
    joined_at: f.Moment = Field(title="加入时间")
    auto_accept: bool = Field(title="自动预约")
    credit_id: int | None = Field(title="所用的待补课", description="从钱包扣费时为 null", examples=[None])
    use_compensation: bool = Field(title="用课时补偿")
    accept_shorter: bool = Field(title="接受较短的课")
    offer: Offer | None = Field(title="现在的名额", description="没有轮到或已过时为 null")


class Entries(Answer):
    items: list[Entry] = Field(title="各候补")
    next_cursor: str | None = Field(title="下一页", examples=[None])


class Joined(Answer):
    waitlist_id: int = Field(title="候补编号", examples=[410])
    position: int | None = Field(title="第几位", examples=[4])
    estimated_wait_time: str | None = Field(title="预计等待", examples=["暂无数据"])
    alternatives: list[Schedule] = Field(title="可改约的课次", description="至多三节")
    entry: Entry = Field(title="候补")


class Position(Answer):
    position: int | None = Field(title="第几位", description="结束后为 null", examples=[4])
    queue_length: int = Field(title="候补人数", examples=[5])
    estimated_wait_time: str | None = Field(title="预计等待", description="结束后为 null", examples=["暂无数据"])
    offer: Offer | None = Field(title="现在的名额")


class Responded(Answer):
    entry: Entry = Field(title="候补")
    booking: Booking | None = Field(title="预约", description="确认后给出")
    order: Order | None = Field(title="待支付订单", description="体验课确认后给出，支付后才成立预约")
    clashes: list[Entry] = Field(title="时间冲突的其他候补", description="确认后给出，可以一并退出")


class Notice(Answer):
    id: int = Field(title="编号", examples=[903])
    kind: Literal[tuple(OfferKind)] = Field(title="种类")  # type: ignore[valid-type]
    status: str = Field(title="状态", examples=["sent"])
    queued_at: f.Moment = Field(title="排队时间")
    sent_at: f.Moment | None = Field(title="发出时间")
    deadline: f.Moment | None = Field(title="最晚确认时间")
    answer: Literal["begin", "confirm", "decline"] | None = Field(title="回应")
    answered_at: f.Moment | None = Field(title="回应时间")


class Notices(Answer):
    items: list[Notice] = Field(title="各通知", description="新的在前")
    next_cursor: str | None = Field(title="下一页", examples=[None])
