"""WeChat's daily bill: the third source of every payment, after callbacks and questions (O10, I-25), and the other side
of the reconciliation (W24).

What the bill has and we have not is settled like any other payment; what it has that fits no order is on the board.
Then the whole bill is compared with what we have.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date

from app import clock, config
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.orders import settle
from app.domain.orders.errors import PaymentUnavailable
from app.domain.orders.models import PaymentSource
from app.domain.orders.payment import Payment
from app.domain.reconcile import bill, differences
from app.domain.reconcile.bill import Line
from app.domain.reconcile.differences import Outcome
from app.domain.reconcile.models import BillKind
from app.flows import outbound
from app.flows.settling import settle_payment
from app.gateways import wechat_bill, wechat_pay
from app.gateways.errors import GatewayError
from app.gateways.wechat_bill import BadBill, BillNotReady, BillRow

log = logging.getLogger("desk.bills")


class BillMissing(PaymentUnavailable):
    code = "BILL_NOT_READY"
    message = "微信还没有出这一天的账单，一般次日上午十点后可取"


@dataclass(frozen=True, slots=True)
class Taken:
    """Payments in a day's bill, by what became of them: settled now, known already, on the board."""

    payments: int
    settled: int
    known: int
    on_board: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A day's bill: what was settled from it, and how it differs from what we have."""

    taken: Taken
    outcome: Outcome


def has_account() -> bool:
    """Whether there is a merchant whose bill could be asked for (O13)."""
    return not config.current().wxpay.missing


def reconcile_day(day: date, actor: Actor) -> Reconciled:
    """Settle what the bill of a studio day has and we have not, then keep every difference; asked again it changes
    nothing. Raises BillMissing, PaymentUnavailable."""
    rows = _fetch(day)
    taken = _settle_new([row for row in rows if row.trade_state == "SUCCESS"], actor)
    return Reconciled(taken, bill.record(day=day, lines=_lines(rows), actor=actor))


def reconcile_due(actor: Actor) -> list[tuple[date, Reconciled]]:
    """The bills that are not compared yet, up to yesterday's. Raises as `reconcile_day`; those before it are done."""
    done = []
    for day in bill.days_without(clock.today()):
        done.append((day, reconcile_day(day, actor)))
    differences.tell()
    return done


def _fetch(day: date) -> list[BillRow]:
    db.session.rollback()
    try:
        with outbound.room():
            text = wechat_bill.trade_bill(wechat_pay.from_settings(config.current()), day)
        return [] if text is None else wechat_bill.read_bill(text).rows
    except BillNotReady as error:
        raise BillMissing(retry_after=1800) from error
    except (GatewayError, BadBill) as error:
        log.warning("no bill", extra={"day": day.isoformat(), "error": str(error)[:100]})
        raise PaymentUnavailable("没有取到微信账单，请稍后再试", retry_after=60) from error


def _settle_new(paid: list[BillRow], actor: Actor) -> Taken:
    known = settle.known_transactions([row.transaction_id for row in paid])
    outcomes = [_settle(row, actor) for row in paid if row.transaction_id not in known]
    settled = outcomes.count("settled")
    repeated = outcomes.count("repeated")
    return Taken(len(paid), settled, len(known) + repeated, len(outcomes) - settled - repeated)


def _settle(row: BillRow, actor: Actor) -> str:
    payment = Payment(
        transaction_id=row.transaction_id, out_trade_no=row.out_trade_no, trade_type=row.trade_type or None,
        appid=row.appid, mchid=row.mchid, total=row.paid, payer_total=row.paid, currency=row.currency,
        openid=row.openid, success_at=row.at,
    )  # fmt: skip
    return settle_payment(payment, PaymentSource.BILL, actor).outcome


def _lines(rows: list[BillRow]) -> list[Line]:
    """The bill as the domain compares it. Other states (a revoked payment code) are none of this shop's."""
    lines = []
    for row in rows:
        if row.trade_state == "SUCCESS":
            lines.append(Line(BillKind.PAYMENT, row.transaction_id, row.out_trade_no, row.paid, row.at, row.fee))
        elif row.trade_state == "REFUND":
            lines.append(
                Line(BillKind.REFUND, row.refund_no or row.refund_id or "", row.out_trade_no, row.refunded, row.at,
                     row.fee, done=row.refund_state == "SUCCESS")
            )  # fmt: skip
    return lines
