"""The suggested verdict: one test per rule, and none of it knows whether the child came (O26)."""

from __future__ import annotations

import ast
import inspect
from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.bookings import attendance
from app.domain.bookings.models import Booking
from app.domain.bookings.rules import Event
from app.domain.orders import desk_refunds, refunds, verdict
from app.domain.orders.models import PaymentOrder
from app.domain.orders.verdict import Verdict, VerdictFacts
from app.domain.people.models import User
from app.domain.policy import verdicts
from app.domain.policy.models import PolicyValue
from tests.domain.orders import steps
from tests.domain.orders.refunds import paid_trial
from tests.factories import MadeFamily, make_family
from tests.portal import actor_of

NOW = clock.now()
FIRST = VerdictFacts(
    member_status="trial", registered_at=NOW - timedelta(days=3), enrolled_at=None, ordered_at=NOW, earlier_trials=0,
    earlier_refunds=0, registered_within=timedelta(days=90),
)  # fmt: skip


def facts(**changes) -> VerdictFacts:
    values = {name: getattr(FIRST, name) for name in FIRST.__slots__}
    return VerdictFacts(**values | changes)


@pytest.mark.parametrize(
    ("code", "expected", "changes"),
    [
        ("first_trial", Verdict.REFUND, {}),
        ("earlier_refund", Verdict.KEEP, {"earlier_refunds": 1, "earlier_trials": 1}),
        ("earlier_trial", Verdict.REVIEW, {"earlier_trials": 1}),
        ("enrolled_before", Verdict.REVIEW, {"enrolled_at": NOW, "member_status": "formal"}),
        ("enrolled", Verdict.KEEP, {"enrolled_at": NOW + timedelta(days=2)}),
        ("enrolled", Verdict.KEEP, {"member_status": "formal"}),
        ("left", Verdict.REVIEW, {"member_status": "left"}),
        ("no_status", Verdict.REVIEW, {"member_status": None}),
        ("registered_long_ago", Verdict.REVIEW, {"registered_at": NOW - timedelta(days=91)}),
    ],
)
def test_each_rule_hits(code, expected, changes):
    rule = verdict.judge(facts(**changes))
    assert (rule.code, rule.verdict) == (code, expected)
    assert verdict.rule(code) is rule


def test_every_rule_has_its_case_above_and_the_bounds_are_exact():
    codes = [rule.code for rule in verdict.RULES]
    assert len(set(codes)) == len(codes) == 8
    assert verdict.judge(facts(registered_at=NOW - timedelta(days=90))).code == "first_trial"
    assert verdict.judge(facts(enrolled_at=NOW + timedelta(microseconds=1))).code == "enrolled"


def test_the_table_is_a_policy_with_its_order_and_its_verdicts():
    assert [code for code, _ in verdicts.table(verdicts.DEFAULT)] == [one.code for one in verdict.RULES]
    assert [said for _, said in verdicts.table(verdicts.DEFAULT)] == [one.verdict for one in verdict.RULES]
    assert set(verdicts.RULES) == {one.code for one in verdict.RULES}
    both = {"earlier_refunds": 1, "earlier_trials": 1}
    other = verdicts.table("earlier_trial=refund,earlier_refund=keep,first_trial=review")
    rule = verdict.judge(facts(rules=other, **both))
    assert (rule.code, rule.verdict) == ("earlier_trial", Verdict.REFUND)
    assert verdict.judge(facts(rules=other, member_status="left")).verdict == Verdict.REVIEW  # not looked at
    assert verdict.rule("earlier_trial", "refund").verdict == Verdict.REFUND


@pytest.mark.parametrize(
    "text",
    ["", "first_trial", "first_trial=yes", "absent=keep,first_trial=refund", "first_trial=refund,left=keep",
     "left=keep,left=keep,first_trial=refund", "left=keep,first_trial=refund,", "left=keep=keep,first_trial=refund"],
)  # fmt: skip
def test_what_is_no_table(text):
    with pytest.raises(ValueError):
        verdicts.table(text)


def test_a_refund_keeps_what_the_table_said_when_it_was_asked_for(app):
    with transaction():
        changed = "enrolled=keep,first_trial=review"
        db.session.add(PolicyValue(name="refund_verdict_rules", value=changed, updated_at=clock.now(), updated_by="t"))
    paid = paid_trial()
    refund_no = refunds.ask(
        order_id=paid.order_id, amount=Decimal("200.00"), reason="退", refund_to="wallet", actor=actor_of(paid.finance)
    )
    with transaction():
        db.session.query(PolicyValue).delete()
    kept = desk_refunds.detail(refund_no, actor_of(paid.manager))
    assert (kept.row.verdict, kept.row.verdict_rule, kept.rule.verdict) == ("review", "first_trial", "review")


# ── the facts ───────────────────────────────────────────────────────────────────────────────────────


def order_of(family: MadeFamily, session: int | None = None) -> PaymentOrder:
    order_id = steps.order(family, session or steps.trial_session())
    steps.pay(family, order_id)
    return steps.row(order_id)


def give_back(order: PaymentOrder, paid) -> None:
    refund_no = refunds.ask(
        order_id=order.order_id, amount=Decimal("200.00"), reason="退", refund_to="wallet", frees_seat=True,
        actor=actor_of(paid.finance),
    )  # fmt: skip
    refunds.approve(refund_no=refund_no, actor=actor_of(paid.manager))


def test_the_first_order_of_a_new_family(app):
    found = verdict.verdict_facts(order_of(make_family()))
    assert (found.member_status, found.earlier_trials, found.earlier_refunds) == ("trial", 0, 0)
    assert verdict.judge(found).code == "first_trial"
    assert "张小明" not in "".join(found.shown().values())


def test_an_earlier_trial_of_the_same_parent_counts_and_its_refund(app):
    paid = paid_trial()
    give_back(steps.row(paid.order_id), paid)
    second = order_of(paid.family)
    found = verdict.verdict_facts(second)
    assert (found.earlier_trials, found.earlier_refunds) == (1, 1)
    # The first one looks as it looked: what came later is not earlier.
    assert verdict.verdict_facts(steps.row(paid.order_id)).earlier_trials == 0


def test_an_earlier_trial_of_the_same_student_by_another_parent_counts(app):
    paid = paid_trial()
    give_back(steps.row(paid.order_id), paid)
    with transaction():
        other = User(
            family_id=paid.family.id, openid="the-other-parent", member_status="trial", registered_at=clock.now()
        )
        db.session.add(other)
        db.session.flush()
        father = MadeFamily(paid.family.id, paid.family.wallet_id, other.id, paid.family.profile_ids)
    assert verdict.verdict_facts(order_of(father)).earlier_trials == 1


def test_another_family_s_trial_does_not_count(app):
    order_of(make_family())
    assert verdict.verdict_facts(order_of(make_family())).earlier_trials == 0


def test_attendance_changes_nothing(app):
    """Booked, attended, absent: the facts and the verdict are the same to the letter."""
    paid = paid_trial()
    order = steps.row(paid.order_id)
    seen = [verdict.verdict_facts(order)]
    with clock.travel(by=timedelta(days=2)):
        for event, status in ((Event.ATTEND, "attended"), (Event.MISS, "absent")):
            attendance.mark(booking_id=order.booking_id, event=event, actor=system("前台"))
            assert db.session.get(Booking, order.booking_id, populate_existing=True).status == status
            seen.append(verdict.verdict_facts(steps.row(paid.order_id)))
    assert seen[0] == seen[1] == seen[2]
    assert len({verdict.judge(one).code for one in seen}) == 1


def test_the_verdict_cannot_even_name_a_booking():
    tree = ast.parse(inspect.getsource(verdict))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any("booking" in name.lower() or "attend" in name.lower() for name in names | modules)
