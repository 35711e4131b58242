"""Changing policy figures: alone, by two people, by command (R9, S9, P10)."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.db import RequestKey, db
from app.domain.audit.models import AuditEntry
from app.domain.outbox.models import Notification
from app.domain.policy import changes, queries, service
from app.domain.policy.models import ChangeRequest, PolicyValue
from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound, Replayed, StepUpRequired
from tests.portal import actor_of, make_staff

FREE, GUARDED = "low_balance_threshold", "overdraft_limit"


@pytest.fixture
def manager(app):
    return actor_of(make_staff("manager"))


@pytest.fixture
def second(app):
    return actor_of(make_staff("manager"))


def rows(model) -> list:
    db.session.rollback()
    return list(db.session.scalars(sa.select(model)))


def actions() -> list[str]:
    return [row.action for row in rows(AuditEntry) if row.action.startswith("policy.")]


def cards() -> list[Notification]:
    return [row for row in rows(Notification) if row.channel == "feishu"]


def ask(actor, value="1500.00", **more) -> int:
    return changes.ask(name=GUARDED, value=value, reason="寒假", actor=actor, **more)


# ── alone ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_holds_at_once_and_is_audited(manager):
    assert service.get(FREE) == Decimal("200.00")

    done = changes.change(name=FREE, value="300.00", reason="家长反映提醒太晚", actor=manager)

    assert (done.old, done.new) == ("200.00", "300.00")
    assert service.get(FREE) == Decimal("300.00")
    entry = rows(AuditEntry)[-1]
    assert (entry.action, entry.target_id, entry.actor_id) == ("policy.changed", FREE, manager.id)
    assert (entry.before, entry.after, entry.reason) == ({"value": "200.00"}, {"value": "300.00"}, "家长反映提醒太晚")
    line = queries.line(FREE)
    assert (line.value, line.updated_by, line.is_default) == ("300.00", manager.name, False)


def test_a_second_change_starts_from_the_first(manager):
    changes.change(name=FREE, value="300.00", reason="一", actor=manager)
    changes.change(name=FREE, value="200.00", reason="二", actor=manager)

    assert queries.line(FREE).is_default
    assert rows(AuditEntry)[-1].before == {"value": "300.00"}


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"value": "abc"}, "value"),
        ({"value": ""}, "value"),
        ({"value": "200.00"}, "value"),
        ({"name": "no_such"}, "name"),
        ({"name": "<script>"}, "name"),
        ({"reason": " \u202e "}, "reason"),
    ],
)
def test_wrong_input_names_the_field_and_changes_nothing(manager, facts, field):
    with pytest.raises(Invalid) as refused:
        changes.change(**{"name": FREE, "value": "300.00", "reason": "x", "actor": manager, **facts})

    assert field in refused.value.errors
    assert rows(PolicyValue) == []
    assert actions() == []


def test_a_guarded_figure_is_not_changed_alone(manager):
    with pytest.raises(changes.SecondPersonNeeded):
        changes.change(name=GUARDED, value="1500.00", reason="x", actor=manager)
    assert rows(PolicyValue) == []


@pytest.mark.parametrize("role", ["front_desk", "finance", "auditor", "admin"])
@pytest.mark.parametrize("act", [changes.change, changes.ask])
def test_only_a_manager_changes(app, role, act):
    with pytest.raises(Forbidden):
        act(name=FREE, value="300.00", reason="x", actor=actor_of(make_staff(role)))


@pytest.mark.parametrize(("act", "name"), [(changes.change, FREE), (changes.ask, GUARDED)])
def test_a_stale_proof_is_asked_for_again(app, act, name):
    old = actor_of(make_staff("manager"), proof_age=601)
    with pytest.raises(StepUpRequired):
        act(name=name, value="300.00", reason="x", actor=old)


@pytest.mark.parametrize(("act", "name"), [(changes.change, FREE), (changes.ask, GUARDED)])
def test_somebody_else_was_faster(manager, act, name):
    with pytest.raises(changes.PolicyMoved, match="已被改为"):
        act(name=name, value="300.00", reason="x", actor=manager, seen="150.00")
    assert rows(PolicyValue) == []


def test_asked_twice_done_once(manager):
    key = RequestKey(scope="staff:1", key="a" * 32, fingerprint=RequestKey.digest("x"))
    changes.change(name=FREE, value="300.00", reason="x", actor=manager, request_key=key)
    with pytest.raises(Replayed):
        changes.change(name=FREE, value="300.00", reason="x", actor=manager, request_key=key)
    assert actions() == ["policy.changed"]


# ── two people ──────────────────────────────────────────────────────────────────────────────────────


def test_asking_changes_nothing_and_is_seen_by_all(manager):
    ask(manager)

    assert service.get(GUARDED) == Decimal("1000.00")
    assert queries.line(GUARDED).pending.new_value == "1500.00"
    assert actions() == ["policy.change_asked"]
    assert [card.recipient for card in cards()] == ["system"]
    assert "¥" not in cards()[0].text
    assert "1000.00 → 1500.00" in cards()[0].text


def test_a_second_person_puts_it_in_force(manager, second):
    done = changes.approve(request_id=ask(manager), actor=second)

    assert (done.old, done.new) == ("1000.00", "1500.00")
    assert service.get(GUARDED) == Decimal("1500.00")
    assert actions() == ["policy.change_asked", "policy.changed", "policy.change_approved"]
    request = rows(ChangeRequest)[0]
    assert (request.status, request.decided_by) == ("approved", second.id)
    assert queries.pending_changes() == []
    assert len(cards()) == 2


def test_nobody_decides_on_their_own(manager):
    request_id = ask(manager)
    for decide in (changes.approve, changes.reject):
        with pytest.raises(Forbidden, match="自己"):
            decide(request_id=request_id, actor=manager, note="x")
    assert service.get(GUARDED) == Decimal("1000.00")


@pytest.mark.parametrize("role", ["front_desk", "finance", "auditor", "admin"])
def test_only_a_manager_decides(manager, role):
    request_id = ask(manager)
    other = actor_of(make_staff(role))
    for decide in (changes.approve, changes.reject, changes.withdraw):
        with pytest.raises(Forbidden):
            decide(request_id=request_id, actor=other, **({} if decide is changes.withdraw else {"note": "x"}))


def test_deciding_asks_for_a_fresh_proof(manager):
    request_id = ask(manager)
    for decide in (changes.approve, changes.reject):
        with pytest.raises(StepUpRequired):
            decide(request_id=request_id, actor=actor_of(make_staff("manager"), proof_age=None), note="x")


def test_refused_with_a_reason(manager, second):
    request_id = ask(manager)
    with pytest.raises(Invalid):
        changes.reject(request_id=request_id, actor=second, note=" ")

    changes.reject(request_id=request_id, actor=second, note="太高")

    assert service.get(GUARDED) == Decimal("1000.00")
    assert rows(ChangeRequest)[0].decision_note == "太高"
    assert actions()[-1] == "policy.change_rejected"


def test_taken_back_by_the_asker_only(manager, second):
    request_id = ask(manager)
    with pytest.raises(Forbidden, match="只能撤回自己"):
        changes.withdraw(request_id=request_id, actor=second)

    changes.withdraw(request_id=request_id, actor=manager)

    assert actions()[-1] == "policy.change_withdrawn"
    assert ask(manager) != request_id


def test_decided_once(manager, second):
    request_id = ask(manager)
    changes.approve(request_id=request_id, actor=second)
    for again in (changes.approve, changes.reject):
        with pytest.raises(InvalidState):
            again(request_id=request_id, actor=second, note="x")
    with pytest.raises(NotFound):
        changes.approve(request_id=999, actor=second)


def test_one_request_at_a_time(manager, second):
    ask(manager)
    with pytest.raises(Conflict, match="等待复核"):
        ask(second, "1800.00")


def test_a_request_overtaken_by_a_command_is_stale(manager, second):
    request_id = ask(manager)
    changes.set_by_command(name=GUARDED, value="1200.00", who="root")

    with pytest.raises(changes.PolicyMoved, match="1200.00"):
        changes.approve(request_id=request_id, actor=second)
    assert service.get(GUARDED) == Decimal("1200.00")
    assert rows(ChangeRequest)[0].status == "pending"


def test_what_needs_no_second_person_is_not_asked(manager):
    with pytest.raises(InvalidState):
        changes.ask(name=FREE, value="300.00", reason="x", actor=manager)


# ── by command ──────────────────────────────────────────────────────────────────────────────────────


def test_a_command_changes_guarded_figures_in_sight_of_all(app):
    changes.set_by_command(name=GUARDED, value="1500.00", who="ops\u202e")

    assert service.get(GUARDED) == Decimal("1500.00")
    assert rows(AuditEntry)[-1].actor_name == "命令行（ops）"
    assert "1000.00 → 1500.00" in cards()[0].text


def test_a_command_that_changes_nothing_says_nothing(app):
    changes.set_by_command(name=GUARDED, value="1000.00", who="ops")
    assert (actions(), cards()) == ([], [])


@pytest.mark.parametrize(("name", "value"), [("nope", "1"), (GUARDED, "abc"), (GUARDED, "-5.00")])
def test_a_wrong_command_changes_nothing(app, name, value):
    with pytest.raises(Invalid):
        changes.set_by_command(name=name, value=value, who="ops")
    assert rows(PolicyValue) == []
