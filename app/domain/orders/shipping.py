"""订单发货管理 (O20): what WeChat wants to know of a paid trial, without which it may hold back the money.

A row of the order is the queue: due, sent, or failed for good. Off unless the policy says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.db import db, db_now, execute, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.orders.models import PaymentOrder, PaymentTransaction, ShippingStatus, TradeType
from app.domain.policy import service as policy

#: between two tries: longer each time, then it is for a person to see
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))

_o, _p = PaymentOrder.__table__, PaymentTransaction.__table__
_ACTOR = system("发货上报")


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be said of one payment."""

    order_id: str
    transaction_id: str
    openid: str
    item: str
    paid_at: datetime


def note_due(order: PaymentOrder, trade_type: str | None, now: datetime) -> None:
    """Building block: a trial was booked. WeChat asks for it of payments inside the mini program only."""
    if trade_type == TradeType.JSAPI and policy.get("shipping_info"):
        order.shipping_status, order.shipping_next_at = ShippingStatus.DUE, now


@transactional
def claim_due(*, limit: int = 100) -> list[Report]:
    """What is due; each is due again later, so that two runs do not say it twice and one that dies only delays."""
    now = db_now()
    rows = execute(
        sa.select(_o.c.id, _o.c.order_id, _o.c.description, _o.c.paid_at, _o.c.shipping_tries, _o.c.shipping_next_at,
                  _p.c.transaction_id, _p.c.openid)
        .select_from(_o.join(_p, _p.c.order_id == _o.c.id))
        .where(_o.c.shipping_status == ShippingStatus.DUE, _o.c.shipping_next_at <= now, ~_p.c.duplicate)
        .order_by(_o.c.shipping_next_at)
        .limit(limit)
    ).all()  # fmt: skip
    mine = []
    for row in rows:
        pause = PAUSES[min(row.shipping_tries, len(PAUSES) - 1)]
        taken = execute(
            _o.update()
            .where(_o.c.id == row.id, _o.c.shipping_next_at == row.shipping_next_at)
            .values(shipping_tries=row.shipping_tries + 1, shipping_next_at=now + pause)
        )
        if taken.rowcount == 1:
            mine.append(Report(row.order_id, row.transaction_id, row.openid or "", row.description, row.paid_at))
    return mine


@transactional
def note_result(*, order_id: str, error: str | None, final: bool = False) -> None:
    """WeChat took it, or said `error`; `final` when another try does not help, and after the last one."""
    row = db.session.execute(
        sa.select(_o.c.shipping_tries, _o.c.family_id).where(_o.c.order_id == order_id)
    ).one()  # fmt: skip
    if error is None:
        status, action = ShippingStatus.SENT, "order.shipped"
    elif final or row.shipping_tries > len(PAUSES):
        status, action = ShippingStatus.FAILED, "order.shipping_failed"
    else:
        execute(_o.update().where(_o.c.order_id == order_id).values(shipping_error=error[:200]))
        return
    execute(
        _o.update()
        .where(_o.c.order_id == order_id)
        .values(shipping_status=status, shipping_next_at=None, shipping_error=None if error is None else error[:200])
    )
    audit.record(
        _ACTOR, action, target_type="order", target_id=order_id, order_id=order_id, family_id=row.family_id,
        new_status=status, error=error, request={"call": "wxa/sec/order/upload_shipping_info", "order_id": order_id},
        answer={"result": "ok" if error is None else error[:200]},
    )  # fmt: skip
