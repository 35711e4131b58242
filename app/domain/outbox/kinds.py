"""The sixteen message types to parents (96.72) as data: WeChat's fields, our words, and the rules of each.

A field's key carries WeChat's type (`thing1`, `amount2`), which decides what may stand in it (wording.fit). The
words mention facts in braces; a fact comes from the payload and is written by its form. What a type is made of:
outbox/kind.py.
"""

from __future__ import annotations

from app.domain.outbox.kind import Audience, Fact, Field, Form, Kind, Occasion

_COURSE = Fact("course", "课程名称", "少儿体操启蒙课")
_STARTS = Fact("starts_at", "上课时间", "2026-11-20T19:00:00+08:00", Form.TIME)
_STUDENT = Fact("student", "学员", "小雨")
_VENUE = Fact("venue", "上课地点", "百适体操馆一号馆")
_REASON = Fact("reason", "原因", "教练临时有事")
_CANCELLED = Fact("reason", "原因", "家长取消预约")


def _remark(sample: str) -> Fact:
    return Fact("remark", "备注", sample)


_TIME = Fact("time", "时间", "2026-11-18T10:30:00+08:00", Form.TIME)
_AMOUNT = Fact("amount", "金额", "200.00", Form.MONEY)
_BALANCE = Fact("balance", "当前余额", "620.00", Form.MONEY)

_OWED = Fact("owed", "欠费金额", "200.00", Form.MONEY)

_COURSE_FIELDS = (
    Field("thing1", "课程名称", "{course}"),
    Field("time2", "上课时间", "{starts_at}"),
    Field("thing3", "学员", "{student}"),
)

_ALL = (
    Kind(
        "booking_made", "课程预约成功通知", "pages/booking/detail", (_COURSE, _STARTS, _STUDENT, _VENUE),
        (*_COURSE_FIELDS, Field("thing4", "上课地点", "{venue}"), Field("thing5", "温馨提示", "请提前10分钟到馆热身")),
        "{student}已预约 {starts_at} 的{course}，地点：{venue}。请提前10分钟到馆热身。",
        audience=Audience.ACTOR, switchable=True, page_args=("booking_id",),
    ),
    Kind(
        "booking_cancelled", "预约取消通知", "pages/booking/detail",
        (_COURSE, _STARTS, _STUDENT, _CANCELLED, _remark("¥200.00已退回钱包")),
        (*_COURSE_FIELDS, Field("thing4", "取消原因", "{reason}"), Field("thing5", "备注", "{remark}")),
        "{student} {starts_at} 的{course}已取消。原因：{reason}。{remark}",
        audience=Audience.ACTOR, switchable=True, page_args=("booking_id",),
    ),
    Kind(
        "class_reminder", "上课提醒", "pages/booking/detail", (_COURSE, _STARTS, _STUDENT, _VENUE),
        (*_COURSE_FIELDS, Field("thing4", "上课地点", "{venue}"), Field("thing5", "温馨提示", "请穿运动服并带好水杯")),
        "{student}将于 {starts_at} 上{course}，地点：{venue}。请穿运动服并带好水杯。",
        audience=Audience.ACTOR, switchable=True, page_args=("booking_id",),
        occasions=(
            Occasion(
                "owing", "家庭欠费时", {"thing5": "已欠费{owed}，请课前充值"},
                "{student}将于 {starts_at} 上{course}，地点：{venue}。您的钱包已欠费 {owed}，请在上课前充值。",
                (_OWED,),
            ),
        ),
    ),
    Kind(
        "class_cancelled", "课程取消通知", "pages/booking/detail",
        (_COURSE, _STARTS, _STUDENT, _REASON, _remark("费用已退回钱包")),
        (
            Field("thing1", "课程名称", "{course}"), Field("time2", "原上课时间", "{starts_at}"),
            Field("thing3", "学员", "{student}"), Field("thing4", "取消原因", "{reason}"),
            Field("thing5", "处理方式", "{remark}"),
        ),
        "{student} {starts_at} 的{course}已由场馆取消。原因：{reason}。{remark}",
        urgent=True, page_args=("booking_id",),
    ),
    Kind(
        "class_changed", "课程变更通知", "pages/booking/detail",
        (_COURSE, _STARTS, _STUDENT, _VENUE, Fact("change", "变更说明", "时间由 11月20日 18:00 改动")),
        (
            Field("thing1", "课程名称", "{course}"), Field("time2", "现上课时间", "{starts_at}"),
            Field("thing3", "学员", "{student}"), Field("thing4", "上课地点", "{venue}"),
            Field("thing5", "变更说明", "{change}"),
        ),
        "{student}的{course}有变更：{change}。现在的时间是 {starts_at}，地点：{venue}。"
        "时间有变时，开课前都可以免费取消。",
        urgent=True, page_args=("booking_id",),
        occasions=(
            Occasion(
                "waiting", "候补中", {},
                "{student}候补的{course}有变更：{change}。现在的时间是 {starts_at}，地点：{venue}。"
                "不方便时可以退出候补。",
            ),
            Occasion(
                "ordered", "订单未支付时", {},
                "{student}待支付的{course}有变更：{change}。现在的时间是 {starts_at}，地点：{venue}。"
                "不方便时可以取消订单。",
            ),
        ),
    ),
    Kind(
        "payment_result", "支付结果通知", "pages/order/detail",
        (_COURSE, _AMOUNT, Fact("result", "支付状态", "支付成功"), _TIME, _remark("体验课预约成功")),
        (
            Field("thing1", "课程名称", "{course}"), Field("amount2", "支付金额", "{amount}"),
            Field("phrase3", "支付状态", "{result}"), Field("time4", "支付时间", "{time}"),
            Field("thing5", "备注", "{remark}"),
        ),
        "{course}的订单{result}，金额 {amount}。{remark}",
        urgent=True, page_args=("order_id",),
    ),
    Kind(
        "payment_expired", "订单超时取消通知", "pages/order/detail", (_COURSE, _AMOUNT, _TIME),
        (
            Field("thing1", "课程名称", "{course}"), Field("amount2", "订单金额", "{amount}"),
            Field("time3", "失效时间", "{time}"), Field("thing4", "温馨提示", "名额已释放，可重新预约"),
        ),
        "{course}的订单（{amount}）已于 {time} 超时取消，名额已释放，可重新预约。",
        urgent=True, page_args=("order_id",),
    ),
    Kind(
        "refund_result", "退款结果通知", "pages/order/detail",
        (
            Fact("item", "退款项目", "体验课"), _AMOUNT, Fact("result", "退款状态", "退款成功"), _TIME,
            _remark("已原路退回微信零钱"),
        ),
        (
            Field("thing1", "退款项目", "{item}"), Field("amount2", "退款金额", "{amount}"),
            Field("phrase3", "退款状态", "{result}"), Field("time4", "退款时间", "{time}"),
            Field("thing5", "备注", "{remark}"),
        ),
        "{item}{result}，金额 {amount}。{remark}",
        urgent=True, page_args=("order_id",),
    ),
    Kind(
        "balance_changed", "余额变动通知", "pages/wallet/index",
        (Fact("change", "变动类型", "充值"), _AMOUNT, _BALANCE, _TIME, _remark("前台收款")),
        (
            Field("thing1", "变动类型", "{change}"), Field("amount2", "变动金额", "{amount}"),
            Field("amount3", "当前余额", "{balance}"), Field("time4", "变动时间", "{time}"),
            Field("thing5", "备注", "{remark}"),
        ),
        "您的钱包{change} {amount}，当前余额 {balance}。备注：{remark}",
        switchable=True,  # not cooled: each change of money is told (docs/decisions/0006-balance-messages.md)
    ),
    Kind(
        "low_balance", "余额不足提醒", "pages/wallet/index", (_BALANCE, _TIME),
        (
            Field("amount1", "当前余额", "{balance}"),
            Field("thing2", "温馨提示", "余额偏低，请及时充值，以免影响预约"), Field("time3", "时间", "{time}"),
        ),
        "您的钱包余额为 {balance}，余额偏低，请及时充值，以免影响预约。",
        cooled=True, switchable=True,
    ),
    Kind(
        "arrears", "欠费提醒", "pages/wallet/index", (_OWED, _TIME),
        (
            Field("amount1", "欠费金额", "{owed}"), Field("thing2", "温馨提示", "请充值后继续预约课程"),
            Field("time3", "时间", "{time}"),
        ),
        "您的钱包已欠费 {owed}，请充值后继续预约课程。",
        cooled=True,
        # Without an occasion of its own: day 0, and further debits while the family owes.
        occasions=(
            Occasion(
                "refused", "预约被拒时", {"thing2": "欠费已达上限，充值后可预约"},
                "您的钱包已欠费 {owed}，达到上限，刚才的预约没有成功。请先充值，再重新预约。",
            ),
            Occasion(
                "before_class", "上课前一天", {"thing2": "即将上课，请在课前充值"},
                "您已预约的课程即将开始，钱包仍欠费 {owed}，请在上课前充值。",
            ),
            Occasion(
                "second", "第二次提醒", {"thing2": "已欠费{days}天，请尽快充值"},
                "您的钱包欠费 {owed} 已有 {days} 天，请尽快充值，以免影响孩子上课。",
                (Fact("days", "欠费天数", "3"),),
            ),
            Occasion(
                "third", "第三次提醒", {"thing2": "已欠费{days}天，请立即充值"},
                "您的钱包欠费 {owed} 已有 {days} 天，请立即充值；如有困难，请与前台联系，我们一起想办法。",
                (Fact("days", "欠费天数", "7"),),
            ),
        ),
    ),
    Kind(
        "waitlist_offer", "候补名额通知", "pages/waitlist/offer",
        (
            _COURSE, _STARTS, _STUDENT, Fact("deadline", "确认截止", "2026-11-20T12:45:00+08:00", Form.TIME),
            Fact("minutes", "剩余分钟", "15"),
        ),
        (
            *_COURSE_FIELDS, Field("time4", "确认截止", "{deadline}"),
            Field("thing5", "温馨提示", "确认预约？还剩{minutes}分钟决策时间"),
        ),
        "确认预约？还剩{minutes}分钟决策时间。{student}候补的{course}（{starts_at}）有名额，请在 {deadline} 前确认。",
        audience=Audience.ACTOR, urgent=True, page_args=("waitlist_id",),
    ),
    Kind(
        "seat_taken", "候补结果通知", "pages/waitlist/index", (_COURSE, _STARTS, _STUDENT),
        (*_COURSE_FIELDS, Field("thing4", "温馨提示", "名额已被抢占，您仍在候补中")),
        "{student}候补的{course}（{starts_at}）名额已被其他家长预约，您仍在候补中。",
        audience=Audience.ACTOR, urgent=True, page_args=("waitlist_id",),
    ),
    Kind(
        "waitlist_expired", "候补结束通知", "pages/waitlist/index", (_COURSE, _STARTS, _STUDENT),
        (*_COURSE_FIELDS, Field("thing4", "温馨提示", "本次候补未成功，可选其他课次")),
        "{student}对{course}（{starts_at}）的候补已结束，本次未成功，可选择其他课次。",
        audience=Audience.ACTOR, urgent=True, page_args=("waitlist_id",),
        occasions=(
            Occasion(
                "others", "另有课次可约时", {},
                "{student}对{course}（{starts_at}）的候补已结束，本次未成功。可改约：{alternatives}。",
                (Fact("alternatives", "可改约的课次", "11月21日 10:00、11月22日 09:30"),),
            ),
        ),
    ),
    Kind(
        "makeup_credit", "待补课通知", "pages/makeup/index",
        (_COURSE, _STARTS, _STUDENT, Fact("expires_on", "有效期至", "2027-01-19", Form.DATE)),
        (
            Field("thing1", "原课程", "{course}"), Field("time2", "原上课时间", "{starts_at}"),
            Field("thing3", "学员", "{student}"), Field("date4", "有效期至", "{expires_on}"),
            Field("thing5", "温馨提示", "请在有效期内预约补课"),
        ),
        "{student} {starts_at} 的{course}可补课一次，请在 {expires_on} 前预约补课。",
        # Without an occasion of its own: the leave that made it.
        occasions=(
            Occasion(
                "ending", "即将到期时", {"thing5": "即将到期，请尽快预约补课"},
                "{student} {starts_at} 的{course}还没有补课，待补课 {expires_on} 到期，请尽快预约。",
            ),
            Occasion(
                "choices", "前台推荐课次时", {"thing5": "前台推荐了课次，点开查看"},
                "{student} {starts_at} 的{course}可以补课了，推荐：{choices}。请在 {expires_on} 前预约。",
                (Fact("choices", "推荐的课次", "11月21日 10:00、11月22日 09:30"),),
            ),
            Occasion(
                "answered", "前台答复时", {"thing5": "前台已答复，点开查看"},
                "关于{student} {starts_at} 的{course}补课，前台答复：{answer}",
                (Fact("answer", "前台的答复", "周六上午有空位，已为您留意"),),
            ),
            Occasion(
                "extended", "延长有效期时", {"thing5": "有效期已延长"},
                "{student} {starts_at} 的{course}待补课已延长到 {expires_on}，请在此前预约补课。",
            ),
            Occasion(
                "void", "作废时", {"thing5": "已作废：{reason}"},
                "{student} {starts_at} 的{course}待补课已作废。原因：{reason}。如有疑问请联系前台。",
                (Fact("reason", "作废原因", "已为您退费"),),
            ),
        ),
    ),
    Kind(
        "compensation_ending", "课时补偿到期提醒", "pages/makeup/index",
        (
            _STUDENT, Fact("minutes", "剩余分钟", "30"), Fact("expires_on", "到期日期", "2026-12-02", Form.DATE),
        ),
        (
            Field("thing1", "学员", "{student}"), Field("number2", "剩余分钟", "{minutes}"),
            Field("date3", "到期日期", "{expires_on}"), Field("thing4", "温馨提示", "到期后将自动失效，请尽快使用"),
        ),
        "{student}还有 {minutes} 分钟课时补偿，{expires_on} 到期后将自动失效，请尽快使用。",
    ),
    Kind(
        "withdrawal_result", "提现结果通知", "pages/wallet/index",
        (_AMOUNT, Fact("result", "处理结果", "提现成功"), _TIME, _remark("已转入您的微信")),
        (
            Field("amount1", "提现金额", "{amount}"), Field("phrase2", "处理结果", "{result}"),
            Field("time3", "处理时间", "{time}"), Field("thing4", "备注", "{remark}"),
        ),
        "您申请的提现 {amount}：{result}。{remark}",
    ),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.type: kind for kind in _ALL}

SWITCHABLE: tuple[str, ...] = tuple(kind.type for kind in _ALL if kind.switchable)

#: wallet transaction types in a parent's words; by direction where the type does not say it
CHANGES: dict[str, tuple[str, str]] = {
    # type: (money in, money out)
    "recharge": ("充值", "充值更正"),
    "deduction": ("扣费更正", "扣费"),
    "adjustment": ("调整增加", "调整减少"),
    "refund": ("退款", "退款更正"),
    "withdrawal": ("提现更正", "提现"),
    "withdrawal_reversal": ("提现退回", "提现"),
    "transfer_in": ("转入", "转入更正"),
    "transfer_out": ("转出更正", "转出"),
}

#: Feishu groups in words (N9)
GROUPS: dict[str, str] = {"money": "资金群", "waitlist": "候补群", "system": "系统群"}
