"""A day's report: opening, in and out, closing, arrears, each figure with its rows (W24)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from flask import url_for

from app import clock
from app.domain.books import close, day, tills
from app.domain.books.day import Asked, Day
from app.domain.people.roles import Permission
from app.web.books.blueprint import bp, day_arg, day_of
from app.web.books.words import KINDS, WAYS, way
from app.web.downloads import Column, Kind, Taking, labelled, offer
from app.web.filter_args import choice_arg, int_arg, page_links, text_arg
from app.web.forms.books import CloseForm
from app.web.labels import LABELS, word
from app.web.permissions import requires
from app.web.rendering import render


@bp.get("/books/days/<on>")
@requires(Permission.BOOKS_VIEW)
def show(on: str):
    """One day: the report, what the day's close compares, and the close itself."""
    return render("books/day.html", "books/_day.html", **day_context(day_of(on)))


@bp.get("/books/days/<on>/rows")
@requires(Permission.BOOKS_VIEW)
def rows(on: str):
    """Exactly the movements that a figure counts."""
    asked = _asked(day_of(on))
    page = day.rows(asked, before=int_arg("before"), after=int_arg("after"))
    return render("books/day_rows.html", "books/_day_rows.html", page=page, asked=asked, title=_title(asked),
                  pages=page_links(page, "books.rows", on=on))  # fmt: skip


@bp.get("/books/days/<on>/takings")
@requires(Permission.BOOKS_VIEW)
def takings(on: str):
    """Every hand-over of money on the day, of one way or of all."""
    found, method = day_of(on), choice_arg("method", tills.METHODS)
    return render("books/takings.html", on=found, method=method, rows=tills.taken(found, method), kinds=KINDS, way=way,
                  ways=WAYS)  # fmt: skip


def day_context(on: date, form: CloseForm | None = None) -> dict:
    """What the day's templates need; a refused `form` comes back with what was written."""
    found = close.draft(on)
    if form is None:
        form = CloseForm(formdata=None)
    form.seen.data = found.digest
    return {
        "on": on, "day": found.day, "draft": found, "sides": found.sides(None), "closing": form, "way": way,
        "closed": close.is_closed(on), "chart": _chart(on), "error": None, "today": clock.today(),
        "before": on - timedelta(days=1), "after": on + timedelta(days=1),
    }  # fmt: skip


def _chart(on: date) -> dict:
    shown = day.last_days(on)
    return {
        "kind": "bar", "unit": "money", "labels": [f"{one.on.month}-{one.on.day:02d}" for one in shown],
        "series": [
            {"name": "收入", "data": [str(one.money_in) for one in shown], "tone": "good"},
            {"name": "支出", "data": [str(one.money_out) for one in shown], "tone": "ended"},
        ],
    }  # fmt: skip


# ── as files ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the day's report as a file; yuan, None where a figure means nothing."""

    group: str
    word: str
    money_in: Decimal | None = None
    money_out: Decimal | None = None
    balance: Decimal | None = None
    rows: int | None = None


def report_lines(found: Day) -> list[ReportLine]:
    """The report in the order of the page."""
    return [
        ReportLine("余额", "期初", balance=found.opening),
        *(ReportLine("按类型", word("transaction_type", flow.key), flow.money_in, flow.money_out, rows=flow.rows)
          for flow in found.types),
        ReportLine("余额", "合计", found.money_in, found.money_out, rows=found.rows),
        ReportLine("余额", "期末", balance=found.closing),
        *(ReportLine("按收款方式", way(flow.key), flow.money_in, flow.money_out, rows=flow.rows)
          for flow in found.methods),
        *(ReportLine("按经办人", flow.word, flow.money_in, flow.money_out, rows=flow.rows) for flow in found.people),
        ReportLine("欠费", "欠费家庭", balance=-found.arrears, rows=found.arrears_families),
    ]  # fmt: skip


def _asked(on: date) -> Asked:
    methods = LABELS["payment_method"]
    return Asked(on, choice_arg("type", LABELS["transaction_type"]), choice_arg("method", methods),
                 text_arg("person", 24), choice_arg("way", ("in", "out")))  # fmt: skip


def _title(asked: Asked) -> str:
    parts = [
        word("transaction_type", asked.type) if asked.type else "",
        way(asked.method) if asked.method else "",
        {"in": "收入", "out": "支出"}.get(asked.way or "", ""),
    ]
    return " · ".join(part for part in parts if part) or "全部流水"


def _report_taken() -> Taking:
    on = day_arg()
    return Taking(report_lines(day.figures(on)), {"日期": on.isoformat()})


def _rows_taken() -> Taking:
    asked = _asked(day_arg())
    return Taking(day.every(asked), {"日期": asked.on.isoformat(), "范围": _title(asked)})


def _takings_taken() -> Taking:
    on, method = day_arg(), choice_arg("method", tills.METHODS)
    return Taking(tills.taken(on, method), {"日期": on.isoformat(), "方式": way(method) if method else "全部"})


offer("day-report", "资金日报", Permission.BOOKS_VIEW, _report_taken, (
    Column("分组", "group"), Column("项目", "word"), Column("收入", "money_in", Kind.MONEY),
    Column("支出", "money_out", Kind.MONEY), Column("余额", "balance", Kind.MONEY), Column("笔数", "rows", Kind.NUMBER),
))  # fmt: skip
offer("day-rows", "资金日报明细", Permission.BOOKS_VIEW, _rows_taken, (
    Column("编号", "id", Kind.NUMBER), Column("时间", "created_at", Kind.TIME),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    labelled("类型", "type", "transaction_type"), Column("金额", "amount", Kind.MONEY),
    Column("余额", "balance_after", Kind.MONEY), Column("收款方式", lambda row: way(row.method)),
    Column("经办人", "performed_by_name"), Column("说明", "reason"),
))  # fmt: skip
offer("takings", "收付款明细", Permission.BOOKS_VIEW, _takings_taken, (
    Column("时间", "at", Kind.TIME), Column("来源", lambda row: KINDS[row.kind]),
    Column("方式", lambda row: way(row.method)), Column("金额", "amount", Kind.MONEY),
    Column("有凭证", "shown", Kind.YES), Column("经办人", "person"), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), Column("单号", "number"),
))  # fmt: skip


@bp.app_template_global("taking_url")
def taking_url(row: tills.Taken) -> str | None:
    """Where the document behind a hand-over is."""
    if row.kind == tills.Kind.ADJUSTMENT:
        return url_for("desk.adjustment", adjustment_id=row.id)
    if row.kind == tills.Kind.WITHDRAWAL:
        return url_for("withdrawals.show", withdrawal_id=row.id)
    if row.kind == tills.Kind.REFUND:
        return url_for("orders.refund", refund_no=row.number)
    return url_for("orders.show", order_id=row.number)
