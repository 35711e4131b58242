"""A day's figures and its close: counted by hand, signed once, in order, and nothing is dated into it (W24, W25)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.books import close, day, rules, tills
from app.domain.books.errors import CloseNotFound, DayClosed, DayMoved, DayNotOver, DayOutOfOrder
from app.domain.books.rules import RECONCILE, Side
from app.domain.books.tills import WECHAT_PAY
from app.domain.reconcile.models import BillLine, ReconcileDifference, ReconcileRun
from app.errors import Forbidden, Invalid, StepUpRequired
from tests.domain.books.life import Life
from tests.domain.desk.desk import ask, receipt, spend
from tests.domain.orders import refunds as trial_refunds
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

#: Wednesday noon in the studio
NOON = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ON = date(2026, 11, 18)
ZERO = Decimal("0.00")


def sign(
    on: date = ON, staff=None, cash: str = "0.00", *, causes=None, note: str = "", seen: str | None = None, **more
):
    actor = actor_of(staff or make_staff("finance"), **more)
    causes = {WECHAT_PAY: "账单未到"} if causes is None else causes
    return close.close(on=on, counted_cash=Decimal(cash), causes=causes, note=note, actor=actor,
                       seen=close.draft(on).digest if seen is None else seen)  # fmt: skip


# ── the day ─────────────────────────────────────────────────────────────────────────────────────────


def test_opening_in_out_closing_by_type_method_and_person(app):
    with clock.travel(to=NOON - DAY):
        make_family(balance="100.00")
        owing = make_family(balance="50.00")
    with clock.travel(to=NOON):
        finance = make_staff("finance", display_name="小王")
        family = make_family()
        ask(finance, family, "300.00")
        ask(finance, family, "200.00", payment_method="wechat_transfer", receipts=[receipt()])
        spend(owing, finance, "120.00")
    with clock.travel(to=NOON + DAY):
        ask(finance, owing, "70.00")
        found = day.figures(ON)
        assert (found.opening, found.money_in, found.money_out, found.closing, found.gap) == (
            Decimal("150.00"), Decimal("500.00"), Decimal("120.00"), Decimal("530.00"), ZERO
        )  # fmt: skip
        assert (found.arrears, found.arrears_families) == (Decimal("70.00"), 1)
        assert [(one.key, one.money_in, one.money_out, one.rows) for one in found.types] == [
            ("recharge", Decimal("500.00"), ZERO, 2), ("deduction", ZERO, Decimal("120.00"), 1)
        ]  # fmt: skip
        assert {one.key: one.money_in - one.money_out for one in found.methods} == {
            "cash": Decimal("300.00"), "wechat_transfer": Decimal("200.00"), "none": Decimal("-120.00")
        }  # fmt: skip
        assert [(one.word, one.rows) for one in found.people] == [("小王", 3)]
        assert [day.figures(ON + offset * DAY).opening for offset in (-1, 0, 1)] == [
            ZERO, found.opening, found.closing
        ]  # fmt: skip
        assert [(one.money_in, one.money_out) for one in day.last_days(ON, 2)] == [
            (Decimal("150.00"), ZERO), (Decimal("500.00"), Decimal("120.00"))
        ]  # fmt: skip
        for asked in (day.Asked(ON, way="in"), day.Asked(ON, method="cash"), day.Asked(ON, person=str(finance.id))):
            rows = [row for piece in day.every(asked).pieces() for row in piece]
            assert len(rows) == {"in": 2, None: 1 if asked.method else 3}[asked.way]
        assert len(day.rows(day.Asked(ON, type="deduction", way="in")).items) == 0
    with clock.travel(to=NOON + 2 * DAY):
        assert day.figures(ON + DAY).closing == Decimal("600.00")


def test_money_that_changed_hands_by_way_and_by_person(app):
    life = Life(NOON - DAY)
    family = life.families[0]
    with life.at(NOON):
        ask(life.finance, family, "300.00")
        ask(life.finance, family, "200.00", payment_method="alipay", receipts=[receipt()])
        life.withdraw(family, paid=True)  # 100.00 in cash by the manager
        life.withdraw(family, paid=False)
        kept, returned = life.trial(), life.trial()
        life.refund_trial(returned, told_late=True)
        by_hand = trial_refunds.refunds.ask(
            order_id=kept.order_id, amount=Decimal("30.00"), reason="补差", refund_to="wallet", frees_seat=False,
            actor=actor_of(life.finance),
        )  # fmt: skip
    with clock.travel(to=NOON + DAY):
        rows = tills.taken(ON)
        assert {(till.method, till.money_in, till.money_out, till.shown) for till in tills.by_method(rows)} == {
            ("cash", Decimal("300.00"), Decimal("100.00"), ZERO),
            ("alipay", Decimal("200.00"), ZERO, Decimal("200.00")),
            (WECHAT_PAY, Decimal("400.00"), Decimal("200.00"), Decimal("200.00")),
        }
        people = [(till.person, till.method, till.net) for till in tills.by_person(rows)]
        assert sorted(people) == sorted([
            (life.finance.display_name, "cash", Decimal("300.00")),
            (life.finance.display_name, "alipay", Decimal("200.00")),
            (life.manager.display_name, "cash", Decimal("-100.00")),
        ])  # fmt: skip
        # A refund into the wallet that waits, or is done, changes no hands.
        assert by_hand not in {row.number for row in rows}
        assert [row.kind for row in tills.taken(ON, WECHAT_PAY)].count("payment") == 2


# ── signing ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_signed_stays_and_the_day_takes_no_row_more(app):
    finance = make_staff("finance")
    with clock.travel(to=NOON):
        family = make_family()
        ask(finance, family, "300.00")
    with clock.travel(to=NOON + DAY):
        with pytest.raises(Invalid) as refused:
            sign(cash="290.00")
        assert list(refused.value.errors) == ["cause_cash"]
        sign(staff=finance, cash="290.00", causes={"cash": "找错零钱", "alipay": "没有差异"}, note="月中")
        signed = close.signed(ON)
        assert (signed.intact, signed.same, signed.row.closed_by_name) == (True, True, finance.display_name)
        assert [(side["key"], side["difference"], side["cause"]) for side in signed.figures["sides"]] == [
            ("cash", "-10.00", "找错零钱")
        ]  # fmt: skip
        assert (signed.figures["opening"], signed.figures["closing"]) == ("0.00", "300.00")
        noted = db.session.query(AuditEntry).filter_by(action="books.day_closed").one()
        assert (noted.target_id, noted.after["closing"]) == ("2026-11-18", "300.00")
        ask(finance, family, "50.00")
        assert close.signed(ON).same
    # A machine whose clock lags writes nothing into it.
    with clock.travel(to=NOON + DAY / 2 - timedelta(microseconds=1)), pytest.raises(DBAPIError, match="day is closed"):
        ask(finance, family, "10.00")
    db.session.rollback()
    with clock.travel(to=NOON + DAY / 2):
        ask(finance, family, "10.00")
    for sql in ("UPDATE day_closes SET note = 'x'", "DELETE FROM day_closes"):
        with pytest.raises(DBAPIError, match="signed"), transaction():
            db.session.execute(sa.text(sql))


def test_a_signature_shows_when_row_or_ledger_were_changed_behind_it(app, monkeypatch):
    with clock.travel(to=NOON):
        ask(make_staff("finance"), make_family(), "300.00")
    with clock.travel(to=NOON + DAY):
        sign(cash="300.00")
        true_figures, found = day.figures, day.figures(ON)
        monkeypatch.setattr(close.days, "figures", lambda on: true_figures(on + DAY))
        assert not close.signed(ON).same
        monkeypatch.setattr(close.days, "figures", lambda _on: found)
        row = close.signed(ON).row
        assert close._signature(ON, row.figures, row.counted_cash, row.note) == row.digest
        assert close._signature(ON, row.figures, row.counted_cash, row.note + "改") != row.digest


def test_days_are_closed_once_when_over_and_in_order(app):
    finance = make_staff("finance")
    family = make_family()
    for offset in (0, 1, 3):
        with clock.travel(to=NOON + offset * DAY):
            ask(finance, family, "100.00")
    end = clock.day_bounds(ON)[1]
    with clock.travel(to=end + timedelta(minutes=9)), pytest.raises(DayNotOver):
        sign(cash="100.00")
    with clock.travel(to=end + timedelta(minutes=10)):
        assert close.next_open(close.last_closed()) is None
        sign(cash="100.00")
        with pytest.raises(DayClosed):
            sign(cash="100.00")
        for ahead in (ON + DAY, ON + 30 * DAY):
            with pytest.raises(DayNotOver):
                sign(ahead)
    with clock.travel(to=NOON + 5 * DAY):
        assert close.next_open(close.last_closed()) == ON + DAY
        with pytest.raises(DayOutOfOrder) as refused:
            sign(ON + 3 * DAY, cash="100.00")
        assert refused.value.data == {"first": "2026-11-19"}
        sign(ON + DAY, cash="100.00")
        # Nothing moved on the day between: it need not be signed, and cannot be later.
        sign(ON + 3 * DAY, cash="100.00")
        with pytest.raises(DayOutOfOrder):
            sign(ON + 2 * DAY)
        assert close.next_open(close.last_closed()) is None
        assert [row.day for row in close.page().items] == [ON + 3 * DAY, ON + DAY, ON]
    assert not close.is_closed(ON + 2 * DAY)
    with pytest.raises(CloseNotFound):
        close.signed(ON + 2 * DAY)


def test_a_trial_that_was_paid_keeps_its_day_from_being_skipped(app):
    life = Life(NOON)
    with clock.travel(to=NOON + DAY):
        sign()
    with life.at(NOON + DAY):
        life.trial()
    with clock.travel(to=NOON + 4 * DAY), pytest.raises(DayOutOfOrder):
        sign(ON + 2 * DAY)


def test_who_may_sign_and_what_they_saw(app):
    with clock.travel(to=NOON):
        ask(make_staff("finance"), make_family(), "300.00")
    with clock.travel(to=NOON + DAY):
        for role in ("front_desk", "auditor"):
            with pytest.raises(Forbidden):
                sign(staff=make_staff(role), cash="300.00")
        with pytest.raises(StepUpRequired):
            sign(cash="300.00", proof_age=3600.0)
        with pytest.raises(DayMoved):
            sign(cash="300.00", seen="0" * 64)
        assert not close.is_closed(ON)


def test_the_bill_and_open_differences_need_a_cause(app):
    life = Life(NOON)
    with life.at(NOON):
        life.trial()
    with clock.travel(to=NOON + DAY):
        draft = close.draft(ON)
        assert [(side.key, side.shown) for side in draft.sides(None)] == [("cash", None), (WECHAT_PAY, None)]
        with transaction():
            db.session.add(ReconcileRun(scope="bill:2026-11-18", source="bill", day=ON, ran_at=clock.now()))
            db.session.add(
                BillLine(day=ON, line=1, kind="payment", number="42", out_trade_no="x", at=NOON, fee=ZERO,
                         amount=Decimal("200.00"))
            )  # fmt: skip
        assert [side.difference for side in close.draft(ON).sides(ZERO)] == [ZERO, ZERO]
        with transaction():
            db.session.add(
                ReconcileDifference(
                    day=ON, source="bill", kind="payment_amount", key="42", expected="¥200.00", found="¥199.00",
                    digest="0" * 64, status="open", opened_at=clock.now(), seen_at=clock.now(),
                )
            )  # fmt: skip
        with pytest.raises(Invalid) as refused:
            sign(causes={})
        assert list(refused.value.errors) == ["cause_reconcile"]
        sign(causes={RECONCILE: "等微信答复"})
        assert close.signed(ON).figures["bill"]["paid"] == "200.00"


# ── rules alone ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "value"),
    [("300", "300.00"), ("-200.00", "-200.00"), ("−5", "-5.00"), (" 0 ", "0.00"), ("", None), ("--5", None),
     ("1e3", None), ("300.001", None), ("三百", None), ("NaN", None)],
)  # fmt: skip
def test_counted_cash(text, value):
    if value is None:
        with pytest.raises(Invalid):
            rules.checked_cash(text)
    else:
        assert rules.checked_cash(text) == Decimal(value)


def test_what_lines_there_are_and_which_need_a_cause():
    nets = {"cash": (Decimal("10.00"), ZERO), "pos": (Decimal("5.00"), Decimal("5.00"))}
    lines = rules.sides(nets, counted_cash=Decimal("10.00"), bill=None, open_ones=0)
    assert [(line.key, line.differs) for line in lines] == [("cash", False), ("pos", False)]
    assert rules.checked_causes(lines, {"cash": "说了也不留"}) == {}
    # Nothing by WeChat here, but the bill has something.
    strange = rules.sides({}, counted_cash=ZERO, bill=Decimal("200.00"), open_ones=2)
    assert [(line.key, line.difference) for line in strange] == [
        ("cash", ZERO), (WECHAT_PAY, Decimal("200.00")), (RECONCILE, None)
    ]  # fmt: skip
    with pytest.raises(Invalid) as refused:
        rules.checked_causes(strange, {WECHAT_PAY: "长" * 201})
    assert set(refused.value.errors) == {"cause_wechat_pay", "cause_reconcile"}
    with pytest.raises(Invalid):
        rules.checked_note("长" * 501)
    assert not Side("pos", ZERO, ZERO, "").differs
