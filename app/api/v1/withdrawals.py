"""Money back out of the family's wallet, asked for from the mini program (W9, W21)."""

from __future__ import annotations

import functools

from flask import Blueprint

from app.api.v1 import cursors
from app.api.v1 import withdrawal_schemas as schemas
from app.api.v1.contract import Call, endpoint
from app.domain.withdrawals import asking, queries
from app.domain.withdrawals.errors import WithdrawalNotFound

bp = Blueprint("withdrawals", __name__, url_prefix="/withdrawals")
_LIST = "wd"


@endpoint(
    bp, "POST", "",
    summary="申请提现", body=schemas.WithdrawalBody, data=schemas.Withdrawal, status=201, key="required",
    limit="money", errors=("INSUFFICIENT_BALANCE", "WALLET_FROZEN", "WALLET_CLOSED", "FEATURE_OFF"),
)  # fmt: skip
def request_withdrawal(call: Call) -> schemas.Withdrawal:
    """金额立即从余额中扣除；馆方驳回、打款失败或您自己取消时，原数退回钱包。"""
    present = _presenter(call)
    return present(
        asking.request(
            amount=call.body.amount, reason=call.body.reason, actor=call.actor, request_key=call.request_key(present)
        )
    )


@endpoint(bp, "GET", "/my", summary="我的提现", query=schemas.WithdrawalsQuery, data=schemas.Withdrawals)
def list_withdrawals(call: Call) -> schemas.Withdrawals:
    """本家庭的全部提现，新的在前。"""
    limit = call.query.limit
    found = queries.of_family(
        call.parent.family_id, before=cursors.decode(_LIST, call.query.cursor), limit=limit
    )  # fmt: skip
    page = found[:limit]
    more = cursors.encode(_LIST, page[-1].id) if len(found) > limit else None
    return schemas.Withdrawals(items=[schemas.Withdrawal.model_validate(one) for one in page], next_cursor=more)


@endpoint(
    bp, "POST", "/<id:withdrawal_id>/cancel",
    summary="取消提现", data=schemas.Withdrawal, key="honoured", limit="money", errors=("NOT_FOUND", "INVALID_STATE"),
)  # fmt: skip
def cancel_withdrawal(call: Call, withdrawal_id: int) -> schemas.Withdrawal:
    """审核之前可以取消，金额退回钱包。"""
    present = _presenter(call)
    return present(
        asking.cancel(withdrawal_id=withdrawal_id, actor=call.actor, request_key=call.request_key(present))
    )  # fmt: skip


def _presenter(call: Call):
    family_id = call.parent.family_id

    @functools.cache  # kept with the key inside the transaction, and answered after it
    def present(withdrawal_id: int) -> schemas.Withdrawal:
        found = queries.one(withdrawal_id, family_id=family_id)
        if found is None:
            raise WithdrawalNotFound
        return schemas.Withdrawal.model_validate(found)

    return present
