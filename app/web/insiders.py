"""内控: what a manager or the auditor should look at in colleagues' work (S1). Read only."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint

from app import clock
from app.domain.people.roles import Permission
from app.domain.reports import insiders as findings
from app.domain.reports import insiders_by_person as by_person
from app.domain.reports.insiders import Finding
from app.domain.reports.payments import Span
from app.web.downloads import Column, Kind, Taking, in_words, offer, place
from app.web.filter_args import date_arg
from app.web.permissions import requires
from app.web.rendering import render

bp = Blueprint("insiders", __name__)

#: days shown unless asked otherwise, and at most
DAYS, MOST_DAYS = 7, 92

#: title, and what to do about it
WORDS = {
    Finding.NEAR_LIMIT: ("贴近限额的单人调整", "金额在单笔限额的 80% 到 100%，请核对是否有意拆分"),
    Finding.LINKED: ("员工家庭的余额调整", "请核对经办与家庭的关系，以及家长是否收到通知"),
    Finding.ONE_DEVICE: ("同一设备申请并批准", "可能一人使用两个账号，请当面确认"),
    Finding.HASTY: ("60 秒内批准", "没有时间核对内容，请抽查凭证"),
    Finding.OVERTAKEN: ("候补顺序异常", "有人排得更早却没有收到通知，请查看该课次的候补记录"),
    Finding.REORDERED: ("人工改变候补顺序", "请核对原因是否成立"),
    Finding.NEW_DEVICE: ("员工从新设备登录", "请向本人确认；不是本人时立即停用账号"),
}
PERSON_WORDS = {
    "adjustments": "调整申请", "undone": "撤回与驳回", "refunds": "退款与线下收款", "credits": "补课与分钟",
    "queues": "候补改序", "reveals": "查看隐私", "exports": "导出",
}  # fmt: skip


@bp.get("/reports/insiders")
@requires(Permission.AUDIT_VIEW)
def index():
    """Every finding of a span of days, the last seven unless asked otherwise."""
    span = _span()
    return render(
        "insiders/index.html", "insiders/_findings.html", span=span, found=findings.table(span), words=WORDS,
        people=by_person.table(span), columns=PERSON_WORDS, most=findings.ROWS_SHOWN,
        asked={"from": span.first.isoformat(), "to": span.last.isoformat()},
    )  # fmt: skip


def _span() -> Span:
    today = clock.today()
    last = min(date_arg("to") or today, today)
    first = date_arg("from") or last - timedelta(days=DAYS - 1)
    return Span(max(min(first, last), last - timedelta(days=MOST_DAYS - 1)), last)


def _taken() -> Taking:
    span = _span()
    rows = [(WORDS[finding][0], row) for finding, rows in findings.table(span).items() for row in rows]
    return Taking(rows, in_words({"date_from": span.first, "date_to": span.last}))


offer("insiders", "内控提示", Permission.AUDIT_VIEW, _taken, (
    place("提示", 0), Column("时间", lambda one: one[1].at, Kind.TIME), Column("经办", lambda one: one[1].who),
    Column("另一人", lambda one: one[1].other), Column("说明", lambda one: one[1].about),
    Column("家庭", lambda one: one[1].family_id, Kind.NUMBER),
    Column("调整", lambda one: one[1].adjustment_id, Kind.NUMBER),
    Column("审计", lambda one: one[1].audit_id, Kind.NUMBER),
))  # fmt: skip
