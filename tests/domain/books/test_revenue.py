"""Revenue by month beside a life that was counted by hand: every line, random months, to the fen (W29)."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.books import of_booking, revenue
from app.domain.books.movements import Line
from app.domain.books.standing import Account
from app.domain.ledger.models import WalletTransaction
from tests.domain.books.life import PRICE, Life

pytestmark = pytest.mark.usefixtures("app")

#: the studio's noon of a first of the month
START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)
UNUSUAL = {Line.TRANSFER_IN, Line.TRANSFER_OUT, Line.OTHER_DEBIT, Line.OTHER_CREDIT, Line.ADJUST_DOWN}


@pytest.fixture
def life(app):
    return Life(START)


def compare(life: Life, first: date) -> revenue.Month:
    """One month, account by account, against what was counted."""
    start, end = revenue.span(first)
    found = revenue.month(first)
    for account in Account:
        assert found.opening[account] == life.books.standing(start)[account], (first, account, "opening")
        assert found.closing[account] == life.books.standing(end)[account], (first, account, "closing")
        assert found.gap(account) == Decimal("0.00"), (first, account)
    assert found.earned == life.books.earned(start, end)
    by_what = life.books.by_what(start, end)
    assert (found.recharged, found.refunded, found.withdrawn) == (
        by_what["recharge"] + by_what["trial_paid"], -by_what["trial_refund"], -by_what["withdrawn"]
    )  # fmt: skip
    posted = sa.select(sa.func.coalesce(sa.func.sum(WalletTransaction.amount), Decimal("0.00")))
    assert found.closing[Account.WALLET] == db.session.scalar(posted.where(WalletTransaction.created_at < end))
    for line in Line:
        rows = revenue.every(line, first)
        assert rows.count() == found.line(line).rows
        amounts = [row.amount for piece in rows.pieces() for row in piece]
        assert (len(amounts), sum(amounts, Decimal("0.00"))) == (found.line(line).rows, found.line(line).amount)
    return found


def months(life: Life, *firsts: date) -> dict[Line, Decimal]:
    """All of them compared, from the end of the life; what each line came to in all."""
    with clock.travel(to=life.now):
        found = [compare(life, first) for first in firsts]
        assert revenue.earned_by_month(firsts[-1], len(firsts)) == [(one.first, one.earned) for one in found]
    for before, after in zip(found, found[1:], strict=False):
        assert before.closing == after.opening
    return {line: sum((one.line(line).amount for one in found), Decimal("0.00")) for line in Line}


def test_every_way_that_money_is_earned_or_owed_again(life):
    one, two, three = life.families
    with life.at(START):
        held, early, kept, afterwards, parted, session = (life.book(one) for _ in range(6))
        away, away_again, voided, lapsing, refunded = (life.book(two, 5 * DAY) for _ in range(5))
        trial, early_trial, kept_trial, walleted = (life.trial() for _ in range(4))
        life.recharge(three)
        life.withdraw(three, paid=True)
        life.withdraw(three, paid=False)
    with life.at(START + HOUR):
        life.cancel(early)
        life.cancel_session(session)
        life.refund_part(parted, frees=True)
        life.refund_part(held)
        for given_up in (away, away_again, voided, lapsing, refunded):
            life.leave(given_up)
        life.cancel_trial(early_trial)
        life.cancel_trial(kept_trial)
    with life.at(START + 3 * DAY - HOUR):
        life.cancel_late(kept)
        life.make_up(away)
        life.make_up(away_again, 5 * DAY)
        life.void(voided)
        life.refund_part(refunded, "20.00")
        life.keep_trial(kept_trial)
    with life.at(START + 4 * DAY):
        life.cancel_makeup(away_again)
        life.refund_part(kept)
        life.refund_trial(walleted, "80.00", to="wallet")
        life.make_up(away_again, 3 * DAY)
    with life.at(START + 33 * DAY):  # April: March is over, and stays as it is
        life.refund_late(afterwards)
        life.refund_part(voided)
        life.cancel_makeup(away_again)
        life.refund_trial(trial, told_late=True)
        life.refund_trial(early_trial, told_late=True)
        life.refund_part(held)
    with clock.travel(to=life.now):
        march = revenue.month(MARCH)
    with life.at(START + 61 * DAY):  # May
        life.expire(lapsing, refunded, away_again)
    with life.at(START + 62 * DAY):
        life.extend(lapsing)
        life.refund_part(refunded, "10.00")
    with life.at(START + 70 * DAY):
        life.make_up(lapsing)
    with life.at(START + 75 * DAY):
        pass
    sums = months(life, MARCH, APRIL, MAY)
    assert {line for line, amount in sums.items() if not amount} == UNUSUAL
    with clock.travel(to=life.now):
        assert revenue.month(MARCH) == march
        assert [of_booking.of_booking(one.booking_id) for one in (held, early, kept, lapsing, away_again)] == [
            of_booking.OfBooking("earned", Decimal("100.00")), of_booking.OfBooking("returned", Decimal("0.00")),
            of_booking.OfBooking("earned", Decimal("150.00")),
            of_booking.OfBooking("earned", PRICE, lapsing.booking_id),
            of_booking.OfBooking("earned", PRICE, away_again.booking_id),
        ]  # fmt: skip
        assert of_booking.of_booking(trial.booking_id).standing == "returned"
        assert of_booking.of_booking(kept_trial.booking_id) == of_booking.OfBooking("earned", PRICE)
        assert of_booking.of_booking(0) is None


def test_a_session_that_was_cancelled_is_never_earned_and_nobody_need_mark_who_came(life):
    family = life.families[0]
    with life.at(START):
        gone, unmarked, ahead = life.book(family), life.book(family, 4 * DAY), life.book(family, 40 * DAY)
    with life.at(START + DAY):
        life.cancel_session(gone)
        assert of_booking.of_booking(unmarked.booking_id).standing == "open"
    with life.at(START + 20 * DAY):
        found = compare(life, MARCH)
        assert found.earned == PRICE
        assert [row.booking_id for row in revenue.behind(Line.CLASS_HELD, MARCH).items] == [unmarked.booking_id]
        assert found.closing[Account.PREPAID] == PRICE
        assert of_booking.of_booking(ahead.booking_id) == of_booking.OfBooking("open", PRICE)


@pytest.mark.parametrize("seed", [7])
def test_a_random_life_month_by_month(life, seed):
    dice = random.Random(seed)
    moment = START
    for _ in range(70):
        moment += timedelta(minutes=dice.randrange(600, 3000))
        with life.at(moment):
            _one_act(life, dice)
    with life.at(moment + 30 * DAY):
        pass
    firsts = [MARCH]
    while firsts[-1] < revenue.month_of(clock.local(life.now).date()):
        firsts.append(revenue.next_month(firsts[-1]))
    sums = months(life, *firsts)
    assert sum(1 for amount in sums.values() if amount) > 10
    assert sums[Line.CLASS_HELD] > Decimal("500.00")


def _one_act(life: Life, dice: random.Random) -> None:
    """What could happen now, and one of it."""
    now, family = clock.now(), dice.choice(life.families)
    classes = [one for one in life.held if one.account == "prepaid" and not one.gone and one.order_id is None]
    ahead = [one for one in classes if not one.earned and one.earned_at > now + 9 * HOUR]
    over = [one for one in classes if one.earned and one.left == PRICE and one.earned_at < now]
    owed = [one for one in life.held if one.account == "makeup" and not one.earned and one.makeup_id is None]
    arranged = [one for one in life.held if one.makeup_id and not one.earned and one.earned_at > now + 9 * HOUR]
    acts = [
        lambda: life.recharge(family),
        lambda: life.trial(),
        lambda: life.withdraw(family, paid=dice.random() < 0.5),
    ]
    acts += [lambda: life.book(family, timedelta(hours=dice.randrange(40, 200)))] * 4
    if ahead:
        one = dice.choice(ahead)
        acts += [lambda: life.cancel(one), lambda: life.cancel_late(one), lambda: life.cancel_session(one)]
        acts += [lambda: life.leave(one)] * 4
        if one.left == PRICE:
            acts += [lambda: life.refund_part(one, "30.00")]
    if over:
        acts += [lambda: life.refund_part(dice.choice(over), "60.00")]
    if owed:
        acts += [lambda: life.make_up(owed[0]), lambda: life.make_up(owed[0]), lambda: life.void(owed[-1])]
    if arranged:
        acts += [lambda: life.cancel_makeup(arranged[0])]
    dice.choice(acts)()
