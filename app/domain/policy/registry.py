"""Every policy figure with its type, default and meaning (R9). A name is stable: commands and pages use it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

from app import money
from app.domain.policy import verdicts
from app.domain.policy.rollout import rollout
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
        raise ValueError("时长写作 90 秒、15 分钟、6 小时或 60 天（命令行里 90s、15m、6h、60d）")
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]]
    if seconds > _LONGEST_SECONDS:
        raise ValueError("时长最长 3650 天")
    return timedelta(seconds=seconds)


def at_least(shortest: str) -> Callable[[str], timedelta]:
    """A duration that nobody sets below what the law or our own rule asks (S12)."""
    floor = duration(shortest)

    def parse(text: str) -> timedelta:
        value = duration(text)
        if value < floor:
            raise ValueError(f"最短 {shortest}，不能再短")
        return value

    return parse


def amount(text: str) -> Decimal:
    try:
        return money.parse(text)
    except Invalid as error:
        raise ValueError(error.message) from None


def percent(text: str) -> Decimal:
    """`99.9`, with at most three decimals, from 0 to 100."""
    if not re.fullmatch(r"(100|[0-9]{1,2})(\.[0-9]{1,3})?", text, re.ASCII) or Decimal(text) > 100:
        raise ValueError("百分比写作 99.9，从 0 到 100")
    return Decimal(text)


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
    Policy("adjustment_approval_ttl", "24h", "时长", "待审批的调整多久后自动失效", duration, "余额调整",
           guarded=True),
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
    Policy("refund_verdict_rules", verdicts.DEFAULT, "规则表", "体验课退款的建议：按先后看注册情况，先符合的一条算数",
           verdicts.table, "支付"),
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
    Policy("quiet_family_after", "30d", "时长", "多久没有上课、也没有约后面的课，家庭列入安静家庭", duration, "预约"),
    Policy("digest_at", "08:30", "时刻", "每天几点把待办发到资金群", time_of_day, "消息"),
    Policy("message_lease", "20s", "时长", "一条消息发送中多久没有结果，就当作发送进程已中断、重新发送", duration,
           "消息"),
    Policy("notification_max_attempts", "6", "次", "一条消息最多尝试几次", count(1, 20), "消息"),
    # switches (Z15)
    Policy("open_booking", "all", "范围", "家长在小程序自己预约正式课", rollout, "开放范围"),
    Policy("open_trial_order", "all", "范围", "家长在小程序下单体验课", rollout, "开放范围"),
    Policy("open_payment", "all", "范围", "家长用微信支付发起新的付款", rollout, "开放范围"),
    Policy("open_waitlist", "all", "范围", "家长在小程序加入候补", rollout, "开放范围"),
    Policy("open_offers", "all", "范围", "有名额时通知候补的家长", rollout, "开放范围"),
    Policy("open_makeup", "all", "范围", "家长在小程序自己预约补课", rollout, "开放范围"),
    Policy("open_withdrawal", "all", "范围", "家长在小程序申请提现", rollout, "开放范围"),
    Policy("open_question", "all", "范围", "家长在小程序对流水提问", rollout, "开放范围"),
    Policy("open_wechat_message", "all", "范围", "消息发到家长的微信；不开放时只进小程序消息", rollout, "开放范围"),
    Policy("open_wechat_refund", "all", "范围", "员工申请微信原路退款", rollout, "开放范围"),
    Policy("bulk_adjustments", "on", "开关", "员工可上传表格批量调整余额", switch, "开放范围"),
    # service levels and alerts
    Policy("goal_money", "99.9", "%", "资金操作成功率的目标", percent, "运行"),
    Policy("goal_availability", "99.9", "%", "可用率的目标：没有出错的请求占全部", percent, "运行"),
    Policy("goal_money_p95", "200", "毫秒", "95% 的资金操作应在多少毫秒内完成", count(50, 5000), "运行"),
    Policy("goal_reads_p95", "100", "毫秒", "95% 的查询应在多少毫秒内完成", count(50, 5000), "运行"),
    Policy("slow_statement_from", "200", "毫秒", "数据库语句执行多久算慢，记入周报", count(10, 60000), "运行"),
    Policy("alert_reminder_after", "4h", "时长", "告警没有恢复时，多久再提醒一次", duration, "运行"),
    Policy("alert_outbox_late", "60s", "时长", "到期的消息多久没有发出就告警", duration, "运行"),
    Policy("alert_queue_depth", "1000", "个", "后台队列积压多少个就告警", count(10, 1000000), "运行"),
    Policy("alert_messages_failed", "5", "%", "近一小时消息失败率超过多少就告警", percent, "运行"),
    Policy("alert_job_periods", "3", "个周期", "定时任务几个周期没有成功就告警", count(2, 100), "运行"),
    Policy("alert_offer_late", "30s", "时长", "候补通知或截止晚了多久就告警", duration, "运行"),
    Policy("alert_deadline_late", "20m", "时长", "其他到期事项晚了多久没有处理就告警", duration, "运行"),
    Policy("alert_money_check_age", "15m", "时长", "资金健康多久没有全部通过就告警", duration, "运行"),
    Policy("alert_ledger_age", "26h", "时长", "账本多久没有全量核对就告警", duration, "运行"),
    Policy("alert_callbacks_refused", "20", "次", "两小时内支付回调验签失败多少次就告警", count(1, 9999), "运行"),
    Policy("alert_money_failed", "1", "%", "两小时内资金操作出错超过多少就告警", percent, "运行"),
    Policy("alert_budget_left", "25", "%", "一周的错误预算剩多少就告警", percent, "运行"),
    Policy("alert_certificate_days", "14", "天", "证书还有多少天到期就告警", count(1, 90), "运行"),
    # limits
    Policy("limit_sign_in", "10", "次/分钟", "每个地址每分钟登录次数", count(1, 10000), "限流"),
    Policy("limit_money", "30", "次/分钟", "每位家长每分钟资金与预约操作次数", count(1, 10000), "限流"),
    Policy("limit_read", "300", "次/分钟", "每位家长每分钟查询次数", count(1, 100000), "限流"),
    Policy("limit_staff_money", "60", "次/分钟", "每位员工每分钟资金表单次数", count(1, 10000), "限流"),
    Policy("export_long_from", "20000", "行", "多少行以上的导出在后台生成文件", count(1000, 1000000), "限流"),
    Policy("export_keep", "7d", "时长", "后台生成的导出文件保留多久", duration, "限流"),
    Policy("reveal_daily_limit", "30", "次", "每位员工每天查看完整手机号或生日的次数", count(1, 1000), "限流"),
    # how long what is kept (S12); the floors are the law's or our own
    Policy("retention_audit", "10", "年", "审计记录至少保留多久，才能归档移出", count(10, 30), "保留期限",
           guarded=True),
    Policy("retention_money", "10", "年", "资金凭证（收付款图片）至少保留多久", count(10, 30), "保留期限",
           guarded=True),
    Policy("retention_notifications", "730d", "时长", "发出的消息保留多久", at_least("180d"), "保留期限",
           guarded=True),
    Policy("retention_orders", "365d", "时长", "没有付款的订单保留多久", at_least("180d"), "保留期限",
           guarded=True),
    Policy("retention_attempts", "365d", "时长", "没有付成的支付尝试和占座保留多久", at_least("180d"), "保留期限",
           guarded=True),
    Policy("retention_tokens", "90d", "时长", "已失效的登录保留多久", at_least("30d"), "保留期限",
           guarded=True),
    Policy("retention_offers", "90d", "时长", "已结束的候补名额通知保留多久", at_least("90d"), "保留期限",
           guarded=True),
    Policy("retention_logs", "180d", "时长", "数据库里的运行记录保留多久", at_least("180d"), "保留期限",
           guarded=True),
    Policy("retention_families", "3", "年", "家庭多久没有往来、余额为零且没有未办事项，就删除其个人信息",
           count(1, 10), "保留期限", guarded=True),
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
    "运行": "服务水平的目标，以及何时向飞书系统群告警。",
    "开放范围": "功能对谁开放：全部、一部分或指定的家庭。只拦新的操作，已开始的照常办完；前台代办不受影响。",
    "保留期限": "各类数据保留多久；资金与审计记录至少十年，不会自动删除。",
}
