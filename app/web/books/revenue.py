"""课消: a month's statement of what is owed, what came and went, and what was earned, each line with its rows (W29)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from flask import url_for

from app import clock
from app.domain.books import revenue
from app.domain.books.movements import Line
from app.domain.books.of_booking import of_booking
from app.domain.books.revenue import Behind, Month
from app.domain.books.standing import Account
from app.domain.people.roles import Permission
from app.money import ZERO
from app.web.books.blueprint import bp, month_arg
from app.web.books.words import ACCOUNTS, GROUPS, LINES, STANDINGS
from app.web.downloads import Column, Kind, Taking, offer
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.permissions import requires
from app.web.rendering import render


@bp.get("/books/revenue")
@requires(Permission.BOOKS_VIEW)
def month():
    """One month's statement, this month's unless asked otherwise."""
    first = month_arg()
    found = revenue.month(first)
    earned = revenue.earned_by_month(first)
    return render("books/revenue.html", "books/_revenue.html", month=found, lines=statement(found), accounts=ACCOUNTS,
                  chart=_chart(earned), finding=_finding(earned), before=_asked_month(first - timedelta(days=1)),
                  after=_later(first), asked=_asked_month(first))  # fmt: skip


@bp.get("/books/revenue/rows")
@requires(Permission.BOOKS_VIEW)
def month_rows():
    """Exactly the rows that a line sums."""
    line, first = _line_arg(), month_arg()
    page = revenue.behind(line, first, before=int_arg("before"), after=int_arg("after"))
    return render("books/revenue_rows.html", "books/_revenue_rows.html", page=page, line=line, word=LINES[line],
                  first=first, asked=_asked_month(first), pages=page_links(page, "books.month_rows"))  # fmt: skip


def _line_arg() -> Line:
    """The line that is asked for; classes that were held where none is named."""
    return Line(choice_arg("line", list(Line)) or Line.CLASS_HELD)


def _asked_month(day: date) -> str:
    return f"{day:%Y-%m}"


def _later(first: date) -> str | None:
    following = revenue.next_month(first)
    return _asked_month(following) if following <= clock.today() else None


def _chart(earned: list[tuple[date, Decimal]]) -> dict:
    return {
        "kind": "bar", "unit": "money", "labels": [f"{first:%y-%m}" for first, _ in earned],
        "series": [{"name": "课消", "data": [str(amount) for _, amount in earned], "tone": "active"}],
    }  # fmt: skip


def _finding(earned: list[tuple[date, Decimal]]) -> str:
    """The chart's title: this month beside the one before."""
    (_, before), (first, now) = earned[-2], earned[-1]
    change = now - before
    words = f"{first.month} 月课消 ¥{now:,.2f}"
    if not before:
        return words
    return f"{words}，比上月{'多' if change >= ZERO else '少'} ¥{abs(change):,.2f}"


# ── the statement ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of the statement: what it adds to each account, in yuan. `line` is None for opening and closing."""

    group: str
    word: str
    line: Line | None
    amounts: dict[Account, Decimal]
    total: Decimal
    rows: int | None

    def of(self, account: Account) -> Decimal:
        return self.amounts[account]


def statement(found: Month) -> list[StatementLine]:
    """Opening, the lines that are not empty, closing. Each column adds up by itself."""
    moved = [
        StatementLine(group, LINES[line], line, {one: found.effect(line, one) for one in Account}, found.effect(line),
                      found.line(line).rows)
        for group, lines in GROUPS
        for line in lines
        if found.line(line).rows
    ]  # fmt: skip
    opening = StatementLine("余额", "期初", None, dict(found.opening), found.total(found.opening), None)
    return [opening, *moved, StatementLine("余额", "期末", None, dict(found.closing), found.total(found.closing), None)]


def _taken() -> Taking:
    first = month_arg()
    return Taking(statement(revenue.month(first)), {"月份": _asked_month(first)})


def _rows_taken() -> Taking:
    line, first = _line_arg(), month_arg()
    return Taking(revenue.every(line, first), {"月份": _asked_month(first), "项目": LINES[line]})


offer("revenue", "课消月报", Permission.BOOKS_VIEW, _taken, (
    Column("分组", "group"), Column("项目", "word"),
    *(Column(name, lambda line, one=one: line.of(one), Kind.MONEY) for one, name in ACCOUNTS.items()),
    Column("合计", "total", Kind.MONEY), Column("笔数", "rows", Kind.NUMBER),
))  # fmt: skip
offer("revenue-rows", "课消月报明细", Permission.BOOKS_VIEW, _rows_taken, (
    Column("编号", "id", Kind.NUMBER), Column("时间", "at", Kind.TIME), Column("金额", "amount", Kind.MONEY),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("预约编号", "booking_id", Kind.NUMBER), Column("订单号", "order_id"),
    Column("流水编号", "transaction_id", Kind.NUMBER),
))  # fmt: skip


@bp.app_template_global("behind_url")
def behind_url(row: Behind) -> str:
    """Where what a row is about can be seen."""
    if row.booking_id is not None:
        return url_for("bookings.show", booking_id=row.booking_id)
    if row.order_id is not None:
        return url_for("orders.show", order_id=row.order_id)
    return url_for("families.show", family_id=row.family_id)


@bp.app_template_global("booking_standing")
def booking_standing(booking_id: int) -> dict | None:
    """Where a booking's money stands, in words; None where nobody paid for it."""
    found = of_booking(booking_id)
    return None if found is None else {"word": STANDINGS[found.standing], "amount": found.amount,
                                       "original": found.original}  # fmt: skip
