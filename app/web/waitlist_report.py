"""候补分析: what the queues come to, how long they should be, and what other rules would have done (Q20, Q21, Q25)."""

from __future__ import annotations

from datetime import date, timedelta

from flask import Blueprint, abort

from app import clock
from app.domain.audit import exports
from app.domain.catalog import queries as catalog
from app.domain.people.roles import Permission
from app.domain.reports import spare as seats
from app.domain.reports import waitlist as figures
from app.domain.reports import waitlist_capacity as capacity
from app.domain.reports import waitlist_checks as checks
from app.domain.reports import waitlist_replay as replays
from app.domain.reports.payments import Span
from app.domain.reports.waitlist import Figure, Line
from app.domain.waitlist import history, rules
from app.domain.waitlist.models import WaitlistPolicy
from app.web import downloads
from app.web.filter_args import choice_arg, date_arg, int_arg
from app.web.permissions import current_actor, requires
from app.web.rendering import render

bp = Blueprint("waitlist_report", __name__)

#: weeks shown unless asked otherwise, and at most
WEEKS, MOST_WEEKS = 8, 26

WORDS = {
    Figure.FREED: "空出的名额", Figure.FILLED: "候补补上的名额", Figure.LOST: "到截止没人补的名额",
    Figure.RETURNED: "没有候补可补的名额", Figure.KEPT: "还在候补中的名额", Figure.OFFERS: "发出的名额通知",
    Figure.BOOKED: "通知后预约成功", Figure.EXPIRED: "失效的候补", Figure.IDLE: "没等到名额的候补",
}  # fmt: skip
CHECK_WORDS = {"notices": "没有在 10 秒内送出的名额通知", "cutoffs": "没有准时截止的候补"}


@bp.get("/reports/waitlist")
@requires(Permission.SCHEDULE_VIEW)
def index():
    """The figures of a span of days, the last eight weeks unless asked otherwise."""
    span, type_id = _span(), _type_id()
    found = figures.table(span, type_id)
    return render(
        "waitlist_report/index.html", "waitlist_report/_figures.html", span=span, type_id=type_id,
        types=figures.types(), table=found, chart=_chart(found.weeks), asked=_asked(span, type_id),
        week_end=timedelta(days=6), notices=checks.notices(span, type_id), cutoffs=checks.cutoffs(span, type_id),
    )  # fmt: skip


@bp.get("/reports/waitlist/rows/<counted>")
@requires(Permission.SCHEDULE_VIEW)
def rows(counted: str):
    """The rows that a figure counts."""
    if counted not in list(Figure):
        abort(404)
    figure = Figure(counted)
    span, type_id = _span(), _type_id()
    found = figures.behind(figure, span, type_id)
    return render("waitlist_report/rows.html", span=span, figure=figure, rows=found, word=WORDS[figure],
                  seats=figure in figures.SEATS, offers=figure in (Figure.OFFERS, Figure.BOOKED),
                  most=figures.ROWS_SHOWN, ends=rules.END_TEXTS, back=_asked(span, type_id))  # fmt: skip


@bp.get("/reports/waitlist/promises/<promise>")
@requires(Permission.SCHEDULE_VIEW)
def broken(promise: str):
    """The promises that were not kept, of those that a check counts."""
    if promise not in checks.CHECKS:
        abort(404)
    span, type_id = _span(), _type_id()
    return render("waitlist_report/broken.html", span=span, check=promise, found=checks.CHECKS[promise](span, type_id),
                  word=CHECK_WORDS[promise], back=_asked(span, type_id))  # fmt: skip


@bp.post("/reports/waitlist/export")
@requires(Permission.EXPORT)
def export():
    """Course type by week as csv; a POST, since taking it out is recorded (S2)."""
    span, type_id = _span(), _type_id()
    exports.note_export(what="waitlist_report", filters=_asked(span, type_id), actor=current_actor())
    head = ["课程类型", "周（周一）", "空出名额", "补上", "截止流失", "无人可补", "候补中", "补上率", "截止流失率",
            "通知", "预约", "转化率", "补上中位秒", "补上 P90 秒", "失效候补", "没等到名额"]  # fmt: skip
    found = figures.table(span, type_id)
    names = {one: name for one, name, _ in found.types}
    cells = sorted(found.cells.items(), key=lambda item: (item[0][0], item[0][1]))
    lines = ([names[one], week.isoformat(), *_cells(line)] for (one, week), line in cells)
    return downloads.csv(f"waitlist-{span.first:%Y%m%d}-{span.last:%Y%m%d}.csv", head, lines)


@bp.get("/reports/waitlist/capacity")
@requires(Permission.SCHEDULE_VIEW)
def advice():
    """How long the queue of each course type should be."""
    return render("waitlist_report/capacity.html", advice=capacity.advise(), least=capacity.LEAST,
                  goal=capacity.GOAL, days=capacity.BACK.days)  # fmt: skip


@bp.get("/reports/waitlist/replay")
@requires(Permission.SCHEDULE_VIEW)
def replay():
    """The last 60 days under another policy or window."""
    policy, type_id = choice_arg("policy", list(WaitlistPolicy)), _type_id()
    asked = int_arg("window")
    window = asked if asked in replays.WINDOWS else None
    found = replays.compare(policy=policy, window=window, type_id=type_id)
    return render(
        "waitlist_report/replay.html", "waitlist_report/_replay.html", policy=policy, window=window, type_id=type_id,
        types=figures.types(), policies=[(str(one), rules.POLICY_TEXTS[one]) for one in WaitlistPolicy],
        windows=_windows(window), found=found, shown=replays.SHOWN, days=history.BACK.days, ends=rules.END_TEXTS,
        sessions=catalog.session_cards([one.schedule_id for one in found.changes[: replays.SHOWN]]),
    )  # fmt: skip


@bp.get("/reports/waitlist/spare")
@requires(Permission.SCHEDULE_VIEW)
def spare():
    """Freed seats without a queue, and whose credits end soon and would fit."""
    return render("waitlist_report/spare.html", found=seats.spare(), ahead=seats.AHEAD.days, soon=seats.SOON.days)


def _type_id() -> int | None:
    asked = int_arg("type")
    return asked if asked in dict(figures.types()) else None


def _span() -> Span:
    today = clock.today()
    last = min(date_arg("to") or today, today)
    first = date_arg("from") or figures.monday(last) - timedelta(weeks=WEEKS - 1)
    return Span(max(min(first, last), last - timedelta(weeks=MOST_WEEKS)), last)


def _asked(span: Span, type_id: int | None) -> dict[str, str]:
    asked = {"from": span.first.isoformat(), "to": span.last.isoformat()}
    return asked if type_id is None else {**asked, "type": str(type_id)}


def _windows(asked: int | None) -> list[tuple[int, str]]:
    usual = {10, 15, 20, 30, 45, 60} | ({asked} if asked else set())
    return [(minutes, f"{minutes} 分钟") for minutes in sorted(usual)]


def _cells(line: Line) -> list:
    share, count = downloads.share, line.counts
    return [
        count["freed"], count["filled"], count["lost"], count["returned"], count["kept"], share(line.fill_rate),
        share(line.lost_rate), count["offers"], count["booked"], share(line.conversion), line.median, line.p90,
        count["expired"], count["idle"],
    ]  # fmt: skip


def _chart(weeks: list[tuple[date, Line]]) -> dict:
    """How the seats ended, the oldest week first."""
    ordered = weeks[::-1]
    return {
        "kind": "stack", "unit": "count", "labels": [f"{week.month}-{week.day:02d}" for week, _ in ordered],
        "series": [
            {"name": name, "data": [line.counts[figure] for _, line in ordered], "tone": tone}
            for name, figure, tone in (("补上", Figure.FILLED, "good"), ("截止流失", Figure.LOST, "danger"),
                                       ("无人可补", Figure.RETURNED, "ended"))
        ],
    }  # fmt: skip
