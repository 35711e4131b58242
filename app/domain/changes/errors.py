"""Why a session cannot be changed (C2, C6)."""

from __future__ import annotations

from app.errors import Conflict


class SessionMoved(Conflict):
    """Somebody else changed the session since the form was opened (Z2)."""

    code = "STALE"
    message = "您打开之后，这节课已被别人修改，请刷新后再改"


class CapacityTooLow(Conflict):
    code = "CAPACITY_TOO_LOW"


class StudentsBusy(Conflict):
    """`data` names the students who have another class at the new time."""

    code = "STUDENTS_BUSY"


class RollBegun(Conflict):
    code = "ROLL_BEGUN"
    message = "这节课已经点名，不能取消；如需退费请逐个处理"
