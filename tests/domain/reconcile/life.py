"""A little life in which money moves in every way that there is, all through the services."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.bookings import cancel, place
from app.domain.changes import families
from app.domain.desk import undo
from app.domain.orders import refunds
from app.domain.orders.models import Refund
from tests.domain.desk import desk
from tests.domain.orders.refunds import Paid, paid_trial
from tests.domain.withdrawals import steps as withdrawals
from tests.factories import MadeFamily, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff


@dataclass
class Life:
    """Ids of what there is."""

    family: MadeFamily
    trial: Paid
    adjustment: int
    withdrawn: int
    given_back: int
    booked: int
    cancelled: int
    into_wallet: str
    booking_refund: str


_days = itertools.count(2)


def book(family: MadeFamily) -> int:
    """A class of 200.00 on a day of its own."""
    session = make_session(starts_in=timedelta(days=next(_days) % 50 + 2))
    student = family.profile_ids[0]
    return place.book(schedule_id=session, profile_id=student, actor=parent_actor(family)).booking_id


def live() -> Life:
    """Adjustments done, undone; a withdrawal under way and one rejected; bookings kept, cancelled, refunded by staff; a
    trial's money into the wallet; and another family merged with what it is owed."""
    trial = paid_trial()
    finance, manager = trial.finance, trial.manager
    family = make_family(balance="2000.00")
    adjustment = desk.ask(finance, family, "300").adjustment_id
    undone = desk.ask(finance, family, "50").adjustment_id
    undo.ask(adjustment_id=undone, note="输错了", actor=actor_of(finance))
    withdrawn = withdrawals.request(family, "100.00")
    withdrawals.approve(withdrawn, finance)
    given_back = withdrawals.request(make_family(balance="400.00"), "120.00")
    withdrawals.reject(given_back, finance)
    booked, cancelled = book(family), book(family)
    cancel.cancel(booking_id=cancelled, actor=parent_actor(family))
    into_wallet = _refund(trial, finance, manager, order_id=trial.order_id, refund_to="wallet", amount=Decimal("80.00"))
    wallet_booking = book(family)
    booking_refund = _refund(
        trial, finance, manager, booking_id=wallet_booking, refund_to="wallet", amount=Decimal("60.00")
    )  # fmt: skip
    other = make_family(balance="500.00")
    later, refunded_later = book(other), book(other)
    families.merge_families(
        from_family_id=other.id, into_family_id=family.id, actor=actor_of(make_staff("finance")), reason="同一家"
    )
    cancel.cancel(booking_id=later, actor=parent_actor(family))
    _refund(trial, finance, manager, booking_id=refunded_later, refund_to="wallet", amount=Decimal("200.00"))
    return Life(family, trial, adjustment, withdrawn, given_back, booked, cancelled, into_wallet, booking_refund)


def _refund(trial: Paid, finance, manager, **wish) -> str:
    number = refunds.ask(**{"reason": "协商退款", "frees_seat": False} | wish, actor=actor_of(finance))
    refunds.approve(refund_no=number, actor=actor_of(manager))
    return number


def change(model: type, row_id: int, **columns) -> None:
    """Behind the back of the services."""
    table = model.__table__
    db.session.execute(table.update().where(table.c.id == row_id).values(**columns))
    db.session.commit()


def id_of(refund_no: str) -> int:
    return db.session.scalar(sa.select(Refund.id).where(Refund.refund_no == refund_no))
