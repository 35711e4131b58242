"""The left navigation as data: five groups, and which of their items a person sees."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Item:
    """One place. `waits` names what waits there (app/domain/reports/waiting.py); how many is filled in per request."""

    label: str
    endpoint: str
    icon: str
    permission: str
    waits: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    label: str
    icon: str
    items: tuple[Item, ...] = ()

    @property
    def count(self) -> int:
        return sum(item.count for item in self.items)


#: what only some of those who see the place may deal with
_ONLY_FOR = {
    "differences": "reconcile.view", "receipts_missing": "adjustment.view",
    "policy_requests": "policy.edit", "role_requests": "staff.role_approve",
}  # fmt: skip

#: kinds of rows on the board of exceptions
_BOARD = ("cases", "differences", "receipts_missing")

# On a phone these five are the bottom bar. A group without a visible item is not shown.
GROUPS: tuple[Group, ...] = (
    Group(
        "work",
        "工作台",
        "home",
        (
            Item("今日", "home.today", "home", "home"),
            Item("待办审批", "desk.approvals", "clipboard-check", "adjustment.approve", ("approvals",)),
            Item("异常处理", "cases.index", "alert-triangle", "case.view", _BOARD),
            Item("流水疑问", "questions.index", "message-2", "family.view", ("questions",)),
            Item("逾时退款", "bookings.late_refunds", "receipt-refund", "booking.late_refund_view", ("late_refunds",)),
            Item("欠费跟进", "arrears.index", "phone", "family.view", ("arrears_tasks",)),
        ),
    ),
    Group(
        "members",
        "会员",
        "users",
        (
            Item("搜索", "search.index", "search", "search"),
            Item("余额调整", "desk.adjustments", "coin-yuan", "adjustment.view", ("receipts_missing",)),
            Item("批量调整", "bulk.index", "file-spreadsheet", "adjustment.view", ("batches_asked",)),
            Item("提现", "withdrawals.index", "wallet", "withdrawal.view", ("withdrawals_asked", "withdrawals_to_pay")),
        ),
    ),
    Group(
        "classes",
        "课程",
        "calendar-event",
        (
            Item("课表", "schedule.week", "calendar-event", "schedule.view"),
            Item("候补看板", "waitlist.board", "hourglass", "schedule.view", ("waitlist_offers",)),
            Item("补课安排", "makeups.index", "list-check", "family.view", ("makeups_asked",)),
            Item("课程与场馆", "schedule.catalog", "school", "schedule.view"),
        ),
    ),
    Group(
        "money",
        "财务",
        "report-money",
        (
            Item("订单", "orders.index", "receipt", "order.view"),
            Item("退款", "orders.refund_list", "receipt-refund", "order.view", ("refunds_asked",)),
            Item("日结", "books.index", "clipboard-check", "books.view", ("day_to_close",)),
            Item("课消", "books.month", "report-money", "books.view"),
            Item("对账", "reconcile.index", "list-check", "reconcile.view", ("differences",)),
            Item("资金健康", "reconcile.health", "shield-check", "reconcile.view"),
            Item("支付分析", "orders.report", "chart-bar", "order.view"),
            Item("候补分析", "waitlist_report.index", "chart-bar", "schedule.view"),
            Item("补课分析", "makeup_report.index", "chart-bar", "schedule.view"),
            Item("行为报表", "behaviour.index", "chart-bar", "schedule.view"),
        ),
    ),
    Group(
        "system",
        "系统",
        "settings",
        (
            Item("通知中心", "notices.index", "bell", "notice.view", ("notices_failed",)),
            Item("审计", "audit.index", "shield-check", "audit.view"),
            Item("内控提示", "insiders.index", "eye", "audit.view"),
            Item("规则", "settings.policies", "settings", "policy.view", ("policy_requests",)),
            Item("消息模板", "settings.templates", "message-2", "template.view"),
            Item("员工与权限", "staff.index", "users-group", "staff.view", ("role_requests",)),
            Item("后台任务", "longjobs.index", "list-check", "job.view"),
            Item("系统状态", "system.state", "server-2", "system.view"),
        ),
    ),
)


def waits(can: Callable[[str], bool]) -> set[str]:
    """The names of what waits for this person, to be counted."""
    items = (item for group in GROUPS for item in group.items if can(item.permission))
    return {name for item in items for name in item.waits if name not in _ONLY_FOR or can(_ONLY_FOR[name])}


def visible_groups(
    can: Callable[[str], bool], endpoints: Collection[str], counts: Mapping[str, int] | None = None
) -> list[Group]:
    """The groups with the items that exist and that this person may open, with their counts."""
    counts = counts or {}
    groups = []
    for group in GROUPS:
        items = tuple(
            replace(item, count=sum(counts.get(name, 0) for name in item.waits)) if item.waits else item
            for item in group.items
            if item.endpoint in endpoints and can(item.permission)
        )
        if items:
            groups.append(replace(group, items=items))
    return groups
