"""Why a session cannot be changed (C2, C6), or two families not be brought together (P3, P11)."""

from __future__ import annotations

from app.errors import Conflict, InvalidState


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


class FamilyMerged(InvalidState):
    """The family was merged into another one; `data` names it."""

    code = "FAMILY_MERGED"


class OpenItems(Conflict):
    """Something is under way on the wallet; `data` lists it."""

    code = "OPEN_ITEMS"


class NotEnough(Conflict):
    """More than the wallet holds: a transfer moves money, it does not lend it."""

    code = "INSUFFICIENT_BALANCE"
