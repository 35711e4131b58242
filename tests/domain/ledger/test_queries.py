"""Reading wallets: state, history by seq, filters, and that each filter has its index (W8, Z17, 96.32)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.ledger import queries, service
from app.domain.ledger.errors import WalletNotFound
from app.domain.ledger.models import Wallet
from app.domain.people.models import Profile
from app.domain.policy.models import PolicyValue
from app.errors import Invalid
from tests.domain.ledger.wallets import SYSTEM, make_wallet, move


@pytest.fixture
def many(wallet):
    """Twelve rows: recharge and deduction by turns, one a day from 1 March, every third for a student."""
    family_id = db.session.get(Wallet, wallet).family_id
    with transaction():
        student = Profile(family_id=family_id, name="小明", created_at=clock.now())
        db.session.add(student)
    for n in range(12):
        with clock.travel(to=datetime(2026, 3, 1 + n, 4, tzinfo=UTC)):
            move(wallet, "100.00" if n % 2 == 0 else "-50.00", profile_id=student.id if n % 3 == 0 else None)
    return wallet, student.id


def seqs(items) -> list[int]:
    return [item.seq for item in items]


def test_history_goes_on_by_cursor_to_the_end(many):
    wallet, _ = many
    found, cursor, pages = [], None, 0
    while True:
        page = queries.history(wallet, limit=5, cursor=cursor)
        found += seqs(page.items)
        pages += 1
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == list(range(12, 0, -1))
    assert pages == 3


def test_a_page_that_is_just_full_is_the_last(many):
    assert queries.history(many[0], limit=12).next_cursor is None


def test_new_rows_do_not_shift_the_pages(many):
    wallet, _ = many
    first = queries.history(wallet, limit=5)
    move(wallet, "1.00")
    assert seqs(queries.history(wallet, limit=5, cursor=first.next_cursor).items) == [7, 6, 5, 4, 3]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"type": "recharge"}, [11, 9, 7, 5, 3, 1]),
        ({"type": "refund"}, []),
        ({"date_from": date(2026, 3, 10)}, [12, 11, 10]),
        ({"date_to": date(2026, 3, 2)}, [2, 1]),
        ({"date_from": date(2026, 3, 4), "date_to": date(2026, 3, 4)}, [4]),
        ({"date_from": date(2026, 3, 4), "date_to": date(2026, 3, 3)}, []),
        ({"type": "deduction", "date_from": date(2026, 3, 9)}, [12, 10]),
    ],
)
def test_filters(many, asked, expected):
    assert seqs(queries.history(many[0], **asked).items) == expected


def test_one_student(many):
    wallet, student = many
    page = queries.history(wallet, profile_id=student)
    assert seqs(page.items) == [10, 7, 4, 1]
    assert {item.profile_name for item in page.items} == {"小明"}
    assert queries.history(wallet, profile_id=student + 1).items == []


def test_another_wallet_shows_nothing_of_this_one(many):
    assert queries.history(make_wallet()).items == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "-1"}, "cursor"),
        ({"cursor": "1 OR 1=1"}, "cursor"),
        ({"cursor": "１２"}, "cursor"),
        ({"cursor": "9" * 19}, "cursor"),
        ({"type": "gift"}, "type"),
    ],
)
def test_wrong_input_names_its_field(wallet, asked, field):
    with pytest.raises(Invalid) as refused:
        queries.history(wallet, **asked)
    assert list(refused.value.errors) == [field]


def test_staff_pages_go_both_ways(many):
    wallet, _ = many
    first = queries.staff_history(wallet, limit=5)
    assert (seqs(first.items), first.newer, first.older) == ([12, 11, 10, 9, 8], None, 8)
    second = queries.staff_history(wallet, limit=5, before=first.older)
    assert (seqs(second.items), second.newer, second.older) == ([7, 6, 5, 4, 3], 7, 3)
    last = queries.staff_history(wallet, limit=5, before=second.older)
    assert (seqs(last.items), last.newer, last.older) == ([2, 1], 2, None)
    back = queries.staff_history(wallet, limit=5, after=last.newer)
    assert (seqs(back.items), back.newer, back.older) == ([7, 6, 5, 4, 3], 7, 3)
    top = queries.staff_history(wallet, limit=5, after=back.newer)
    assert (seqs(top.items), top.newer, top.older) == ([12, 11, 10, 9, 8], None, 8)
    empty = queries.staff_history(wallet, limit=5, type="refund")
    assert (empty.items, empty.newer, empty.older) == ([], None, None)


def test_a_reversed_withdrawal_and_its_reversal_show_cancelled(wallet):
    move(wallet, "500.00")
    taken = move(wallet, "-100.00", type="withdrawal", reference_type="withdrawal")
    move(wallet, "100.00", type="withdrawal_reversal", reference_type="withdrawal", reverses_id=taken.id)
    assert [i.status for i in queries.history(wallet).items] == ["cancelled", "cancelled", "posted"]
    assert queries.reversal_of(taken.id) is not None
    assert queries.transaction(taken.id).reversed
    assert queries.transaction(0) is None


def test_a_refund_and_its_debit_both_stay_posted(wallet):
    paid = move(wallet, "-100.00")
    move(wallet, "100.00", type="refund", reference_type="refund", reverses_id=paid.id)
    items = queries.history(wallet).items
    assert [i.status for i in items] == ["posted", "posted"]
    assert [i.type_text for i in items] == ["退款", "扣费"]
    assert items[0].reverses_id == paid.id
    assert queries.reversal_of(items[0].id) is None


# ── the wallet ──


def test_the_wallet_by_family_and_by_id(wallet):
    move(wallet, "150.00")
    view = queries.wallet(wallet_id=wallet)
    assert queries.wallet(family_id=view.family_id) == view == queries.staff_wallet(view.family_id)
    assert (view.balance, view.state, view.state_text) == (Decimal("150.00"), "low", "余额偏低，请及时充值")
    assert (view.available, view.overdraft_limit, view.own_limit) == (Decimal("1150.00"), Decimal("1000.00"), False)
    assert view.booking_allowed
    assert service.get_balance(wallet_id=wallet) == service.get_balance(family_id=view.family_id) == Decimal("150.00")


def test_the_policies_in_force_decide_the_state(wallet):
    move(wallet, "150.00")
    with transaction():
        for name, value in (("low_balance_threshold", "100.00"), ("overdraft_limit", "50.00")):
            db.session.add(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))
    view = queries.wallet(wallet_id=wallet)
    assert (view.state, view.overdraft_limit, view.available) == ("normal", Decimal("50.00"), Decimal("200.00"))


def test_a_wallet_in_arrears_is_blocked(wallet):
    move(wallet, "-600.00")
    view = queries.wallet(wallet_id=wallet)
    assert (view.state, view.booking_allowed) == ("blocked", False)


def test_no_such_wallet(app):
    assert queries.staff_wallet(10**9) is None
    for ask in (queries.wallet, queries.get_balance):
        with pytest.raises(WalletNotFound):
            ask(wallet_id=10**9)
    with transaction(), pytest.raises(WalletNotFound):
        service.lock_wallet(family_id=10**9)


def test_the_wallet_is_one_round_trip(wallet, statements):
    queries.wallet(wallet_id=wallet)
    assert len([s for s in statements if s.startswith("SELECT")]) == 1


def test_looking_up_a_key_reads_one_row(many):
    dialect = db.session.get_bind().dialect.name
    sql = "SELECT id FROM wallet_transactions WHERE idempotency_key = 'x'"
    if dialect == "sqlite":
        plan = " ".join(row[-1] for row in db.session.execute(sa.text(f"EXPLAIN QUERY PLAN {sql}")))
        assert "USING COVERING INDEX" in plan
    else:
        move(many[0], "1.00", key="x")
        (row,) = db.session.execute(sa.text(f"EXPLAIN {sql}")).mappings()
        assert row["key"] == "uq_wallet_transactions_idempotency_key"


def test_history_does_not_lie_about_time(many):
    item = queries.history(many[0], limit=1).items[0]
    assert item.created_at == datetime(2026, 3, 12, 4, tzinfo=UTC)
    assert item.created_at.utcoffset() == timedelta(0)
    assert SYSTEM.id is item.performed_by is item.performed_by_name is None
