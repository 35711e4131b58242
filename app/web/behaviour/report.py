"""行为报表: how families book, cancel and ask for seats, trial → formal, and who has gone quiet (U18)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from flask import Blueprint, abort, request, url_for

from app import clock
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.reports import behaviour as figures
from app.domain.reports import behaviour_rows as behind
from app.domain.reports import quiet
from app.domain.reports.behaviour import Demand, Ends, Lead
from app.domain.reports.behaviour_rows import BANDS, DEMAND, ENDED, Asked, Figure, Who
from app.domain.reports.payments import Span
from app.domain.reports.waitlist import monday
from app.text import clean
from app.web.behaviour.words import BAND_WORDS, WEEKDAY_WORDS, WHO_WORDS, WORDS
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.permissions import can, requires
from app.web.rendering import render

bp = Blueprint("behaviour", __name__)

#: weeks shown unless asked otherwise, and at most
WEEKS, MOST_WEEKS = 8, 26


@bp.get("/reports/behaviour")
@requires(Permission.SCHEDULE_VIEW)
def index():
    """The figures of a span of days, the last eight weeks unless asked otherwise."""
    asked = Asked(span_arg(), type_arg())
    made, ends, demand = figures.lead(Figure.MADE, asked), figures.ends(asked), figures.demand(asked)
    return render(
        "behaviour/index.html", "behaviour/_figures.html", span=asked.span, type_id=asked.type_id,
        types=figures.types(), made=made, ends=ends, demand=demand, trials=figures.trials(asked),
        quiet=quiet.count() if can(Permission.FAMILY_VIEW) else None, quiet_days=quiet_days(),
        asked=address(asked), bands=BAND_WORDS, weekdays=WEEKDAY_WORDS, people=WHO_WORDS,
        charts=_charts(made, ends, demand),
    )  # fmt: skip


@bp.get("/reports/behaviour/rows/<counted>")
@requires(Permission.SCHEDULE_VIEW)
def rows(counted: str):
    """The rows that a figure counts."""
    if counted not in list(Figure):
        abort(404)
    figure, asked = Figure(counted), asked_args()
    return render(
        "behaviour/rows.html", span=asked.span, figure=figure, rows=behind.behind(figure, asked),
        word=WORDS[figure], parts=parts(asked), most=behind.ROWS_SHOWN, people=WHO_WORDS, ended=figure in ENDED,
        wanted=figure in DEMAND, trial=figure in (Figure.TRIALS, Figure.CONVERTED),
        back=url_for(".index", **address(Asked(asked.span, asked.type_id))),
    )  # fmt: skip


@bp.get("/reports/behaviour/quiet")
@requires(Permission.FAMILY_VIEW)
def quiet_families():
    """Families without a class for so long, as of now."""
    page = quiet.page(before=int_arg("before"), after=int_arg("after"))
    return render("behaviour/quiet.html", "behaviour/_quiet.html", page=page, total=quiet.count(),
                  days=quiet_days(), pages=page_links(page, ".quiet_families"))  # fmt: skip


# ── the address ─────────────────────────────────────────────────────────────────────────────────────


def quiet_days() -> int:
    return policy.get("quiet_family_after").days


def span_arg() -> Span:
    """Studio days from the address, no later than today and no more than the page bears."""
    today = clock.today()
    last = min(date_arg("to") or today, today)
    first = date_arg("from") or monday(last) - timedelta(weeks=WEEKS - 1)
    return Span(max(min(first, last), last - timedelta(weeks=MOST_WEEKS)), last)


def type_arg() -> int | None:
    asked = int_arg("type")
    return asked if asked in dict(figures.types()) else None


def asked_args() -> Asked:
    """Which rows the address asks for. `unsaid` asks for ends without a reason: an empty value would be dropped."""
    who, why = choice_arg("who", list(Who)), request.args.get("why")
    return Asked(
        span_arg(), type_arg(), _number("band", len(BANDS)), None if who is None else Who(who),
        "" if request.args.get("unsaid") == "1" else clean(why, 200) or None,
        _number("weekday", 8), _number("hour", 24),
    )  # fmt: skip


def _number(name: str, end: int) -> int | None:
    asked = int_arg(name)
    return asked if asked is not None and asked < end else None


def address(asked: Asked) -> dict[str, str]:
    found = {"from": asked.span.first.isoformat(), "to": asked.span.last.isoformat()}
    return found if asked.type_id is None else {**found, "type": str(asked.type_id)}


def parts(asked: Asked) -> dict[str, str]:
    """What the address narrows a figure to, beside its days, in words."""
    said = {
        "课程类型": dict(figures.types()).get(asked.type_id),
        "提前": None if asked.band is None else BAND_WORDS[asked.band],
        "由谁": WHO_WORDS.get(asked.who),
        "原因": "没有写" if asked.why == "" else asked.why,
        "星期": WEEKDAY_WORDS.get(asked.weekday),
        "时段": None if asked.hour is None else f"{asked.hour:02d}:00–{asked.hour:02d}:59",
    }
    return {name: value for name, value in said.items() if value is not None}


# ── charts ──────────────────────────────────────────────────────────────────────────────────────────


def _charts(made: Lead, ends: Ends, demand: Demand) -> dict:
    return {
        "lead": {
            "kind": "bar", "unit": "count", "labels": BAND_WORDS,
            "series": [{"name": "预约", "data": made.bands, "tone": "active"}],
        },
        "ends": {
            "kind": "stack", "unit": "count", "labels": BAND_WORDS,
            "series": [{"name": "取消", "data": ends.cancelled.bands, "tone": "danger"},
                       {"name": "请假", "data": ends.leave.bands, "tone": "waiting"}],
        },
        "demand": {
            "kind": "heat", "unit": "percent", "labels": [f"{hour:02d} 点" for hour in demand.hours],
            "rows": [{"name": WEEKDAY_WORDS[weekday], "data": [_load(demand, weekday, hour) for hour in demand.hours]}
                     for weekday in figures.WEEKDAYS],
        },
    }  # fmt: skip


def _load(demand: Demand, weekday: int, hour: int) -> str | None:
    """A share as plain text; None where there is no class, which the chart leaves blank."""
    load = demand.of(weekday, hour).load
    return None if load is None else str(load.quantize(Decimal("0.001")))
