"""补课安排: every open credit, what ends first on top; 待安排 are those that a parent asked the desk for (M9, M11)."""

from __future__ import annotations

from typing import Any

from flask import request, url_for

from app.domain.catalog import lists
from app.domain.makeups import desk_queries
from app.domain.makeups.desk_queries import CreditFilter
from app.domain.people import family_queries
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.domain.search import queries as search
from app.web.choosing import choosable
from app.web.downloads import Column, Kind, Taking, in_words, offer
from app.web.filter_args import choice_arg, int_arg, page_links, text_arg
from app.web.makeups.blueprint import bp
from app.web.permissions import requires
from app.web.rendering import render

#: days that the filter offers, and the most that it takes
ENDING, LONGEST = (3, 7, 14, 30), 366
#: families that a search for a phone number or pinyin brings in
FAMILIES = 50


@bp.get("/makeups")
@requires(Permission.FAMILY_VIEW)
def index():
    """The list under its filters, and the figures above it."""
    asked = _asked()
    page = desk_queries.page(asked, before=text_arg("before"), after=text_arg("after"))
    return render(
        "makeups/index.html", "makeups/_credits.html", page=page, asked=asked, total=desk_queries.count(asked),
        pages=page_links(page, "makeups.index"), counts=desk_queries.counts(), args=request.args,
        types=types(), levels=levels(),
        ending=[(days, f"{days} 天内到期") for days in sorted({*ENDING, asked.ending or ENDING[0]})],
        soon=policy.get("makeup_credit_reminder").days,
    )  # fmt: skip


def types() -> list[tuple[str, str]]:
    """Course types that can be made up for."""
    return [(line.code, line.name) for line in lists.types() if not line.is_trial]


def levels() -> list[tuple[str, str]]:
    return [(name, name) for _id, name in family_queries.levels()]


def _asked() -> CreditFilter:
    text = text_arg("q")
    ending = int_arg("ending")
    return CreditFilter(
        text=text, families=tuple(hit.family_id for hit in search.find(text, limit=FAMILIES)) if text else (),
        family_id=int_arg("family"), type=choice_arg("type", dict(types())), level=choice_arg("level", dict(levels())),
        ending=ending if ending and ending <= LONGEST else None, asked=request.args.get("asked") == "1",
        with_minutes=request.args.get("minutes") == "1",
    )  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    return Taking(desk_queries.every(asked), _in_words(asked), asked.family_id)


def _in_words(asked: CreditFilter) -> dict[str, str]:
    said: dict[str, Any] = {
        "text": asked.text, "family_id": asked.family_id, "type": dict(types()).get(asked.type), "level": asked.level,
        "几天内到期": asked.ending, "待安排": asked.asked, "有课时补偿": asked.with_minutes,
    }  # fmt: skip
    return in_words(said)


choosable("makeups-extend", lambda: desk_queries.select(_asked()), "makeups.index",
          lambda key: url_for("makeups.credit", credit_id=key))  # fmt: skip
offer("makeups", "待补课", Permission.FAMILY_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("学员", "student"), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), Column("课程类型", "type_name"), Column("级别", "level"), Column("原课程", "course"),
    Column("原上课时间", "missed_at", Kind.TIME), Column("教练", "coach"),
    Column("时长（分钟）", "minutes", Kind.NUMBER),
    Column("请假时间", "created_at", Kind.TIME), Column("有效期至", "valid_until", Kind.TIME),
    Column("课时补偿（分钟）", "balance", Kind.NUMBER), Column("请前台安排", "asked_at", Kind.TIME),
    Column("家长的要求", "text"),
))  # fmt: skip
