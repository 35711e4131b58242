"""The subscribe message templates of the sandbox's mini program account, as plain data.

The app defines the very same fields. A key's letters are its WeChat type, which decides what a value may be
(`wechat_fields`); a WeChat template has two to five fields. The samples are what the template list shows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    key: str
    label: str
    sample: str


@dataclass(frozen=True)
class Template:
    type: str
    title: str
    page: str
    fields: tuple[Field, ...]

    @property
    def id(self) -> str:
        return f"sandbox-tmpl-{self.type}"

    @property
    def content(self) -> str:
        return "".join(f"{f.label}:{{{{{f.key}.DATA}}}}\n" for f in self.fields)

    @property
    def example(self) -> str:
        return "".join(f"{f.label}:{f.sample}\n" for f in self.fields)


def _template(kind: str, title: str, page: str, *rows: tuple[str, str, str]) -> Template:
    return Template(kind, title, page, tuple(Field(*row) for row in rows))


_COURSE = ("thing1", "课程名称", "少儿体操启蒙课")
_STARTS = ("time2", "上课时间", "2026年11月20日 19:00")
_STUDENT = ("thing3", "学员", "小雨")

TEMPLATES = (
    _template(
        "booking_made", "课程预约成功通知", "pages/booking/detail", _COURSE, _STARTS, _STUDENT,
        ("thing4", "上课地点", "百适体操馆一号馆"), ("thing5", "温馨提示", "请提前10分钟到馆热身"),
    ),
    _template(
        "booking_cancelled", "预约取消通知", "pages/booking/detail", _COURSE, _STARTS, _STUDENT,
        ("thing4", "取消原因", "家长取消预约"), ("thing5", "备注", "¥200.00已退回钱包"),
    ),
    _template(
        "class_reminder", "上课提醒", "pages/booking/detail", _COURSE, _STARTS, _STUDENT,
        ("thing4", "上课地点", "百适体操馆一号馆"), ("thing5", "温馨提示", "请穿运动服并带好水杯"),
    ),
    _template(
        "class_cancelled", "课程取消通知", "pages/booking/detail", _COURSE, ("time2", "原上课时间", _STARTS[2]),
        _STUDENT, ("thing4", "取消原因", "教练临时有事"), ("thing5", "处理方式", "费用已退回钱包"),
    ),
    _template(
        "class_changed", "课程变更通知", "pages/booking/detail", _COURSE, ("time2", "现上课时间", _STARTS[2]),
        _STUDENT, ("thing4", "上课地点", "百适体操馆一号馆"), ("thing5", "变更说明", "原时间 11月20日 18:00"),
    ),
    _template(
        "payment_result", "支付结果通知", "pages/order/detail", _COURSE, ("amount2", "支付金额", "¥200.00"),
        ("phrase3", "支付状态", "支付成功"), ("time4", "支付时间", "2026年11月18日 10:30"),
        ("thing5", "备注", "体验课预约成功"),
    ),
    _template(
        "payment_expired", "订单超时取消通知", "pages/order/detail", _COURSE, ("amount2", "订单金额", "¥200.00"),
        ("time3", "失效时间", "2026年11月18日 11:00"), ("thing4", "温馨提示", "名额已释放，可重新预约"),
    ),
    _template(
        "refund_result", "退款结果通知", "pages/order/detail", ("thing1", "退款项目", "体验课"),
        ("amount2", "退款金额", "¥200.00"), ("phrase3", "退款状态", "退款成功"),
        ("time4", "退款时间", "2026年11月19日 15:20"), ("thing5", "备注", "已原路退回微信零钱"),
    ),
    _template(
        "balance_changed", "余额变动通知", "pages/wallet/index", ("thing1", "变动类型", "充值"),
        ("amount2", "变动金额", "¥500.00"), ("amount3", "当前余额", "¥620.00"),
        ("time4", "变动时间", "2026年11月18日 10:30"), ("thing5", "备注", "前台收款"),
    ),
    _template(
        "low_balance", "余额不足提醒", "pages/wallet/index", ("amount1", "当前余额", "¥180.00"),
        ("thing2", "温馨提示", "余额不足一节课，请及时充值"), ("time3", "时间", "2026年11月18日 20:00"),
    ),
    _template(
        "arrears", "欠费提醒", "pages/wallet/index", ("amount1", "欠费金额", "¥200.00"),
        ("thing2", "温馨提示", "请充值后继续预约课程"), ("time3", "时间", "2026年11月18日 20:00"),
    ),
    _template(
        "waitlist_offer", "候补名额通知", "pages/waitlist/offer", _COURSE, _STARTS, _STUDENT,
        ("time4", "确认截止", "2026年11月20日 12:45"), ("thing5", "温馨提示", "确认预约？还剩15分钟决策时间"),
    ),
    _template(
        "seat_taken", "候补结果通知", "pages/waitlist/index", _COURSE, _STARTS, _STUDENT,
        ("thing4", "温馨提示", "名额已被抢占，您仍在候补中"),
    ),
    _template(
        "waitlist_expired", "候补结束通知", "pages/waitlist/index", _COURSE, _STARTS, _STUDENT,
        ("thing4", "温馨提示", "本次候补未成功，可选其他课次"),
    ),
    _template(
        "makeup_credit", "待补课通知", "pages/makeup/index", ("thing1", "原课程", _COURSE[2]),
        ("time2", "原上课时间", _STARTS[2]), _STUDENT, ("date4", "有效期至", "2027年01月19日"),
        ("thing5", "温馨提示", "请在有效期内预约补课"),
    ),
    _template(
        "compensation_ending", "课时补偿到期提醒", "pages/makeup/index", ("thing1", "学员", "小雨"),
        ("number2", "剩余分钟", "30"), ("date3", "到期日期", "2026年12月02日"),
        ("thing4", "温馨提示", "到期后将自动失效，请尽快使用"),
    ),
    _template(
        "withdrawal_result", "提现结果通知", "pages/wallet/index", ("amount1", "提现金额", "¥300.00"),
        ("phrase2", "处理结果", "提现成功"), ("time3", "处理时间", "2026年11月19日 16:00"),
        ("thing4", "备注", "已转入您的微信"),
    ),
)  # fmt: skip

TEMPLATE_BY_ID = {t.id: t for t in TEMPLATES}
TYPE_BY_ID = {t.id: t.type for t in TEMPLATES}
ID_BY_TYPE = {t.type: t.id for t in TEMPLATES}

# The first part of each page of the published mini program; a message to another page is refused (41030).
LIVE_SECTIONS = frozenset({
    "index", "home", "wallet", "withdrawal", "withdrawals", "schedule", "schedules", "class", "classes", "course",
    "booking", "bookings", "order", "orders", "payment", "waitlist", "makeup", "compensation", "notification",
    "notifications", "message", "messages", "profile", "profiles", "student", "students", "me", "my",
})  # fmt: skip
