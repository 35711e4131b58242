"""What refuses a makeup credit or compensation minutes (95, Makeup and compensation)."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class CreditNotFound(NotFound):
    code = "CREDIT_NOT_FOUND"
    message = "没有这次待补课"


class NoCredit(Conflict):
    code = "NO_CREDIT"
    message = "没有可用的待补课"


class CreditExpired(Conflict):
    code = "CREDIT_EXPIRED"


class ShorterClass(Conflict):
    code = "SHORTER_CLASS"


class NotEnoughCompensation(Conflict):
    """`data`: `needed`, `available` and `missing` minutes (96.68)."""

    code = "NOT_ENOUGH_COMPENSATION"


class RequestOpen(Conflict):
    code = "REQUEST_OPEN"
    message = "这次补课已请前台安排，请等待答复"
