"""What the exceptions board reads, and what it offers for each kind (O19)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.cases import queries, rules, service
from app.domain.cases.models import CaseKind
from app.domain.cases.queries import CaseFilter
from app.domain.cases.rules import Action
from tests.domain.orders.refunds import paid_trial, say, sent
from tests.factories import make_family

JOB = system("test")


def open_case(kind: str, subject: str, **more) -> int:
    with transaction():
        return service.open_case(kind, subject, title="发生了什么", facts={"订单": subject}, actor=JOB, **more)


@pytest.fixture
def cases(app):
    family = make_family()
    with clock.travel(by=timedelta(days=-2)):
        old = open_case(CaseKind.MISMATCH, "order-1", family_id=family.id, amount=Decimal("1.00"))
    return family, [old, open_case(CaseKind.UNKNOWN_REFUND, "r1"), open_case(CaseKind.UNKNOWN_REFUND, "r2")]


def ids(page) -> list[int]:
    return [row.id for row in page.items]


def test_the_open_ones_by_what_was_asked(cases):
    family, (old, first, second) = cases
    assert ids(queries.page(CaseFilter(kind=CaseKind.UNKNOWN_REFUND))) == [first, second]
    assert ids(queries.page(CaseFilter(family_id=family.id))) == [old]
    assert queries.case(old).family_name == "张女士家庭"
    assert queries.case(999999) is None


def test_what_waits_longest_is_on_top_and_paging_leads_to_the_newer_ones(cases):
    _, (old, first, second) = cases
    assert ids(queries.page(CaseFilter())) == [old, first, second]
    page = queries.page(CaseFilter(), limit=2)
    assert (ids(page), page.older, page.newer) == ([old, first], None, first)
    page = queries.page(CaseFilter(), after=page.newer, limit=2)
    assert (ids(page), page.older, page.newer) == ([second], second, None)
    page = queries.page(CaseFilter(), before=page.older, limit=1)
    assert (ids(page), page.older, page.newer) == ([first], first, first)
    page = queries.page(CaseFilter(), before=page.older, limit=1)
    assert (ids(page), page.older, page.newer) == ([old], None, old)
    assert ids(queries.page(CaseFilter(), before=old)) == []


def test_what_is_settled_is_looked_back_at_from_the_newest(cases):
    _, (old, first, second) = cases
    with transaction():
        for subject in ("r1", "r2"):
            service.settle_case(CaseKind.UNKNOWN_REFUND, subject, settled_as="note", actor=JOB)
    assert ids(queries.page(CaseFilter(status="settled"))) == [second, first]


def test_counted_by_kind_and_gone_once_settled(cases):
    assert db.session.scalar(queries.OPEN) == 3
    assert queries.counts() == dict.fromkeys(CaseKind, 0) | {CaseKind.MISMATCH: 1, CaseKind.UNKNOWN_REFUND: 2}
    with transaction():
        service.settle_case(CaseKind.UNKNOWN_REFUND, "r1", settled_as="note", actor=JOB, note="查过了")
    assert (db.session.scalar(queries.OPEN), queries.counts()[CaseKind.UNKNOWN_REFUND]) == (2, 1)
    (settled,) = queries.page(CaseFilter(status="settled")).items
    assert (settled.settled_as, settled.settle_note) == ("note", "查过了")
    assert len(queries.page(CaseFilter(status=None)).items) == 3


def test_the_same_thing_is_there_once_and_again_after_it_was_settled(cases):
    assert open_case(CaseKind.UNKNOWN_REFUND, "r1") is None
    with transaction():
        service.settle_case(CaseKind.UNKNOWN_REFUND, "r1", settled_as="note", actor=JOB)
    assert open_case(CaseKind.UNKNOWN_REFUND, "r1") is not None


def test_a_case_tells_its_story(app):
    paid = paid_trial()
    refund_no = sent(paid)
    say(refund_no, "ABNORMAL")
    (row,) = queries.page(CaseFilter(refund_no=refund_no)).items
    actions = [step.action for step in queries.history(row)]
    assert actions.index("order.paid") < actions.index("refund.asked") < actions.index("refund.failed")
    assert actions[-1] == "case.opened"


def test_every_kind_has_its_guide_and_its_word():
    assert set(rules.GUIDES) == set(CaseKind) == set(service.KIND_TEXTS)
    for kind, guide in rules.GUIDES.items():
        assert guide.actions, kind
        assert guide.advice.endswith("。"), kind
    assert Action.NOTE not in rules.GUIDES[CaseKind.UNSEATED].actions
    assert CaseKind.REFUND_FAILED not in rules.NOTE_IS_ENOUGH
