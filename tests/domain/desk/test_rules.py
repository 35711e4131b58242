"""The desk's rules as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.domain.desk import lookalike, rules
from app.domain.desk.errors import AlreadyUndone, UndoWindowOver
from app.domain.desk.models import AdjustmentCause, AdjustmentStatus, AdjustmentType, PaymentMethod
from app.domain.desk.rules import DirectLimits, DirectSums, Event
from app.domain.desk.words import (
    APPROVAL_REASONS,
    CAUSES,
    METHODS,
    REASON_WORDS,
    TYPES,
    ApprovalReason,
    for_parent,
    in_words,
)
from app.errors import Invalid, InvalidState
from app.web import labels

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
LIMITS = DirectLimits(Decimal("2000.00"), Decimal("2000.00"), Decimal("10000.00"))
P, C, X = AdjustmentStatus.PENDING, AdjustmentStatus.COMPLETED, AdjustmentStatus.CANCELLED

EXPECTED = {
    (P, Event.COMPLETE): (C, None),
    (P, Event.WITHDRAW): (X, AdjustmentCause.WITHDRAWN),
    (P, Event.REJECT): (X, AdjustmentCause.REJECTED),
    (P, Event.LAPSE): (X, AdjustmentCause.LAPSED),
    (P, Event.FAIL): (X, AdjustmentCause.FAILED),
}


@pytest.mark.parametrize("status", list(AdjustmentStatus))
@pytest.mark.parametrize("event", list(Event))
def test_every_event_in_every_state(status, event):
    if (status, event) in EXPECTED:
        assert rules.next_state(status, event) == EXPECTED[status, event]
        return
    with pytest.raises(InvalidState, match="已经完成" if status == C else "已取消（已驳回）"):
        rules.next_state(status, event, cause="rejected")


def asked(**changes):
    plain = {
        "direction": "increase", "amount": Decimal("500"), "type": "recharge", "payment_method": "bank_transfer",
        "reason_code": "offline_recharge", "note": "转账", "external_no": "",
    }  # fmt: skip
    return rules.checked_wish(**(plain | changes))


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"direction": "up"}, {"direction"}),
        ({"direction": "decrease"}, {"direction"}),
        ({"direction": "decrease", "type": "gift"}, {"direction"}),
        ({"amount": Decimal("0")}, {"amount"}),
        ({"amount": Decimal("-1")}, {"amount"}),
        ({"amount": Decimal("NaN")}, {"amount"}),
        ({"amount": Decimal("Infinity")}, {"amount"}),
        ({"amount": Decimal("100000000")}, {"amount"}),
        ({"type": "bonus"}, {"type"}),
        ({"payment_method": "paypal"}, {"payment_method"}),
        ({"reason_code": ""}, {"reason_code"}),
        ({"reason_code": "undo"}, {"reason_code"}),
        ({"note": " \u202e\u200b "}, {"note"}),
        ({"note": "长" * 501}, {"note"}),
        ({"external_no": "abc"}, {"external_no"}),
        ({"external_no": "42<script>"}, {"external_no"}),
        ({"external_no": "4200", "payment_method": "cash"}, {"external_no"}),
        ({"type": "", "note": "", "payment_method": ""}, {"type", "note", "payment_method"}),
    ],
)
def test_a_wrong_wish_names_every_field(changes, fields):
    with pytest.raises(Invalid) as refused:
        asked(**changes)
    assert set(refused.value.errors) == fields


def test_what_a_wish_becomes():
    made = asked(external_no=" 4200-0012 ３４ab ", note=" 张\u202e女士\n转账 ")
    assert (made.amount, made.external_no, made.note, made.direction) == (
        Decimal("500"), "4200001234AB", "张女士 转账", "increase",
    )  # fmt: skip
    less = asked(direction="decrease", type="correction")
    assert (less.amount, less.direction, less.external_no) == (Decimal("-500"), "decrease", None)


@pytest.mark.parametrize("method", list(PaymentMethod))
def test_which_methods_need_a_receipt(method):
    assert rules.needs_receipt(method) == (method not in ("cash", "none"))


R = ApprovalReason


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, ()),
        ({"amount": "2000.00"}, ()),
        ({"amount": "2000.01"}, (R.ABOVE_DIRECT_LIMIT, R.ABOVE_FAMILY_SUM)),
        ({"family": "1500.00"}, ()),
        ({"family": "1500.01"}, (R.ABOVE_FAMILY_SUM,)),
        ({"person": "9500.00"}, ()),
        ({"person": "9500.01"}, (R.ABOVE_PERSON_SUM,)),
        ({"prepayment": "500.00"}, ()),
        ({"prepayment": "499.99"}, (R.ABOVE_PREPAYMENT,)),
        ({"prepayment": "499.99", "type": "top_up"}, ()),
        ({"may_direct": False}, (R.MAY_ONLY_ASK,)),
        ({"amount": "-1"}, (R.DECREASE,)),
        ({"type": "gift"}, (R.GIFT,)),
        ({"type": "correction"}, (R.CORRECTION,)),
        ({"type": "top_up"}, ()),
        ({"flags": {"same"}}, (R.RECEIPT_REUSED,)),
        ({"flags": {"same_pixels", "same"}}, (R.RECEIPT_REUSED,)),
        ({"flags": {"looks_alike"}}, (R.RECEIPT_LOOKS_ALIKE,)),
        ({"amount": "-3000", "type": "correction", "flags": {"looks_alike"}},
         (R.DECREASE, R.CORRECTION, R.ABOVE_DIRECT_LIMIT, R.RECEIPT_LOOKS_ALIKE)),
    ],
)  # fmt: skip
def test_why_another_person_must_approve(changes, reasons):
    facts = {
        "amount": "500",
        "type": "recharge",
        "may_direct": True,
        "family": "0",
        "person": "0",
        "flags": (),
        "prepayment": None,
    } | changes
    cap = facts["prepayment"] and Decimal(facts["prepayment"])
    assert (
        rules.approval_reasons(
            amount=Decimal(facts["amount"]), type=facts["type"], may_direct=facts["may_direct"],
            sums=DirectSums(Decimal(facts["family"]), Decimal(facts["person"])), limits=replace(LIMITS, prepayment=cap),
            receipt_flags=facts["flags"],
        )
        == reasons
    )  # fmt: skip


def test_the_ask_limit_holds_both_ways():
    rules.check_ask_limit(Decimal("-2000"), Decimal("2000"))
    with pytest.raises(Invalid, match="2000"):
        rules.check_ask_limit(Decimal("-2000.01"), Decimal("2000"))


def test_deadlines():
    assert not rules.has_lapsed(None, NOW)
    assert not rules.has_lapsed(NOW, NOW)
    assert rules.has_lapsed(NOW - timedelta(microseconds=1), NOW)
    window = timedelta(minutes=10)
    assert rules.within_undo_window(NOW - window, NOW, window)
    assert not rules.within_undo_window(NOW - window - timedelta(microseconds=1), NOW, window)
    assert not rules.within_undo_window(None, NOW, window)


def test_what_may_be_undone():
    rules.check_undoable(status=C, undoes_id=None, undone_by=None)
    for status in (P, X):
        with pytest.raises(InvalidState):
            rules.check_undoable(status=status, undoes_id=None, undone_by=None)
    with pytest.raises(InvalidState, match="本身就是撤销"):
        rules.check_undoable(status=C, undoes_id=1, undone_by=None)
    with pytest.raises(AlreadyUndone):
        rules.check_undoable(status=C, undoes_id=None, undone_by=2)


def test_who_may_undo_with_one_click():
    window = timedelta(minutes=10)
    rules.check_undo_now(is_author=True, decided_at=NOW, now=NOW, window=window)
    with pytest.raises(UndoWindowOver, match="经办人本人"):
        rules.check_undo_now(is_author=False, decided_at=NOW, now=NOW, window=window)
    with pytest.raises(UndoWindowOver, match="超过"):
        rules.check_undo_now(is_author=True, decided_at=NOW - timedelta(hours=1), now=NOW, window=window)


def test_every_word_is_there_and_pages_say_the_same():
    for words, values, kind in (
        (TYPES, AdjustmentType, "adjustment_type"),
        (METHODS, PaymentMethod, "payment_method"),
        (CAUSES, AdjustmentCause, "adjustment_cause"),
        (APPROVAL_REASONS, ApprovalReason, "approval_reason"),
    ):
        assert set(words) == set(values)
        for value in values:
            assert labels.word(kind, value) == words[value]


def test_what_a_parent_reads():
    assert for_parent("recharge", "offline_recharge") == "充值"
    assert for_parent("gift", "other") == "赠送"
    assert for_parent("gift", "referral") == "赠送：老带新奖励"
    assert for_parent("correction", "undo") == "撤销先前的调整"
    assert all(for_parent("top_up", code) for code in REASON_WORDS)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0.00", "零元整"),
        ("0.05", "伍分"),
        ("0.50", "伍角整"),
        ("1.05", "壹元零伍分"),
        ("500.00", "伍佰元整"),
        ("1005.20", "壹仟零伍元贰角整"),
        ("10000.00", "壹万元整"),
        ("10010.01", "壹万零壹拾元零壹分"),
        ("205000.00", "贰拾万伍仟元整"),
        ("1000400.00", "壹佰万零肆佰元整"),
        ("99999999.99", "玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元玖角玖分"),
        ("-200.00", "负贰佰元整"),
        ("120000.00", "壹拾贰万元整"),
    ],
)
def test_amounts_in_words(amount, words):
    assert in_words(Decimal(amount)) == words


def test_lookalike_bands_find_every_pair_within_three_bits():
    import random

    chance = random.Random(7)
    for _ in range(300):
        value = chance.getrandbits(64)
        other = value
        for bit in chance.sample(range(64), 3):
            other ^= 1 << bit
        one, two = f"{value:016x}", f"{other:016x}"
        assert set(lookalike.bands(one)) & set(lookalike.bands(two))
        assert lookalike.near(one, two)
    assert not lookalike.near("0" * 16, "000000000000000f")
