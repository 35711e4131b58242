"""The family's wallet (W8)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.v1 import cursors, schemas
from app.api.v1.contract import Call, endpoint
from app.domain.ledger import queries
from app.domain.ledger.queries import TransactionView
from app.domain.people import queries as people
from app.domain.questions import queries as questions
from app.domain.questions import service as asking
from app.domain.questions.models import QuestionStatus
from app.errors import NotFound

bp = Blueprint("wallet", __name__, url_prefix="/wallet")
_LIST = "t"


@endpoint(bp, "GET", "", summary="我的钱包", data=schemas.Wallet)
def get_wallet(call: Call) -> schemas.Wallet:
    """家庭共用一个钱包：余额、状态、还可以用多少、谁在共用。"""
    return wallet_of(call.parent.family_id)


@endpoint(bp, "GET", "/balance", summary="余额", data=schemas.Balance, read=queries.balance_of_sign_in)
def get_balance(call: Call) -> schemas.Balance:
    """只有余额和状态，适合频繁刷新。"""
    return schemas.Balance.model_validate(call.read)


@endpoint(
    bp, "GET", "/transactions",
    summary="钱包流水", query=schemas.TransactionsQuery, data=schemas.Transactions, errors=("NOT_FOUND",),
)  # fmt: skip
def list_transactions(call: Call) -> schemas.Transactions:
    """最新的在前，可按类型、日期和学员筛选。"""
    asked, family_id = call.query, call.parent.family_id
    position = cursors.decode(_LIST, asked.cursor)
    if asked.profile_id is not None and not people.has_profile(family_id, asked.profile_id):
        raise NotFound("没有这位学员")
    page = queries.history(
        queries.wallet(family_id=family_id).id,
        type=asked.type,
        date_from=asked.date_from,
        date_to=asked.date_to,
        profile_id=asked.profile_id,
        cursor=None if position is None else str(position),
        limit=asked.limit,
    )
    asked_about = questions.of_transactions([item.id for item in page.items])
    return schemas.Transactions(
        items=[_transaction(item, asked_about.get(item.id)) for item in page.items],
        next_cursor=None if page.next_cursor is None else cursors.encode(_LIST, int(page.next_cursor)),
    )


@endpoint(
    bp, "POST", "/transactions/<id:transaction_id>/question",
    summary="对流水提出疑问", body=schemas.QuestionBody, data=schemas.QuestionAsked, status=201, key="honoured",
    limit="money", errors=("TRANSACTION_NOT_FOUND", "QUESTION_OPEN", "FEATURE_OFF"),
)  # fmt: skip
def ask_about_transaction(call: Call, transaction_id: int) -> schemas.QuestionAsked:
    """前台收到后核对，在消息里和流水下面答复您。答复之前同一笔流水不必再问。"""

    def present(question_id: int) -> schemas.QuestionAsked:
        return schemas.QuestionAsked(id=question_id, status=QuestionStatus.OPEN)

    return present(
        asking.ask(
            transaction_id=transaction_id, text=call.body.text, actor=call.actor,
            request_key=call.request_key(present),
        )
    )  # fmt: skip


def wallet_of(family_id: int) -> schemas.Wallet:
    """The wallet of a family with its members."""
    view = queries.wallet(family_id=family_id)
    return schemas.Wallet(
        balance=view.balance,
        status=view.status,
        state=view.state,
        state_text=view.state_text,
        overdraft_limit=view.overdraft_limit,
        available=view.available,
        booking_allowed=view.booking_allowed,
        members=[schemas.Member.model_validate(member) for member in people.members_of(family_id)],
    )


def _transaction(item: TransactionView, question: Any | None) -> schemas.Transaction:
    return schemas.Transaction(
        id=item.id,
        seq=item.seq,
        type=item.type,
        type_text=item.type_text,
        amount=item.amount,
        balance_before=item.balance_before,
        balance_after=item.balance_after,
        description=item.reason,
        reference_type=item.reference_type,
        reference_id=item.reference_id,
        reverses_id=item.reverses_id,
        status=item.status,
        profile_id=item.profile_id,
        profile_name=item.profile_name,
        created_at=item.created_at,
        question=None if question is None else schemas.Question.model_validate(question),
    )
