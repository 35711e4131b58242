"""WeChat's bill against our payments and refunds (W24, I-28)."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock, ids
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.desk.errors import OwnFamily, Stale
from app.domain.orders.models import PaymentOrder, PaymentTransaction, Refund
from app.domain.outbox.models import Notification
from app.domain.reconcile import bill, differences, queries
from app.domain.reconcile.bill import Line
from app.domain.reconcile.findings import BILL_KINDS, Kind, as_key
from app.domain.reconcile.models import BillKind, BillLine, ReconcileDifference
from app.domain.reconcile.queries import DifferenceFilter
from app.errors import Invalid, InvalidState, NotFound, StepUpRequired
from tests.domain.orders import steps
from tests.domain.orders.refunds import paid_trial, say, sent
from tests.factories import make_family
from tests.portal import actor_of, make_staff

JOB = system("test")
#: noon of a studio day that is over
NOON = clock.day_bounds(clock.today() - timedelta(days=3))[0] + timedelta(hours=12)
DAY = clock.local(NOON).date()
WHOLE = Decimal("200.00")

_d, _p, _r = ReconcileDifference.__table__, PaymentTransaction.__table__, Refund.__table__


def record(lines, day=DAY):
    return bill.record(day=day, lines=lines, actor=JOB)


def rows(**filters) -> list:
    """Differences without what every look changes."""
    asked = DifferenceFilter(**{"status": None} | filters)
    return sorted(
        (one.id, one.day, one.kind, one.key, one.expected, one.found, one.expected_amount, one.found_amount, one.status)
        for one in queries.page(asked, limit=10_000).items
    )


def found() -> set[tuple[str, str]]:
    return {(row[2], row[3]) for row in rows(status="open")}


def test_each_fetching_is_in_the_audit_log(app):
    line = Line(BillKind.PAYMENT, "4200000000", "DX1", WHOLE, NOON)
    for lines in ([line], []):
        record(lines)
    fetched = db.session.scalars(sa.select(AuditEntry).filter_by(action="reconcile.bill_fetched").order_by("id"))
    asked = {"call": "bill/tradebill", "bill_date": DAY.isoformat()}
    assert [(row.request, row.answer) for row in fetched] == [
        (asked, {"payments": 1, "refunds": 0}), (asked, {"payments": 0, "refunds": 0}),
    ]  # fmt: skip


# ── a bill of a thousand lines ──────────────────────────────────────────────────────────────────────


class Books:
    """Payments and refunds of one day here, and the bill that fits them."""

    def __init__(self, payments: int, refunds: int):
        template = paid_trial()
        self.finance = template.finance
        order = (
            db.session.execute(sa.select(PaymentOrder.__table__).where(PaymentOrder.order_id == template.order_id))
            .mappings()
            .one()
        )
        paid = db.session.execute(sa.select(_p)).mappings().one()
        self.lines: list[Line] = []
        orders, transactions, given = [], [], []
        for n in range(payments):
            out = ids.new_hex()
            at = NOON + timedelta(seconds=n)
            number = f"42000000{n:020d}"
            orders.append({**order, "id": 10_000 + n, "order_id": out, "booking_id": None, "paid_at": at})
            transactions.append(
                {**paid, "id": 10_000 + n, "transaction_id": number, "order_id": 10_000 + n, "out_trade_no": out,
                 "attempt_id": None, "time_end": clock.local(at).strftime("%Y%m%d%H%M%S"), "created_at": at}
            )  # fmt: skip
            self.lines.append(Line(BillKind.PAYMENT, number, out, WHOLE, at, Decimal("1.2")))
            if n < refunds:
                no = ids.new_hex()
                given.append(
                    {"refund_no": no, "family_id": order["family_id"], "order_id": 10_000 + n, "payment_id": 10_000 + n,
                     "amount": Decimal("50.00"), "refund_to": "original", "reason": "改期", "frees_seat": False,
                     "status": "succeeded", "asked_by": template.finance.id, "approved_by": template.manager.id,
                     "decided_at": at, "wechat_refund_id": f"50{n}", "wechat_status": "SUCCESS", "attempts": 1,
                     "queries": 1, "version": 3, "succeeded_at": at, "created_at": at, "updated_at": at}
                )  # fmt: skip
                self.lines.append(Line(BillKind.REFUND, no, out, Decimal("50.00"), at, done=True))
        with transaction():
            # The order of the template is another day's; its claim to a trial stays its own.
            for table, made in ((PaymentOrder.__table__, orders), (_p, transactions), (_r, given)):
                plain = [{k: v for k, v in row.items() if not _computed(table, k)} for row in made]
                for start in range(0, len(plain), 500):
                    db.session.execute(table.insert(), plain[start : start + 500])

    def of(self, kind: BillKind) -> list[Line]:
        return [line for line in self.lines if line.kind == kind]


def _computed(table: sa.Table, name: str) -> bool:
    return name in table.c and table.c[name].computed is not None


def test_a_thousand_seeded_differences_are_all_found_and_no_other(app):
    """I-28: of every kind, among matching lines; the same bill again changes nothing."""
    books, dice = Books(1600, 700), random.Random(24)
    payments, refunds = books.of(BillKind.PAYMENT), books.of(BillKind.REFUND)
    dice.shuffle(payments)
    dice.shuffle(refunds)
    due: set[tuple[str, str]] = set()
    lines: list[Line] = []

    def seed(kind: Kind, key: str, *given: Line) -> None:
        due.add((kind, key))
        lines.extend(given)

    for n in range(120):
        one = payments.pop()
        seed(Kind.PAYMENT_MISSING_THERE, one.number)
        one = payments.pop()
        seed(
            Kind.PAYMENT_AMOUNT, one.number, replace(one, amount=WHOLE + Decimal(dice.choice(["0.01", "-0.01", "800"])))
        )
        one = payments.pop()
        seed(Kind.PAYMENT_ORDER, one.number, replace(one, out_trade_no=ids.new_hex()))
        seed(
            Kind.PAYMENT_MISSING_HERE, f"43{n:026d}", Line(BillKind.PAYMENT, f"43{n:026d}", ids.new_hex(), WHOLE, NOON)
        )
        one = refunds.pop()
        seed(Kind.REFUND_MISSING_THERE, one.number)
        one = refunds.pop()
        seed(Kind.REFUND_AMOUNT, one.number, replace(one, amount=Decimal("50.01")))
        one = refunds.pop()
        seed(Kind.REFUND_STATUS, one.number, one)
        with transaction():
            status = dice.choice(["closed", "failed", "rejected"])
            db.session.execute(_r.update().where(_r.c.refund_no == one.number).values(status=status))
        seed(Kind.REFUND_MISSING_HERE, f"r{n}", Line(BillKind.REFUND, f"r{n}", ids.new_hex(), WHOLE, NOON))
    for _ in range(40):
        one = payments.pop()
        seed(Kind.TWICE_IN_BILL, f"payment:{one.number}", one, one)
    assert (len(due), {kind for kind, _ in due}) == (1000, set(BILL_KINDS))
    # Whether a refund is missing in WeChat's bills is told only where its days' bills are here.
    lines += payments + refunds
    dice.shuffle(lines)
    first = record(lines)
    assert found() == due
    assert (first.found, first.opened) == (1000, 1000)
    before = rows()
    again = record(lines)
    assert (again.opened, again.reopened, again.changed, again.closed) == (0, 0, 0, 0)
    assert rows() == before
    assert record(books.lines).closed == 1000 - sum(kind == Kind.REFUND_STATUS for kind, _ in due)


def test_a_bill_with_a_missing_an_extra_and_a_changed_row(app):
    books = Books(5, 0)
    missing, changed, *right = books.lines
    extra = Line(BillKind.PAYMENT, "49999", "f" * 32, Decimal("88.00"), NOON)
    record([replace(changed, amount=Decimal("199.00")), extra, *right])
    assert [(row[2], row[6], row[7]) for row in sorted(rows(), key=lambda row: row[2])] == [
        (Kind.PAYMENT_AMOUNT, Decimal("199.00"), WHOLE),
        (Kind.PAYMENT_MISSING_HERE, Decimal("88.00"), None),
        (Kind.PAYMENT_MISSING_THERE, None, WHOLE),
    ]
    assert {row[3] for row in rows()} == {missing.number, changed.number, "49999"}
    day = queries.bill_day(DAY)
    assert (day.payments, day.paid, day.refunds, day.open) == (5, Decimal("887.00"), 0, 3)


def test_a_number_that_looks_like_a_digest_of_ours_is_another_difference(app):
    strange = Line(BillKind.PAYMENT, "四二", "f" * 32, WHOLE, NOON)
    record([strange, replace(strange, number=as_key("四二"))])
    assert (len(found()), queries.open_count(DAY), queries.open_count(DAY - timedelta(days=1))) == (2, 2, 0)


def test_no_bill_means_that_nothing_was_paid(app):
    books = Books(2, 1)
    record([])
    assert found() == {
        *((Kind.PAYMENT_MISSING_THERE, line.number) for line in books.of(BillKind.PAYMENT)),
        *((Kind.REFUND_MISSING_THERE, line.number) for line in books.of(BillKind.REFUND)),
    }


# ── midnight ────────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_belongs_to_the_day_whose_bill_has_it(app):
    """Ours says 23:59 of the day, WeChat's bill has it on the next: no difference once that bill is here."""
    books = Books(1, 0)
    (line,) = books.lines
    record([])
    assert found() == {(Kind.PAYMENT_MISSING_THERE, line.number)}
    record([line], DAY + timedelta(days=1))
    record([])
    assert found() == set()
    assert {row[8] for row in rows()} == {"settled"}


def test_an_offline_payment_and_an_unsent_refund_are_none_of_the_bills(app):
    Books(1, 1)
    with transaction():
        db.session.execute(_p.update().values(source="offline"))
        db.session.execute(_r.update().values(status="approved", wechat_refund_id=None))
    record([])
    assert found() == set()


def test_a_refund_is_missing_only_when_all_bills_since_its_approval_are_here(app):
    books = Books(1, 1)
    payment, refund = books.lines
    with transaction():
        db.session.execute(_r.update().values(decided_at=NOON - timedelta(days=1)))
    record([payment])
    assert found() == set()
    record([], DAY - timedelta(days=1))
    record([payment])
    assert found() == {(Kind.REFUND_MISSING_THERE, refund.number)}


def test_what_wechat_did_with_a_refund_beside_ours(app):
    paid = paid_trial()
    number = sent(paid)
    today = clock.today()
    begun = Line(BillKind.REFUND, number, paid.order_id, WHOLE, clock.now())
    trial = db.session.execute(sa.select(_p.c.transaction_id, _p.c.out_trade_no)).one()
    known = Line(BillKind.PAYMENT, trial.transaction_id, trial.out_trade_no, WHOLE, clock.now())
    assert record([known, begun], today).found == 0
    say(number, "CLOSED")
    assert record([known, begun], today).found == 0  # it began, and came to nothing
    record([known, replace(begun, done=True)], today)
    assert found() == {(Kind.REFUND_STATUS, number)}


# ── hostile bills ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", ["四二", "x" * 300, "", "a b\u0000", "<script>alert(1)</script>", "' OR 1=1 --"])
def test_whatever_a_bill_says_is_one_difference(app, number):
    line = Line(BillKind.PAYMENT, number, "衣" * 300, Decimal("99999999999999.999"), NOON, Decimal("1E30"))
    record([line])
    record([line])
    ((_, _, kind, key, _, _, amount, _, _),) = rows()
    assert (kind, amount) == (Kind.PAYMENT_MISSING_HERE, None)
    assert key.isascii()
    assert len(key) <= 96
    assert db.session.query(BillLine).one().amount is None


# ── settled by people ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def one(app):
    """An open difference: WeChat has 199.00 where we have 200.00."""
    books = Books(1, 0)
    (line,) = books.lines
    lines = [replace(line, amount=Decimal("199.00"))]
    record(lines)
    ((number, *_),) = rows()
    return books, number, lines


def status(number: int) -> tuple:
    db.session.rollback()
    row = queries.difference(number)
    return row.status, row.note


def test_settled_stays_settled_until_the_figures_change(one):
    books, number, lines = one
    differences.settle(difference_id=number, note="与微信核对，少付一元已补", actor=actor_of(books.finance))
    record(lines)
    assert status(number) == ("settled", "与微信核对，少付一元已补")
    outcome = record([replace(lines[0], amount=Decimal("198.00"))])
    assert (outcome.reopened, status(number)) == (1, ("open", None))
    record(books.lines)
    assert status(number) == ("settled", differences.GONE)
    assert record([replace(lines[0], amount=Decimal("198.00"))]).reopened == 1
    assert len(rows()) == 1


def test_what_settling_refuses(one):
    books, number, _ = one
    finance = actor_of(books.finance)
    digest = queries.difference(number).digest
    with pytest.raises(NotFound):
        differences.settle(difference_id=999_999, note="好", actor=finance)
    for note in ("", "  ", "\u200b"):
        with pytest.raises(Invalid):
            differences.settle(difference_id=number, note=note, actor=finance)
    with pytest.raises(StepUpRequired):
        differences.settle(difference_id=number, note="好", actor=replace(finance, proof_age=None))
    with pytest.raises(Stale):
        differences.settle(difference_id=number, note="好", actor=finance, digest="0" * 64)
    family = queries.difference(number).family_id
    relative = make_staff("finance", family_id=family)
    with pytest.raises(OwnFamily):
        differences.settle(difference_id=number, note="好", actor=actor_of(relative))
    assert status(number)[0] == "open"
    differences.settle(difference_id=number, note="好", actor=finance, digest=digest)
    with pytest.raises(InvalidState):
        differences.settle(difference_id=number, note="好", actor=finance)


def test_the_money_group_hears_once_a_day_and_when_they_change(one):
    books, number, lines = one

    def cards() -> int:
        db.session.rollback()
        return db.session.query(Notification).filter_by(type="staff.reconcile").count()

    assert (differences.tell(), cards()) == (1, 1)
    assert (differences.tell(), cards()) == (1, 1)
    with clock.travel(by=timedelta(days=1)):
        assert (differences.tell(), cards()) == (1, 2)
    record([replace(lines[0], amount=Decimal("1.00"))])
    assert (differences.tell(), cards()) == (1, 3)
    differences.settle(difference_id=number, note="好", actor=actor_of(books.finance))
    assert (differences.tell(), cards()) == (0, 3)


def test_payments_that_were_settled_as_usual_are_no_difference(app):
    family, session = make_family(), steps.trial_session()
    order = steps.order(family, session)
    steps.pay(family, order, number="4200009999")
    out = db.session.scalar(sa.select(_p.c.out_trade_no))
    assert record([Line(BillKind.PAYMENT, "4200009999", out, WHOLE, clock.now())], clock.today()).found == 0
