"""The desk's words in Chinese: what cards, refusals and parents' messages say. Pages use web/labels.py, which a
test keeps equal."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from app.domain.desk.models import AdjustmentCause, AdjustmentType, PaymentMethod

TYPES = {
    AdjustmentType.RECHARGE: "充值",
    AdjustmentType.TOP_UP: "补差",
    AdjustmentType.CORRECTION: "纠错",
    AdjustmentType.GIFT: "赠送",
}
METHODS = {
    PaymentMethod.CASH: "现金",
    PaymentMethod.WECHAT_TRANSFER: "微信转账",
    PaymentMethod.ALIPAY: "支付宝",
    PaymentMethod.BANK_TRANSFER: "银行转账",
    PaymentMethod.POS: "POS",
    PaymentMethod.NONE: "无",
}
CAUSES = {
    AdjustmentCause.WITHDRAWN: "本人撤回",
    AdjustmentCause.REJECTED: "已驳回",
    AdjustmentCause.LAPSED: "超时失效",
    AdjustmentCause.FAILED: "执行失败",
}


class ApprovalReason(StrEnum):
    """Why another person must approve (W12, W14, W19)."""

    MAY_ONLY_ASK = "may_only_ask"
    DECREASE = "decrease"
    CORRECTION = "correction"
    GIFT = "gift"
    ABOVE_DIRECT_LIMIT = "above_direct_limit"
    ABOVE_FAMILY_SUM = "above_family_sum"
    ABOVE_PERSON_SUM = "above_person_sum"
    ABOVE_PREPAYMENT = "above_prepayment"
    RECEIPT_REUSED = "receipt_reused"
    RECEIPT_LOOKS_ALIKE = "receipt_looks_alike"
    LATE_UNDO = "late_undo"
    BATCH = "batch"


APPROVAL_REASONS = {
    ApprovalReason.MAY_ONLY_ASK: "前台只能申请，由财务或店长审批",
    ApprovalReason.DECREASE: "减少余额",
    ApprovalReason.CORRECTION: "纠错",
    ApprovalReason.GIFT: "赠送",
    ApprovalReason.ABOVE_DIRECT_LIMIT: "超过单笔免审批额度",
    ApprovalReason.ABOVE_FAMILY_SUM: "24 小时内对该家庭的累计超过免审批额度",
    ApprovalReason.ABOVE_PERSON_SUM: "经办人 24 小时内的累计超过免审批额度",
    ApprovalReason.ABOVE_PREPAYMENT: "超过一次性预收上限",
    ApprovalReason.RECEIPT_REUSED: "凭证曾经用过",
    ApprovalReason.RECEIPT_LOOKS_ALIKE: "凭证与以前的相似",
    ApprovalReason.LATE_UNDO: "撤销已完成的调整",
    ApprovalReason.BATCH: "批量调整",
}

#: type → (code, words): the list of W10; 「其他」 is open to all
REASONS: dict[str, tuple[tuple[str, str], ...]] = {
    AdjustmentType.RECHARGE: (
        ("offline_recharge", "线下充值"),
        ("package_recharge", "活动套餐充值"),
        ("missed_recharge", "漏记充值补录"),
    ),
    AdjustmentType.TOP_UP: (
        ("price_difference", "课程差价"),
        ("fee_correction", "多扣费用补回"),
        ("old_system", "旧系统余额补差"),
    ),
    AdjustmentType.CORRECTION: (
        ("wrong_amount", "金额录错"),
        ("wrong_family", "记错家庭"),
        ("duplicate", "重复入账"),
    ),
    AdjustmentType.GIFT: (
        ("promotion", "活动赠送"),
        ("referral", "老带新奖励"),
        ("apology", "服务补偿"),
    ),
}
OTHER = ("other", "其他")
#: chosen by the system alone
UNDO = ("undo", "撤销")
REASON_WORDS: dict[str, str] = dict([pair for pairs in REASONS.values() for pair in pairs] + [OTHER, UNDO])

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_UNITS = ("", "拾", "佰", "仟")


def in_words(amount: Decimal) -> str:
    """An amount of 0.00 to 99,999,999.99 yuan as bills write it, e.g. 伍佰元整: a digit too many can't hide (W15)."""
    fen = int(abs(amount) * 100)
    yuan, jiao, rest = fen // 100, fen // 10 % 10, fen % 10
    text = _whole(yuan) + "元" if yuan else ""
    if jiao:
        text += _DIGITS[jiao] + "角"
    elif rest and yuan:
        text += "零"
    text += _DIGITS[rest] + "分" if rest else "整"
    return ("负" if amount < 0 else "") + (text if fen else "零元整")


def _whole(number: int) -> str:
    if number >= 10_000:
        high, low = divmod(number, 10_000)
        gap = "零" if 0 < low < 1000 else ""
        return _whole(high) + "万" + (gap + _whole(low) if low else "")
    text, zero = "", False
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if digit:
            text += ("零" if zero else "") + _DIGITS[digit] + _UNITS[place]
            zero = False
        elif text:
            zero = True
    return text


def for_parent(type: str, reason_code: str) -> str:
    """What the parent reads of a movement: never the desk's own note."""
    if reason_code == UNDO[0]:
        return "撤销先前的调整"
    if reason_code in (OTHER[0], "offline_recharge"):
        return TYPES[type]
    return f"{TYPES[type]}：{REASON_WORDS[reason_code]}"
