"""Why a question is refused (W28): stable codes of the JSON contract and of the pages."""

from __future__ import annotations

from app.errors import Conflict, NotFound


class TransactionNotFound(NotFound):
    code = "TRANSACTION_NOT_FOUND"
    message = "没有找到这笔流水"


class QuestionNotFound(NotFound):
    message = "没有找到这个疑问"


class QuestionOpen(Conflict):
    """One at a time for each transaction."""

    code = "QUESTION_OPEN"
    message = "这笔流水的疑问还没有答复，请等前台答复后再问"
