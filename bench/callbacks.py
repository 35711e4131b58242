"""A callback of WeChat Pay, verified, decrypted and settled: against verifying and decrypting alone plus the same
statements by bare PyMySQL, one client each in this process."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta

import sqlalchemy as sa
from werkzeug.datastructures import Headers

from app import clock
from app.db import db
from app.domain.audit.actor import Actor, ActorType
from app.domain.catalog.models import CourseType
from app.domain.orders import attempts, checkout
from app.domain.orders.models import PaymentAttempt, PaymentOrder, TradeType
from app.domain.seats.models import SeatReservation
from app.flows import callbacks
from app.gateways.wechat_pay_notify import read_notification
from bench import recording
from bench.context import Context, Row, alternate, summary
from bench.parents import Parent, make_parents, make_sessions
from sandbox.pay_callbacks import headers_for, seal
from sandbox.pay_state import PayAccount
from tests.conftest import pay_folder

TITLE = "Callbacks"
#: orders that one round of a contestant may use up
SHARE = 300
FIRST = {"bookings": 86_0000_0001, "payment_transactions": 87_0000_0001, "notifications": 88_0000_0001}
Callback = tuple[Headers, bytes]


def run(context: Context) -> list[Row]:
    account = PayAccount.read(pay_folder())
    with context.app.app_context():
        settings = context.app.extensions["desk.settings"]
        context.app.extensions["desk.settings"] = settings = dataclasses.replace(settings, wechat_appid="wx-bench")
        template, words = _template(context, account)
        count = SHARE * context.rounds
        stock = {name: iter(_paid_orders(account, count)) for name in ("floor", "ours")}
        connection = context.bare()

        def bare(one: Paid) -> None:
            _bare(settings, connection, template, words, one)

        taken = alternate(
            context,
            floor=lambda _: _round(context, stock["floor"], bare),
            ours=lambda _: _round(context, stock["ours"], lambda one: callbacks.receive(*one.callback)),
        )
        verify = _round(context, iter(_paid_orders(account, SHARE)), lambda one: _verify(settings, one.callback))
        connection.close()
        settled = db.session.scalar(
            sa.select(sa.func.count()).select_from(PaymentOrder).where(PaymentOrder.booking_id.is_not(None))
        )
        db.session.remove()
    ratio = taken["ours"].rate / taken["floor"].rate
    context.notes.append(f"{settled:,} orders settled with a seat.")
    return [
        Row("verify and decrypt alone", "–", f"{verify.rate:,.0f}/s", None, "–", None),
        Row("callback: verify, decrypt, settle", f"{taken['floor'].rate:,.0f}/s, p99 {taken['floor'].p99:.1f} ms",
            f"{taken['ours'].rate:,.0f}/s, p99 {taken['ours'].p99:.1f} ms", ratio, "≥ 0.60", ratio >= 0.60),
    ]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Paid:
    """An order that WeChat says is paid, and what the floor puts into the statements for it."""

    callback: Callback
    slots: dict


def _round(context: Context, stock, operation):
    """As many as the time allows, and no more than there are."""
    taken, began = [], time.perf_counter()
    while time.perf_counter() - began < context.seconds and len(taken) < SHARE:
        one = next(stock)
        start = time.perf_counter()
        operation(one)
        taken.append(time.perf_counter() - start)
    return summary(taken, time.perf_counter() - began)


def _verify(settings, callback: Callback) -> None:
    read_notification(
        settings, *callback, now=clock.now(), max_age=timedelta(hours=2), seen=lambda *_: False
    )  # fmt: skip


def _bare(settings, connection, template, words, one: Paid) -> None:
    _verify(settings, one.callback)
    with connection.cursor() as cursor:
        for step in template:
            if step.sql == recording.COMMIT:
                connection.commit()
            elif step.sql == recording.ROLLBACK:
                connection.rollback()
            else:
                cursor.execute(step.sql, recording.filled(step, words, one.slots))
                if cursor.description is None and "INTO bookings" in step.sql:
                    one.slots["booking"] = cursor.lastrowid


# ── orders that were paid ───────────────────────────────────────────────────────────────────────────


def _paid_orders(account: PayAccount, count: int) -> list[Paid]:
    """Orders with an attempt, and WeChat's word of each; in sessions of their own, so that none waits for another."""
    sessions = make_sessions(1 + count // 900, capacity=999, price="200.00")
    db.session.execute(sa.update(CourseType).values(is_trial=True))
    db.session.commit()
    parents = make_parents(count, balance="1.00")
    return [_paid(account, parent, sessions[n // 900]) for n, parent in enumerate(parents)]


def _paid(account: PayAccount, parent: Parent, schedule_id: int) -> Paid:
    actor = Actor(type=ActorType.PARENT, id=parent.user_id, name="家长", family_id=parent.family_id)
    order_id = checkout.create(schedule_id=schedule_id, profile_id=parent.profile_ids[0], actor=actor).order_id
    attempts.begin(order_id=order_id, trade_type=TradeType.NATIVE, actor=actor)
    number, notice = f"4200{order_id[:24]}", f"EV-{order_id[:30]}"
    plain = {
        "appid": "wx-bench", "mchid": account.mchid, "out_trade_no": order_id, "transaction_id": number,
        "trade_type": "NATIVE", "trade_state": "SUCCESS", "bank_type": "OTHERS", "payer": {"openid": "somebody"},
        "success_time": "2026-11-20T19:00:00+08:00",
        "amount": {"total": 20000, "payer_total": 20000, "currency": "CNY", "payer_currency": "CNY"},
    }  # fmt: skip
    body = seal(account, "TRANSACTION.SUCCESS", plain, "transaction", notice)
    headers = headers_for(account, body)
    row = db.session.query(PaymentOrder).filter_by(order_id=order_id).one()
    hold = db.session.query(SeatReservation).filter_by(order_id=row.id).one()
    slots = {
        "order": row.id, "family": parent.family_id, "user": parent.user_id, "profile": parent.profile_ids[0],
        "schedule": schedule_id, "hold": hold.id, "reservation": hold.reservation_id, "order_id": order_id,
        "attempt": db.session.query(PaymentAttempt.id).filter_by(order_id=row.id).scalar(),
        "transaction": number, "notice": notice, "nonce": _digest(headers), "body": _sha(body),
    }  # fmt: skip
    db.session.rollback()
    return Paid((Headers(headers), body), slots)


def _digest(headers: dict[str, str]) -> str:
    return _sha(f"{headers['Wechatpay-Timestamp']}\n{headers['Wechatpay-Nonce']}".encode())


def _sha(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _template(context: Context, account: PayAccount):
    """The statements of one callback, with slots for whatever is another order's."""
    callbacks.receive(*_paid_orders(account, 1)[0].callback)
    large = {
        "families": 71_0000_0001, "users": 72_0000_0001, "profiles": 73_0000_0001, "course_schedules": 74_0000_0001,
        "payment_orders": 75_0000_0001, "seat_reservations": 76_0000_0001, "payment_attempts": 77_0000_0001,
    }  # fmt: skip
    with db.engine.connect() as connection:
        recording.set_next_ids(connection, large)
    one = _paid_orders(account, 1)[0]
    with db.engine.connect() as connection:
        recording.set_next_ids(connection, FIRST)
    steps: list[recording.Step] = []
    db.session.remove()
    with recording.recorded(steps):
        callbacks.receive(*one.callback)
    path = context.instance / "callback.statements"
    recording.save(path, [step for step in steps if not step[0].startswith("SET ")],
                   one.slots | {"booking": FIRST["bookings"]}, {})  # fmt: skip
    template, words, _ = recording.load(str(path))
    sent = [step.sql for step in template]
    context.notes.append(
        f"A callback sends {len(sent) - sent.count(recording.COMMIT) - sent.count(recording.ROLLBACK)} statements and"
        f" {sent.count(recording.COMMIT)} COMMIT."
    )
    return template, words
