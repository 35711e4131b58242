"""What tests of refunds do again and again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.orders import refund_progress, refunds
from app.domain.orders.models import PaymentTransaction, Refund
from app.domain.orders.refund_progress import Word
from app.domain.people.models import Staff
from app.domain.policy.models import PolicyValue
from tests.domain.orders import steps
from tests.factories import MadeFamily, make_family
from tests.portal import actor_of, make_staff


@dataclass
class Paid:
    """A paid trial with its seat, and two people of the office."""

    family: MadeFamily
    session: int
    order_id: str
    finance: Staff
    manager: Staff


def paid_trial() -> Paid:
    family, session = make_family(), steps.trial_session()
    order_id = steps.order(family, session)
    assert steps.pay(family, order_id).booking_id
    return Paid(family, session, order_id, make_staff("finance"), make_staff("manager"))


def approved(paid: Paid, amount: str = "200.00", **changes) -> str:
    """A refund by the original route that waits for the job; its number."""
    wish = {"reason": "家长改期不来", "refund_to": "original", "frees_seat": False} | changes
    refund_no = refunds.ask(
        order_id=paid.order_id, amount=Decimal(amount), actor=actor_of(paid.finance), **wish
    )  # fmt: skip
    refunds.approve(refund_no=refund_no, actor=actor_of(paid.manager))
    return refund_no


def sent(paid: Paid, amount: str = "200.00") -> str:
    """A refund that was handed to WeChat; its number."""
    refund_no = approved(paid, amount)
    assert refund_progress.claim(refund_no=refund_no, actor=steps.WECHAT) is not None
    return refund_no


def say(refund_no: str, status: str, **changes) -> str:
    """WeChat's word; what became of it."""
    word = {"refund_id": "50300001", "success_at": clock.now() if status == "SUCCESS" else None}
    return refund_progress.note_state(word=Word(refund_no, status, **word | changes), actor=steps.WECHAT)


def row(refund_no: str) -> Refund:
    db.session.rollback()
    return db.session.query(Refund).filter_by(refund_no=refund_no).populate_existing().one()


def kept_back() -> Decimal:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.sum(PaymentTransaction.refunded)))


def actions(refund_no: str) -> list[str]:
    db.session.rollback()
    query = sa.select(AuditEntry.action).where(AuditEntry.target_type == "refund", AuditEntry.target_id == refund_no)
    return list(db.session.scalars(query.order_by(AuditEntry.id)))


def set_policy(name: str, value: str) -> None:
    with transaction():
        db.session.add(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))


MINUTE = timedelta(minutes=1, seconds=1)
