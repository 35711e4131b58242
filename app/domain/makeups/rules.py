"""Which class makes up for which: pure (M2)."""

from __future__ import annotations

from app.domain.bookings import rules as booking_rules
from app.domain.bookings.errors import LevelNotAllowed


def check_level(offered: int | None, missed: int | None, student: int | None, lowest: int | None) -> None:
    """The same level as the missed class or a lower one, and one that the student may take today.

    Ranks rise with the level; None is a class of every level, or a student without a confirmed one (96.33). A makeup
    for a class of every level is bound by the student's own level alone. Raises LevelNotAllowed.
    """
    if offered is not None and missed is not None and offered > missed:
        raise LevelNotAllowed("这节课的级别高于您请假的课程，不能用来补课")
    booking_rules.check_level(offered, student, lowest)
