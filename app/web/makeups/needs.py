"""供需与开课建议: open credits against the free seats that fit them, and what to open (M12)."""

from __future__ import annotations

from app.domain.makeups import demand as needs
from app.domain.makeups import openings
from app.domain.people.roles import Permission
from app.web.filter_args import choice_arg
from app.web.makeups.blueprint import bp
from app.web.makeups.lists import levels, types
from app.web.permissions import requires
from app.web.rendering import render


@bp.get("/makeups/demand")
@requires(Permission.FAMILY_VIEW)
def demand():
    """By type and level, by weekday and hour, and the sessions that would serve most."""
    type_code, level = choice_arg("type", dict(types())), choice_arg("level", dict(levels()))
    found = needs.demand(type=type_code, level=level)
    return render(
        "makeups/demand.html", "makeups/_demand.html", found=found, proposals=openings.propose(found), type=type_code,
        level=level, types=types(), levels=levels(), hours=sorted({slot.hour for slot in found.cells}), slot=needs.Slot,
        seats_days=needs.AHEAD.days, days=openings.AHEAD.days,
    )  # fmt: skip
