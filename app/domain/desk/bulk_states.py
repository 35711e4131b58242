"""How a batch of adjustments moves from state to state: pure, without the database."""

from __future__ import annotations

from enum import StrEnum

from app.domain.desk.bulk_models import BatchStatus
from app.errors import InvalidState


class Event(StrEnum):
    ASK = "ask"
    DISCARD = "discard"
    WITHDRAW = "withdraw"
    APPROVE = "approve"
    REJECT = "reject"
    LAPSE = "lapse"


_DRAFT, _ASKED = BatchStatus.DRAFT, BatchStatus.ASKED
#: a discarded draft is not there any more
TRANSITIONS: dict[tuple[str, str], str | None] = {
    (_DRAFT, Event.ASK): _ASKED,
    (_DRAFT, Event.DISCARD): None,
    (_ASKED, Event.WITHDRAW): BatchStatus.WITHDRAWN,
    (_ASKED, Event.APPROVE): BatchStatus.APPROVED,
    (_ASKED, Event.REJECT): BatchStatus.REJECTED,
    (_ASKED, Event.LAPSE): BatchStatus.LAPSED,
}
_WORDS = {
    BatchStatus.DRAFT: "还没有提交审批",
    BatchStatus.ASKED: "正在等待审批",
    BatchStatus.APPROVED: "已经批准",
    BatchStatus.REJECTED: "已被驳回",
    BatchStatus.WITHDRAWN: "已经撤回",
    BatchStatus.LAPSED: "已超时失效",
}


def next_state(status: str, event: str) -> str | None:
    """Raises InvalidState."""
    if (status, event) not in TRANSITIONS:
        raise InvalidState(f"这个批次{_WORDS[BatchStatus(status)]}，不能这样操作")
    return TRANSITIONS[(status, event)]
