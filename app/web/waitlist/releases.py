"""空出的名额: every freed seat that was kept for a queue, and the whole story of each (Q19)."""

from __future__ import annotations

from flask import abort

from app.domain.offers import timeline
from app.domain.people.roles import Permission
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.labels import LABELS
from app.web.permissions import requires
from app.web.rendering import render
from app.web.waitlist.blueprint import bp, cause_text


@bp.get("/waitlist/releases")
@requires(Permission.SCHEDULE_VIEW)
def releases():
    """The newest first, by how they ended."""
    status = _status()
    page = timeline.recent(status=status, before=int_arg("before"), after=int_arg("after"))
    return render("waitlist/releases.html", "waitlist/_releases.html", page=page, asked=status,
                  pages=page_links(page, "waitlist.releases"))  # fmt: skip


@bp.get("/waitlist/releases/<int:release_id>")
@requires(Permission.SCHEDULE_VIEW)
def release(release_id: int):
    """One seat: why it came free, who was asked when, who answered what, and how it ended."""
    found = timeline.timeline(release_id)
    if found is None:
        abort(404)
    return render("waitlist/release.html", "waitlist/_release_panel.html", story=found, release=found.release)


def _status() -> str | None:
    return choice_arg("status", LABELS["seat_release"])


def _taken() -> Taking:
    return Taking(timeline.every(_status()), in_words({"status": _status()}, status="seat_release"))


offer("releases", "空出的名额", Permission.SCHEDULE_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("空出时间", "freed_at", Kind.TIME),
    Column("课程", "session.course_name"), Column("上课时间", "session.starts_at", Kind.TIME),
    Column("原因", lambda one: cause_text(one.cause)), Column("原来的学员", "freed_by"),
    labelled("结果", "status", "seat_release"), Column("补上的学员", "filled_by"), Column("说明", "end_text"),
    Column("结束时间", "ended_at", Kind.TIME), Column("用时（秒）", "seconds", Kind.NUMBER),
))  # fmt: skip
