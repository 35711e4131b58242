"""What tests of orders do again and again, through the services."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import system
from app.domain.cases.models import CaseStatus, MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.orders import attempts, checkout, settle
from app.domain.orders.models import PaymentOrder, TradeType
from app.domain.orders.payment import Account, Payment
from tests.factories import MadeFamily, make_course, make_session, parent_actor

ACCOUNT = Account(appid="wx-test", mchid="1900000001")
WECHAT = system("微信支付")


def trial_session(capacity: int = 6, *, starts_in: timedelta = timedelta(days=2), **columns) -> int:
    return make_session(
        make_course("体验", type_code="trial", is_trial=True), capacity=capacity, starts_in=starts_in, **columns
    )


def order(family: MadeFamily, session: int, *, student: int = 0, **more) -> str:
    """A new order of the family's student; its public number."""
    made = checkout.create(
        schedule_id=session, profile_id=family.profile_ids[student], actor=parent_actor(family), **more
    )
    return made.order_id


def begin(family: MadeFamily, order_id: str, trade_type: str = TradeType.NATIVE):
    return attempts.begin(order_id=order_id, trade_type=trade_type, actor=parent_actor(family))


def payment(out_trade_no: str, *, number: str = "4200000001", **changed) -> Payment:
    facts = {
        "transaction_id": number, "out_trade_no": out_trade_no, "trade_type": TradeType.NATIVE,
        "appid": ACCOUNT.appid, "mchid": ACCOUNT.mchid, "total": Decimal("200.00"), "currency": "CNY",
        "payer_total": Decimal("200.00"), "openid": "someone", "success_at": clock.now(),
    }  # fmt: skip
    return Payment(**facts | changed)


def pay(family: MadeFamily, order_id: str, *, number: str | None = None, source: str = "query", **changed):
    """Start, and be paid by WeChat's word."""
    begun = begin(family, order_id)
    paid = payment(begun.out_trade_no, number=number or f"42{order_id[:26]}", **changed)
    return settle.settle(payment=paid, account=ACCOUNT, source=source, actor=WECHAT)


def row(order_id: str) -> PaymentOrder:
    db.session.rollback()
    return db.session.query(PaymentOrder).filter_by(order_id=order_id).populate_existing().one()


def seats(session: int) -> tuple[int, int]:
    """(booked, held) as the counters say."""
    db.session.rollback()
    found = db.session.execute(
        sa.select(CourseSchedule.booked, CourseSchedule.held).where(CourseSchedule.id == session)
    ).one()
    return tuple(found)


def open_cases() -> list[str]:
    db.session.rollback()
    return list(
        db.session.scalars(
            sa.select(MoneyCase.kind).where(MoneyCase.status == CaseStatus.OPEN).order_by(MoneyCase.id)
        )
    )  # fmt: skip
