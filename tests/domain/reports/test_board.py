"""The exceptions board as one list over three tables, its pages, and what waits too long (O19, Z16)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.cases import service as cases
from app.domain.cases.models import CaseKind, MoneyCase
from app.domain.desk.models import WalletAdjustment
from app.domain.outbox.models import Notification
from app.domain.reconcile.models import ReconcileDifference
from app.domain.reports import board, escalation
from app.domain.reports.board import BoardFilter, Source
from tests.domain.desk import desk
from tests.factories import make_family
from tests.portal import make_staff

pytestmark = pytest.mark.usefixtures("app")

HOUR = timedelta(hours=1)


def case(hours: float, family=None) -> int:
    with transaction():
        made = cases.open_case(
            CaseKind.UNKNOWN_PAYMENT, f"n{hours}", title="一笔付款", facts={}, actor=system("test"),
            family_id=family and family.id,
        )  # fmt: skip
        db.session.execute(sa.update(MoneyCase).where(MoneyCase.id == made).values(opened_at=ago(hours)))
    return made


def difference(hours: float, family=None) -> int:
    values = {
        "day": clock.today(), "source": "books", "kind": "adjustment", "key": f"k{hours}", "expected": "100.00",
        "found": "0.00", "expected_amount": Decimal("100.00"), "digest": "0" * 64, "status": "open",
        "opened_at": ago(hours), "seen_at": ago(hours), "family_id": family and family.id,
    }  # fmt: skip
    with transaction():
        return db.session.execute(sa.insert(ReconcileDifference).values(values)).lastrowid


def receipt(hours: float, family=None) -> int:
    asked = desk.ask(make_staff("front_desk"), family or make_family(), payment_method="alipay").adjustment_id
    with transaction():
        db.session.execute(sa.update(WalletAdjustment).where(WalletAdjustment.id == asked).values(asked_at=ago(hours)))
    return asked


def ago(hours: float):
    return clock.now().replace(microsecond=0) - hours * HOUR


def ids(page) -> list[tuple[str, int]]:
    return [(item.source, item.id) for item in page.items]


def test_one_list_of_three_tables_the_oldest_first_there_and_back_in_pages():
    expected = [
        ("case", case(9)), ("receipt", receipt(8)), ("difference", difference(7)), ("case", case(6)),
        ("difference", difference(5)), ("receipt", receipt(4)), ("case", case(3)),
    ]  # fmt: skip
    assert ids(board.page(BoardFilter())) == expected
    first = board.page(BoardFilter(), limit=3)
    second = board.page(BoardFilter(), after=first.newer, limit=3)
    third = board.page(BoardFilter(), after=second.newer, limit=3)
    assert ids(first) + ids(second) + ids(third) == expected
    assert (first.older, third.newer) == (None, None)
    back = board.page(BoardFilter(), before=third.older, limit=3)
    assert ids(back) == ids(second)
    assert ids(board.page(BoardFilter(), before=back.older, limit=3)) == ids(first)
    assert [(one.source, one.id) for piece in board.every(BoardFilter()).pieces() for one in piece] == expected
    assert board.every(BoardFilter()).count() == 7
    assert ids(board.page(BoardFilter(), after="1'; DROP TABLE x--")) == expected


def test_what_began_in_the_same_moment_is_on_exactly_one_page():
    moment = ago(2)
    made = [("case", case(1)), ("difference", difference(1)), ("difference", difference(1.5)), ("receipt", receipt(1))]
    with transaction():
        db.session.execute(sa.update(MoneyCase).values(opened_at=moment))
        db.session.execute(sa.update(ReconcileDifference).values(opened_at=moment))
        db.session.execute(sa.update(WalletAdjustment).values(asked_at=moment))
    seen, after = [], None
    for _ in made:
        page = board.page(BoardFilter(), after=after, limit=1)
        seen += ids(page)
        after = page.newer
    assert seen == made
    assert after is None


def test_kinds_families_and_what_a_person_may_see():
    family = make_family()
    mine, other = case(3, family), case(2)
    differing, missing = difference(1), receipt(1, family)
    assert ids(board.page(BoardFilter(kind=Source.DIFFERENCE))) == [("difference", differing)]
    assert ids(board.page(BoardFilter(kind=CaseKind.UNKNOWN_PAYMENT))) == [("case", mine), ("case", other)]
    assert ids(board.page(BoardFilter(family_id=family.id))) == [("case", mine), ("receipt", missing)]
    assert board.total(BoardFilter(family_id=family.id)) == 2
    front = frozenset({Source.CASE, Source.RECEIPT})
    assert board.total(BoardFilter(front)) == 3
    assert board.total(BoardFilter()) == 4
    assert ids(board.page(BoardFilter(front, kind=Source.DIFFERENCE))) == []


def test_who_is_to_do_it_changes_with_its_age():
    receipt(1), receipt(30), receipt(80), case(1), case(80)
    now = clock.now()
    owners = [(item.source, item.owner(now)) for item in board.page(BoardFilter()).items]
    assert [owner for source, owner in owners if source == "case"] == ["店长", "财务"]
    assert [owner for source, owner in owners if source == "receipt"][:2] == ["店长", "财务"]
    assert [owner for source, owner in owners if source == "receipt"][2].startswith("员工")


def cards() -> list[str]:
    db.session.rollback()
    found = sa.select(Notification.title).where(Notification.title.contains("没有处理，请"))
    return list(db.session.scalars(found.order_by(Notification.id)))


def test_late_ones_are_told_once_to_the_finance_and_once_to_the_manager():
    case(1)
    late, differing = case(25), difference(26)
    missing = receipt(90)
    assert escalation.escalate() == 3
    assert cards() == ["2 项异常超过 24 小时没有处理，请财务处理", "1 项异常超过 72 小时没有处理，请店长处理"]
    assert escalation.escalate() == 0, "a standing one is not told again"
    told = db.session.execute(
        sa.select(AuditEntry.target_type, AuditEntry.target_id).where(AuditEntry.action == escalation.ACTION)
    )
    assert {tuple(row) for row in told} == {
        ("money_case", str(late)), ("difference", str(differing)), ("adjustment", str(missing)),
    }  # fmt: skip
    with clock.travel(by=48 * HOUR):
        assert escalation.escalate() == 3, "two for the manager now, and one that was new for the finance"
    assert cards()[2:] == ["1 项异常超过 24 小时没有处理，请财务处理", "2 项异常超过 72 小时没有处理，请店长处理"]


def test_a_difference_that_opens_again_is_told_again():
    difference(30)
    assert escalation.escalate() == 1
    with transaction():
        db.session.execute(sa.update(ReconcileDifference).values(opened_at=ago(25)))
    assert escalation.escalate() == 1
