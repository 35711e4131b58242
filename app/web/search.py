"""Search by name, pinyin, initials, phone or number (U2): results while typing, and as a page of its own."""

from __future__ import annotations

from flask import Blueprint, request, url_for

from app.domain.people.roles import Permission
from app.domain.search import queries as search
from app.text import clean
from app.web.downloads import Column, Kind, Taking, in_words, offer
from app.web.filters import money
from app.web.permissions import can, requires
from app.web.rendering import render

bp = Blueprint("search", __name__)

TYPING = 8
PAGE = 50


@bp.get("/search")
@requires(Permission.SEARCH)
def index():
    """The dropdown's lines for htmx, else a page."""
    query = clean(request.args.get("q"), 64)
    dropdown = request.headers.get("HX-Target") == "search-results"
    hits = search.find(query, limit=TYPING if dropdown else PAGE) if query else []
    fragment = "search/_typing.html" if dropdown else "search/_results.html"
    return render("search/index.html", fragment, query=query, hits=hits, items=[_item(hit) for hit in hits],
                  address=_address,
                  more_url=url_for("search.index", q=query) if len(hits) >= TYPING else None)  # fmt: skip


def _taken() -> Taking:
    query = clean(request.args.get("q"), 64)
    return Taking(search.find(query, limit=PAGE) if query else [], in_words({"text": query}))


offer("families", "搜索结果", Permission.SEARCH, _taken, (
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("家长", lambda hit: "、".join(hit.parents)), Column("学员", lambda hit: "、".join(hit.students)),
    Column("手机号", "phone_masked"), Column("匹配", "matched"), Column("余额", "balance", Kind.MONEY),
))  # fmt: skip


def _address(hit) -> str:
    """An order's number leads to the order, everything else to the family."""
    if hit.order_id and can(Permission.ORDER_VIEW):
        return url_for("orders.show", order_id=hit.order_id)
    return url_for("families.show", family_id=hit.family_id)


def _item(hit) -> dict:
    parts = [hit.matched if hit.matched != hit.family_name else "", "、".join(hit.students), hit.phone_masked or ""]
    return {
        "href": _address(hit),
        "title": hit.family_name,
        "sub": " · ".join(filter(None, parts)),
        "extra": money(hit.balance),
    }
