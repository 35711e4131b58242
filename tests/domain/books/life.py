"""A studio's life by the services, and beside it what its books must come to: plain Python that knows no SQL.

Every act moves sums between four accounts in `Books`; classes that end are earned when the clock passes them.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from app import clock
from app.db import db
from app.domain.bookings import cancel, late, leave, place
from app.domain.cases.models import MoneyCase
from app.domain.changes import cancel_session
from app.domain.makeups import book as makeups
from app.domain.makeups import expiry, manage
from app.domain.orders import refunds, resolve
from tests.domain.desk.desk import ask
from tests.domain.orders import refunds as trial_refunds
from tests.domain.orders import steps as trials
from tests.domain.withdrawals import steps as withdrawals
from tests.factories import MadeFamily, make_course, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

ACCOUNTS = ("wallet", "prepaid", "makeup", "trial")
PRICE = Decimal("200.00")


@dataclass
class Held:
    """Money that stands for one class: in which account, how much, and when it is earned (None: not by itself)."""

    account: str
    left: Decimal
    earned_at: datetime | None
    booking_id: int
    session_id: int
    family: MadeFamily
    profile_id: int
    earned: bool = False
    gone: bool = False
    credit_id: int | None = None
    makeup_id: int | None = None
    order_id: str | None = None


@dataclass
class Books:
    """(moment, account, signed yuan, what) in the order of their happening."""

    rows: list[tuple[datetime, str, Decimal, str]] = field(default_factory=list)

    def move(self, account: str, amount: Decimal, what: str, at: datetime | None = None) -> None:
        self.rows.append((at or clock.now(), account, amount, what))

    def standing(self, at: datetime) -> dict[str, Decimal]:
        found = dict.fromkeys(ACCOUNTS, Decimal("0.00"))
        for moment, account, amount, _ in self.rows:
            if moment < at:
                found[account] += amount
        return found

    def earned(self, start: datetime, end: datetime) -> Decimal:
        return -sum((row[2] for row in self.rows if row[3] == "earned" and start <= row[0] < end), Decimal("0.00"))

    def by_what(self, start: datetime, end: datetime) -> dict[str, Decimal]:
        found: dict[str, Decimal] = defaultdict(lambda: Decimal("0.00"))
        for moment, _, amount, what in self.rows:
            if start <= moment < end:
                found[what] += amount
        return found


class Life:
    """Families, two people of the office, and a clock that only goes forward."""

    def __init__(self, start: datetime):
        self.now = start
        self.books, self.held = Books(), []
        with clock.travel(to=start):
            self.finance, self.manager = make_staff("finance"), make_staff("manager")
            self.course = make_course(price=str(PRICE))
            self.families = [self._family() for _ in range(3)]

    def _family(self) -> MadeFamily:
        family = make_family(balance="3000.00", students=tuple(f"学员{number}" for number in range(12)))
        self.books.move("wallet", Decimal("3000.00"), "adjust")
        return family

    @contextmanager
    def at(self, moment: datetime):
        """Go on to this moment; whatever ended before it is earned."""
        assert moment >= self.now
        self.now = moment
        self.pass_time()
        with clock.travel(to=moment):
            yield

    def pass_time(self) -> None:
        for one in self.held:
            if not one.earned and not one.gone and one.earned_at is not None and one.earned_at < self.now:
                one.earned = True
                self.books.move(one.account, -one.left, "earned", one.earned_at)

    # ── acts ────────────────────────────────────────────────────────────────────────────────────────

    def recharge(self, family: MadeFamily, amount: str = "300.00") -> None:
        ask(self.finance, family, amount)
        self.books.move("wallet", Decimal(amount), "recharge")

    def book(self, family: MadeFamily, ahead: timedelta = timedelta(days=3)) -> Held:
        session = make_session(self.course, starts_at=clock.now() + ahead)
        # Each class has another of the family's students, so that none is in two at once.
        student = family.profile_ids[len(self.held) % len(family.profile_ids)]
        made = place.book(schedule_id=session, profile_id=student, actor=parent_actor(family))
        self.books.move("wallet", -PRICE, "inside")
        self.books.move("prepaid", PRICE, "inside")
        ends = clock.now() + ahead + timedelta(hours=1)
        self.held.append(Held("prepaid", PRICE, ends, made.booking_id, session, family, student))
        return self.held[-1]

    def _give_back(self, one: Held, amount: Decimal) -> None:
        """Into the wallet; out of the account, which has it again first where it was earned."""
        if one.earned:
            self.books.move(one.account, amount, "earned")
        self.books.move(one.account, -amount, "inside")
        self.books.move("wallet", amount, "inside")
        one.left -= amount

    def cancel(self, one: Held) -> None:
        cancel.cancel(booking_id=one.booking_id, actor=parent_actor(one.family))
        self._give_back(one, one.left)
        one.gone = True

    def cancel_late(self, one: Held) -> None:
        """By staff, and the money stays."""
        cancel.cancel(booking_id=one.booking_id, actor=actor_of(self.manager), reason="临时有事", late_refund=False)
        if not one.earned:
            self.books.move("prepaid", -one.left, "earned")
            one.earned = True

    def refund_late(self, one: Held) -> None:
        asked = late.ask(booking_id=one.booking_id, reason="教练迟到", actor=actor_of(self.finance))
        late.approve(request_id=asked, actor=actor_of(self.manager))
        self._give_back(one, one.left)
        one.gone = True

    def refund_part(self, one: Held, amount: str = "50.00", *, frees: bool = False) -> None:
        number = refunds.ask(
            booking_id=one.booking_id, amount=Decimal(amount), reason="器械坏了", refund_to="wallet", frees_seat=frees,
            actor=actor_of(self.finance),
        )  # fmt: skip
        refunds.approve(refund_no=number, actor=actor_of(self.manager))
        self._give_back(one, Decimal(amount))
        if frees:
            self.books.move("prepaid", -one.left, "earned")
            one.earned = True

    def leave(self, one: Held) -> None:
        one.credit_id = leave.take_leave(booking_id=one.booking_id, actor=parent_actor(one.family)).credit_id
        self.books.move("prepaid", -one.left, "inside")
        self.books.move("makeup", one.left, "inside")
        one.account, one.earned_at = "makeup", None

    def make_up(self, one: Held, ahead: timedelta = timedelta(days=2)) -> None:
        session = make_session(self.course, starts_at=clock.now() + ahead)
        made = makeups.book(schedule_id=session, profile_id=one.profile_id, credit_id=one.credit_id,
                            actor=parent_actor(one.family))  # fmt: skip
        one.makeup_id, one.earned_at = made.booking_id, clock.now() + ahead + timedelta(hours=1)

    def cancel_makeup(self, one: Held) -> None:
        """In time by the parent; after its class by staff, which takes back what was earned."""
        if one.earned:
            cancel.cancel(booking_id=one.makeup_id, actor=actor_of(self.manager), reason="没有上成", late_refund=False)
            self.books.move("makeup", one.left, "earned")
            one.earned = False
        else:
            cancel.cancel(booking_id=one.makeup_id, actor=parent_actor(one.family))
        one.makeup_id = one.earned_at = None

    def void(self, one: Held) -> None:
        manage.void(credit_id=one.credit_id, reason="家长放弃", actor=actor_of(self.manager))
        self.books.move("makeup", -one.left, "earned")
        one.earned = True

    def expire(self, *lapsed: Held) -> None:
        assert expiry.expire() == len(lapsed)
        for one in lapsed:
            self.books.move("makeup", -one.left, "earned")
            one.earned = True

    def extend(self, one: Held) -> None:
        manage.extend(credit_id=one.credit_id, until=clock.today() + timedelta(days=20), reason="住院",
                      actor=actor_of(self.manager))  # fmt: skip
        self.books.move("makeup", one.left, "earned")
        one.earned = False

    def cancel_session(self, one: Held) -> None:
        cancel_session.cancel_session(schedule_id=one.session_id, reason="教练生病", actor=actor_of(self.manager))
        self._give_back(one, one.left)
        one.gone = True

    def withdraw(self, family: MadeFamily, *, paid: bool) -> None:
        asked = withdrawals.request(family, "100.00")
        self.books.move("wallet", Decimal("-100.00"), "withdrawn")
        if paid:
            withdrawals.approve(asked, self.finance)
            withdrawals.pay(asked, self.manager, method="cash", note="当面付清")
        else:
            withdrawals.reject(asked, self.finance)
            self.books.move("wallet", Decimal("100.00"), "withdrawn")

    # ── trials ──────────────────────────────────────────────────────────────────────────────────────

    def trial(self, ahead: timedelta = timedelta(days=2)) -> Held:
        family, session = make_family(), trials.trial_session(starts_in=ahead)
        order_id = trials.order(family, session)
        paid = trials.pay(family, order_id)
        self.books.move("trial", PRICE, "trial_paid")
        ends = clock.now() + ahead + timedelta(hours=1)
        self.held.append(
            Held("trial", PRICE, ends, paid.booking_id, session, family, family.profile_ids[0], order_id=order_id)
        )
        return self.held[-1]

    def cancel_trial(self, one: Held) -> None:
        """Its money stays owed until somebody decides."""
        cancel.cancel(booking_id=one.booking_id, actor=parent_actor(one.family))
        one.earned_at = None

    def keep_trial(self, one: Held) -> None:
        case = db.session.query(MoneyCase).filter_by(booking_id=one.booking_id, status="open").one()
        resolve.settle_with_note(case_id=case.id, note="家长同意不退", actor=actor_of(self.manager))
        self.books.move("trial", -one.left, "earned")
        one.earned = True

    def refund_trial(self, one: Held, amount: str = "200.00", *, to: str = "original", told_late: bool = False) -> None:
        """`told_late`: WeChat says that it was done three days ago; our books have it from now on."""
        number = refunds.ask(order_id=one.order_id, amount=Decimal(amount), reason="家长不来了", refund_to=to,
                             frees_seat=False, actor=actor_of(self.finance))  # fmt: skip
        refunds.approve(refund_no=number, actor=actor_of(self.manager))
        if to == "original":
            assert trial_refunds.refund_progress.claim(refund_no=number, actor=trials.WECHAT) is not None
            said = clock.now() - timedelta(days=3) if told_late else clock.now()
            assert trial_refunds.say(number, "SUCCESS", success_at=said) == "settled"
        if one.earned:
            self.books.move("trial", Decimal(amount), "earned")
        self.books.move("trial", -Decimal(amount), "inside" if to == "wallet" else "trial_refund")
        if to == "wallet":
            self.books.move("wallet", Decimal(amount), "inside")
        one.left -= Decimal(amount)
