"""Lists, details, plans and the form's figures, counted by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.domain.desk import approvals, queries, undo
from app.domain.desk.errors import OwnFamily
from app.domain.desk.queries import AdjustmentFilter
from app.domain.reports import waiting
from app.errors import Invalid
from tests.domain.desk.desk import ask, receipt, wish
from tests.factories import make_family
from tests.portal import actor_of, make_staff


def ids(page):
    return [row.id for row in page.items]


@pytest.fixture
def mixed(finance, front, manager, family):
    """One of each: completed, waiting, without receipt, rejected, undone."""
    other = make_family()
    made = {
        "completed": ask(finance, family, "100"),
        "waiting": ask(front, other, "200", payment_method="none", type="gift"),
        "no_receipt": ask(finance, family, "300", payment_method="pos"),
        "rejected": ask(finance, other, "4000"),
        "undone": ask(finance, family, "50"),
    }
    approvals.reject(adjustment_id=made["rejected"].adjustment_id, reason="x", actor=actor_of(manager))
    made["undo"] = undo.undo(adjustment_id=made["undone"].adjustment_id, actor=actor_of(finance))
    return {name: outcome.adjustment_id for name, outcome in made.items()}


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (None, ["undo", "undone", "rejected", "no_receipt", "waiting", "completed"]),
        ("pending", ["waiting"]),
        ("awaiting_receipt", ["no_receipt"]),
        ("completed", ["undo", "undone", "completed"]),
        ("cancelled", ["rejected"]),
    ],
)
def test_filter_by_status(mixed, status, names):
    assert ids(queries.page(AdjustmentFilter(status=status))) == [mixed[name] for name in names]


def test_other_filters(mixed, finance, front, family):
    def count(**asked):
        return len(queries.page(AdjustmentFilter(**asked)).items)

    assert count(asked_by=front.id) == 1
    assert count(family_id=family.id) == 4 == len(queries.family_adjustments(family.id).items)
    assert count(type="gift") == 1
    assert count(payment_method="pos") == 1
    today = clock.today()
    assert count(date_from=today, date_to=today) == 6
    assert count(date_from=today + timedelta(days=1)) == count(date_to=today - timedelta(days=1)) == 0
    assert {name for _, name in queries.askers()} == {"钱会计", "小前台"}


def test_paging(mixed):
    first = queries.page(AdjustmentFilter(), limit=4)
    second = queries.page(AdjustmentFilter(), before=first.older, limit=4)
    assert len(first.items) == 4
    assert len(second.items) == 2
    assert ids(queries.page(AdjustmentFilter(), after=second.newer, limit=4)) == ids(first)


def test_what_a_row_shows(mixed, finance):
    row = next(r for r in queries.page(AdjustmentFilter()).items if r.id == mixed["undone"])
    assert (row.undone_by, row.undo_status, row.balance_before, row.balance_after) == (
        mixed["undo"], "completed", Decimal("220.00"), Decimal("270.00"),
    )  # fmt: skip
    assert (row.family_name, row.asked_by_name, row.receipt_count) == ("张女士家庭", "钱会计", 0)


def test_what_waits(mixed, front, finance):
    assert ids(queries.approvals()) == [mixed["waiting"]]
    assert (queries.approvals_count(), queries.approvals_count(not_by=front.id)) == (1, 0)
    assert queries.missing_receipts_count() == 1
    assert waiting.count(["approvals", "receipts_missing"]) == {"approvals": 1, "receipts_missing": 1}
    with clock.travel(by=timedelta(hours=25)):
        assert queries.approvals_count() == 0, "by the clock, before the job came by"
        assert waiting.count(["approvals"]) == {"approvals": 0}


def test_detail(mixed, finance, manager):
    done = queries.detail(mixed["completed"], actor_of(finance))
    assert done.is_author
    assert done.undo_until - done.row.decided_at == timedelta(minutes=10)
    assert [entry.action for entry in done.history] == ["adjustment.asked", "adjustment.completed"]
    assert queries.detail(mixed["completed"], actor_of(manager)).undo_until is None
    assert queries.detail(mixed["undone"], actor_of(finance)).undo_until is None
    assert queries.detail(mixed["no_receipt"], actor_of(finance)).missing_receipt
    waiting = queries.detail(mixed["waiting"], actor_of(manager))
    assert (waiting.reasons, waiting.own_family, waiting.lapsed) == (["may_only_ask", "gift"], False, False)
    with clock.travel(by=timedelta(hours=25)):
        assert queries.detail(mixed["waiting"], actor_of(manager)).lapsed
    assert queries.detail(99999, actor_of(manager)) is None


def test_a_plan_says_what_asking_would_do(finance, front, family):
    assert queries.plan(finance, family.id, wish("500"), []).direct
    assert queries.plan(finance, family.id, wish("500", payment_method="pos"), []).missing_receipt
    ask(finance, family, "1800")
    assert queries.plan(finance, family.id, wish("500"), []).reasons == ("above_family_sum",)
    used = ask(finance, make_family(), "1", payment_method="pos", receipts=[receipt("one")])
    plan = queries.plan(finance, family.id, wish("1", payment_method="pos"), [receipt(), receipt("one")])
    assert (plan.alike, plan.direct) == (((1, "same", used.adjustment_id),), False)
    with pytest.raises(Invalid):
        queries.plan(front, family.id, wish("2001"), [])
    with pytest.raises(OwnFamily):
        queries.plan(make_staff("finance", family_id=family.id), family.id, wish(), [])


def test_the_form_is_timed(finance, app):
    assert queries.speed().median is None
    for seconds in (10, 12, 14, 16, 18, 20, 22, 29, 30, 300):
        ask(finance, make_family(), "1", form_seconds=seconds)
    ask(finance, make_family(), "1")
    speed = queries.speed()
    assert (speed.count, speed.median, speed.p90, speed.fast_share) == (10, 18, 30, Decimal("0.8"))
    assert (speed.baseline, speed.saved) == (150, Decimal("0.88"))
    with clock.travel(by=timedelta(days=31)):
        assert queries.speed().count == 0
