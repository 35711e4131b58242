"""How a policy figure is said on pages: 15m as 15 分钟, 1000.00 as ¥1,000.00."""

from __future__ import annotations

from decimal import Decimal

from app.domain.policy import verdicts
from app.domain.policy.registry import Policy
from app.domain.policy.rollout import rollout
from app.web.filters import filesize, money

#: the letter of a length of time as it is stored → its word
UNITS = {"s": "秒", "m": "分钟", "h": "小时", "d": "天"}
_SWITCH = {"on": "开启", "off": "关闭"}
_HELP = {
    "时长": "数字加单位，如 90 秒、15 分钟、6 小时、60 天",
    "元": "不超过两位小数的金额，如 1000.00",
    "时段": "北京时间的起止，如 21:30-08:00；不需要时写「不设」",
    "范围": "all（全部家庭）、off（不开放）、25%（这么多家庭，增加时只会加入新的）或 families:12,57（家庭编号）",
    "%": "百分比，最多三位小数，如 99.9",
    "字节": "整数，1 MB 是 1048576",
    "规则表": "规则=结论，用逗号分开，先后就是次序；不写的规则不看，最后一条须是 first_trial。规则："
    + "、".join(f"{code}（{word}）" for code, word in verdicts.RULES.items())
    + "；结论："
    + "、".join(f"{code}（{word}）" for code, word in verdicts.VERDICTS.items()),
}


def said(policy: Policy, text: str) -> str:
    """The value in words; `text` is as it is stored."""
    if policy.unit == "时长":
        return f"{text[:-1]} {UNITS[text[-1]]}"
    if policy.unit == "元":
        return money(Decimal(text))
    if policy.unit == "开关":
        return _SWITCH[text]
    if policy.unit == "字节":
        return filesize(int(text))
    if policy.unit == "范围":
        return _scope(text)
    if policy.unit == "规则表":
        return verdicts.in_words(text)
    if policy.unit == "时段":
        return "不设" if text == "off" else text.replace("-", " – ")
    if policy.unit == "时刻":
        return text
    if policy.unit == "%":
        return f"{text}%"
    return f"{int(text):,} {policy.unit}" if text.isdigit() else f"{text} {policy.unit}"


def _scope(text: str) -> str:
    scope = rollout(text)
    if scope.families:
        return "指定的家庭：" + "、".join(map(str, sorted(scope.families)))
    return {0: "不开放", 100: "全部家庭"}.get(scope.percent, f"{scope.percent}% 的家庭")


def writing_help(policy: Policy) -> str:
    """How a new value is written."""
    return _HELP.get(policy.unit, "整数")
