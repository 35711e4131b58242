"""Why a change of the catalog or of the timetable is refused (C1, C2)."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class NameTaken(Conflict):
    """`errors` names the field."""

    code = "NAME_TAKEN"
    message = "这个名称已经有了"


class CoachBusy(Conflict):
    """The message and `data` name the class that the coach has then."""

    code = "COACH_BUSY"


class VenueBusy(Conflict):
    """The message and `data` name the class that takes place there."""

    code = "VENUE_BUSY"


class Archived(Conflict):
    code = "ARCHIVED"


class Stale(Conflict):
    code = "STALE"
    message = "这条资料刚刚被别人改过，请刷新后再改"


class CourseTypeNotFound(NotFound):
    message = "没有找到这个课程类型"


class CourseNotFound(NotFound):
    message = "没有找到这门课程"


class CoachNotFound(NotFound):
    message = "没有找到这位教练"


class VenueNotFound(NotFound):
    message = "没有找到这个场馆"
