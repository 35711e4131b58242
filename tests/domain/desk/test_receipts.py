"""Receipts of adjustments: what completes with them, what they are compared with, abuse 3; reminders (W13, W14)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.desk import adjustments, approvals, queries, receipts, reminders
from app.domain.desk.errors import AdjustmentNotFound, OwnFamily, Stale
from app.domain.desk.models import Receipt, ReceiptBand
from app.domain.people.models import Staff
from app.errors import Forbidden, Invalid, InvalidState, StepUpRequired
from tests.domain.desk.desk import actions, ask, balance, cards, receipt, row
from tests.factories import make_family
from tests.portal import actor_of, make_staff

DETAIL = "f" * 256 + "808080"


def add(asked, staff, *files, **more):
    return receipts.add(adjustment_id=asked.adjustment_id, receipts=files, actor=actor_of(staff), **more)


def test_the_receipt_that_was_missing_completes_it(finance, family):
    asked = ask(finance, family, payment_method="bank_transfer")
    done = add(asked, finance, receipt(), version=1)
    assert (done.status, balance(family)) == ("completed", Decimal("620.00"))
    assert actions(asked.adjustment_id) == ["adjustment.asked", "adjustment.receipt_added", "adjustment.completed"]
    assert dict(cards()[-1]["lines"])["凭证"] == "1 个"


def test_a_colleague_may_bring_it(finance, front, family):
    asked = ask(finance, family, payment_method="pos")
    assert add(asked, front, receipt()).status == "completed"
    assert dict(cards()[-1]["lines"])["完成"] == "小前台"


def test_the_sums_count_when_it_completes(finance, family):
    first = ask(finance, family, "1500", payment_method="pos")
    ask(finance, family, "1000")
    later = add(first, finance, receipt())
    assert (later.status, later.approval_reasons) == ("pending", ("above_family_sum",))
    assert row(first.adjustment_id).lapses_at is not None


def test_who_lost_the_right_meanwhile_completes_nothing(finance, front, family):
    asked = ask(finance, family, payment_method="pos")
    with transaction():
        db.session.execute(sa.update(Staff).where(Staff.id == finance.id).values(role="front_desk"))
    assert add(asked, front, receipt()).approval_reasons == ("may_only_ask",)


def test_the_wait_for_approval_is_counted_from_the_receipt_on(front, manager, family):
    asked = ask(front, family, payment_method="alipay")
    with clock.travel(by=timedelta(hours=30)):
        assert approvals.lapse_due() == 0
        waiting = add(asked, front, receipt())
        assert waiting.status == "pending"
        due = row(asked.adjustment_id).lapses_at
        assert due - clock.now() > timedelta(hours=23, minutes=59)
        add(asked, front, receipt())
        assert row(asked.adjustment_id).lapses_at == due, "a second one does not begin it anew"


def test_who_may_not_add(finance, family):
    asked = ask(finance, family, payment_method="pos")
    for staff, error in ((make_staff("auditor"), Forbidden), (make_staff("finance", family_id=family.id), OwnFamily)):
        with pytest.raises(error):
            add(asked, staff, receipt())
    with pytest.raises(StepUpRequired):
        receipts.add(
            adjustment_id=asked.adjustment_id, receipts=[receipt()], actor=actor_of(finance, proof_age=601)
        )  # fmt: skip
    with pytest.raises(Invalid):
        add(asked, finance)
    with pytest.raises(AdjustmentNotFound):
        receipts.add(adjustment_id=99999, receipts=[receipt()], actor=actor_of(finance))
    with pytest.raises(Stale):
        add(asked, finance, receipt(), version=7)


def test_nothing_is_added_to_what_has_ended(finance, family):
    done = ask(finance, family)
    with pytest.raises(InvalidState, match="已经结束"):
        add(done, finance, receipt())


def test_five_at_most_and_each_once(finance, family):
    asked = ask(finance, family, "5000", payment_method="pos", receipts=[receipt() for _ in range(4)])
    with pytest.raises(Invalid, match="最多 5 个"):
        add(asked, finance, receipt(), receipt())
    twin = receipt("twin")
    assert add(asked, finance, twin, receipt("twin")).status == "pending"
    with pytest.raises(Invalid, match="已经在"):
        add(asked, finance, receipt("twin"))
    assert len(queries.receipts_of("adjustment", asked.adjustment_id)) == 5
    with pytest.raises(Invalid, match="最多 5 个"):
        ask(finance, family, payment_method="pos", receipts=[receipt() for _ in range(6)])


@pytest.mark.parametrize(
    ("second", "flag", "reason"),
    [
        (lambda: receipt("one"), "same", "receipt_reused"),
        (lambda: receipt("one plus a byte", pixels="one"), "same_pixels", "receipt_reused"),
        (lambda: receipt("edited", look=("000000000000000f", DETAIL)), None, None),
        (lambda: receipt("edited", look=("0000000000000007", DETAIL)), "looks_alike", "receipt_looks_alike"),
        (lambda: receipt("other", look=("0000000000000000", "0" * 256 + "808080")), None, None),
        (lambda: receipt("another"), None, None),
    ],
)
def test_a_receipt_used_before_needs_approval(finance, family, second, flag, reason):
    used = ask(finance, family, "100", payment_method="pos", receipts=[receipt("one", look=("0" * 16, DETAIL))])
    assert used.status == "completed"
    again = ask(finance, make_family(), "100", payment_method="pos", receipts=[second()])
    (kept,) = queries.receipts_of("adjustment", again.adjustment_id)
    assert kept.flag == flag
    if flag is None:
        assert again.status == "completed"
        return
    assert (again.status, again.approval_reasons) == ("pending", (reason,))
    assert kept.flagged_as == queries.receipts_of("adjustment", used.adjustment_id)[0].id


def test_a_flag_that_comes_later_is_a_reason_too(front, manager, family):
    ask(front, family, payment_method="pos", receipts=[receipt("one")])
    asked = ask(front, family, payment_method="pos", receipts=[receipt("two")])
    assert add(asked, front, receipt("one")).approval_reasons == ("may_only_ask", "receipt_reused")
    assert add(asked, front, receipt("three")).approval_reasons == ("may_only_ask", "receipt_reused")


def test_what_was_rejected_with_it_is_remembered(finance, manager, family):
    asked = ask(finance, family, "5000", payment_method="pos", receipts=[receipt("one")])
    approvals.reject(adjustment_id=asked.adjustment_id, reason="假的", actor=actor_of(manager))
    assert ask(finance, family, "1900", payment_method="pos", receipts=[receipt("one")]).status == "pending"


def test_the_bands_of_a_picture_are_kept(finance, family):
    ask(finance, family, payment_method="pos", receipts=[receipt("one", look=("0123456789abcdef", DETAIL))])
    bands = db.session.scalars(sa.select(ReceiptBand.band).order_by(ReceiptBand.band)).all()
    assert bands == ["0:0123", "1:4567", "2:89ab", "3:cdef"]


def test_a_stored_file_belongs_to_one_receipt(finance, family):
    first = receipt()
    ask(finance, family, payment_method="pos", receipts=[first])
    assert queries.known_storage_keys([first.storage_key, "aa/unknown"]) == {first.storage_key}
    assert queries.receipt(db.session.scalar(sa.select(Receipt.id))).storage_key == first.storage_key
    assert queries.receipt(999999) is None


# ── reminders ───────────────────────────────────────────────────────────────────────────────────────


def test_reminded_after_two_hours_then_daily(finance, family):
    asked = ask(finance, family, payment_method="pos")
    ask(finance, family)
    ask(finance, family, payment_method="pos", receipts=[receipt()])
    before = len(cards())
    reminded = []
    for hours in (1, 2.1, 3, 26, 26.2, 50.3, 60):
        with clock.travel(by=timedelta(hours=hours)):
            reminded.append(reminders.remind_missing_receipts())
    assert reminded == [0, 1, 0, 0, 1, 1, 0]
    shown = cards()[before:]
    assert [dict(card["lines"])["已等待"] for card in shown] == ["2 小时", "1 天", "2 天"]
    with clock.travel(by=timedelta(hours=90)):
        adjustments.withdraw(adjustment_id=asked.adjustment_id, reason="x", actor=actor_of(finance))
        assert reminders.remind_missing_receipts() == 0
        assert reminders._remind(adjustment_id=asked.adjustment_id) is False


def test_a_transfer_leaves_a_receipt_and_each_proves_one_payment():
    receipts.check_given("cash", 0, "请上传回单")
    receipts.check_given("alipay", 1, "请上传回单")
    with pytest.raises(Invalid, match="回单"):
        receipts.check_given("alipay", 0, "请上传回单")
    receipts.check_unused({"looks_alike"})
    for flag in ("same", "same_pixels"):
        with pytest.raises(Invalid, match="以前用过"):
            receipts.check_unused({flag})
