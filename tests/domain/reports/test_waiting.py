"""What waits, by one statement: the menu, the start page and the morning's digest say the same."""

from __future__ import annotations

import pytest

from app import clock
from app.db import db, transaction
from app.domain.policy.models import ChangeRequest
from app.domain.reports import waiting
from app.web import navigation
from tests.portal import make_staff

pytestmark = pytest.mark.usefixtures("app")


def test_every_number_of_the_menu_is_counted():
    named = {name for group in navigation.GROUPS for item in group.items for name in item.waits}
    assert named == waiting.NAMES


def test_nothing_waits_in_an_empty_studio():
    assert waiting.count(waiting.NAMES) == dict.fromkeys(waiting.NAMES, 0)


@pytest.mark.parametrize("names", [set(), {"cases"}, {"day_to_close"}, {"approvals", "role_requests"}, waiting.NAMES])
def test_only_what_was_asked_for_by_one_statement(statements, names):
    assert waiting.count(names).keys() == names
    counting = [text for text in statements if text.startswith("SELECT") and "FROM policies" not in text]
    assert len(counting) == bool(names)


def test_what_one_asked_for_or_is_about_waits_for_others():
    finance, manager = make_staff("finance"), make_staff("manager")
    with transaction():
        for kind, target in (("policy", "reads_per_minute"), ("staff_role", str(finance.id))):
            db.session.add(
                ChangeRequest(
                    kind=kind, target=target, old_value="1", new_value="2", reason="测试", status="pending",
                    asked_by=manager.id, asked_at=clock.now(),
                )
            )  # fmt: skip

    def seen(staff_id: int) -> tuple:
        return tuple(waiting.count(["policy_requests", "role_requests"], me=staff_id).values())

    assert [seen(manager.id), seen(finance.id), seen(0)] == [(0, 0), (1, 0), (1, 1)]


def test_the_menu_counts_for_each_role_what_that_role_may_deal_with():
    def names(*permissions: str) -> set[str]:
        return navigation.waits(permissions.__contains__)

    assert names() == set()
    assert names("case.view") == {"cases"}
    assert names("case.view", "reconcile.view") == {"cases", "differences"}
    assert names("policy.view", "staff.view") == set(), "they look, they don't decide"
    assert names("policy.view", "policy.edit") == {"policy_requests"}
