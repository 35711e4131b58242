"""Periodic jobs by which the product watches over itself (app/domain/outbox/schedule.py names these)."""

from __future__ import annotations

from app import metrics_known
from app.domain.watch import alerts, week
from app.flows import key_checks
from app.flows.outside_checks import OK


def alerts_judge() -> str:
    """Our own alerts over the figures of /metrics; the SYSTEM group hears what begins, lasts and ends (Z11)."""
    burning, blind = alerts.judge(metrics_known.samples())
    said = "告警：" + "、".join(burning) if burning else "没有告警"
    return said + (f"；{len(blind)} 条规则没有数据" if blind else "")


def outside_look() -> str:
    """What `flask doctor` says of keys, certificates and the outside, kept for the page (U10)."""
    found = key_checks.look()
    wrong = [one.name for one in found if one.level != OK]
    return f"检查 {len(found)} 项" + ("，需要处理：" + "、".join(wrong) if wrong else "，全部正常")


def service_week() -> str:
    """How the service levels were kept last week (Z14)."""
    return "已发送" if week.tell() else "上周的已发送"
