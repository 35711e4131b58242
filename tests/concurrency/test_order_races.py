"""Trial orders in real processes: one live trial per person, seats never oversold by holds, a payment settled once
however often it is told, cancelling against paying. Each race with its control (O2, O10, I-14 … I-18, I-23)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from app import clock
from app.db import db
from app.domain.audit.actor import Actor, system
from app.domain.bookings.models import Booking
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.orders import attempts, checkout, claims, ending, settle
from app.domain.orders.models import PaymentNotification, PaymentOrder, PaymentTransaction, TradeType
from app.domain.orders.notifications import Received
from app.domain.orders.payment import Account, Payment
from app.domain.orders.rules import Event
from app.domain.outbox.models import Notification
from app.domain.seats.models import SeatReservation
from app.errors import DomainError
from tests.concurrency.processes import pool, together
from tests.factories import make_course, make_family, make_session, parent_actor

pytestmark = pytest.mark.concurrency

ACCOUNT = Account("wx-test", "1900000001")
WRITERS = 8


@dataclass(frozen=True)
class Wish:
    """Who wants which class for which child."""

    schedule_id: int
    profile_id: int
    actor: Actor


def trial(capacity: int) -> int:
    return make_session(make_course("体验", type_code="trial", is_trial=True), capacity=capacity)


def want(wishes: list[Wish]) -> list[str]:
    """`made` or `given` with the number, or the refusal's code."""
    said = []
    for wish in wishes:
        together()
        try:
            done = checkout.create(schedule_id=wish.schedule_id, profile_id=wish.profile_id, actor=wish.actor)
            said.append(f"{'made' if done.created else 'given'} {done.order_id}")
        except DomainError as refusal:
            said.append(refusal.code)
        except DBAPIError as error:
            said.append(f"ERROR {type(error).__name__}")
    return said


def unclaimed(wishes: list[Wish]) -> list[str]:
    """The control: nobody keeps who has a trial."""
    claims.claim = lambda *_args, **_kwargs: None
    return want(wishes)


def count(model, *where) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model).where(*where))


def seats(session: int) -> tuple[int, int]:
    row = db.session.execute(
        sa.select(CourseSchedule.booked, CourseSchedule.held).where(CourseSchedule.id == session)
    ).one()
    return tuple(row)


# ── ordering ────────────────────────────────────────────────────────────────────────────────────────


def test_many_phones_for_one_child_make_one_order(live_app):
    """Eight requests at once of one parent for one class: one order, which everybody is given."""
    with live_app.app_context():
        family, session = make_family(), trial(6)
        wish = Wish(session, family.profile_ids[0], parent_actor(family))
        db.session.remove()
    with pool(live_app, WRITERS) as members:
        said = [word for words in members.map(want, [[wish]] * WRITERS, chunksize=1) for word in words]
    assert len({word.split()[1] for word in said}) == 1
    assert Counter(word.split()[0] for word in said) == {"made": 1, "given": WRITERS - 1}
    with live_app.app_context():
        assert (count(PaymentOrder), count(SeatReservation), seats(session)) == (1, 1, (0, 1))


def siblings_and_classes() -> list[list[Wish]]:
    """One parent, eight children, eight classes: only the openid is the same."""
    family = make_family(students=tuple(f"孩子{n}" for n in range(WRITERS)))
    wishes = [[Wish(trial(6), profile, parent_actor(family))] for profile in family.profile_ids]
    db.session.remove()
    return wishes


def test_one_trial_per_parent_whatever_the_class_and_the_child(live_app):
    with live_app.app_context():
        wishes = siblings_and_classes()
    with pool(live_app, WRITERS) as members:
        said = Counter(word.split()[0] for words in members.map(want, wishes, chunksize=1) for word in words)
    assert said == {"made": 1, "TRIAL_ALREADY_BOOKED": WRITERS - 1}
    with live_app.app_context():
        assert (count(PaymentOrder), count(SeatReservation)) == (1, 1)


def test_control_without_the_claim_each_gets_one(live_app):
    with live_app.app_context():
        wishes = siblings_and_classes()
    with pool(live_app, WRITERS) as members:
        said = Counter(word.split()[0] for words in members.map(unclaimed, wishes, chunksize=1) for word in words)
    assert said["made"] > 1


def test_holds_do_not_oversell(live_app):
    with live_app.app_context():
        session = trial(6)
        families = [make_family() for _ in range(WRITERS * 3)]
        wishes = [Wish(session, family.profile_ids[0], parent_actor(family)) for family in families]
        db.session.remove()
    with pool(live_app, WRITERS) as members:
        shares = [wishes[n::WRITERS] for n in range(WRITERS)]
        said = Counter(word.split()[0] for words in members.map(want, shares, chunksize=1) for word in words)
    assert said == {"made": 6, "SEAT_FULL": WRITERS * 3 - 6}
    with live_app.app_context():
        assert seats(session) == (0, 6)
        assert count(SeatReservation) == count(PaymentOrder) == 6


# ── settling ────────────────────────────────────────────────────────────────────────────────────────


def started(capacity: int = 6) -> tuple[str, int]:
    family, session = make_family(), trial(capacity)
    actor = parent_actor(family)
    made = checkout.create(schedule_id=session, profile_id=family.profile_ids[0], actor=actor)
    attempts.begin(order_id=made.order_id, trade_type=TradeType.NATIVE, actor=actor)
    db.session.remove()
    return made.order_id, session


def paid(order_id: str, number: str = "4200000001") -> Payment:
    return Payment(
        transaction_id=number, out_trade_no=order_id, trade_type=TradeType.NATIVE, appid=ACCOUNT.appid,
        mchid=ACCOUNT.mchid, total=Decimal("200.00"), currency="CNY", success_at=clock.now(),
    )  # fmt: skip


def told(order_id: str, notice: str) -> str:
    received = Received(notice, "TRANSACTION.SUCCESS", {}, "1700000000", notice, notice.encode())
    for _ in range(2):
        try:
            return settle.settle(
                payment=paid(order_id), account=ACCOUNT, source="callback", actor=system("t"), received=received
            ).outcome
        except IntegrityError:
            continue  # as the flow does: its twin committed first
    return "ERROR"


def tell(asked: tuple[str, list[str]]) -> list[str]:
    """Notices of one payment, one after the other as fast as one can."""
    order_id, notices = asked
    together()
    return [told(order_id, notice) for notice in notices]


def blind(asked: tuple[str, list[str]]) -> list[str]:
    """The control: a program that does not look whether it has settled, on tables that do not know it either."""
    order_id, notices = asked
    together()
    said = []
    for _ in notices:
        row = db.session.query(PaymentOrder).filter_by(order_id=order_id).one()
        seen = row.status
        db.session.rollback()
        together()  # between its look and its write the others look as well
        if seen == "pending":
            with db.engine.begin() as connection:
                connection.execute(
                    sa.update(PaymentOrder.__table__)
                    .where(PaymentOrder.order_id == order_id)
                    .values(status="paid", paid_at=clock.now())
                )
                connection.execute(
                    sa.update(CourseSchedule.__table__).values(booked=CourseSchedule.__table__.c.booked + 1)
                )
            said.append("settled")
    return said


@pytest.mark.parametrize("same", [True, False], ids=["one notice", "a hundred notices"])
def test_a_hundred_callbacks_in_parallel_settle_once(live_app, same):
    with live_app.app_context():
        order_id, session = started()
    each = [[f"EV-{0 if same else writer * 13 + n}" for n in range(13)] for writer in range(WRITERS)]
    with pool(live_app, WRITERS) as members:
        answers = members.map(tell, [(order_id, notices) for notices in each], chunksize=1)
    said = Counter(word for words in answers for word in words)
    assert said == {"settled": 1, "repeated": WRITERS * 13 - 1}
    with live_app.app_context():
        assert seats(session) == (1, 0)
        assert count(Booking) == count(PaymentTransaction) == 1
        assert count(PaymentNotification) == (1 if same else WRITERS * 13)
        assert count(Notification, Notification.type == "payment_result") == 1
        assert count(MoneyCase) == 0


def test_control_a_look_without_a_lock_settles_more_than_once(live_app):
    with live_app.app_context():
        order_id, session = started(capacity=20)
    with pool(live_app, WRITERS) as members:
        answers = members.map(blind, [(order_id, ["x"])] * WRITERS, chunksize=1)
    assert sum(len(words) for words in answers) > 1
    with live_app.app_context():
        assert seats(session)[0] > 1


def test_hundred_notices_of_a_payment_that_nobody_knows_are_one_row_on_the_board(live_app):
    with pool(live_app, WRITERS) as members:
        members.map(tell, [("f" * 32, [f"EV-{w}-{n}" for n in range(3)]) for w in range(WRITERS)], chunksize=1)
    with live_app.app_context():
        assert count(MoneyCase) == 1
        assert count(PaymentNotification) == WRITERS * 3


class PayOrCancel:
    """The task with WeChat's number of this turn."""

    def __init__(self, number: str):
        self.number = number

    def __call__(self, asked: tuple[str, str, Actor]) -> str:
        what, order_id, actor = asked
        together()
        if what == "pay":
            return settle.settle(
                payment=paid(order_id, self.number), account=ACCOUNT, source="query", actor=system("t")
            ).outcome
        return str(ending.end(order_id=order_id, event=Event.CANCEL, closing=True, actor=actor))


def test_cancelling_against_paying_never_ends_paid_without_a_seat_or_a_case(live_app):
    """Whichever comes first: a paid order has its seat, or stands on the board (I-17)."""
    ends = Counter()
    with pool(live_app, 2) as members:
        for turn in range(16):
            with live_app.app_context():
                family, session = make_family(), trial(1)
                actor = parent_actor(family)
                order_id = checkout.create(schedule_id=session, profile_id=family.profile_ids[0], actor=actor).order_id
                attempts.begin(order_id=order_id, trade_type=TradeType.NATIVE, actor=actor)
                db.session.remove()
            pair = [("pay", order_id, actor), ("cancel", order_id, actor)]
            said = members.map(PayOrCancel(f"42{turn:06d}"), pair, chunksize=1)
            with live_app.app_context():
                row = db.session.query(PaymentOrder).filter_by(order_id=order_id).one()
                assert row.status == "paid"
                assert seats(session) == (1, 0)
                assert row.booking_id is not None
                ends[said[1]] += 1
                db.session.remove()
    assert sum(ends.values()) == 16
