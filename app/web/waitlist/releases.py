"""空出的名额: every freed seat that was kept for a queue, and the whole story of each (Q19)."""

from __future__ import annotations

from flask import abort

from app.domain.offers import timeline
from app.domain.people.roles import Permission
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.labels import LABELS
from app.web.permissions import requires
from app.web.rendering import render
from app.web.waitlist.blueprint import bp


@bp.get("/waitlist/releases")
@requires(Permission.SCHEDULE_VIEW)
def releases():
    """The newest first, by how they ended."""
    status = choice_arg("status", LABELS["seat_release"])
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
