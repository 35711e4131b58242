"""A batch from draft to done: who may do what, what is refused, what each row leaves behind (W12, W20, P9, P10)."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.changes import families
from app.domain.desk import bulk, bulk_decide, bulk_queries, bulk_run, queries, undo
from app.domain.desk.bulk import StoredSheet
from app.domain.desk.bulk_check import BulkLine
from app.domain.desk.bulk_models import AdjustmentBatch, AdjustmentBatchRow, BatchStatus
from app.domain.desk.bulk_states import TRANSITIONS, Event, next_state
from app.domain.desk.errors import BatchAskedBefore, BatchNotFound, Lapsed, NotTheAuthor, OwnAdjustment, OwnFamily
from app.domain.desk.models import WalletAdjustment
from app.domain.ledger import control, verify
from app.domain.longjobs import service as jobs
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff
from app.errors import Forbidden, Invalid, InvalidState, Replayed, StepUpRequired
from tests.domain.desk.batches import approved, asked, batch, cells, draft, job, results, run
from tests.domain.desk.desk import actions, ask, balance, movements, receipt, wish
from tests.factories import make_family
from tests.portal import actor_of, make_staff

LESS = {"类型": "纠错", "原因": "金额录错", "收款方式": "无"}


@pytest.fixture
def clerk(app):
    return make_staff("finance")


@pytest.fixture
def manager(app):
    return make_staff("manager")


def adjustments_of(batch_id: int) -> list[WalletAdjustment]:
    db.session.rollback()
    query = sa.select(WalletAdjustment).where(WalletAdjustment.batch == str(batch_id)).order_by(WalletAdjustment.id)
    return list(db.session.scalars(query))


@pytest.mark.parametrize("status", list(BatchStatus))
@pytest.mark.parametrize("event", list(Event))
def test_states(status, event):
    if (status, event) in TRANSITIONS:
        assert next_state(status, event) == TRANSITIONS[(status, event)]
    else:
        with pytest.raises(InvalidState):
            next_state(status, event)


def test_every_row_is_as_if_it_came_by_the_form(clerk, manager):
    one, two = make_family(balance="50.00"), make_family()
    rows = [cells(one, "500", note="奖励"), cells(two, "2500", 收款方式="银行转账", 转账单号="B20261121"),
            cells(one, "-20", **LESS)]  # fmt: skip
    job_id = approved(clerk, manager, rows)
    batch_id = job(job_id).params["batch_id"]
    assert (balance(one), movements(one)) == (Decimal("50.00"), 0)
    done = run(job_id)
    assert (done.status, done.done, done.refused, done.total) == ("done", 3, 0, 3)
    assert (balance(one), balance(two)) == (Decimal("530.00"), Decimal("2500.00"))
    made = adjustments_of(batch_id)
    assert [(a.status, a.asked_by, a.decided_by, a.approval_reasons, a.needs_receipt) for a in made] == [
        ("completed", clerk.id, manager.id, "batch", False)
    ] * 3
    assert [a.asked_at for a in made] == [batch(batch_id).asked_at] * 3
    assert actions(made[0].id) == ["adjustment.asked", "adjustment.approved", "adjustment.completed"]
    people = db.session.scalars(
        sa.select(AuditEntry.actor_id).where(
            AuditEntry.target_type == "adjustment", AuditEntry.target_id == str(made[0].id)
        ).order_by(AuditEntry.id)
    )  # fmt: skip
    assert list(people) == [clerk.id, manager.id, manager.id]
    told = sa.select(sa.func.count()).select_from(Notification)
    changed = told.where(Notification.type == "balance_changed", Notification.family_id == two.id)
    assert db.session.scalar(changed) == 1
    assert db.session.scalar(told.where(Notification.type == "adjustment")) == 3
    assert results(job_id) == [(1, "done", None), (2, "done", None), (3, "done", None)]
    assert verify.run(full=True).sound
    undo.undo(adjustment_id=made[0].id, actor=actor_of(clerk))
    assert balance(one) == Decimal("30.00")


def test_a_refused_row_leaves_nothing_and_stops_no_other(clerk, manager):
    frozen, poor, closed, fine = (make_family() for _ in range(4))
    slip = {"收款方式": "支付宝", "转账单号": "20261121009"}
    rows = [cells(frozen, "-10", **LESS), cells(poor, "-1000.01", **LESS), cells(closed, "10"), cells(fine, **slip),
            cells(fine, "7")]  # fmt: skip
    job_id = approved(clerk, manager, rows)
    control.freeze(family_id=frozen.id, reason="核对", actor=actor_of(manager))
    control.close(family_id=closed.id, reason="离店", actor=actor_of(manager))
    ask(clerk, fine, "1", payment_method="alipay", external_no="20261121009", receipts=[receipt()])
    done = run(job_id)
    assert (done.status, done.done, done.refused) == ("done", 1, 4)
    assert [code for _, _, code in results(job_id)] == [
        "WALLET_FROZEN", "OVERDRAFT_LIMIT_EXCEEDED", "WALLET_CLOSED", "EXTERNAL_NO_USED", None,
    ]  # fmt: skip
    assert [movements(family) for family in (frozen, poor, closed, fine)] == [0, 0, 0, 2]
    assert len(adjustments_of(done.params["batch_id"])) == 1
    said = bulk_queries.rows(done.params["batch_id"], job_id, shown="refused").items
    assert "冻结" in said[0].message
    card = db.session.scalar(sa.select(Notification.payload).where(Notification.type == "staff.long_job"))
    card = json.loads(card) if isinstance(card, str) else card
    assert (card["title"], card["lines"][1]) == (f"批量调整 #{done.params['batch_id']} 已完成", ["被拒", "4 行"])


def test_who_may_not(clerk, manager, app):
    family = make_family()
    front, auditor = make_staff("front_desk"), make_staff("auditor")
    for person in (front, auditor):
        with pytest.raises(Forbidden):
            draft(person, [cells(family)])
    batch_id = draft(clerk, [cells(family)])
    with pytest.raises(StepUpRequired):
        bulk.ask(batch_id=batch_id, note="x", actor=actor_of(clerk, proof_age=9999))
    with pytest.raises(BatchNotFound):
        bulk.ask(batch_id=batch_id, note="x", actor=actor_of(manager))
    with pytest.raises(BatchNotFound):
        bulk.discard(batch_id=batch_id, actor=actor_of(manager))
    assert bulk_queries.find(batch_id, actor_of(manager)) is None, "a draft is its author's alone"
    with pytest.raises(InvalidState):
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(manager))
    bulk.ask(batch_id=batch_id, note="奖励", actor=actor_of(clerk))
    with pytest.raises(OwnAdjustment):
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(clerk))
    with pytest.raises(StepUpRequired):
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(manager, proof_age=9999))
    with pytest.raises(Forbidden):
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(front))
    with pytest.raises(NotTheAuthor):
        bulk.withdraw(batch_id=batch_id, reason="x", actor=actor_of(manager))
    with pytest.raises(OwnFamily, match="第 2 行"):
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(make_staff("manager", family_id=family.id)))
    with pytest.raises(BatchNotFound):
        bulk_decide.approve(batch_id=batch_id + 1000, actor=actor_of(manager))
    assert batch(batch_id).status == "asked"


@pytest.mark.parametrize("lines", [0, 5001])
def test_how_many_rows(clerk, lines):
    sheet = StoredSheet("cc/" + "0" * 40, "x.csv", "text/csv", 1, "0" * 64)
    with pytest.raises(Invalid):
        bulk.draft(sheet=sheet, lines=[BulkLine(2, 1, wish())] * lines, actor=actor_of(clerk))


def test_the_same_rows_wait_once_and_again_only_with_a_reason(clerk, manager):
    family = make_family()
    rows = [cells(family, note="同一张表")]
    first = asked(clerk, rows)
    again = draft(manager, rows)
    with pytest.raises(BatchAskedBefore):
        bulk.ask(batch_id=again, note="又一次", actor=actor_of(manager))
    job_id = bulk_decide.approve(batch_id=first, actor=actor_of(manager))
    with pytest.raises(BatchAskedBefore):  # not begun, so still open
        bulk.ask(batch_id=again, note="又一次", actor=actor_of(manager))
    run(job_id)
    with pytest.raises(Invalid, match=f"#{first}"):
        bulk.ask(batch_id=again, note="又一次", actor=actor_of(manager))
    bulk.ask(batch_id=again, note="又一次", repeat_reason="十二月同样发一次", actor=actor_of(manager))
    assert (batch(again).status, batch(again).repeat_reason) == ("asked", "十二月同样发一次")
    bulk.withdraw(batch_id=again, reason="不发了", actor=actor_of(manager))
    rejected = asked(clerk, rows, repeat_reason="再试")
    bulk_decide.reject(batch_id=rejected, reason="重复", actor=actor_of(manager))
    assert asked(clerk, rows, repeat_reason="再试"), "what was withdrawn or rejected stands in nobody's way"


def test_asking_checks_the_rows_once_more(clerk):
    family = make_family()
    batch_id = draft(clerk, [cells(family, 收款方式="支付宝", 转账单号="20261121010")])
    for note, words in (("", "请填写"), (" \u200b", "请填写")):
        with pytest.raises(Invalid, match=words):
            bulk.ask(batch_id=batch_id, note=note, actor=actor_of(clerk))
    ask(clerk, family, payment_method="alipay", external_no="20261121010", receipts=[receipt()])
    with pytest.raises(Invalid, match="第 2 行"):
        bulk.ask(batch_id=batch_id, note="奖励", actor=actor_of(clerk))
    assert batch(batch_id).status == "draft"


def test_one_click_twice(clerk, manager):
    key = RequestKey(f"staff:{manager.id}", "0" * 32, "same", lambda job_id: {"job": job_id})
    batch_id = asked(clerk, [cells(make_family())])
    job_id = bulk_decide.approve(batch_id=batch_id, actor=actor_of(manager), request_key=key)
    with pytest.raises(Replayed) as replayed:
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(manager), request_key=key)
    assert replayed.value.answer == {"job": job_id}
    with pytest.raises(InvalidState, match="已经批准"):
        bulk_decide.approve(batch_id=batch_id, actor=actor_of(make_staff("manager")))
    with pytest.raises(InvalidState):
        bulk.withdraw(batch_id=batch_id, reason="x", actor=actor_of(clerk))


def test_rejecting_and_withdrawing_want_a_reason(clerk, manager):
    batch_id = asked(clerk, [cells(make_family())])
    with pytest.raises(Invalid):
        bulk_decide.reject(batch_id=batch_id, reason=" ", actor=actor_of(manager))
    with pytest.raises(Invalid):
        bulk.withdraw(batch_id=batch_id, reason="", actor=actor_of(clerk))
    bulk_decide.reject(batch_id=batch_id, reason="金额不对", actor=actor_of(manager))
    done = batch(batch_id)
    assert (done.status, done.decided_by, done.decision_note) == ("rejected", manager.id, "金额不对")


def test_it_lapses_and_drafts_go(clerk, manager):
    family = make_family()
    waits, left = asked(clerk, [cells(family)]), draft(clerk, [cells(family)])
    assert bulk_decide.lapse_due() == 0
    with clock.travel(by=timedelta(hours=24, seconds=5)):
        fresh = draft(clerk, [cells(family)])
        with pytest.raises(Lapsed):
            bulk_decide.approve(batch_id=waits, actor=actor_of(manager))
        assert bulk_decide.lapse_due() == 2
        assert bulk_decide.lapse_due() == 0
    assert bulk_decide._lapse(batch_id=waits) is False, "ended between the look and the lock"
    assert batch(waits).status == "lapsed"
    assert batch(left) is None
    assert db.session.query(AdjustmentBatchRow).filter_by(batch_id=left).count() == 0
    assert batch(fresh).status == "draft"


def test_a_draft_is_thrown_away_by_its_author(clerk):
    batch_id = draft(clerk, [cells(make_family())])
    key = batch(batch_id).storage_key
    assert queries.known_storage_keys([key, "aa/other"]) == {key}
    bulk.discard(batch_id=batch_id, actor=actor_of(clerk))
    assert batch(batch_id) is None
    assert queries.known_storage_keys([key]) == set()
    kept = asked(clerk, [cells(make_family())])
    with pytest.raises(InvalidState):
        bulk.discard(batch_id=kept, actor=actor_of(clerk))


def test_a_family_that_was_merged_meanwhile_gets_its_money_where_it_went(clerk, manager):
    gone, into = make_family(parent="甲"), make_family(parent="乙")
    job_id = approved(clerk, manager, [cells(gone, "30"), cells(gone, "40")])
    families.merge_families(from_family_id=gone.id, into_family_id=into.id, reason="同一家", actor=actor_of(manager))
    assert jobs.take(job_id=job_id, owner="test") == bulk_decide.KIND
    assert bulk_run.do_row(job_id=job_id, owner="test") == 1
    assert (balance(into), movements(into)) == (Decimal("30.00"), 1)
    with transaction() as state:  # and if that is the approver's own, nobody has decided on it
        state.session.execute(sa.update(Staff).where(Staff.id == manager.id).values(family_id=into.id))
    with pytest.raises(OwnFamily):
        bulk_run.do_row(job_id=job_id, owner="test")


def test_hostile_text_is_text(clerk, manager):
    nasty = "<script>alert(1)</script>'; DROP TABLE wallets;-- \u202e{{7*7}}"
    job_id = approved(clerk, manager, [cells(make_family(), note=nasty)])
    assert run(job_id).done == 1
    kept = adjustments_of(job(job_id).params["batch_id"])[0].note
    assert kept == "<script>alert(1)</script>'; DROP TABLE wallets;-- {{7*7}}"


def test_the_database_refuses_one_person_as_both(clerk):
    batch_id = asked(clerk, [cells(make_family())])
    with pytest.raises(sa.exc.DBAPIError), transaction() as state:
        state.session.execute(
            sa.update(AdjustmentBatch).where(AdjustmentBatch.id == batch_id).values(decided_by=clerk.id)
        )
