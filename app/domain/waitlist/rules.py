"""The waitlist's words, its one table of states, and its reckoning of time: pure (Q4, Q7, Q10, Q16)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from enum import StrEnum

from app import clock
from app.domain.waitlist.models import Cause, EntryStatus, OfferStatus, ReleaseStatus, WaitlistPolicy
from app.errors import InvalidState

Quiet = tuple[time, time] | None

#: WeChat took no message of a round for so long: its deadline is moved, once (Q13)
SILENCE = timedelta(seconds=60)

ENTRY_TEXTS = {
    EntryStatus.WAITING: "候补中",
    EntryStatus.OFFERED: "待确认",
    EntryStatus.CONFIRMED: "已补上",
    EntryStatus.DECLINED: "已放弃",
    EntryStatus.EXPIRED: "已失效",
    EntryStatus.CANCELLED: "已退出",
}
OFFER_TEXTS = {
    OfferStatus.LIVE: "等待回复",
    OfferStatus.CONFIRMED: "已确认",
    OfferStatus.DECLINED: "已放弃",
    OfferStatus.LAPSED: "超时未确认",
    OfferStatus.TAKEN: "被他人抢占",
    OfferStatus.WITHDRAWN: "已收回",
}
RELEASE_TEXTS = {
    ReleaseStatus.KEPT: "候补中",
    ReleaseStatus.FILLED: "已补上",
    ReleaseStatus.RETURNED: "回到自由预约",
}
CAUSE_TEXTS = {
    Cause.CANCELLED: "取消预约",
    Cause.LEAVE: "请假",
    Cause.HOLD_LAPSED: "占座到期未付款",
    Cause.HOLD_RELEASED: "放弃占座",
    Cause.REFUND: "退款",
    Cause.CAPACITY: "增加名额",
}
POLICY_TEXTS = {
    WaitlistPolicy.OPEN_THEN_SEQUENTIAL: "先到先得，再逐个顺位",
    WaitlistPolicy.SEQUENTIAL: "逐个顺位",
    WaitlistPolicy.AUTO_PROMOTE: "自动补位（仅限已授权的家长）",
}
#: why an entry or a seat's waiting ended
END_TEXTS = {
    "confirmed": "家长确认",
    "promoted": "按家长授权自动补位",
    "booked": "另行预约了这节课",
    "declined": "家长放弃",
    "left": "家长退出候补",
    "removed": "由员工移出",
    "lapsed": "超时未确认",
    "cutoff": "候补截止",
    "session_cancelled": "课程取消",
    "no_waiters": "没有其他候补",
    "all_skipped": "候补者暂时都不能预约",
}
#: why somebody could not be offered a seat (Q11): the code that a booking would be refused with
SKIP_TEXTS = {
    "PROFILE_INACTIVE": "学员档案已停用",
    "FEATURE_OFF": "名额通知没有对这个家庭开放",
    "ALREADY_BOOKED": "已预约这节课",
    "TIME_CONFLICT": "同一时间已有其他课程",
    "LEVEL_NOT_ALLOWED": "级别不符",
    "WALLET_FROZEN": "钱包已冻结",
    "WALLET_CLOSED": "钱包已关闭",
    "ARREARS_BLOCKED": "欠费达到上限",
    "OVERDRAFT_LIMIT_EXCEEDED": "余额不足",
    "TRIAL_ALREADY_BOOKED": "已有体验课订单",
    "NO_CREDIT": "待补课已用完",
    "CREDIT_EXPIRED": "待补课已过期",
    "TYPE_NOT_ALLOWED": "课程类型不符",
    "SHORTER_CLASS": "未同意课时较短",
    "NOT_ENOUGH_COMPENSATION": "课时补偿不足",
    "BY_STAFF": "员工跳过",
}


class Step(StrEnum):
    """What a row of `waitlist_flows` tells."""

    JOINED = "joined"
    LEFT = "left"
    REMOVED = "removed"
    MOVED = "moved"
    CONSENT = "consent"
    FREED = "freed"
    ROUND = "round"
    EXTENDED = "extended"
    ROUND_JOINED = "round_joined"
    OFFERED = "offered"
    SKIPPED = "skipped"
    BEGAN = "began"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    LAPSED = "lapsed"
    TAKEN = "taken"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    FILLED = "filled"
    RETURNED = "returned"
    UNREACHED = "unreached"
    CALLED = "called"
    RESENT = "resent"


STEP_TEXTS = {
    Step.JOINED: "加入候补",
    Step.LEFT: "退出候补",
    Step.REMOVED: "移出候补",
    Step.MOVED: "调整顺位",
    Step.CONSENT: "修改候补设置",
    Step.FREED: "座位空出",
    Step.ROUND: "开始一轮通知",
    Step.EXTENDED: "微信迟到，截止顺延",
    Step.ROUND_JOINED: "座位并入本轮",
    Step.OFFERED: "通知名额",
    Step.SKIPPED: "跳过",
    Step.BEGAN: "开始办理",
    Step.CONFIRMED: "确认",
    Step.DECLINED: "放弃",
    Step.LAPSED: "超时未确认",
    Step.TAKEN: "名额已被抢占",
    Step.WITHDRAWN: "收回名额",
    Step.EXPIRED: "候补失效",
    Step.FILLED: "座位补上",
    Step.RETURNED: "座位回到自由预约",
    Step.UNREACHED: "微信不可触达，请致电",
    Step.CALLED: "已致电",
    Step.RESENT: "再次通知",
}


class Event(StrEnum):
    OFFER = "offer"
    #: the open round, or the offer itself, ended without them: they keep their place
    PASS = "pass"  # noqa: S105 - a word, not a secret
    EXPIRE = "expire"
    CONFIRM = "confirm"
    DECLINE = "decline"
    LEAVE = "leave"


_S, _E = EntryStatus, Event
TRANSITIONS: dict[tuple[str, str], EntryStatus] = {
    (_S.WAITING, _E.OFFER): _S.OFFERED,
    (_S.WAITING, _E.EXPIRE): _S.EXPIRED,
    (_S.WAITING, _E.CONFIRM): _S.CONFIRMED,
    (_S.WAITING, _E.LEAVE): _S.CANCELLED,
    (_S.OFFERED, _E.PASS): _S.WAITING,
    (_S.OFFERED, _E.EXPIRE): _S.EXPIRED,
    (_S.OFFERED, _E.CONFIRM): _S.CONFIRMED,
    (_S.OFFERED, _E.DECLINE): _S.DECLINED,
    (_S.OFFERED, _E.LEAVE): _S.CANCELLED,
}


def next_status(status: str, event: Event) -> EntryStatus:
    """Raises InvalidState with what the entry is now."""
    following = TRANSITIONS.get((status, event))
    if following is None:
        raise InvalidState(f"该候补{ENTRY_TEXTS[EntryStatus(status)]}，不能进行这项操作")
    return following


# ── time ────────────────────────────────────────────────────────────────────────────────────────────


def quiet_now(moment: datetime, quiet: Quiet) -> tuple[datetime, datetime] | None:
    """Beginning and end of the quiet hours that this moment lies in, on the studio's clock; None outside of them."""
    if quiet is None:
        return None
    begin, end = quiet
    local = clock.local(moment)
    opens = local.replace(hour=begin.hour, minute=begin.minute, second=0, microsecond=0)
    if opens > local:
        opens -= timedelta(days=1)
    closes = opens.replace(hour=end.hour, minute=end.minute)
    if closes <= opens:
        closes += timedelta(days=1)
    return (opens.astimezone(moment.tzinfo), closes.astimezone(moment.tzinfo)) if local < closes else None


def cutoff_at(starts_at: datetime, before: timedelta, quiet: Quiet) -> datetime:
    """When the queue ends; one that would fall into quiet hours moves to their beginning (Q4)."""
    cutoff = starts_at - before
    asleep = quiet_now(cutoff, quiet)
    return cutoff if asleep is None else asleep[0]


def deadline_of(start: datetime, window: timedelta, quiet: Quiet, cutoff: datetime) -> datetime:
    """The moment at which a window that begins now is over: its clock stands still in quiet hours, and no deadline is
    past the cutoff (Q4, Q6)."""
    moment, left = start, window
    while quiet is not None and moment < cutoff:
        asleep = quiet_now(moment, quiet)
        if asleep is not None:
            moment = asleep[1]
            continue
        begin = clock.local(moment).replace(hour=quiet[0].hour, minute=quiet[0].minute, second=0, microsecond=0)
        if begin < moment:
            begin += timedelta(days=1)
        if moment + left <= begin:
            break
        left -= begin - moment
        moment = begin.astimezone(start.tzinfo)
    return min(moment + left, cutoff)


def grace_end(deadline: datetime, begun_at: datetime, grace: timedelta) -> datetime:
    """Until when who began in time may finish (Q10)."""
    return max(deadline, begun_at + grace)
