"""课时补偿: whose minutes end when; each row leads to the student (M9)."""

from __future__ import annotations

from app.domain.makeups import lots
from app.domain.people.roles import Permission
from app.web.downloads import Column, Kind, Taking, offer
from app.web.filter_args import int_arg, page_links, text_arg
from app.web.makeups.blueprint import bp
from app.web.makeups.lists import ENDING, LONGEST
from app.web.permissions import requires
from app.web.rendering import render


@bp.get("/makeups/minutes")
@requires(Permission.FAMILY_VIEW)
def minutes():
    """The list under its filter, and the sums above it."""
    ending = _ending()
    page = lots.page(ending, before=text_arg("before"), after=text_arg("after"))
    days = sorted({*ENDING, ending or ENDING[0]})
    return render(
        "makeups/minutes.html", "makeups/_minutes.html", page=page, asked=ending, total=lots.count(ending),
        pages=page_links(page, "makeups.minutes"), every=lots.left(), soon=lots.left(ENDING[0]), soon_days=ENDING[0],
        ending=[(one, f"{one} 天内到期") for one in days],
    )  # fmt: skip


def _ending() -> int | None:
    ending = int_arg("ending")
    return ending if ending and ending <= LONGEST else None


def _taken() -> Taking:
    ending = _ending()
    return Taking(lots.every(ending), {"几天内到期": f"{ending}"} if ending else {}, None)


offer("makeup-minutes", "课时补偿", Permission.FAMILY_VIEW, _taken, (
    Column("学员", "student"), Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"),
    Column("得到（分钟）", "minutes", Kind.NUMBER), Column("剩余（分钟）", "minutes_left", Kind.NUMBER),
    Column("得到时间", "earned_at", Kind.TIME), Column("有效期至", "expires_at", Kind.TIME),
))  # fmt: skip
