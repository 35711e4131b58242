"""The table by which a trial's refund is suggested, as a policy is written (O26): which rules count, in which order,
and what each suggests. What a rule looks at is code: orders/verdict.py."""

from __future__ import annotations

VERDICTS = {"refund": "建议退款", "keep": "不建议", "review": "需复核"}

#: rule → what hits, in words
RULES = {
    "earlier_refund": "此前已退过体验课费",
    "earlier_trial": "此前已订过体验课",
    "enrolled_before": "下单前已报名",
    "enrolled": "体验后已报名",
    "left": "已离开的会员",
    "no_status": "没有登记会员状态",
    "registered_long_ago": "下单时注册已久",
    "first_trial": "其余",
}
#: hits always, so that there is an answer for everybody: it stands last
REST = "first_trial"

DEFAULT = (
    "earlier_refund=keep,earlier_trial=review,enrolled_before=review,enrolled=keep,left=review,no_status=review,"
    "registered_long_ago=review,first_trial=refund"
)

#: (rule, verdict), the first that hits decides
Table = tuple[tuple[str, str], ...]


def table(text: str) -> Table:
    """`earlier_refund=keep,…,first_trial=refund`; a rule that is not named does not count. Raises ValueError."""
    pairs = tuple(tuple(part.strip().split("=")) for part in text.split(","))
    if any(len(pair) != 2 or pair[0] not in RULES or pair[1] not in VERDICTS for pair in pairs):
        raise ValueError(
            "规则表写作「规则=结论」，用逗号分开；规则可用 " + "、".join(RULES) + "；结论可用 " + "、".join(VERDICTS)
        )
    names = [pair[0] for pair in pairs]
    if len(set(names)) != len(names):
        raise ValueError("同一条规则只能写一次")
    if names[-1] != REST:
        raise ValueError(f"最后一条须是 {REST}，其他情况都按它")
    return pairs


def in_words(text: str) -> str:
    """The table as people read it."""
    return "；".join(f"{RULES[rule]}：{VERDICTS[verdict]}" for rule, verdict in table(text))
