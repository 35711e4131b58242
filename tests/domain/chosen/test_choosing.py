"""Several rows at once: resolved again, each on its own, nobody their own (U5, U15, P9)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction, within
from app.domain.chosen import queries, rows
from app.domain.chosen.actions import ACTIONS, Given
from app.domain.chosen.service import ChoiceChanged
from app.domain.desk import approvals
from app.domain.desk.queries import select_waiting
from app.domain.makeups import desk_queries as makeups
from app.domain.makeups.desk_queries import CreditFilter
from app.domain.people.models import Staff
from app.errors import Forbidden, Invalid, Replayed, StepUpRequired
from tests.domain.chosen.choose import APPROVE, ask, run, waiting
from tests.domain.desk import desk
from tests.domain.desk.batches import results
from tests.domain.makeups.steps import Away
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def front(app):
    return make_staff("front_desk")


@pytest.fixture
def finance(app):
    return make_staff("finance")


@pytest.fixture
def families(app):
    return [make_family() for _ in range(3)]


def _too_low(staff, family):
    """A correction that the wallet cannot bear any more."""
    asked = desk.ask(staff, family, "1000", type="correction", direction="decrease", payment_method="none")
    desk.spend(family, staff, "200")
    return asked


def test_each_row_has_its_own_result_and_a_refusal_undoes_no_other(front, finance, families):
    own = desk.ask(finance, families[0], "2500")
    others = [desk.ask(front, families[0], "100"), _too_low(front, families[1]), desk.ask(front, families[2], "100")]
    chosen = waiting()
    assert len(chosen.rows) == 4
    assert chosen.sums() == (Decimal("2700.00"), Decimal("1000.00"))
    done = run(ask(finance, chosen))
    assert (done.status, done.done, done.refused) == ("done", 2, 2)
    outcomes = {key: code for (_, _, code), (key, _) in zip(results(done.id), done.params["rows"], strict=True)}
    assert outcomes == {
        own.adjustment_id: "OWN_ADJUSTMENT", others[0].adjustment_id: None,
        others[1].adjustment_id: "OVERDRAFT_LIMIT_EXCEEDED", others[2].adjustment_id: None,
    }  # fmt: skip
    assert [desk.movements(family) for family in families] == [1, 0, 1]
    assert desk.actions(others[0].adjustment_id) == [
        "adjustment.asked", "adjustment.approved", "adjustment.completed"
    ]  # fmt: skip
    assert desk.actions(others[1].adjustment_id) == ["adjustment.asked"]
    shown = queries.results(done)
    assert [one.family for one in shown] == [queries.names([row.family_id])[row.family_id] for row in chosen.rows]
    assert {one.outcome for one in shown} == {"done", "refused"}
    assert queries.every(done.id).count() == 4


def test_what_changed_since_it_was_shown_is_not_done(front, finance, families):
    desk.ask(front, families[0], "100")
    seen = waiting().digest
    desk.ask(front, families[1], "100")
    with pytest.raises(ChoiceChanged) as refused:
        ask(finance, waiting(), seen=seen)
    assert refused.value.data == {"count": 2}
    assert ask(finance, waiting()) > 0


def test_a_row_that_changes_after_the_choice_is_refused_alone(front, finance, families):
    first, second = (desk.ask(front, family, "100") for family in families[:2])
    job_id = ask(finance)
    approvals.approve(adjustment_id=first.adjustment_id, actor=actor_of(make_staff("manager")))
    done = run(job_id)
    assert [(number, outcome) for number, outcome, _ in results(job_id)] == [(1, "refused"), (2, "done")]
    assert done.refused == 1
    assert desk.row(second.adjustment_id).status == "completed"
    assert [desk.movements(family) for family in families[:2]] == [1, 1]


def test_choosing_asks_for_proof_and_right_and_makes_nothing_without(front, finance, families):
    desk.ask(front, families[0], "100")
    with pytest.raises(StepUpRequired):
        ask(finance, proof_age=None)
    with pytest.raises(Forbidden):
        ask(front)
    with pytest.raises(Invalid):
        ask(finance, waiting(ticked=[10**15]))
    assert len(waiting().rows) == 1


def test_the_same_form_twice_is_one_job_and_each_row_once(front, finance, families):
    for family in families:
        desk.ask(front, family, "100")
    key = RequestKey(f"staff:{finance.id}", "1" * 32, "same", lambda job_id: {"job": job_id})
    chosen = waiting()
    job_id = ask(finance, chosen, key=key)
    with pytest.raises(Replayed) as again:
        ask(finance, chosen, key=key)
    assert again.value.answer == {"job": job_id}
    assert run(job_id).done == 3
    assert run(job_id).done == 3
    assert [desk.movements(family) for family in families] == [1, 1, 1]


def test_who_was_disabled_or_lost_the_right_since_does_no_more_rows(front, finance, families):
    desk.ask(front, families[0], "100")
    desk.ask(front, families[1], "100")
    first, second = ask(finance, waiting()), ask(finance, waiting())
    with transaction():
        db.session.execute(sa.update(Staff).where(Staff.id == finance.id).values(role="front_desk"))
    assert run(first).refused == 2
    with transaction():
        db.session.execute(sa.update(Staff).where(Staff.id == finance.id).values(role="finance", status="disabled"))
    assert {code for _, _, code in results(run(second).id)} == {"FORBIDDEN"}
    assert [desk.movements(family) for family in families] == [0, 0, 0]


def test_the_approver_at_the_askers_own_browser_is_still_noticed(front, finance, families):
    desk.ask(front, families[0], "100")  # both are `pytest` at 127.0.0.1 here
    run(ask(finance))
    assert dict(desk.cards()[-1]["lines"])["注意"] == "申请与审批来自同一台设备"


def test_makeups_are_extended_with_one_reason_and_the_families_told(finance):
    one, until = Away(60, 60), clock.today() + timedelta(days=90)
    extend, listed = ACTIONS["makeups-extend"], makeups.select(CreditFilter())
    chosen = rows.resolve(extend, listed)
    with pytest.raises(Invalid):
        ask(finance, chosen, action=extend.name, given=Given("停课两周", clock.today()))
    with pytest.raises(Invalid):
        ask(finance, chosen, action=extend.name, given=Given(" ", until))
    done = run(ask(finance, chosen, action=extend.name, given=Given("停课两周", until), proof_age=None))
    assert (done.done, done.refused) == (2, 0)
    assert {one.credit(n).valid_until for n in range(2)} == {clock.day_bounds(until)[1]}


def test_a_use_case_as_a_step_refuses_to_run_alone(finance):
    with pytest.raises(RuntimeError):
        within(approvals.approve)(adjustment_id=1, actor=actor_of(finance))


def test_ticked_rows_are_looked_for_within_the_list_alone(front, finance, families):
    asked = [desk.ask(front, family, "100") for family in families]
    approvals.approve(adjustment_id=asked[0].adjustment_id, actor=actor_of(finance))
    chosen = waiting(ticked=[asked[0].adjustment_id, asked[1].adjustment_id])
    assert [row.key for row in chosen.rows] == [asked[1].adjustment_id]
    assert rows.count(APPROVE, select_waiting()) == 2
