"""How a long job's state moves, and when a worker counts as dead: pure, without the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.longjobs.models import LongJobStatus
from app.errors import InvalidState

#: a worker says a word with every row; one that was silent for so long is taken for dead
LEASE = timedelta(seconds=20)
#: workers that may die at one row before the job is stopped for a person to look
DEATHS_MAX = 5


class Event(StrEnum):
    TAKE = "take"
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    RESUME = "resume"


_QUEUED, _RUNNING, _FAILED = LongJobStatus.QUEUED, LongJobStatus.RUNNING, LongJobStatus.FAILED
TRANSITIONS: dict[tuple[str, str], str] = {
    (_QUEUED, Event.TAKE): _RUNNING,
    (_RUNNING, Event.TAKE): _RUNNING,
    (_RUNNING, Event.FINISH): LongJobStatus.DONE,
    (_RUNNING, Event.FAIL): _FAILED,
    (_QUEUED, Event.CANCEL): LongJobStatus.CANCELLED,
    (_RUNNING, Event.CANCEL): LongJobStatus.CANCELLED,
    (_FAILED, Event.CANCEL): LongJobStatus.CANCELLED,
    (_FAILED, Event.RESUME): _QUEUED,
}
_WORDS = {
    LongJobStatus.QUEUED: "还在排队",
    LongJobStatus.RUNNING: "正在进行",
    LongJobStatus.DONE: "已经完成",
    LongJobStatus.FAILED: "已经中断",
    LongJobStatus.CANCELLED: "已经取消",
}


def next_state(status: str, event: str) -> str:
    """Raises InvalidState."""
    found = TRANSITIONS.get((status, event))
    if found is None:
        raise InvalidState(f"这个后台任务{_WORDS[LongJobStatus(status)]}，不能这样操作")
    return found


def is_free(status: str, lease_until: datetime | None, now: datetime) -> bool:
    """Whether a worker may take it: nobody works on it, or who did is taken for dead."""
    return status == _QUEUED or (status == _RUNNING and (lease_until is None or lease_until < now))
