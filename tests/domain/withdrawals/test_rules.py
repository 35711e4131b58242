"""The pure rules: every state with every event, amounts at their edges, what a payment must carry (W21, 96.31)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.desk.models import WithdrawalStatus as S
from app.domain.withdrawals import rules
from app.domain.withdrawals.errors import InsufficientBalance
from app.domain.withdrawals.rules import Event as E
from app.errors import Invalid, InvalidState
from app.web.labels import LABELS

ALLOWED = {
    (S.REQUESTED, E.APPROVE): S.APPROVED,
    (S.REQUESTED, E.REJECT): S.REJECTED,
    (S.REQUESTED, E.CANCEL): S.CANCELLED,
    (S.APPROVED, E.PAY): S.PAID,
    (S.APPROVED, E.REJECT): S.REJECTED,
    (S.APPROVED, E.FAIL): S.FAILED,
}


@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize("event", E)
def test_every_state_with_every_event(status, event):
    if (status, event) in ALLOWED:
        assert rules.next_status(status, event) == ALLOWED[status, event]
        return
    with pytest.raises(InvalidState, match=rules.STATUS_TEXTS[status]):
        rules.next_status(status, event)


def test_open_returned_and_paid_are_all_states_and_each_has_its_words():
    assert {*rules.OPEN, *rules.RETURNED, S.PAID} == set(S) == set(rules.STATUS_TEXTS)
    assert set(LABELS["withdrawal_status"]) == set(S) | {"open"}
    assert set(rules.METHODS) <= set(LABELS["payment_method"])


def test_what_is_to_be_paid_needs_an_approval_first():
    for event in (E.PAY, E.FAIL):
        with pytest.raises(InvalidState, match="须先批准"):
            rules.next_status(S.REQUESTED, event)


def test_exactly_the_balance_is_allowed_and_a_fen_more_is_not():
    rules.check_balance(Decimal("100.00"), Decimal("100.00"))
    with pytest.raises(InsufficientBalance) as refused:
        rules.check_balance(Decimal("100.00"), Decimal("100.01"))
    assert refused.value.data == {"balance": "100.00", "amount": "100.01", "shortfall": "0.01"}
    assert refused.value.message == "余额不足：当前余额 ¥100.00，最多可提现 ¥100.00"
    with pytest.raises(InsufficientBalance, match="没有可提现的余额"):
        rules.check_balance(Decimal("-50.00"), Decimal("0.01"))


@pytest.mark.parametrize("amount", ["0.00", "-1.00", "NaN", "Infinity", "100000000.00"])
def test_amounts_that_are_none(amount):
    with pytest.raises(Invalid):
        rules.check_amount(Decimal(amount))


def test_words_are_cleaned_needed_and_bounded():
    assert rules.checked_reason(" 搬\u202e家\x00 了 ") == "搬家 了"
    for wrong in ("", " \n", "长" * 201):
        with pytest.raises(Invalid) as refused:
            rules.checked_reason(wrong)
        assert list(refused.value.errors) == ["reason"]
        with pytest.raises(Invalid) as refused:
            rules.checked_note(wrong)
        assert list(refused.value.errors) == ["note"]


def test_the_way_of_paying():
    assert rules.checked_method("bank_transfer", " 2026-1121　ａ01 ") == "20261121A01"
    assert rules.checked_method("cash", None) is None
    for method, number, field in (
        ("pos", None, "method"), ("none", None, "method"), ("", None, "method"),
        ("cash", "1234", "external_no"), ("alipay", "abc", "external_no"), ("alipay", "号码1234", "external_no"),
    ):  # fmt: skip
        with pytest.raises(Invalid) as refused:
            rules.checked_method(method, number)
        assert list(refused.value.errors) == [field]


def test_cash_is_noted():
    assert rules.checked_payment_note("钱会计当面交给张女士", "cash") == "钱会计当面交给张女士"
    assert rules.checked_payment_note(" ", "alipay") is None
    with pytest.raises(Invalid, match="当面"):
        rules.checked_payment_note("", "cash")
    with pytest.raises(Invalid, match="最多 200 个字"):
        rules.checked_payment_note("长" * 201, "alipay")
