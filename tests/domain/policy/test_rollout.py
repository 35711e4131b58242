"""For whom a capability is open (Z15): how it is written, who is among a percent, and that a growing one only adds."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.outbox.models import Notification
from app.domain.policy import changes, switches
from app.domain.policy.models import PolicyValue
from app.domain.policy.registry import POLICIES
from app.domain.policy.rollout import Rollout, bucket, merged, rollout
from app.domain.policy.switches import Capability
from app.errors import Invalid
from tests.factories import make_family
from tests.portal import actor_of, make_staff

MANY = range(1, 10_001)


def among(text: str, capability: str = Capability.BOOKING) -> set[int]:
    scope = rollout(text)
    return {family for family in MANY if scope.is_open(capability, family)}


@pytest.mark.parametrize(
    "text",
    ["", "0%", "100%", "025%", "1.5%", "25", "-5%", "２５%", "ALL", "on", "families:", "families:0", "families:1,",
     "families:1, 2", "families:x", "families:1;2", " all", "off "],
)  # fmt: skip
def test_what_is_no_scope_is_refused(text):
    with pytest.raises(ValueError, match="范围写作"):
        rollout(text)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [("families:7,12", "families:9,12"), ("families:7,9", "families:9"), ("families:12", "families:12"),
     ("families:77,12", "families:77,12"), ("25%", "25%"), ("off", "off"), ("all", "all")],
)  # fmt: skip
def test_a_familys_heir_stands_where_it_stood(text, becomes):
    assert merged(text, 7, 9) == becomes
    rollout(becomes)


def test_all_off_and_named():
    assert (among("all"), among("off"), among("families:7,12")) == (set(MANY), set(), {7, 12})
    assert rollout("families:7,12") == Rollout(families=frozenset({7, 12}))


def test_a_growing_percent_only_adds_families_and_is_about_right():
    before: set[int] = set()
    for percent in (1, 5, 25, 50, 75, 99):
        now = among(f"{percent}%")
        assert before <= now
        assert abs(len(now) - percent * 100) < 300, percent
        before = now


def test_who_is_among_a_percent_stays_so_for_ever():
    """Other releases and other machines must agree: these come from the definition, not from this code."""
    assert [bucket("open_booking", family) for family in (1, 2, 3, 1000)] == [80, 1, 28, 9]


def test_each_capability_begins_with_other_families():
    booking, makeup = among("10%"), among("10%", Capability.MAKEUP)
    assert len(booking & makeup) < len(booking) / 3


def test_nobodys_family_is_only_where_all_are():
    assert [rollout(text).is_open("open_booking", None) for text in ("all", "99%", "families:1", "off")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_every_capability_is_a_policy_that_is_open_to_all_by_default():
    scoped = {name for name, policy in POLICIES.items() if policy.parse is rollout}
    assert scoped == set(Capability)
    assert {POLICIES[name].default for name in scoped} == {"all"}


def test_a_change_is_audited_said_in_the_group_and_holds_at_once(app):
    manager, family = actor_of(make_staff("manager")), make_family()
    changes.change(name="open_booking", value="off", reason="系统升级", actor=manager)

    assert not switches.is_open(Capability.BOOKING, family.id)
    entry = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (entry.action, entry.target_id, entry.before, entry.after) == (
        "policy.changed", "open_booking", {"value": "all"}, {"value": "off"},
    )  # fmt: skip
    card = db.session.scalars(sa.select(Notification).where(Notification.channel == "feishu")).one()
    assert (card.recipient, "开放范围" in card.payload["title"]) == ("system", True)


def test_what_another_process_wrote_is_read_by_the_next_transaction(app):
    """No process keeps a copy beyond its transaction, so nothing here has to be told of a change."""
    family = make_family()
    with transaction():
        assert switches.is_open(Capability.BOOKING, family.id)
    # Past this process's own door, as another process's row arrives.
    row = {"name": "open_booking", "value": "off", "updated_by": "别处", "updated_at": clock.now()}
    db.session.get_bind().execute(PolicyValue.__table__.insert().values(row))
    with transaction():
        assert not switches.is_open(Capability.BOOKING, family.id)


def test_a_family_that_does_not_exist_is_not_named(app):
    family = make_family()
    with pytest.raises(Invalid) as refusal:
        changes.set_by_command(name="open_booking", value=f"families:{family.id},987654", who="测试")
    assert "987654" in refusal.value.errors["value"][0]
    assert switches.is_open(Capability.BOOKING, family.id + 1), "nothing changed"
    changes.set_by_command(name="open_booking", value=f"families:{family.id}", who="测试")
    assert [switches.is_open(Capability.BOOKING, one) for one in (family.id, family.id + 1)] == [True, False]
