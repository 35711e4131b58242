"""The demo month by month: opening + in − out = closing, on the page, in the sheet, and by SQL of its own (W29)."""

from __future__ import annotations

import html
import io
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import sqlalchemy as sa
from openpyxl import load_workbook

from app import clock
from app.db import db
from tests.portal import Browser

#: the studio's zone, written out once more
CHINA = timezone(timedelta(hours=8))
NOTHING = Decimal("0.00")


def check_months(app) -> int:
    """Every calendar month since the first movement; returns how many there were."""
    first = db.session.execute(sa.text("SELECT MIN(created_at) FROM wallet_transactions")).scalar_one()
    month = _month_of(first if isinstance(first, datetime) else datetime.fromisoformat(first))
    browser, checked, before = Browser(app).sign_in("finance"), 0, None
    while month <= clock.today():
        closing = _check(browser, month, before)
        before, month, checked = closing, (month + timedelta(days=32)).replace(day=1), checked + 1
    standing = _fen("SELECT SUM(balance) FROM wallets", {})
    assert before[0] == standing, "the last month ends at what the wallets hold"
    return checked


def _check(browser: Browser, month: date, before: list[Decimal] | None) -> list[Decimal]:
    """One month; returns its closing, by account and in all. `before` is the closing of the month before."""
    page, sheet = _page(browser, month), _sheet(browser, month)
    assert page == sheet, month
    opening, *moved, closing = sheet
    for column in range(5):
        came = sum((line[column] for line in moved if line[column] > 0), NOTHING)
        went = -sum((line[column] for line in moved if line[column] < 0), NOTHING)
        assert opening[column] + came - went == closing[column], (month, column)
        if column == 0:
            assert [opening[0], came, went, closing[0]] == _by_sql(month), month
    assert sum(closing[:4], NOTHING) == closing[4]
    assert before is None or before == opening, month
    return closing


def _by_sql(month: date) -> list[Decimal]:
    """What the wallets held at both ends and what came and went, from nothing but the movements."""
    ends = {"start": _moment(month), "end": _moment((month + timedelta(days=32)).replace(day=1))}
    sums = "SELECT SUM(amount) FROM wallet_transactions WHERE "
    within = "created_at >= :start AND created_at < :end AND amount "
    opening, came, went, closing = (
        _fen(sums + where, ends)
        for where in ("created_at < :start", within + "> 0", within + "< 0", "created_at < :end")
    )
    return [opening, came, -went, closing]


def _fen(statement: str, values: dict) -> Decimal:
    """A sum in yuan; SQLite keeps fen."""
    parameters = {name: values[name] for name in values if f":{name}" in statement}
    found = Decimal(db.session.execute(sa.text(statement), parameters).scalar_one() or 0)
    return found.scaleb(-2) if db.engine.dialect.name == "sqlite" else found


def _moment(first: date) -> str:
    start = datetime(first.year, first.month, first.day, tzinfo=CHINA).astimezone(UTC)
    return f"{start:%Y-%m-%d %H:%M:%S}.000000"


def _month_of(moment: datetime) -> date:
    return moment.replace(tzinfo=UTC).astimezone(CHINA).date().replace(day=1)


def _page(browser: Browser, month: date) -> list[list[Decimal]]:
    """Opening, lines and closing as the page shows them; an empty cell is nothing."""
    text = browser.get(f"/books/revenue?month={month:%Y-%m}").get_data(as_text=True)
    table = text.partition('aria-label="课消变动表"')[2].partition("</table>")[0]
    found = []
    for row in re.findall(r"<tr(?: class=\"books-total\")?><td>.*?</tr>", table, re.DOTALL):
        cells = re.findall(r"<td class=\"num\">(.*?)</td>", row, re.DOTALL)
        found.append([_amount(html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()) for cell in cells[:5]])
    return found


def _amount(words: str) -> Decimal:
    return Decimal(re.sub(r"[¥,]", "", words).replace("−", "-") or "0.00")


def _sheet(browser: Browser, month: date) -> list[list[Decimal]]:
    """The same from the file."""
    answer = browser.post(f"/exports/revenue?month={month:%Y-%m}", {"format": "xlsx"})
    rows = list(load_workbook(io.BytesIO(answer.get_data())).worksheets[0].iter_rows(values_only=True))
    words = [row[1] for row in rows]
    lines = rows[words.index("期初") : words.index("期末") + 1]
    return [[Decimal(str(cell)).quantize(NOTHING) for cell in line[2:7]] for line in lines]
