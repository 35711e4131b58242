"""通知中心: what was told to whom, the words as they were sent, why something did not arrive, sending again (N10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from flask import Blueprint, Response, abort, request, url_for

from app import clock
from app.domain.outbox import queries, resending
from app.domain.outbox.queries import NoticeFilter
from app.domain.people.roles import Permission
from app.domain.reports import home
from app.web import notices_report
from app.web.choosing import choosable
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer, place
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms_token import new_token, request_key
from app.web.labels import LABELS, word
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast, wants_fragment

bp = Blueprint("notices", __name__)
notices_report.register(bp)

#: cards for staff, by the first word of their type
_CARDS = {
    "adjustment": "飞书：余额调整",
    "wallet": "飞书：钱包",
    "policy": "飞书：规则",
    "staff": "飞书：员工与消息",
    "ledger": "飞书：账本",
    "system": "飞书：系统",
}
#: days of the delivery report when nobody asked for others, and at most
REPORT_DAYS, REPORT_MOST = 14, 92


@bp.get("/notices")
@requires(Permission.NOTICE_VIEW)
def index():
    """Messages, newest first, filtered by the address."""
    page = queries.page(_asked(), before=int_arg("before"), after=int_arg("after"))
    return render("notices/index.html", "notices/_list.html", page=page,
                  pages=page_links(page, "notices.index"), args=request.args)  # fmt: skip


@bp.get("/notices/<int:notice_id>")
@requires(Permission.NOTICE_VIEW)
def show(notice_id: int):
    """One message: its words, every attempt, and what took over from it."""
    return _sheet(notice_id)


@bp.post("/notices/<int:notice_id>/resend")
@requires(Permission.NOTICE_RESEND)
def resend(notice_id: int):
    """Send it once more; the new message has its own page."""
    new_id = resending.resend(
        notification_id=notice_id,
        actor=current_actor(),
        request_key=request_key("notices.resend", present=lambda made: {"location": f"/notices/{made}"}),
    )
    answer = _sheet(new_id) if wants_fragment() else hx_redirect(url_for("notices.show", notice_id=new_id))
    return toast(answer, "已重新发送，几秒后可看到结果", link=url_for("notices.show", notice_id=new_id))


@bp.get("/notices/delivery")
@requires(Permission.NOTICE_VIEW)
def delivery():
    """Delivery rate by day and by type, as a chart and as tables."""
    asked = _report_asked()
    days, types = queries.delivery_by_day(asked), queries.delivery_by_type(asked)
    return render("notices/delivery.html", "notices/_delivery.html", asked=asked, days=days, types=types,
                  total=queries.total(days), chart=_chart(days), type_word=type_word, args=request.args)  # fmt: skip


def _delivery_taken() -> Taking:
    """Both tables of the page."""
    asked = _report_asked()
    lines = [("按天", line.key, line) for line in queries.delivery_by_day(asked)]
    lines += [("按类型", type_word(line.key), line) for line in queries.delivery_by_type(asked)]
    return Taking(lines, in_words(asked, type="notification_type", channel="notification_channel"))


offer("delivery", "送达统计", Permission.NOTICE_VIEW, _delivery_taken, (
    place("统计", 0), place("项目", 1), Column("送达率", lambda row: row[2].rate, Kind.SHARE),
    Column("送达", lambda row: row[2].sent, Kind.NUMBER), Column("失败", lambda row: row[2].failed, Kind.NUMBER),
    Column("转站内", lambda row: row[2].in_app, Kind.NUMBER),
    Column("未完成", lambda row: row[2].waiting, Kind.NUMBER),
))  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    words = in_words(replace(asked, families=None), type="notification_type", status="notification_status",
                     channel="notification_channel", outcome="notification_outcome")  # fmt: skip
    if asked.families is not None:
        words["今天有课"] = "是"
    return Taking(queries.every(asked), words, asked.family_id)


offer("notices", "消息", Permission.NOTICE_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("时间", "created_at", Kind.TIME),
    Column("类型", lambda row: type_word(row.type if row.channel != "feishu" else row.type.partition(".")[0])),
    Column("标题", "title"), Column("内容", "text"), labelled("状态", "status", "notification_status"),
    labelled("渠道", "channel", "notification_channel"), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), Column("尝试次数", "attempts", Kind.NUMBER),
    Column("送达时间", "sent_at", Kind.TIME), Column("已读时间", "read_at", Kind.TIME), Column("说明", "error"),
))  # fmt: skip


choosable("notices-resend", lambda: queries.select(_asked()), "notices.index",
          lambda key: url_for("notices.show", notice_id=key))  # fmt: skip


def type_word(name: str) -> str:
    """A type in words: a parent's message, or a card for staff by the first word of its own."""
    return _CARDS.get(name) or word("notification_type", name)


def _sheet(notice_id: int) -> Response:
    sheet = queries.sheet(notice_id)
    if sheet is None:
        abort(404)
    return render("notices/show.html", "notices/_show.html", sheet=sheet, row=sheet.row, new_token=new_token,
                  attempts=[_attempt(entry) for entry in reversed(sheet.row.history or [])],
                  resendable=resending.may_be_resent(sheet.row),
                  type_word=word("notification_type", sheet.row.type))  # fmt: skip


_RESULTS = {
    "sent": ("送达", "good"),
    "refused": ("对方拒绝", "danger"),
    "temporary": ("没有成功，稍后再试", "waiting"),
    "unknown": ("结果不明", "waiting"),
    "paused": ("对方要求暂停", "waiting"),
}


def _attempt(entry: dict) -> dict:
    text, tone = _RESULTS[entry["result"]]
    return {
        "at": datetime.fromisoformat(entry["at"]),
        "text": f"第 {entry['attempt']} 次：{text}",
        "note": entry.get("error"),
        "tone": tone,
    }


def _asked() -> NoticeFilter:
    return NoticeFilter(
        family_id=int_arg("family"),
        type=choice_arg("type", LABELS["notification_type"]),
        status=choice_arg("status", LABELS["notification_status"]),
        channel=choice_arg("channel", LABELS["notification_channel"]),
        date_from=date_arg("from"),
        date_to=date_arg("to"),
        outcome=choice_arg("outcome", queries.OUTCOMES),
        families=tuple(home.families_today()) if request.args.get("classes") == "today" else None,
    )


def _report_asked() -> NoticeFilter:
    """A period of whole days, the last two weeks unless the address says otherwise; cut to a quarter."""
    last = min(date_arg("to") or clock.today(), clock.today())
    first = min(date_arg("from") or last - timedelta(days=REPORT_DAYS - 1), last)
    first = max(first, last - timedelta(days=REPORT_MOST - 1))
    return NoticeFilter(
        type=choice_arg("type", LABELS["notification_type"]),
        channel=choice_arg("channel", LABELS["notification_channel"]),
        date_from=first,
        date_to=last,
    )


def _chart(days: list[queries.Delivery]) -> dict:
    return {
        "kind": "stack",
        "unit": "count",
        "labels": [day.key[5:] for day in days],
        "series": [
            {"name": "已送达", "data": [day.sent for day in days], "tone": "good"},
            {"name": "转站内", "data": [day.in_app for day in days], "tone": "plain"},
            {"name": "失败", "data": [day.failed for day in days], "tone": "danger"},
        ],
    }
