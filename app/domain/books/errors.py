"""Why a day cannot be closed."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class DayNotOver(Conflict):
    code = "DAY_NOT_OVER"
    message = "这一天还没有结束，不能日结"


class DayClosed(Conflict):
    code = "DAY_CLOSED"
    message = "这一天已经日结，签字后不能再改"


class DayOutOfOrder(Conflict):
    code = "DAY_OUT_OF_ORDER"
    message = "日结须按日期先后进行"


class DayMoved(Conflict):
    code = "DAY_MOVED"
    message = "页面打开后，这一天的数字变了，请核对后再签字"


class CloseNotFound(NotFound):
    code = "CLOSE_NOT_FOUND"
    message = "这一天还没有日结"
