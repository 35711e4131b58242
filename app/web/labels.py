"""The one table from every state of the system to its word and colour.

Tones say what a state asks of the reader, and each has one colour (static/desk.css):
waiting (amber) someone is waited for · danger (red) arrears, failed, dangerous · good (green) money in and
success · active (teal) in force or under way · ended (grey) over, nothing to do · plain no colour.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from wtforms.fields.choices import SelectChoice


class Label(NamedTuple):
    word: str
    tone: str = "plain"


TONES = ("waiting", "danger", "good", "active", "ended", "plain")

LABELS: dict[str, dict[str, Label]] = {
    # Whether the wallet may move at all (W6).
    "wallet_status": {
        "active": Label("正常", "active"),
        "frozen": Label("已冻结", "danger"),
        "closed": Label("已注销", "ended"),
    },
    # How the balance stands (W8, 96.30).
    "wallet_state": {
        "normal": Label("余额正常", "active"),
        "low": Label("余额偏低", "waiting"),
        "arrears": Label("欠费", "danger"),
        "blocked": Label("暂停预约", "danger"),
    },
    "transaction_type": {
        "recharge": Label("充值", "good"),
        "deduction": Label("扣费"),
        "adjustment": Label("调整"),
        "refund": Label("退款"),
        "withdrawal": Label("提现"),
        "withdrawal_reversal": Label("提现退回"),
        "transfer_in": Label("合并转入"),
        "transfer_out": Label("合并转出"),
    },
    "transaction_status": {
        "posted": Label("已入账", "good"),
        "cancelled": Label("已冲销", "ended"),
    },
    # W10–W13: a pending adjustment waits either for a receipt or for another person.
    "adjustment_status": {
        "pending": Label("待审批", "waiting"),
        "awaiting_receipt": Label("待补凭证", "waiting"),
        "completed": Label("已完成", "good"),
        "cancelled": Label("已取消", "ended"),
    },
    "adjustment_cause": {
        "withdrawn": Label("本人撤回", "ended"),
        "rejected": Label("已驳回", "danger"),
        "lapsed": Label("超时失效", "ended"),
        "failed": Label("执行失败", "danger"),
    },
    # W28.
    "question_status": {
        "open": Label("待答复", "waiting"),
        "answered": Label("已答复", "good"),
    },
    # Why another person must approve (W12, W14, W19).
    "approval_reason": {
        "may_only_ask": Label("前台只能申请，由财务或店长审批", "waiting"),
        "decrease": Label("减少余额", "waiting"),
        "correction": Label("纠错", "waiting"),
        "gift": Label("赠送", "waiting"),
        "above_direct_limit": Label("超过单笔免审批额度", "waiting"),
        "above_family_sum": Label("24 小时内对该家庭的累计超过免审批额度", "waiting"),
        "above_person_sum": Label("经办人 24 小时内的累计超过免审批额度", "waiting"),
        "above_prepayment": Label("超过一次性预收上限", "danger"),
        "receipt_reused": Label("凭证曾经用过", "danger"),
        "receipt_looks_alike": Label("凭证与以前的相似", "danger"),
        "late_undo": Label("撤销已完成的调整", "waiting"),
        "batch": Label("批量调整", "waiting"),
    },
    "adjustment_type": {
        "recharge": Label("充值"),
        "top_up": Label("补差"),
        "correction": Label("纠错"),
        "gift": Label("赠送"),
    },
    "adjustment_direction": {
        "increase": Label("增加", "good"),
        "decrease": Label("减少"),
    },
    "payment_method": {
        "cash": Label("现金"),
        "wechat_transfer": Label("微信转账"),
        "alipay": Label("支付宝"),
        "bank_transfer": Label("银行转账"),
        "pos": Label("POS"),
        "none": Label("无"),
    },
    "receipt_flag": {
        "missing": Label("待补凭证", "waiting"),
        "attached": Label("有凭证", "active"),
        "not_needed": Label("无需凭证", "ended"),
        "duplicate": Label("凭证重复", "danger"),
        "look_alike": Label("疑似重复", "waiting"),
    },
    # W20: a sheet of adjustments, and what became of each of its rows.
    "batch_status": {
        "draft": Label("草稿", "plain"),
        "asked": Label("待审批", "waiting"),
        "approved": Label("已批准", "active"),
        "rejected": Label("已驳回", "danger"),
        "withdrawn": Label("已撤回", "ended"),
        "lapsed": Label("超时失效", "ended"),
    },
    "row_outcome": {
        "done": Label("已完成", "good"),
        "refused": Label("被拒", "danger"),
        "untouched": Label("未执行", "ended"),
    },
    # U11.
    "long_job_status": {
        "queued": Label("排队中", "waiting"),
        "running": Label("进行中", "active"),
        "done": Label("已完成", "good"),
        "failed": Label("已中断", "danger"),
        "cancelled": Label("已取消", "ended"),
    },
    # W21; `open` is what the list calls those that somebody must deal with.
    "withdrawal_status": {
        "open": Label("待处理", "waiting"),
        "requested": Label("待审批", "waiting"),
        "approved": Label("待打款", "waiting"),
        "paid": Label("已打款", "good"),
        "rejected": Label("已驳回", "danger"),
        "failed": Label("打款失败", "danger"),
        "cancelled": Label("已取消", "ended"),
    },
    # N1.
    "notification_status": {
        "pending": Label("待发送", "waiting"),
        "sending": Label("发送中", "active"),
        "sent": Label("已送达", "good"),
        "failed": Label("发送失败", "danger"),
        "suppressed": Label("未发送", "ended"),
    },
    "notification_channel": {
        "wechat": Label("微信"),
        "feishu": Label("飞书"),
        "in_app": Label("站内"),
    },
    # What became of a message beyond its status (N10, N11).
    "notification_outcome": {
        "lost": Label("没有人收到", "danger"),
        "refused": Label("家长拒收", "ended"),
        "failed": Label("其他失败", "danger"),
        "missed": Label("没到微信", "waiting"),
        "read": Label("家长已读", "good"),
        "unread": Label("家长未读", "waiting"),
    },
    # What followed a message (N11).
    "notice_effect": {
        "done": Label("达成", "good"),
        "undone": Label("未达成", "ended"),
        "open": Label("未到期", "waiting"),
    },
    "arrears_end": {
        "in_time": Label("7 天内结清", "good"),
        "late": Label("逾 7 天结清", "waiting"),
        "owing": Label("逾 7 天未结清", "danger"),
        "recent": Label("通知未满 7 天", "active"),
        "untold": Label("无家长可通知", "ended"),
    },
    # 96.72, in the order of N5.
    "notification_type": {
        "booking_made": Label("预约成功"),
        "booking_cancelled": Label("预约取消"),
        "class_reminder": Label("上课提醒"),
        "class_cancelled": Label("课程取消"),
        "class_changed": Label("课程变更"),
        "payment_result": Label("支付结果"),
        "payment_expired": Label("支付超时"),
        "refund_result": Label("退款结果"),
        "balance_changed": Label("余额变动"),
        "low_balance": Label("余额偏低"),
        "arrears": Label("欠费提醒"),
        "waitlist_offer": Label("候补名额"),
        "seat_taken": Label("名额被抢占"),
        "waitlist_expired": Label("候补失效"),
        "makeup_credit": Label("待补课"),
        "compensation_ending": Label("课时补偿到期"),
        "withdrawal_result": Label("提现结果"),
    },
    # Q8.
    "waitlist_policy": {
        "open_then_sequential": Label("先到先得，再逐个顺位"),
        "sequential": Label("逐个顺位"),
        "auto_promote": Label("自动补位"),
    },
    # Q16.
    "waitlist_entry": {
        "waiting": Label("候补中", "active"),
        "offered": Label("待确认", "waiting"),
        "confirmed": Label("已补上", "good"),
        "declined": Label("已放弃", "ended"),
        "expired": Label("已失效", "ended"),
        "cancelled": Label("已退出", "ended"),
    },
    "waitlist_offer_kind": {
        "open": Label("先到先得", "waiting"),
        "exclusive": Label("单独保留", "waiting"),
    },
    "waitlist_offer": {
        "live": Label("等待回复", "waiting"),
        "confirmed": Label("已确认", "good"),
        "declined": Label("已放弃", "ended"),
        "lapsed": Label("超时未确认", "ended"),
        "taken": Label("被他人抢占", "ended"),
        "withdrawn": Label("已收回", "ended"),
    },
    # Q5.
    "seat_release": {
        "kept": Label("为候补保留", "waiting"),
        "filled": Label("已补上", "good"),
        "returned": Label("回到自由预约", "ended"),
    },
    # C6; `open`, `full` and `running` follow seats and clock.
    "session_state": {
        "open": Label("可预约", "active"),
        "full": Label("已满", "waiting"),
        "running": Label("上课中", "active"),
        "finished": Label("已结束", "ended"),
        "cancelled": Label("已停课", "ended"),
    },
    # B6.
    "booking_status": {
        "booked": Label("已预约", "active"),
        "attended": Label("已到课", "good"),
        "absent": Label("缺课", "danger"),
        "cancelled": Label("已取消", "ended"),
        "on_leave": Label("已请假", "ended"),
    },
    "booking_kind": {
        "trial": Label("体验课"),
        "regular": Label("正式课"),
        "makeup": Label("补课"),
    },
    "booking_source": {
        "wechat_pay": Label("微信支付"),
        "wallet": Label("钱包"),
        "makeup_credit": Label("待补课"),
        "staff": Label("前台代订"),
    },
    "credit_status": {
        "available": Label("可使用", "active"),
        "used": Label("已使用", "ended"),
        "expired": Label("已过期", "ended"),
        "void": Label("已作废", "ended"),
    },
    # B3.
    "late_refund_status": {
        "pending": Label("待复核", "waiting"),
        "approved": Label("已批准", "good"),
        "rejected": Label("已驳回", "danger"),
        "withdrawn": Label("已撤回", "ended"),
    },
    # O6; `pending` follows the clock.
    "order_status": {
        "pending": Label("待支付", "waiting"),
        "paid": Label("已支付", "good"),
        "failed": Label("支付失败", "danger"),
        "cancelled": Label("已取消", "ended"),
        "expired": Label("已过期", "ended"),
    },
    "order_seat": {
        "held": Label("占座中", "waiting"),
        "confirmed": Label("已订座", "good"),
        "unseated": Label("已付款未占座", "danger"),
        "released": Label("没有座位", "ended"),
    },
    "hold_status": {
        "temporary": Label("占座中", "waiting"),
        "confirmed": Label("已订座", "good"),
        "cancelled": Label("已释放", "ended"),
        "expired": Label("到期释放", "ended"),
    },
    "attempt_status": {
        "open": Label("可支付", "waiting"),
        "closing": Label("关单中", "waiting"),
        "closed": Label("已关单", "ended"),
        "paid": Label("已支付", "good"),
    },
    "payment_source": {
        "callback": Label("微信通知"),
        "query": Label("查单"),
        "bill": Label("对账单"),
        "offline": Label("线下收款"),
    },
    "trade_type": {
        "JSAPI": Label("小程序"),
        "NATIVE": Label("扫码"),
        "OFFLINE": Label("线下"),
    },
    "notified": {
        "settled": Label("已入账", "good"),
        "repeated": Label("重复通知", "ended"),
        "mismatch": Label("信息不符", "danger"),
        "unknown": Label("未知订单", "danger"),
        "ignored": Label("无需处理", "ended"),
    },
    # O23.
    "offline_status": {
        "pending": Label("待确认", "waiting"),
        "approved": Label("已确认", "good"),
        "rejected": Label("已驳回", "danger"),
        "withdrawn": Label("已撤回", "ended"),
    },
    # O15.
    "refund_status": {
        "requested": Label("待审批", "waiting"),
        "approved": Label("已批准", "active"),
        "processing": Label("退款中", "active"),
        "succeeded": Label("已退款", "good"),
        "failed": Label("退款失败", "danger"),
        "closed": Label("已关闭", "ended"),
        "rejected": Label("已驳回", "ended"),
    },
    "refund_to": {
        "original": Label("原路退回"),
        "wallet": Label("退到钱包"),
        "cash": Label("现金退还"),
    },
    # O26.
    "verdict": {
        "refund": Label("建议退款", "good"),
        "keep": Label("不建议", "danger"),
        "review": Label("需复核", "waiting"),
    },
    # O19.
    "case_kind": {
        "unseated": Label("已付款未占座", "danger"),
        "duplicate_payment": Label("重复支付", "danger"),
        "mismatch": Label("支付信息不符", "danger"),
        "unknown_payment": Label("未知订单的付款", "danger"),
        "unknown_refund": Label("未知退款", "danger"),
        "refund_abnormal": Label("退款异常", "danger"),
        "refund_failed": Label("退款失败", "danger"),
        "trial_cancelled": Label("体验课已取消，待退款判断", "waiting"),
    },
    # W24.
    "difference_source": {"bill": Label("微信账单"), "books": Label("系统内账")},
    "difference_kind": {
        "payment_missing_here": Label("账单有付款，系统没有", "danger"),
        "payment_missing_there": Label("系统有付款，账单没有", "danger"),
        "payment_amount": Label("付款金额不一致", "danger"),
        "payment_order": Label("付款的订单号不一致", "danger"),
        "refund_missing_here": Label("账单有退款，系统没有", "danger"),
        "refund_missing_there": Label("系统有退款，账单没有", "danger"),
        "refund_amount": Label("退款金额不一致", "danger"),
        "refund_status": Label("退款状态不一致", "danger"),
        "twice_in_bill": Label("账单里重复出现", "danger"),
        "adjustment": Label("余额调整与流水不符", "danger"),
        "withdrawal": Label("提现与流水不符", "danger"),
        "refund": Label("退到钱包与流水不符", "danger"),
        "booking_debit": Label("预约扣费与流水不符", "danger"),
        "booking_refund": Label("预约退费与流水不符", "danger"),
        "no_cause": Label("流水没有来源", "danger"),
        "ledger": Label("账本核对不符", "danger"),
    },
    "case_status": {
        "open": Label("待处理", "waiting"),
        "settled": Label("已处理", "good"),
    },
    "member_status": {
        "trial": Label("体验", "waiting"),
        "formal": Label("正式会员", "active"),
        "left": Label("已离馆", "ended"),
    },
    "profile_status": {
        "active": Label("在读", "active"),
        "left": Label("已离馆", "ended"),
    },
    # A student without confirmed level (96.25).
    "level": {
        "none": Label("未定级", "ended"),
    },
    "gender": {
        "male": Label("男"),
        "female": Label("女"),
        "unknown": Label("未填"),
    },
    # P8.
    "staff_role": {
        "front_desk": Label("前台"),
        "finance": Label("财务"),
        "manager": Label("店长"),
        "auditor": Label("审计"),
        "admin": Label("管理员"),
    },
    "staff_status": {
        "active": Label("在职", "active"),
        "locked": Label("已锁定", "danger"),
        "disabled": Label("已停用", "ended"),
    },
    "actor_type": {
        "staff": Label("员工"),
        "parent": Label("家长"),
        "system": Label("系统"),
    },
    "job_status": {
        "queued": Label("排队中", "waiting"),
        "running": Label("进行中", "active"),
        "done": Label("已完成", "good"),
        "cancelled": Label("已取消", "ended"),
        "failed": Label("失败", "danger"),
    },
    "health": {
        "ok": Label("正常", "good"),
        "degraded": Label("受影响", "waiting"),
        "down": Label("不可用", "danger"),
        "unknown": Label("未知", "ended"),
    },
    # what `flask doctor` says
    "finding": {
        "ok": Label("正常", "good"),
        "warning": Label("注意", "waiting"),
        "error": Label("有误", "danger"),
    },
}


def label(kind: str, value: object) -> Label:
    """Word and tone of a state. None is a grey dash.

    An unknown value of a known kind shows as it is: a page must not die because a release is one word behind.
    An unknown kind is a typing error and raises KeyError.
    """
    table = LABELS[kind]
    if value is None:
        return Label("—", "ended")
    key = str(value.value) if isinstance(value, Enum) else str(value)
    return table.get(key) or Label(key)


def word(kind: str, value: object) -> str:
    """Only the word, for texts and exports."""
    return label(kind, value).word


def choices(kind: str) -> list[tuple[str, str]]:
    """(value, word) of a kind in table order, for filter rows."""
    return [(value, entry.word) for value, entry in LABELS[kind].items()]


def select_choices(kind: str, *only: str) -> list[SelectChoice]:
    """The same for a form's select or radio field; `only` narrows and orders it."""
    table = LABELS[kind]
    return [SelectChoice(value=value, label=table[value].word) for value in only or table]
