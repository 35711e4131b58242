"""候补分析: what the queues come to, how long they should be, and what other rules would have done (Q20, Q21, Q25)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, abort

from app import clock
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
from app.web import labels
from app.web.downloads import Column, Kind, Taking, in_words, offer, place
from app.web.filter_args import choice_arg, date_arg, int_arg
from app.web.permissions import requires
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
        week_end=timedelta(days=6), offers_since=figures.offers_kept_since(), notices=checks.notices(span, type_id),
        cutoffs=checks.cutoffs(span, type_id),
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
    """Freed seats without a queue, and whom to book or to tell: whose credits or minutes end soon."""
    return render("waitlist_report/spare.html", "waitlist_report/_spare.html", found=seats.spare(),
                  ahead=seats.AHEAD.days, soon=seats.SOON.days)  # fmt: skip


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


def _in_force() -> dict[str, str]:
    """The span and the course type of the address, in words."""
    span, type_id = _span(), _type_id()
    return in_words({"date_from": span.first, "date_to": span.last, "type": dict(figures.types()).get(type_id)})


def _taken() -> Taking:
    """Course type by week."""
    found = figures.table(_span(), _type_id())
    names = {one: name for one, name, _ in found.types}
    cells = sorted(found.cells.items(), key=lambda item: (item[0][0], item[0][1]))
    return Taking([(names[one], week, line) for (one, week), line in cells], _in_force())


def _rows_taken() -> Taking:
    counted = choice_arg("counted", list(Figure))
    if counted is None:
        abort(404)
    figure = Figure(counted)
    kind = "seat_release" if figure in figures.SEATS else _OFFERS.get(figure, "waitlist_entry")
    found = [(labels.word(kind, row.status), row) for row in figures.behind(figure, _span(), _type_id())]
    return Taking(found, in_words({"figure": WORDS[figure]}) | _in_force())


_OFFERS = {Figure.OFFERS: "waitlist_offer", Figure.BOOKED: "waitlist_offer"}


def _of_line(title: str, read: Callable[[Line], Any], kind: Kind = Kind.NUMBER) -> Column:
    return Column(title, lambda row: read(row[2]), kind)


def _count(title: str, figure: Figure) -> Column:
    return _of_line(title, lambda line: line.counts[figure])


offer("waitlist-report", "候补分析", Permission.SCHEDULE_VIEW, _taken, (
    place("课程类型", 0), place("周（周一）", 1, Kind.DAY), _count("空出名额", Figure.FREED),
    _count("补上", Figure.FILLED),
    _count("截止流失", Figure.LOST), _count("无人可补", Figure.RETURNED), _count("候补中", Figure.KEPT),
    _of_line("补上率", lambda line: line.fill_rate, Kind.SHARE),
    _of_line("截止流失率", lambda line: line.lost_rate, Kind.SHARE), _count("通知", Figure.OFFERS),
    _count("预约", Figure.BOOKED), _of_line("转化率", lambda line: line.conversion, Kind.SHARE),
    _of_line("补上中位秒", lambda line: line.median), _of_line("补上 P90 秒", lambda line: line.p90),
    _count("失效候补", Figure.EXPIRED), _count("没等到名额", Figure.IDLE),
))  # fmt: skip
offer("waitlist-rows", "候补分析明细", Permission.SCHEDULE_VIEW, _rows_taken, (
    Column("时间", lambda one: one[1].at, Kind.TIME), Column("课程", lambda one: one[1].course_name),
    Column("上课时间", lambda one: one[1].starts_at, Kind.TIME), Column("学员", lambda one: one[1].student),
    Column("家庭", lambda one: one[1].family_name), place("结果", 0),
    Column("说明", lambda one: rules.END_TEXTS.get(one[1].note)),
    Column("用时（秒）", lambda one: one[1].seconds, Kind.NUMBER),
))  # fmt: skip


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
