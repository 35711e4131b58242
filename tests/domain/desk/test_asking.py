"""Asking: what completes at once, what waits, what is refused (W10–W13, W15, P9), and the abuses 1, 2 and 4."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.audit.actor import system
from app.domain.desk import adjustments, undo
from app.domain.desk.errors import BalanceMoved, ExternalNumberUsed, NotTheAuthor, OwnFamily, Stale
from app.domain.ledger import control
from app.domain.ledger.errors import OverdraftLimitExceeded, WalletClosed, WalletFrozen, WalletNotFound
from app.domain.ledger.models import WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff, User
from app.domain.policy.models import PolicyValue
from app.errors import Forbidden, IdempotencyKeyReused, Invalid, InvalidState, Replayed, StepUpRequired
from tests.domain.desk.desk import actions, ask, balance, cards, key_of, movements, receipt, row, wish
from tests.factories import MadeFamily, make_family
from tests.portal import actor_of, make_staff


def set_policy(name: str, value: str) -> None:
    with transaction():
        db.session.merge(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))


def test_cash_within_the_limit_completes_at_once(finance, family):
    done = ask(finance, family, "500", form_seconds=21)
    assert (done.status, done.balance_before, done.balance_after) == ("completed", Decimal("120"), Decimal("620"))
    assert balance(family) == Decimal("620.00")
    kept = row(done.adjustment_id)
    assert (kept.decided_by, kept.needs_approval, kept.form_seconds) == (None, False, 21)
    assert kept.decided_at is not None
    posted = db.session.get(WalletTransaction, kept.transaction_id)
    assert (posted.type, posted.reason, posted.performed_by) == ("recharge", "充值", finance.id)
    assert (posted.reference_type, posted.reference_id) == ("adjustment", str(kept.id))
    assert actions(kept.id) == ["adjustment.asked", "adjustment.completed"]


def test_the_money_group_and_the_parent_are_told(finance, family):
    ask(finance, family, "500")
    (card,) = cards()
    assert card["title"] == "充值已完成 +¥500.00"
    lines = dict(card["lines"])
    assert lines["家庭"] == "张女士家庭 137****1234"
    assert (lines["余额"], lines["方式"], lines["凭证"], lines["经办"]) == ("¥120.00 → ¥620.00", "现金", "无", "钱会计")
    assert card["link"]["path"].startswith("/adjustments/")
    assert "13700001234" not in str(card)
    told = db.session.scalars(sa.select(Notification).where(Notification.type == "balance_changed")).all()
    assert told[-1].payload["balance"] == "620.00"


def test_the_prepayment_guard_asks_for_a_second_person(finance, family):
    figures = {"adjustment_direct_limit": "9000.00", "adjustment_family_daily_limit": "9000.00"}
    for name, value in figures.items():
        set_policy(name, value)
    assert ask(finance, family, "3000.01").status == "completed"
    set_policy("prepayment_guard", "on")
    set_policy("prepayment_cap", "3000.00")
    assert ask(finance, family, "3000.00").status == "completed"
    asked = ask(finance, make_family(), "3000.01")
    assert (asked.status, row(asked.adjustment_id).approval_reasons) == ("pending", "above_prepayment")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "2000.01"},
        {"type": "gift", "payment_method": "none"},
        {"type": "correction", "payment_method": "none"},
        {"type": "top_up", "direction": "decrease", "payment_method": "none", "amount": "10"},
    ],
)
def test_what_waits_for_another_person(finance, family, changes):
    asked = ask(finance, family, **changes)
    assert asked.status == "pending"
    assert asked.approval_reasons
    assert (balance(family), movements(family)) == (Decimal("120.00"), 0)
    assert row(asked.adjustment_id).lapses_at is not None
    assert cards() == []


def test_exactly_at_the_limit_is_within_it(finance, family):
    assert ask(finance, family, "2000.00").status == "completed"


def test_splitting_for_one_family_does_not_help(finance, family):
    for _ in range(4):
        assert ask(finance, family, "500").status == "completed"
    fifth = ask(finance, family, "0.01")
    assert (fifth.status, fifth.approval_reasons) == ("pending", ("above_family_sum",))
    assert balance(family) == Decimal("2120.00")


def test_splitting_over_families_does_not_help(finance, app):
    for _ in range(5):
        assert ask(finance, make_family(), "2000").status == "completed"
    assert ask(finance, make_family(), "1").approval_reasons == ("above_person_sum",)
    assert ask(make_staff("finance"), make_family(), "1").status == "completed", "sums are per person"


def test_the_window_rolls(finance, family):
    ask(finance, family, "2000")
    with clock.travel(by=timedelta(hours=23, minutes=59)):
        assert ask(finance, family, "1").status == "pending"
    with clock.travel(by=timedelta(hours=24, minutes=1)):
        assert ask(finance, family, "1").status == "completed"


def test_what_was_undone_does_not_count(finance, family):
    done = ask(finance, family, "2000")
    undo.undo(adjustment_id=done.adjustment_id, actor=actor_of(finance))
    assert ask(finance, family, "2000").status == "completed"


def test_the_front_desk_only_asks_and_only_so_much(front, family):
    asked = ask(front, family, "2000")
    assert (asked.status, asked.approval_reasons) == ("pending", ("may_only_ask",))
    with pytest.raises(Invalid, match="2000"):
        ask(front, family, "2000.01")


@pytest.mark.parametrize("role", ["auditor", "admin"])
def test_who_may_not_ask(app, family, role):
    with pytest.raises(Forbidden):
        ask(make_staff(role), family)


def test_only_people_ask(family, finance):
    with pytest.raises(Forbidden):
        adjustments.ask(family_id=family.id, wish=wish(), actor=system("job"))
    with transaction():
        db.session.execute(sa.update(Staff).where(Staff.id == finance.id).values(status="disabled"))
    with pytest.raises(Forbidden):
        ask(finance, family)


@pytest.mark.parametrize("age", [None, 601.0])
def test_an_old_proof_is_asked_for_again(finance, family, age):
    with pytest.raises(StepUpRequired):
        ask(finance, family, proof_age=age)
    assert movements(family) == 0


@pytest.mark.parametrize("link", ["family", "openid", "phone"])
def test_nobody_adjusts_their_own_family(app, family, link):
    parent = db.session.get(User, family.user_id)
    values = {
        "family": {"family_id": family.id},
        "openid": {"openid": parent.openid},
        "phone": {"phone_index": parent.phone_index},
    }
    clerk = make_staff("manager", **values[link])
    with pytest.raises(OwnFamily):
        ask(clerk, family)
    assert ask(clerk, make_family()).status == "completed"


def test_someone_with_other_links_is_no_relative(app, family):
    clerk = make_staff("finance", openid="another", phone_index="0" * 32)
    assert ask(clerk, family).status == "completed"


def test_an_unknown_family(finance, app):
    with pytest.raises(WalletNotFound):
        ask(finance, MadeFamily(987654, 0, 0, []))


def test_a_frozen_wallet_takes_credits_only(finance, manager, family):
    control.freeze(family_id=family.id, reason="核对", actor=actor_of(manager))
    with pytest.raises(WalletFrozen):
        ask(finance, family, "10", type="top_up", direction="decrease")
    assert ask(finance, family, "10").status == "completed"


def test_a_closed_wallet_takes_nothing(finance, manager, app):
    empty = make_family()
    control.close(family_id=empty.id, reason="离馆", actor=actor_of(manager))
    with pytest.raises(WalletClosed):
        ask(finance, empty)


def test_a_decrease_obeys_the_overdraft_limit_when_asked(finance, family):
    assert ask(finance, family, "1120.00", type="correction", direction="decrease").status == "pending"
    with pytest.raises(OverdraftLimitExceeded):
        ask(finance, family, "1120.01", type="correction", direction="decrease")


def test_the_same_request_is_done_once(finance, family):
    first = ask(finance, family, key=key_of(finance))
    for _ in range(2):
        with pytest.raises(Replayed) as again:
            ask(finance, family, key=key_of(finance))
        assert again.value.answer == {"id": first.adjustment_id}
    assert (movements(family), balance(family)) == (1, Decimal("620.00"))
    with pytest.raises(IdempotencyKeyReused):
        ask(finance, family, "600", key=key_of(finance, fingerprint="other"))


def test_a_key_is_spent_for_ever_on_what_it_made(finance, family):
    first = ask(finance, family, key=key_of(finance))
    with transaction():
        db.session.execute(sa.text("DELETE FROM request_keys"))
    with pytest.raises(Replayed) as again:
        ask(finance, family, "600", key=key_of(finance, fingerprint="other"))
    assert again.value.answer == {"id": first.adjustment_id}
    bare = RequestKey(f"staff:{finance.id}", "0" * 32, "same")
    with transaction():
        db.session.execute(sa.text("DELETE FROM request_keys"))
    with pytest.raises(Replayed) as again:
        ask(finance, family, key=bare)
    assert (again.value.answer, movements(family)) == ({}, 1)


def test_a_broken_constraint_that_is_our_own_mistake_stays_what_it_is():
    bug = IntegrityError("INSERT", None, Exception("ck_wallet_adjustments_amount"))
    assert adjustments._taken(bug) is bug


def test_a_refused_request_may_be_mended_under_its_key(front, family):
    with pytest.raises(Invalid):
        ask(front, family, "3000", key=key_of(front))
    assert ask(front, family, "300", key=key_of(front)).status == "pending"


def test_a_balance_that_moved_since_it_was_shown(finance, family):
    ask(finance, family, "1")
    with pytest.raises(BalanceMoved) as refused:
        ask(finance, family, "500", seen_version=1)
    assert refused.value.data == {"balance": "121.00", "version": 2}
    assert ask(finance, family, "500", seen_version=2).status == "completed"


@pytest.mark.parametrize(("seconds", "kept"), [(0, 0), (14400, 14400), (14401, None), (-5, None)])
def test_times_that_measure_nothing_are_not_kept(finance, family, seconds, kept):
    assert row(ask(finance, family, form_seconds=seconds).adjustment_id).form_seconds == kept


# ── transfer numbers (W14) ──────────────────────────────────────────────────────────────────────────


def test_a_transfer_number_is_good_once_per_method(finance, family):
    first = ask(finance, family, payment_method="wechat_transfer", external_no="4200 0011")
    with pytest.raises(ExternalNumberUsed) as refused:
        ask(finance, make_family(), payment_method="wechat_transfer", external_no="4200-0011")
    assert set(refused.value.errors) == {"external_no"}
    assert ask(finance, family, payment_method="alipay", external_no="42000011").status == "pending"
    adjustments.withdraw(adjustment_id=first.adjustment_id, reason="金额写错", actor=actor_of(finance))
    assert ask(finance, family, payment_method="wechat_transfer", external_no="42000011").status == "pending"


# ── taking back ─────────────────────────────────────────────────────────────────────────────────────


def test_the_author_withdraws_with_a_reason(finance, manager, family):
    asked = ask(finance, family, "5000")
    with pytest.raises(NotTheAuthor):
        adjustments.withdraw(adjustment_id=asked.adjustment_id, reason="x", actor=actor_of(manager))
    with pytest.raises(Invalid) as refused:
        adjustments.withdraw(adjustment_id=asked.adjustment_id, reason=" ", actor=actor_of(finance))
    assert set(refused.value.errors) == {"reason"}
    with pytest.raises(Stale):
        adjustments.withdraw(adjustment_id=asked.adjustment_id, reason="x", actor=actor_of(finance), version=9)
    ended = adjustments.withdraw(
        adjustment_id=asked.adjustment_id, reason="家长改主意", actor=actor_of(finance), version=1
    )
    assert (ended.status, ended.cause) == ("cancelled", "withdrawn")
    assert actions(asked.adjustment_id) == ["adjustment.asked", "adjustment.withdrawn"]
    assert cards() == []
    with pytest.raises(InvalidState, match="本人撤回"):
        adjustments.withdraw(adjustment_id=asked.adjustment_id, reason="x", actor=actor_of(finance), version=1)


def test_what_is_completed_is_not_withdrawn(finance, family):
    done = ask(finance, family)
    with pytest.raises(InvalidState, match="已经完成"):
        adjustments.withdraw(adjustment_id=done.adjustment_id, reason="x", actor=actor_of(finance))
    assert balance(family) == Decimal("620.00")


HOSTILE = "<script>alert(1)</script>'; DROP TABLE wallets; -- \u202egnp.exe 😀 {{7*7}}"


def test_hostile_notes_are_kept_as_text_without_what_deceives(finance, family):
    kept = row(ask(finance, family, note=HOSTILE + "\x00\x07").adjustment_id)
    assert "<script>alert(1)</script>" in kept.note
    assert "\u202e" not in kept.note
    assert "\x00" not in kept.note
    assert HOSTILE not in str(cards()), "notes are the desk's own and stay inside"


def test_receipts_wait_in_pending(finance, family):
    asked = ask(finance, family, payment_method="pos")
    assert (asked.status, asked.missing_receipt, asked.approval_reasons) == ("pending", True, ())
    assert row(asked.adjustment_id).lapses_at is None
    assert ask(finance, family, payment_method="pos", receipts=[receipt()]).status == "completed"
