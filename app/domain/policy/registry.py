"""Every policy figure with its type, default and meaning (R9). A name is stable: commands and pages use it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

from app import money
from app.errors import Invalid


@dataclass(frozen=True, slots=True)
class Policy:
    """One figure. `parse` turns its text into a value or raises ValueError; `guarded` ones take a second person."""

    name: str
    default: str
    unit: str
    description: str
    parse: Callable[[str], Any]
    group: str
    guarded: bool = False


_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_SECONDS = 3650 * 86400


def duration(text: str) -> timedelta:
    """`90s`, `15m`, `6h`, `60d`; at most ten years, so that no moment plus it leaves the calendar."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("时长写作 90s、15m、6h 或 60d")
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]]
    if seconds > _LONGEST_SECONDS:
        raise ValueError("时长最长 3650d")
    return timedelta(seconds=seconds)


def amount(text: str) -> Decimal:
    try:
        return money.parse(text)
    except Invalid as error:
        raise ValueError(error.message) from None


def switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("开关写作 on 或 off")
    return text == "on"


def count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"请填写 {low} 到 {high} 之间的整数")
        return int(text)

    return parse


def hours_of_day(text: str) -> tuple[time, time] | None:
    """`21:30-08:00` on the studio's clock, or `off`."""
    if text == "off":
        return None
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text, re.ASCII)
    if not found or text[:5] == text[6:]:
        raise ValueError("时段写作 21:30-08:00，或 off")
    return time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))


def time_of_day(text: str) -> time:
    """`18:00` on the studio's clock."""
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text, re.ASCII)
    if not found:
        raise ValueError("时刻写作 18:00")
    return time(int(found[1]), int(found[2]))


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("可选：" + "、".join(allowed))
        return text

    return parse


_ALL = (
    # sign-in
    Policy("access_token_ttl", "2h", "时长", "家长登录令牌有效期", duration, "登录"),
    Policy("refresh_token_ttl", "30d", "时长", "家长登录续期令牌有效期", duration, "登录"),
    Policy("sign_in_max_failures", "5", "次", "连续登录失败多少次后锁定", count(3, 20), "登录"),
    Policy("sign_in_failure_window", "15m", "时长", "统计登录失败的时间窗口，也是锁定时长", duration, "登录"),
    Policy("staff_idle_timeout", "30m", "时长", "员工多久不操作自动退出", duration, "登录"),
    Policy("staff_session_ttl", "12h", "时长", "员工一次登录最长多久", duration, "登录"),
    Policy("step_up_ttl", "10m", "时长", "涉及资金的操作，多久后要再次验证身份", duration, "登录", guarded=True),
    Policy("totp_required", "on", "开关", "财务与店长必须绑定动态验证码", switch, "登录", guarded=True),
    # wallet
    Policy("overdraft_limit", "1000.00", "元", "钱包最多可欠多少", amount, "钱包", guarded=True),
    Policy("low_balance_threshold", "200.00", "元", "余额低于多少时提醒家长", amount, "钱包"),
    Policy("arrears_block_threshold", "600.00", "元", "欠费达到多少时不能再预约", amount, "钱包", guarded=True),
    # adjustments
    Policy("adjustment_direct_limit", "2000.00", "元", "单笔不超过多少可免审批", amount, "余额调整", guarded=True),
    Policy("adjustment_family_daily_limit", "2000.00", "元", "同一人对同一家庭 24 小时内免审批累计上限",
           amount, "余额调整", guarded=True),
    Policy("adjustment_daily_limit", "10000.00", "元", "同一人 24 小时内免审批累计上限", amount, "余额调整",
           guarded=True),
    Policy("front_desk_ask_limit", "2000.00", "元", "前台单笔申请上限", amount, "余额调整", guarded=True),
    Policy("adjustment_type_amount_from", "1000.00", "元", "从多少起确认时要再输入一次金额", amount, "余额调整"),
    Policy("adjustment_approval_ttl", "24h", "时长", "待审批的调整多久后自动失效", duration, "余额调整"),
    Policy("adjustment_undo_window", "10m", "时长", "经办人可一键撤销的时间", duration, "余额调整", guarded=True),
    Policy("adjustment_baseline_seconds", "150", "秒", "以前调整一次余额平均要多少秒，用来比较现在快了多少",
           count(1, 3600), "余额调整"),
    Policy("receipt_reminder_after", "2h", "时长", "缺凭证多久后提醒", duration, "余额调整"),
    Policy("question_reminder_after", "24h", "时长", "家长的流水疑问多久没有答复就提醒员工", duration, "钱包"),
    Policy("withdrawal_reminder_after", "24h", "时长", "提现多久没人处理就提醒", duration, "钱包"),
    Policy("receipt_max_bytes", "10485760", "字节", "单个凭证文件大小上限", count(102400, 52428800), "余额调整"),
    Policy("prepayment_guard", "off", "开关", "按校外培训规定限制一次性预收：超过上限的充值须由另一人审批", switch,
           "钱包", guarded=True),
    Policy("prepayment_cap", "5000.00", "元", "限制一次性预收时，一次充值最多多少；60 课时或 3 个月学费更低时填更低的",
           amount, "钱包", guarded=True),
    # payment
    Policy("order_ttl", "30m", "时长", "体验课订单多久未支付自动过期", duration, "支付"),
    Policy("hold_ttl", "15m", "时长", "未支付订单为家长保留座位多久", duration, "支付"),
    Policy("callback_max_age", "5m", "时长", "微信支付回调的时间与服务器最多相差多少", duration, "支付"),
    Policy("shipping_info", "off", "开关", "体验课支付后向微信上报发货信息（虚拟商品）", switch, "支付"),
    Policy("refund_approval_from", "0.00", "元", "退款超过多少须由另一人审批，0 表示每笔都要", amount, "支付",
           guarded=True),
    Policy("refund_registered_within", "90d", "时长", "下单前多久以内注册的家长，退款判断按新家长看", duration, "支付"),
    Policy("refund_restores_trial", "on", "开关", "体验课费全额退回后，家长可再次预约体验课", switch, "支付"),
    # bookings
    Policy("booking_cancel_cutoff", "6h", "时长", "开课前多久以内不能再取消预约", duration, "预约"),
    Policy("late_refund_limit", "0.00", "元", "过了取消时限仍退款时，不超过多少可免第二人复核", amount,
           "预约", guarded=True),
    Policy("capacity_override_seats", "1", "个", "一节课最多可由店长加几个座位", count(0, 9), "预约", guarded=True),
    Policy("class_reminder_at", "18:00", "时刻", "上课前一天几点提醒家长", time_of_day, "预约"),
    # waitlist
    Policy("waitlist_window", "15m", "时长", "候补名额通知后家长有多久时间确认", duration, "候补"),
    Policy("waitlist_begin_grace", "5m", "时长", "已开始办理的家长在截止后还可完成的时间", duration, "候补"),
    Policy("waitlist_cutoff", "6h", "时长", "开课前多久候补截止", duration, "候补"),
    Policy("waitlist_quiet_hours", "off", "时段", "此时段内不开始新一轮候补，也不计时", hours_of_day, "候补"),
    # makeups
    Policy("makeup_cancel_cutoff", "6h", "时长", "开课前多久以内不能再取消补课", duration, "补课"),
    Policy("makeup_credit_ttl", "60d", "时长", "请假后待补课的有效期", duration, "补课"),
    Policy("compensation_unit", "15m", "时长", "课时补偿的计算单位", duration, "补课"),
    Policy("compensation_ttl", "14d", "时长", "课时补偿的有效期", duration, "补课"),
    Policy("makeup_credit_reminder", "7d", "时长", "待补课到期前多久提醒家长", duration, "补课"),
    Policy("compensation_reminder", "3d", "时长", "课时补偿到期前多久提醒家长", duration, "补课"),
    Policy("makeup_request_reminder", "24h", "时长", "家长请前台安排补课，多久没有答复就提醒员工", duration, "补课"),
    Policy("compensation_return_min", "24h", "时长", "取消补课退回的补偿至少还能用多久", duration, "补课"),
    # messages
    Policy("quiet_hours", "21:30-08:00", "时段", "夜间不发送非紧急消息", hours_of_day, "消息"),
    Policy("arrears_second_after", "3d", "时长", "欠费多久后第二次提醒家长", duration, "消息"),
    Policy("arrears_third_after", "7d", "时长", "欠费多久后第三次提醒家长，并每天列给员工", duration, "消息"),
    Policy("arrears_task_after", "14d", "时长", "欠费多久后列入员工待办", duration, "消息"),
    Policy("balance_message_cooldown", "24h", "时长", "同类余额提醒的最短间隔", duration, "消息"),
    Policy("digest_at", "08:30", "时刻", "每天几点把待办发到资金群", time_of_day, "消息"),
    Policy("message_lease", "20s", "时长", "一条消息发送中多久没有结果，就当作发送进程已中断、重新发送", duration,
           "消息"),
    Policy("notification_max_attempts", "6", "次", "一条消息最多尝试几次", count(1, 20), "消息"),
    # limits
    Policy("limit_sign_in", "10", "次/分钟", "每个地址每分钟登录次数", count(1, 10000), "限流"),
    Policy("limit_money", "30", "次/分钟", "每位家长每分钟资金与预约操作次数", count(1, 10000), "限流"),
    Policy("limit_read", "300", "次/分钟", "每位家长每分钟查询次数", count(1, 100000), "限流"),
    Policy("limit_staff_money", "60", "次/分钟", "每位员工每分钟资金表单次数", count(1, 10000), "限流"),
    Policy("reveal_daily_limit", "30", "次", "每位员工每天查看完整手机号或生日的次数", count(1, 1000), "限流"),
)  # fmt: skip

POLICIES: dict[str, Policy] = {policy.name: policy for policy in _ALL}

#: groups in the order of the page, each with what it governs
GROUPS: dict[str, str] = {
    "钱包": "所有家庭的钱包；单个家庭可由店长另设欠费上限。",
    "余额调整": "员工手工调整余额时的额度、复核与凭证。",
    "消息": "发给家长的微信消息何时发、多久一次。",
    "登录": "家长与员工的登录有效期和安全要求。",
    "限流": "每分钟的操作次数上限，超出后请稍后再试。",
    "支付": "体验课订单与微信支付；开通支付后按此执行。",
    "预约": "正式课的预约、取消与课前提醒。",
    "候补": "满员后的候补与名额通知：先问大家，再逐个顺位。",
    "补课": "请假、补课与课时补偿。",
}
