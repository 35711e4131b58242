"""行为报表 as files: its tables, the rows behind each figure, the quiet families (U18, U15)."""

from __future__ import annotations

from flask import abort

from app.domain.people.roles import Permission
from app.domain.reports import behaviour as figures
from app.domain.reports import behaviour_rows as behind
from app.domain.reports import quiet
from app.domain.reports.behaviour_rows import ENDED, Asked, Figure
from app.web.behaviour.report import asked_args, parts, quiet_days, span_arg, type_arg
from app.web.behaviour.words import BAND_WORDS, WEEKDAY_WORDS, WHO_WORDS, WORDS
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer, place
from app.web.filter_args import choice_arg


def _in_force(asked: Asked) -> dict[str, str]:
    return in_words({"date_from": asked.span.first, "date_to": asked.span.last}) | parts(asked)


def _whole() -> Asked:
    return Asked(span_arg(), type_arg())


def _bands_taken() -> Taking:
    """Bookings made, cancelled and given up, by how long before the class."""
    asked = _whole()
    leads = [figures.lead(figure, asked) for figure in (Figure.MADE, *ENDED)]
    lines = [
        (word, *(value for one in leads for value in (one.bands[band], one.share(band))))
        for band, word in enumerate(BAND_WORDS)
    ]
    return Taking(lines, _in_force(asked))


def _reasons_taken() -> Taking:
    asked = _whole()
    return Taking(figures.ends(asked).reasons, _in_force(asked))


def _demand_taken() -> Taking:
    asked = _whole()
    lines = [(WEEKDAY_WORDS[weekday], f"{hour:02d}:00", cell)
             for (weekday, hour), cell in figures.demand(asked).cells.items()]  # fmt: skip
    return Taking(lines, _in_force(asked))


def _rows_taken() -> Taking:
    counted = choice_arg("counted", list(Figure))
    if counted is None:
        abort(404)
    figure, asked = Figure(counted), asked_args()
    words = in_words({"figure": WORDS[figure]}) | _in_force(asked)
    return Taking(behind.behind(figure, asked, limit=None), words)


def _quiet_taken() -> Taking:
    return Taking(quiet.every(), {"没有上课": f"{quiet_days()} 天以上，截至导出时"})


def _cell(title: str, name: str, kind: Kind = Kind.NUMBER) -> Column:
    return Column(title, lambda row: getattr(row[2], name), kind)


offer("behaviour-lead", "提前多久", Permission.SCHEDULE_VIEW, _bands_taken, (
    place("开课前", 0), place("预约", 1, Kind.NUMBER), place("占预约", 2, Kind.SHARE), place("取消", 3, Kind.NUMBER),
    place("占取消", 4, Kind.SHARE), place("请假", 5, Kind.NUMBER), place("占请假", 6, Kind.SHARE),
))  # fmt: skip
offer("behaviour-reasons", "取消与请假的原因", Permission.SCHEDULE_VIEW, _reasons_taken, (
    Column("由谁", lambda one: WHO_WORDS[one.who]), Column("原因", lambda one: one.why or "没有写"),
    Column("取消", "cancelled", Kind.NUMBER), Column("请假", "leave", Kind.NUMBER),
))  # fmt: skip
offer("behaviour-demand", "时段需求", Permission.SCHEDULE_VIEW, _demand_taken, (
    place("星期", 0), place("时段", 1), _cell("课次", "classes"), _cell("座位", "seats"), _cell("约上", "booked"),
    _cell("只排候补", "waited"), _cell("排不进", "refused"), _cell("需求", "wanted"),
    _cell("需求比座位", "load", Kind.SHARE),
))  # fmt: skip
offer("behaviour-rows", "行为报表明细", Permission.SCHEDULE_VIEW, _rows_taken, (
    Column("时间", "at", Kind.TIME), Column("学员", "student"), Column("家庭编号", "family_id", Kind.NUMBER),
    Column("家庭", "family_name"), Column("课程", "course_name"), Column("上课时间", "starts_at", Kind.TIME),
    labelled("状态", lambda row: row.status if row.student else None, "booking_status"),
    Column("提前（秒）", "seconds", Kind.NUMBER), Column("由谁", lambda row: WHO_WORDS.get(row.who)),
    Column("原因", "note"), Column("首次正式预约", "followed_at", Kind.TIME),
    Column("座位", "capacity", Kind.NUMBER),
))  # fmt: skip
offer("quiet-families", "安静家庭", Permission.FAMILY_VIEW, _quiet_taken, (
    Column("家庭编号", "id", Kind.NUMBER), Column("家庭", "name"), Column("余额", "balance", Kind.MONEY),
    Column("最后一次课", "last_class", Kind.TIME), Column("预约次数", "bookings", Kind.NUMBER),
))  # fmt: skip
