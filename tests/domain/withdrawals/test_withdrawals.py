"""A withdrawal from its asking to each of its ends: money, persons, messages, traces (W21, P9, P10, P11)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.db import KeptRequest, RequestKey, db, transaction
from app.domain.changes import families
from app.domain.changes.errors import OpenItems
from app.domain.desk.errors import ExternalNumberUsed, OwnFamily, Stale
from app.domain.desk.models import Receipt
from app.domain.ledger import control, verify
from app.domain.ledger.control import WalletHasOpenItems
from app.domain.ledger.errors import WalletClosed, WalletFrozen
from app.domain.ledger.models import WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.withdrawals import asking, deciding, queries, reminders
from app.domain.withdrawals.errors import InsufficientBalance, OwnApproval, WithdrawalNotFound
from app.errors import Forbidden, IdempotencyKeyReused, Invalid, InvalidState, Replayed, StepUpRequired
from tests.domain.desk.desk import ask as ask_adjustment
from tests.domain.desk.desk import receipt
from tests.domain.withdrawals.steps import (
    actions,
    approve,
    balance,
    cancel,
    cards,
    fail,
    movements,
    pay,
    reject,
    request,
    row,
    told,
)
from tests.factories import make_family, parent_actor
from tests.portal import actor_of, make_staff

GONE = [("withdrawal", Decimal("-100.00"))]
BACK = [*GONE, ("withdrawal_reversal", Decimal("100.00"))]


@pytest.fixture
def family(app):
    return make_family(balance="300.00", phone="13700001234")


@pytest.fixture
def finance(app):
    return make_staff("finance", display_name="钱会计")


@pytest.fixture
def manager(app):
    return make_staff("manager", display_name="李店长")


def key_of(user_id: int, fingerprint: str = "same") -> RequestKey:
    return RequestKey(f"user:{user_id}", "k1", fingerprint, lambda withdrawal_id: {"id": withdrawal_id})


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────


def test_asking_takes_the_money_at_once(family):
    asked = request(family, "100.00", "<b>搬家</b>")
    kept = row(asked)
    assert (kept.status, kept.user_id, kept.reason) == ("requested", family.user_id, "<b>搬家</b>")
    assert (balance(family), movements(asked)) == (Decimal("200.00"), GONE)
    debit = db.session.get(WalletTransaction, kept.debit_id)
    assert (debit.reason, debit.user_id, debit.performed_by) == ("申请提现", family.user_id, None)
    assert actions(asked) == ["withdrawal.asked"]
    (card,) = cards()
    assert card["title"] == "申请提现 ¥100.00"
    assert ["家庭", "张女士家庭 137****1234"] in card["lines"]
    assert card["link"]["path"] == f"/withdrawals/{asked}"
    assert told(family) == [], "the balance's own message tells"


def test_all_of_it_but_not_a_fen_more(family):
    request(family, "300.00")
    assert balance(family) == Decimal("0.00")
    with pytest.raises(InsufficientBalance):
        request(family, "0.01")
    owing = make_family(balance="-50.00")
    with pytest.raises(InsufficientBalance):
        request(owing, "10.00")
    assert (balance(owing), len(cards())) == (Decimal("-50.00"), 1)


def test_frozen_and_closed_wallets_give_nothing(family, manager):
    control.freeze(family_id=family.id, reason="核实中", actor=actor_of(manager))
    with pytest.raises(WalletFrozen):
        request(family)
    empty = make_family()
    control.close(family_id=empty.id, reason="离开", actor=actor_of(manager))
    with pytest.raises(WalletClosed):
        request(empty)


@pytest.mark.parametrize(("amount", "reason"), [("0.00", "x"), ("100.00", " "), ("100.00", "长" * 201)])
def test_what_is_wrong_changes_nothing(family, amount, reason):
    with pytest.raises(Invalid):
        request(family, amount, reason)
    assert (balance(family), cards()) == (Decimal("300.00"), [])


def test_only_a_parent_asks_and_cancels(family, finance):
    asked = request(family)
    for act in (
        lambda: asking.request(amount=Decimal("1.00"), reason="x", actor=actor_of(finance)),
        lambda: asking.cancel(withdrawal_id=asked, actor=actor_of(finance)),
    ):
        with pytest.raises(Forbidden):
            act()


def test_a_key_is_good_for_ever(family):
    key = key_of(family.user_id)
    asked = request(family, key=key)
    with pytest.raises(Replayed) as again:
        request(family, key=key)
    assert again.value.answer == {"id": asked}
    with transaction():
        db.session.execute(sa.delete(KeptRequest))
    with pytest.raises(Replayed) as later:
        request(family, key=key)
    assert later.value.answer == {"id": asked}
    with pytest.raises(IdempotencyKeyReused):
        request(family, "50.00", key=key)
    assert balance(family) == Decimal("200.00")


def test_a_key_without_an_answer_to_give(family):
    bare = RequestKey(f"user:{family.user_id}", "k2", "same")
    request(family, key=bare)
    with transaction():
        db.session.execute(sa.delete(KeptRequest))
    with pytest.raises(Replayed):
        request(family, key=bare)
    assert balance(family) == Decimal("200.00")


# ── the parent takes it back ────────────────────────────────────────────────────────────────────────


def test_cancelled_the_money_is_back_once(family):
    asked = request(family)
    cancel(asked, family)
    assert (row(asked).status, balance(family), movements(asked)) == ("cancelled", Decimal("300.00"), BACK)
    kept = row(asked)
    reversal = db.session.get(WalletTransaction, kept.reversal_id)
    assert (reversal.reverses_id, reversal.user_id) == (kept.debit_id, family.user_id)
    with pytest.raises(InvalidState):
        cancel(asked, family)
    assert balance(family) == Decimal("300.00")
    assert [card["title"] for card in cards()] == ["申请提现 ¥100.00", "家长取消提现 ¥100.00"]
    assert told(family) == []


def test_another_family_and_an_approved_one(family, finance):
    asked = request(family)
    for wrong in (asked, 10**9):
        with pytest.raises(WithdrawalNotFound):
            cancel(wrong, make_family())
    approve(asked, finance)
    with pytest.raises(InvalidState, match="待打款"):
        cancel(asked, family)
    assert movements(asked) == GONE


# ── two persons ─────────────────────────────────────────────────────────────────────────────────────


def test_one_approves_another_pays(family, finance, manager):
    asked = request(family)
    approve(asked, finance, version=1)
    assert told(family) == []
    pay(asked, manager, external_no="4200 0001", note="已核对收款人", version=2)
    kept = row(asked)
    assert (kept.status, kept.approved_by, kept.paid_by) == ("paid", finance.id, manager.id)
    assert (kept.method, kept.external_no, kept.reversal_id) == ("wechat_transfer", "42000001", None)
    assert (balance(family), movements(asked)) == (Decimal("200.00"), GONE)
    assert actions(asked) == [
        "withdrawal.asked", "withdrawal.approved", "withdrawal.receipt_added", "withdrawal.paid",
    ]  # fmt: skip
    assert told(family) == [("提现成功", "已通过微信转账打款")]
    assert cards()[-1]["title"] == "提现已打款 ¥100.00"
    assert queries.one(asked, family_id=family.id).note is None, "what staff note of a payment is their own"


def test_cash_needs_words_and_no_receipt(family, finance, manager):
    asked = request(family)
    approve(asked, finance)
    with pytest.raises(Invalid, match="当面"):
        pay(asked, manager, "cash")
    pay(asked, manager, "cash", note="李店长当面交给张女士")
    assert told(family) == [("提现成功", "已当面付现金")]


def test_whoever_approved_does_not_pay(family, finance, manager):
    asked = request(family)
    approve(asked, finance)
    with pytest.raises(OwnApproval):
        pay(asked, finance)
    assert row(asked).status == "approved"
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Receipt)) == 0
    for sql in ("paid_by = approved_by", "status = 'lost'"):
        with pytest.raises(DBAPIError), transaction():
            db.session.execute(sa.text(f"UPDATE withdrawals SET {sql} WHERE id = :id"), {"id": asked})


def test_a_payment_needs_an_approval_and_a_receipt_of_its_own(family, finance, manager):
    first, second = request(family), request(family)
    with pytest.raises(InvalidState, match="须先批准"):
        pay(first, manager)
    for asked in (first, second):
        approve(asked, finance)
    with pytest.raises(Invalid, match="回单"):
        pay(first, manager, receipts_given=[])
    pay(first, manager, receipts_given=[receipt("slip")], external_no="42000001")
    with pytest.raises(Invalid, match="以前用过"):
        pay(second, manager, receipts_given=[receipt("slip")])
    with pytest.raises(ExternalNumberUsed):
        pay(second, manager, external_no="4200-0001")
    kept = row(second)
    assert (kept.status, kept.paid_by, kept.method) == ("approved", None, None)
    with pytest.raises(InvalidState):
        pay(first, manager)


def test_a_receipt_of_a_payment_is_known_at_the_desk(family, finance, manager):
    asked = request(family)
    approve(asked, finance)
    pay(asked, manager, receipts_given=[receipt("slip")])
    again = ask_adjustment(finance, make_family(), payment_method="pos", receipts=[receipt("slip")])
    assert again.approval_reasons == ("receipt_reused",)


# ── money goes back ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("approved", [False, True])
def test_rejected_the_money_is_back(family, finance, manager, approved):
    asked = request(family)
    if approved:
        approve(asked, finance)
    reject(asked, manager, "请先还清<课时>")
    assert (row(asked).status, balance(family), movements(asked)) == ("rejected", Decimal("300.00"), BACK)
    assert told(family) == [("提现驳回", "已退回钱包，原因：请先还清<课时>")]
    assert queries.one(asked, family_id=family.id).note == "请先还清<课时>"
    assert cards()[-1]["colour"] == "grey"
    for act in (reject, approve, pay, fail):
        with pytest.raises(InvalidState, match="已驳回"):
            act(asked, manager)
    assert movements(asked) == BACK


def test_what_could_not_be_paid_is_back(family, finance):
    asked = request(family)
    with pytest.raises(InvalidState, match="须先批准"):
        fail(asked, finance)
    approve(asked, finance)
    fail(asked, finance)
    assert (row(asked).status, movements(asked)) == ("failed", BACK)
    assert told(family) == [("提现失败", "已退回钱包，原因：账号填错，银行退回")]
    with pytest.raises(InvalidState):
        fail(asked, finance)


def test_back_into_a_frozen_wallet(family, finance, manager):
    asked = request(family)
    control.freeze(family_id=family.id, reason="核实中", actor=actor_of(manager))
    reject(asked, finance)
    assert balance(family) == Decimal("300.00")


@pytest.mark.parametrize("act", [reject, fail])
def test_without_a_reason_nothing_is_refused(family, finance, act):
    asked = request(family)
    with pytest.raises(Invalid, match="家长会看到"):
        act(asked, finance, " ")
    assert row(asked).version == 1


# ── who may ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("act", [approve, reject, pay, fail])
def test_who_may_not(family, finance, act):
    asked = request(family)
    for role in ("front_desk", "auditor", "admin"):
        with pytest.raises(Forbidden):
            act(asked, make_staff(role))
    with pytest.raises(OwnFamily):
        act(asked, make_staff("manager", family_id=family.id))
    with pytest.raises(WithdrawalNotFound):
        act(10**9, finance)
    with pytest.raises(Stale):
        act(asked, finance, version=7)
    assert row(asked).version == 1


def test_an_old_proof(family, finance):
    asked = request(family)
    with pytest.raises(StepUpRequired):
        deciding.approve(withdrawal_id=asked, actor=actor_of(finance, proof_age=601.0))


def merge(source, target, staff):
    families.merge_families(
        from_family_id=source.id, into_family_id=target.id, reason="同一家", actor=actor_of(staff)
    )  # fmt: skip


# ── merging and closing ─────────────────────────────────────────────────────────────────────────────


def test_an_open_one_keeps_the_wallet_and_the_family_where_they_are(family, finance, manager):
    asked, target = request(family, "300.00"), make_family()
    with pytest.raises(WalletHasOpenItems, match="未办结的提现"):
        control.close(family_id=family.id, reason="离开", actor=actor_of(manager))
    with pytest.raises(OpenItems) as refused:
        merge(family, target, manager)
    assert refused.value.data["items"] == ["还有 1 笔未办结的提现"]
    cancel(asked, family)
    merge(family, target, manager)
    assert queries.of_family(target.id) == [], "it stays with the wallet that paid it, as its transactions do"


def test_what_was_merged_meanwhile_is_given_back_to_the_heir(family, finance, manager):
    """A merge waits for open withdrawals. Where one slipped through all the same, the money finds the family."""
    asked, target = request(family, "300.00"), make_family()
    with transaction():
        db.session.execute(sa.text("UPDATE withdrawals SET status = 'paid' WHERE id = :id"), {"id": asked})
    merge(family, target, manager)
    with transaction():
        db.session.execute(sa.text("UPDATE withdrawals SET status = 'requested' WHERE id = :id"), {"id": asked})
    reject(asked, finance)
    assert balance(target) == Decimal("300.00")
    assert set(told(target)) == {("提现驳回", "已退回钱包，原因：请先还清欠费")}
    assert verify.run(full=True).findings == []
    shown = queries.detail(asked, actor_of(finance))
    assert (shown.debit.id, shown.reversal.id) == (family.id, target.id)


# ── looking and reminding ───────────────────────────────────────────────────────────────────────────


def test_lists_filter_and_page(family, finance, manager):
    first, second, third = request(family, "10.00"), request(family, "20.00"), request(make_family(balance="5.00"), "5")
    approve(second, finance)
    reject(third, finance)
    asked = queries.WithdrawalFilter
    assert [one.id for one in queries.page(asked()).items] == [third, second, first]
    assert [one.id for one in queries.page(asked(status="open")).items] == [second, first]
    assert [one.id for one in queries.page(asked(status="approved")).items] == [second]
    assert [one.id for one in queries.page(asked(family_id=family.id), before=second).items] == [first]
    pay(second, manager, "alipay")
    assert [one.id for one in queries.page(asked(method="alipay")).items] == [second]
    today = clock.today()
    assert len(queries.page(asked(date_from=today, date_to=today)).items) == 3
    assert queries.page(asked(date_from=today + timedelta(days=1))).items == []
    assert [db.session.scalar(one) for one in (queries.ASKED, queries.TO_PAY)] == [1, 0]
    assert [one.id for one in queries.of_family(family.id, limit=1)] == [second, first]
    assert [one.id for one in queries.of_family(family.id, before=second)] == [first]
    assert queries.one(first, family_id=make_family().id) is None


def test_a_detail_knows_its_reader(family, finance, manager):
    asked = request(family)
    approve(asked, finance)
    assert queries.detail(asked, actor_of(finance)).own_approval
    shown = queries.detail(asked, actor_of(manager))
    assert (shown.own_approval, shown.own_family, shown.reversal) == (False, False, None)
    assert (shown.debit.balance_before, shown.debit.balance_after) == (Decimal("300.00"), Decimal("200.00"))
    assert queries.detail(asked, actor_of(make_staff("manager", family_id=family.id))).own_family
    assert queries.detail(asked, parent_actor(family)).history
    assert queries.detail(10**9, actor_of(manager)) is None


def test_what_waits_for_a_day_is_said_daily(family, finance, manager):
    asked = request(family)
    assert reminders.remind_waiting() == 0
    with clock.travel(by=timedelta(hours=25)):
        assert reminders.remind_waiting() == 1
        assert reminders.remind_waiting() == 0
        assert cards()[-1]["title"] == "提现等待审批 ¥100.00"
        assert ["已等待", "1 天"] in cards()[-1]["lines"]
        approve(asked, finance)
        assert reminders._remind(withdrawal_id=asked) is False, "dealt with between the look and the lock"
    with clock.travel(by=timedelta(hours=50)):
        assert reminders.remind_waiting() == 1
        assert cards()[-1]["title"] == "提现等待打款 ¥100.00"
        pay(asked, manager)
    with clock.travel(by=timedelta(hours=80)):
        assert reminders.remind_waiting() == 0
    assert db.session.scalar(sa.select(sa.func.count()).where(Notification.type == "withdrawal")) == 4
