"""Payment attempts: one `out_trade_no` at WeChat each, started only under a live hold (96.38, 96.43)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock, ids, money
from app.db import db, db_now, execute, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from app.domain.orders import rules
from app.domain.orders.errors import OrderExpired, OrderNotPayable
from app.domain.orders.locking import HeldOrder, hold_order, order_of
from app.domain.orders.models import AttemptStatus, OrderStatus, PaymentAttempt, PaymentOrder, TradeType
from app.domain.people.models import User
from app.domain.policy import switches
from app.domain.policy.switches import Capability

_a, _o = PaymentAttempt.__table__, PaymentOrder.__table__
_WECHAT = system("微信支付")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the gateway needs to start or go on with an attempt. `amount` in yuan."""

    id: int
    order_id: str
    out_trade_no: str
    trade_type: str
    description: str
    amount: Decimal
    openid: str | None
    time_expire: datetime
    prepay_id: str | None
    code_url: str | None


@dataclass(frozen=True, slots=True)
class InTheWay:
    """An attempt of this order with other parameters, which must be closed at WeChat first."""

    out_trade_no: str


@transactional
def begin(*, order_id: str, trade_type: str, actor: Actor) -> Attempt | InTheWay:
    """The order's attempt of this trade type under its live hold, made if there is none.

    Raises OrderNotFound, OrderNotPayable, OrderExpired, FeatureOff where none runs yet.
    """
    held = hold_order(order_id, actor)
    hold = _payable(held)
    openid = None
    if trade_type == TradeType.JSAPI:
        # Whoever holds the phone pays: the other parent's openid is another attempt.
        payer = actor.id if actor.type == "parent" else held.order.user_id
        openid = db.session.scalar(sa.select(User.openid).where(User.id == payer))
    running = held.open_attempt
    wanted = (hold.id, trade_type, openid)
    if running is not None and (running.reservation_id, running.trade_type, running.openid) == wanted:
        return _shown(running, held.order)
    # Before another attempt is closed for this one: what runs may still be paid.
    switches.require_for(actor, Capability.PAYMENT)
    if running is not None:
        return InTheWay(running.out_trade_no)
    made = PaymentAttempt(
        order_id=held.order.id, reservation_id=hold.id, trade_type=trade_type, openid=openid,
        # WeChat fixes the number for ever, so only the first attempt has the order's (96.38).
        out_trade_no=ids.new_hex() if held.attempts else order_id, status=AttemptStatus.OPEN, queries=0,
        time_expire=rules.time_expire(hold.expires_at, held.now),
        next_query_at=held.now + rules.FIRST_QUERIES[0], created_at=held.now, updated_at=held.now,
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    audit.record(
        actor, "payment.started", target_type="order", target_id=order_id, order_id=order_id,
        family_id=held.order.family_id, new_status=AttemptStatus.OPEN, request=_asked(made, held.order),
        after={"out_trade_no": made.out_trade_no, "trade_type": trade_type,
               "time_expire": made.time_expire.isoformat(), "amount": money.plain(held.order.amount)},
    )  # fmt: skip
    return _shown(made, held.order)


def _payable(held: HeldOrder):
    order = held.order
    if rules.is_over(order.status, order.expires_at, held.now):
        raise OrderExpired
    if order.status != OrderStatus.PENDING:
        raise OrderNotPayable(f"订单{rules.STATUS_TEXTS[order.status]}")
    if held.live_hold is None:
        raise OrderNotPayable("座位预留已过期，请先重新占座")
    return held.live_hold


def _shown(row: PaymentAttempt, order: PaymentOrder) -> Attempt:
    return Attempt(
        id=row.id, order_id=order.order_id, out_trade_no=row.out_trade_no, trade_type=row.trade_type,
        description=order.description, amount=order.amount, openid=row.openid, time_expire=row.time_expire,
        prepay_id=row.prepay_id, code_url=row.code_url,
    )  # fmt: skip


def _asked(row: PaymentAttempt, order: PaymentOrder) -> dict[str, str]:
    """What WeChat is asked, as audit rows keep it (R7): nothing in it lets anybody pay or says who does."""
    return {
        "call": f"pay/transactions/{row.trade_type.lower()}", "out_trade_no": row.out_trade_no,
        "amount": money.plain(order.amount), "time_expire": row.time_expire.isoformat(),
    }  # fmt: skip


@transactional
def note_start(
    *, attempt_id: int, result: str, prepay_id: str | None = None, code_url: str | None = None, actor: Actor = _WECHAT
) -> None:
    """How WeChat answered when the attempt was started: `ok` with its prepay, or the error's code."""
    attempt = db.session.get_one(PaymentAttempt, attempt_id)
    order = db.session.get_one(PaymentOrder, attempt.order_id)
    audit.record(
        actor, "payment.answered", target_type="order", target_id=order.order_id, order_id=order.order_id,
        family_id=order.family_id, request=_asked(attempt, order),
        answer={"result": result[:64], "prepay_id": bool(prepay_id), "code_url": bool(code_url)},
        error=None if result == "ok" else result,
    )  # fmt: skip
    values = {"start_result": result[:64], "updated_at": db_now()}
    if prepay_id or code_url:
        values |= {"prepay_id": prepay_id, "code_url": code_url}
    execute(_a.update().where(_a.c.id == attempt_id).values(values))


@transactional
def note_closed(*, out_trade_no: str, actor: Actor) -> None:
    """WeChat has closed this number: nobody can pay it any more. The order is no longer `closing` after its last."""
    order_id = order_of(out_trade_no)
    if order_id is None:
        return
    held = hold_order(order_id, actor)
    attempt = held.attempt(out_trade_no)
    if attempt.status in (AttemptStatus.CLOSED, AttemptStatus.PAID):
        return
    attempt.status, attempt.next_query_at, attempt.updated_at = AttemptStatus.CLOSED, None, held.now
    order = held.order
    if order.closing and not any(one.status == AttemptStatus.CLOSING for one in held.attempts):
        order.closing, order.updated_at = False, held.now
        audit.record(
            actor, "order.closed", target_type="order", target_id=order_id, order_id=order_id,
            family_id=order.family_id, new_status=order.status, after={"out_trade_no": out_trade_no},
            answer={"out_trade_no": out_trade_no, "trade_state": "CLOSED"},
        )  # fmt: skip
    db.session.flush()


@transactional
def claim_question(*, order_id: str, every: timedelta = rules.ASK_EVERY) -> bool:
    """Whether this reader may ask WeChat about the order now: one in `every` may (96.50)."""
    now = db_now()
    due = sa.or_(_o.c.asked_at.is_(None), _o.c.asked_at <= now - every)
    return execute(_o.update().where(_o.c.order_id == order_id, due).values(asked_at=now)).rowcount == 1


@transactional
def claim_due(*, limit: int) -> list[tuple[str, str]]:
    """(order's number, out_trade_no) of attempts that WeChat is to be asked about now; each is due again later (O22).

    The next moment is written before the question, so that two sweeps do not ask twice, and one that dies only delays.
    """
    now = db_now()
    rows = execute(
        sa.select(
            _a.c.id, _a.c.out_trade_no, _a.c.created_at, _a.c.queries, _a.c.time_expire, _a.c.next_query_at,
            _o.c.order_id,
        )
        .select_from(_a.join(_o, _o.c.id == _a.c.order_id))
        .where(_a.c.status.in_((AttemptStatus.OPEN, AttemptStatus.CLOSING)), _a.c.next_query_at <= now)
        .order_by(_a.c.next_query_at)
        .limit(limit)
    ).all()  # fmt: skip
    mine = []
    for row in rows:
        following = rules.next_query(row.created_at, row.queries + 1, now)
        if now < row.time_expire < following:
            following = row.time_expire  # once as soon as nobody can pay any more
        taken = execute(
            _a.update()
            .where(_a.c.id == row.id, _a.c.next_query_at == row.next_query_at)
            .values(queries=row.queries + 1, next_query_at=following)
        )
        if taken.rowcount == 1:
            mine.append((row.order_id, row.out_trade_no))
    return mine


def unsettled(order_id: str) -> list[str]:
    """The numbers of an order that WeChat has not said to be paid, newest first."""
    query = (
        sa.select(_a.c.out_trade_no)
        .select_from(_a.join(_o, _o.c.id == _a.c.order_id))
        .where(_o.c.order_id == order_id, _a.c.status != AttemptStatus.PAID)
        .order_by(_a.c.id.desc())
    )
    return list(db.session.scalars(query))


def is_over(out_trade_no: str) -> bool:
    """Whether nobody can pay this number any more, or nobody should: then it is closed at WeChat."""
    row = db.session.execute(sa.select(_a.c.status, _a.c.time_expire).where(_a.c.out_trade_no == out_trade_no)).first()
    db.session.rollback()
    return row is not None and (row.status == AttemptStatus.CLOSING or row.time_expire <= clock.now())
