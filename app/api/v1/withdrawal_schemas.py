"""The shapes of withdrawals in the contract (95), field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.v1 import fields as f
from app.api.v1.schemas import Answer, Request
from app.domain.desk.models import WithdrawalStatus


class WithdrawalBody(Request):
    amount: f.WithdrawalAmount = Field(title="提现金额", description="大于 0，不超过当前余额")
    reason: f.WithdrawalReason = Field(title="提现原因", examples=["搬家了，不再上课"])


class WithdrawalsQuery(Request):
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class Withdrawal(Answer):
    id: int = Field(title="编号", examples=[17])
    amount: f.Money = Field(title="金额", examples=["300.00"])
    reason: str = Field(title="提现原因", examples=["搬家了，不再上课"])
    status: Literal[tuple(WithdrawalStatus)] = Field(title="状态")  # type: ignore[valid-type]
    status_text: str = Field(title="状态说明", examples=["待审核"])
    note: str | None = Field(title="馆方说明", description="驳回或打款失败的原因", examples=[None])
    can_cancel: bool = Field(title="现在可否取消")
    created_at: f.Moment = Field(title="申请时间")
    decided_at: f.Moment | None = Field(title="最近一次处理的时间", description="还没有人处理时为 null")


class Withdrawals(Answer):
    items: list[Withdrawal] = Field(title="各笔提现", description="新的在前")
    next_cursor: str | None = Field(title="下一页")
