"""日结: signing a day, the days that were signed, and the sheet to print again (W25)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import url_for

from app import clock
from app.domain.books import close, rules
from app.domain.people.roles import Permission
from app.errors import NotFound
from app.web.books.blueprint import bp, day_of
from app.web.books.days import day_context
from app.web.books.words import way
from app.web.downloads import Column, Kind, Taking, offer
from app.web.filter_args import int_arg, page_links
from app.web.forms.books import CloseForm
from app.web.forms_token import request_key
from app.web.orders.deciding import decided
from app.web.permissions import current_actor, requires
from app.web.rendering import render

#: browsers are told when a day was signed
CHANGED = "desk:day-closed"


@bp.get("/books/days")
@requires(Permission.BOOKS_VIEW)
def index():
    """The days that were signed, the newest first, and which one comes next."""
    page = close.page(before=int_arg("before"), after=int_arg("after"))
    last = close.last_closed()
    yesterday = clock.today() - timedelta(days=1)
    return render("books/days.html", "books/_days.html", page=page, last=last, next_open=close.next_open(last),
                  yesterday=yesterday, today=clock.today(), decimal=Decimal,
                  pages=page_links(page, "books.index"))  # fmt: skip


@bp.post("/books/days/<on>/close")
@requires(Permission.BOOKS_CLOSE)
def sign(on: str):
    """Sign the day with the cash that was counted and a cause for each difference."""
    day, form = day_of(on), CloseForm()
    held = {"form": None}

    def act() -> str:
        # A refused form comes back with what was written, beside the figures as they are now.
        held["form"] = form
        key = request_key("books.sign", form)
        close.close(
            on=day,
            counted_cash=rules.checked_cash(form.counted_cash.data or ""),
            causes=form.causes,
            note=form.note.data or "",
            seen=form.seen.data or "",
            actor=current_actor(),
            request_key=key,
        )
        held["form"] = None
        return f"{day:%m月%d日}已日结，签字的数字不再改变"

    return decided(act, lambda: day_context(day, held["form"]), url=url_for("books.show", on=on),
                   page="books/day.html", fragment="books/_day.html", changed=CHANGED, closing=form)  # fmt: skip


@bp.get("/books/days/<on>/signed")
@requires(Permission.BOOKS_VIEW)
def signed(on: str):
    """What was signed, to print: the figures of the signature, whatever they would be today."""
    day = day_of(on)
    if not close.is_closed(day):
        raise NotFound("这一天还没有日结")
    return render("books/signed.html", on=day, signed=close.signed(day), way=way, decimal=Decimal)


def _taken() -> Taking:
    return Taking(close.every(), {})


def _yuan(row: Any, name: str) -> Decimal:
    return Decimal(row.figures[name])


def _differing(row: Any) -> list[dict]:
    return [side for side in row.figures["sides"] if side["cause"]]


offer("day-closes", "日结", Permission.BOOKS_VIEW, _taken, (
    Column("日期", "day", Kind.DAY), Column("期初", lambda row: _yuan(row, "opening"), Kind.MONEY),
    Column("期末", lambda row: _yuan(row, "closing"), Kind.MONEY), Column("清点现金", "counted_cash", Kind.MONEY),
    Column("差异", lambda row: "；".join(f"{way(side['key'])}：{side['cause']}" for side in _differing(row))),
    Column("备注", "note"), Column("签字人", "closed_by_name"), Column("签字时间", "closed_at", Kind.TIME),
    Column("校验码", "digest"),
))  # fmt: skip
