"""The second person (W11, W12, P10), what nobody decided in time, and undoing (W19)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.db import db, transaction
from app.domain.desk import approvals, undo
from app.domain.desk.errors import (
    AdjustmentNotFound,
    AlreadyUndone,
    Lapsed,
    OwnAdjustment,
    OwnFamily,
    ReceiptMissing,
    Stale,
    UndoWindowOver,
)
from app.domain.ledger import control
from app.domain.ledger.errors import OverdraftLimitExceeded
from app.domain.ledger.models import WalletTransaction
from app.errors import Forbidden, Invalid, InvalidState, Replayed, StepUpRequired
from tests.domain.desk.desk import actions, ask, balance, cards, key_of, movements, row, spend
from tests.factories import make_family
from tests.portal import actor_of, make_staff


def approve(asked, staff, **more):
    return approvals.approve(adjustment_id=asked.adjustment_id, actor=actor_of(staff), **more)


def reject(asked, staff, reason="凭证看不清", **more):
    return approvals.reject(adjustment_id=asked.adjustment_id, reason=reason, actor=actor_of(staff), **more)


def test_another_person_approves(front, finance, family):
    asked = ask(front, family)
    done = approve(asked, finance, version=1)
    assert (done.status, done.balance_after) == ("completed", Decimal("620.00"))
    kept = row(asked.adjustment_id)
    assert (kept.decided_by, kept.lapses_at) == (finance.id, None)
    assert actions(kept.id) == ["adjustment.asked", "adjustment.approved", "adjustment.completed"]
    (card,) = cards()
    assert dict(card["lines"])["经办"] == "小前台，由 钱会计 批准"


def test_a_decrease_is_posted_as_an_adjustment(finance, manager, family):
    asked = ask(finance, family, "100", type="correction", direction="decrease", payment_method="none")
    approve(asked, manager)
    posted = db.session.get(WalletTransaction, row(asked.adjustment_id).transaction_id)
    assert (posted.type, posted.amount, balance(family)) == ("adjustment", Decimal("-100.00"), Decimal("20.00"))


@pytest.mark.parametrize("role", ["finance", "manager"])
def test_nobody_approves_their_own(app, family, role):
    clerk = make_staff(role)
    asked = ask(clerk, family, "5000")
    for act in (approve, reject):
        with pytest.raises(OwnAdjustment):
            act(asked, clerk)
    assert balance(family) == Decimal("120.00")


def test_the_database_refuses_one_person_as_both(finance, manager, family):
    asked = ask(finance, family, "5000")
    with pytest.raises(DBAPIError), transaction():
        db.session.execute(
            sa.text("UPDATE wallet_adjustments SET decided_by = asked_by WHERE id = :id"), {"id": asked.adjustment_id}
        )


@pytest.mark.parametrize("role", ["front_desk", "auditor", "admin"])
def test_who_may_not_approve(finance, family, role):
    asked = ask(finance, family, "5000")
    for act in (approve, reject):
        with pytest.raises(Forbidden):
            act(asked, make_staff(role))


def test_nobody_approves_for_their_own_family(finance, family):
    asked = ask(finance, family, "5000")
    mother = make_staff("manager", family_id=family.id)
    for act in (approve, reject):
        with pytest.raises(OwnFamily):
            act(asked, mother)


def test_approving_asks_for_proof(finance, manager, family):
    asked = ask(finance, family, "5000")
    for use_case, more in ((approvals.approve, {}), (approvals.reject, {"reason": "x"})):
        with pytest.raises(StepUpRequired):
            use_case(adjustment_id=asked.adjustment_id, actor=actor_of(manager, proof_age=601), **more)


def test_rejecting_needs_a_reason_and_ends_it(finance, manager, family):
    asked = ask(finance, family, "5000")
    with pytest.raises(Invalid):
        reject(asked, manager, "  ")
    ended = reject(asked, manager)
    assert (ended.status, ended.cause, balance(family)) == ("cancelled", "rejected", Decimal("120.00"))
    assert actions(asked.adjustment_id)[-1] == "adjustment.rejected"
    (card,) = cards()
    assert (card["title"], dict(card["lines"])["原因"]) == ("调整被驳回 +¥5,000.00", "凭证看不清")
    for act in (approve, reject):
        with pytest.raises(InvalidState, match="已驳回"):
            act(asked, make_staff("manager"))


def test_decided_twice_is_done_once(finance, manager, family):
    asked = ask(finance, family, "5000")
    key = key_of(manager)
    approve(asked, manager, request_key=key)
    with pytest.raises(Replayed):
        approve(asked, manager, request_key=key)
    with pytest.raises(InvalidState, match="已经完成"):
        approve(asked, manager)
    assert (movements(family), balance(family)) == (1, Decimal("5120.00"))


def test_an_older_version_is_told(finance, manager, family):
    asked = ask(finance, family, "5000")
    with pytest.raises(Stale):
        approve(asked, manager, version=2)


def test_an_unknown_one(manager, app):
    with pytest.raises(AdjustmentNotFound):
        approvals.approve(adjustment_id=999999, actor=actor_of(manager))


def test_without_its_receipt_it_cannot_be_approved(front, manager, family):
    asked = ask(front, family, payment_method="alipay")
    with pytest.raises(ReceiptMissing):
        approve(asked, manager)
    assert reject(asked, manager).cause == "rejected"


def test_a_refusal_of_the_ledger_leaves_it_pending(finance, manager, family):
    asked = ask(finance, family, "1000", type="correction", direction="decrease", payment_method="none")
    spend(family, finance, "200")
    with pytest.raises(OverdraftLimitExceeded):
        approve(asked, manager)
    assert (row(asked.adjustment_id).status, actions(asked.adjustment_id)) == ("pending", ["adjustment.asked"])


def test_on_a_closed_wallet_it_fails_for_good(finance, manager, app):
    family = make_family()
    asked = ask(finance, family, "5000")
    with pytest.raises(control.WalletHasOpenItems):
        control.close(family_id=family.id, reason="离馆", actor=actor_of(manager))
    with transaction():
        db.session.execute(sa.text("UPDATE wallets SET status = 'closed' WHERE id = :id"), {"id": family.wallet_id})
    ended = approve(asked, manager)
    assert (ended.status, ended.cause) == ("cancelled", "failed")
    assert actions(asked.adjustment_id)[-1] == "adjustment.failed"
    assert (cards()[-1]["colour"], balance(family)) == ("red", Decimal("0.00"))


def test_one_device_for_both_is_said(front, finance, family):
    approve(ask(front, family), finance)
    assert dict(cards()[-1]["lines"])["注意"] == "申请与审批来自同一台设备"
    other = actor_of(finance)
    approvals.approve(
        adjustment_id=ask(front, family).adjustment_id, actor=dataclasses.replace(other, user_agent="another browser")
    )
    assert "注意" not in dict(cards()[-1]["lines"])


# ── nobody decided in time ──────────────────────────────────────────────────────────────────────────


def test_it_lapses_after_a_day(finance, manager, family):
    asked = ask(finance, family, "5000", payment_method="cash")
    with clock.travel(by=timedelta(hours=23, minutes=59)):
        assert approvals.lapse_due() == 0
    with clock.travel(by=timedelta(hours=24, seconds=5)):
        with pytest.raises(Lapsed):
            approve(asked, manager)
        assert row(asked.adjustment_id).status == "pending", "refused by the clock, ended by the job"
        assert approvals.lapse_due() == 1
        assert approvals.lapse_due() == 0
    kept = row(asked.adjustment_id)
    assert (kept.status, kept.cause, kept.decided_by) == ("cancelled", "lapsed", None)
    assert actions(kept.id)[-1] == "adjustment.lapsed"


def test_what_was_decided_meanwhile_does_not_lapse(finance, manager, family):
    asked = ask(finance, family, "5000")
    approve(asked, manager)
    assert approvals._lapse(adjustment_id=asked.adjustment_id) is False
    assert balance(family) == Decimal("5120.00")


# ── undoing ─────────────────────────────────────────────────────────────────────────────────────────


def undo_now(done, staff, *, proof_age=0.0, **more):
    return undo.undo(adjustment_id=done.adjustment_id, actor=actor_of(staff, proof_age=proof_age), **more)


def test_one_click_for_the_author(finance, family):
    done = ask(finance, family, "500")
    back = undo_now(done, finance)
    assert (back.status, back.amount, balance(family)) == ("completed", Decimal("-500.00"), Decimal("120.00"))
    kept = row(back.adjustment_id)
    assert (kept.undoes_id, kept.undoes_live, kept.type, kept.reason_code) == (
        done.adjustment_id, done.adjustment_id, "correction", "undo",
    )  # fmt: skip
    posted = db.session.get(WalletTransaction, kept.transaction_id)
    assert posted.reverses_id == row(done.adjustment_id).transaction_id
    assert cards()[-1]["title"] == "撤销已完成 -¥500.00"
    assert row(done.adjustment_id).status == "completed", "the first one is never edited"


def test_undone_once_at_most(finance, manager, family):
    done = ask(finance, family, "500")
    back = undo_now(done, finance)
    with pytest.raises(AlreadyUndone):
        undo_now(done, finance)
    with pytest.raises(AlreadyUndone):
        undo.ask(adjustment_id=done.adjustment_id, note="再撤一次", actor=actor_of(manager))
    with pytest.raises(InvalidState, match="本身就是撤销"):
        undo_now(back, finance)
    assert (movements(family), balance(family)) == (2, Decimal("120.00"))


def test_the_window_is_ten_minutes_and_the_first_proof_covers_it(finance, family):
    done = ask(finance, family, "500")
    with clock.travel(by=timedelta(minutes=9, seconds=58)):
        with pytest.raises(StepUpRequired):
            undo_now(done, finance, proof_age=1201)
        assert undo_now(done, finance, proof_age=1199).status == "completed"
    late = ask(finance, family, "500")
    with clock.travel(by=timedelta(minutes=10, seconds=2)), pytest.raises(UndoWindowOver):
        undo_now(late, finance)


def test_only_the_author_has_one_click(finance, manager, family):
    done = ask(finance, family, "500")
    with pytest.raises(UndoWindowOver, match="经办人本人"):
        undo_now(done, manager)


def test_money_that_was_spent_cannot_be_taken_back(finance, family):
    done = ask(finance, family, "500")
    spend(family, finance, "1200")
    with pytest.raises(OverdraftLimitExceeded):
        undo_now(done, finance)
    assert balance(family) == Decimal("-580.00")


def test_later_it_is_a_new_adjustment_with_approval(finance, manager, family):
    done = ask(finance, family, "500")
    with clock.travel(by=timedelta(hours=2)):
        with pytest.raises(Invalid):
            undo.ask(adjustment_id=done.adjustment_id, note="", actor=actor_of(finance))
        with pytest.raises(StepUpRequired):
            undo.ask(adjustment_id=done.adjustment_id, note="x", actor=actor_of(finance, proof_age=601))
        asked = undo.ask(adjustment_id=done.adjustment_id, note="家长实际没付", actor=actor_of(finance))
        assert (asked.status, asked.approval_reasons) == ("pending", ("late_undo",))
        with pytest.raises(AlreadyUndone):
            undo.ask(adjustment_id=done.adjustment_id, note="同时又申请", actor=actor_of(manager))
        reject(asked, manager)
        again = undo.ask(adjustment_id=done.adjustment_id, note="补了说明", actor=actor_of(finance))
        approve(again, manager)
    assert balance(family) == Decimal("120.00")
    posted = db.session.get(WalletTransaction, row(again.adjustment_id).transaction_id)
    assert posted.reverses_id == row(done.adjustment_id).transaction_id


def test_what_is_pending_is_withdrawn_not_undone(finance, family):
    asked = ask(finance, family, "5000")
    with pytest.raises(InvalidState, match="只有已完成"):
        undo_now(asked, finance)


def test_nobody_undoes_for_their_own_family(finance, family):
    done = ask(finance, family)
    mother = make_staff("manager", family_id=family.id)
    with pytest.raises(OwnFamily):
        undo.ask(adjustment_id=done.adjustment_id, note="x", actor=actor_of(mother))


def test_two_undos_at_once_are_told_by_the_constraint(finance, family, monkeypatch):
    done = ask(finance, family)
    monkeypatch.setattr(undo.rules, "check_undoable", lambda **_facts: None)  # the look that a race slips past
    undo_now(done, finance)
    with pytest.raises(AlreadyUndone):
        undo_now(done, finance)
    assert balance(family) == Decimal("120.00")
