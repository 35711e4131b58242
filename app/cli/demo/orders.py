"""Trial orders of the demo in every state, made by the services; nothing is asked of WeChat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import sqlalchemy as sa

from app import clock, config
from app.cli.demo.people import Happening, Made
from app.cli.demo.studio import Lesson
from app.db import db
from app.domain.audit.actor import Actor, ActorType, system
from app.domain.bookings import cancel
from app.domain.orders import attempts, checkout, ending, offline, refunds, settle
from app.domain.orders.models import PaymentOrder, PaymentSource, TradeType
from app.domain.orders.notifications import Received
from app.domain.orders.payment import Account, Payment
from app.domain.orders.rules import Event
from app.errors import Conflict

_WECHAT = system("微信支付")
#: how each order ends, and how many days ago it was made
SCENES = (
    ("paid", 6), ("cancelled", 6), ("paid", 5), ("expired", 5), ("refund_wallet", 4), ("failed", 4), ("paid", 3),
    ("called_off", 2), ("unseated", 2), ("refund_asked", 1), ("paid", 1), ("offline_asked", 0), ("pending", 0),
)  # fmt: skip


@dataclass(slots=True)
class Trial:
    """One order to be. `lessons` are the classes that it may be for, the wished one first."""

    scene: str
    made: Made
    lessons: list[Lesson]
    at: datetime
    order_id: str | None = None

    @property
    def parent(self) -> Actor:
        return Actor(type=ActorType.PARENT, id=self.made.user_id, name="家长", family_id=self.made.family_id)


def newcomers(families: dict[int, Made], left_out: set[int]) -> list[int]:
    """Numbers of the newest families, who only try a class: one for each scene."""
    return [number for number in sorted(families) if number not in left_out][-len(SCENES) :]


def happenings(
    families: dict[int, Made], lessons: list[Lesson], left_out: set[int], actors: dict[str, Actor]
) -> Iterator[Happening]:
    """One order per scene, each of another of the newest families."""
    now = clock.now()
    new = [families[number] for number in newcomers(families, left_out)]
    trials = [lesson for lesson in lessons if lesson.type == "trial" and lesson.starts_at > now + timedelta(hours=12)]
    for number, ((scene, days), made) in enumerate(zip(SCENES, new, strict=False)):
        moment = now - timedelta(days=days, minutes=9 + 7 * number if days else 5 + number % 3)
        trial = Trial(scene, made, trials[number % 3 :] + trials, moment)
        yield moment, partial(_make, trial)
        if scene in ("expired", "failed"):
            yield moment + timedelta(minutes=16), partial(_lapse, trial, moment + timedelta(minutes=16))
        ended = moment + timedelta(minutes=31 if scene in ("expired", "failed") else 1)
        yield ended, partial(_finish, trial, ended)
        later = min(moment + timedelta(minutes=45), now)
        yield later, partial(_deal_with, trial, actors, later)


def _make(trial: Trial) -> None:
    with clock.travel(to=trial.at):
        trial.order_id = _order(trial, start=trial.scene != "offline_asked")


def _lapse(trial: Trial, moment: datetime) -> None:
    """The job of every minute frees the seat."""
    with clock.travel(to=moment):
        for schedule_id in ending.sessions_with_lapsed_holds():
            ending.retire(schedule_id=schedule_id)


def _finish(trial: Trial, moment: datetime) -> None:
    """How its paying ended."""
    if trial.order_id is None or trial.scene in ("pending", "offline_asked"):
        return
    if trial.scene in ("cancelled", "unseated"):
        _end(trial.order_id, Event.CANCEL, trial.parent, moment, "家长取消")
    elif trial.scene in ("expired", "failed"):
        event, reason = (Event.FAIL, "余额不足") if trial.scene == "failed" else (Event.EXPIRE, None)
        _end(trial.order_id, event, system("订单到期"), moment, reason)
    else:
        _pay(trial.order_id, moment)


def _deal_with(trial: Trial, actors: dict[str, Actor], moment: datetime) -> None:
    """What somebody does later about some of them."""
    if trial.order_id is None:
        return
    with clock.travel(to=moment):
        if trial.scene == "offline_asked":
            note = "微信支付打不开，家长到店付现"
            offline.ask(order_id=trial.order_id, method="cash", note=note, actor=actors["qiantai"])
        elif trial.scene == "unseated":
            # Another order is paid before the first one's payment arrives.
            for number in filter(None, (_order(trial, start=True), trial.order_id)):
                _pay(number, moment)
        elif trial.scene == "called_off":
            seat = sa.select(PaymentOrder.booking_id).where(PaymentOrder.order_id == trial.order_id)
            cancel.cancel(booking_id=_one(seat), actor=trial.parent, reason="孩子生病")
        elif trial.scene.startswith("refund"):
            _refund(trial, actors)


def _refund(trial: Trial, actors: dict[str, Actor]) -> None:
    to_wallet = trial.scene == "refund_wallet"
    refund_no = refunds.ask(
        order_id=trial.order_id, amount=Decimal("200.00"), reason="家长改期不来",
        refund_to="wallet" if to_wallet else "original", frees_seat=True, actor=actors["caiwu"],
    )  # fmt: skip
    if to_wallet:
        refunds.approve(refund_no=refund_no, actor=actors["dianzhang"])


def _one(query: sa.Select):
    found = db.session.scalar(query)
    db.session.rollback()
    return found


def _order(trial: Trial, *, start: bool) -> str | None:
    """In the first class that has room and suits the child's other classes; None where none does."""
    for lesson in trial.lessons:
        try:
            made = checkout.create(schedule_id=lesson.id, profile_id=trial.made.profile_ids[0], actor=trial.parent)
        except Conflict:
            continue
        if start:
            begun = attempts.begin(order_id=made.order_id, trade_type=TradeType.NATIVE, actor=trial.parent)
            attempts.note_start(
                attempt_id=begun.id, result="ok", code_url=f"weixin://wxpay/bizpayurl?pr={made.order_id[:9]}"
            )
        return made.order_id
    return None


def _end(order_id: str, event: Event, actor: Actor, moment: datetime, reason: str | None) -> None:
    with clock.travel(to=moment):
        ending.end(order_id=order_id, event=event, closing=False, actor=actor, reason=reason)


def _pay(order_id: str, moment: datetime) -> None:
    """As WeChat's callback would say it."""
    settings = config.current()
    account = Account(appid=settings.wechat_appid, mchid=settings.wxpay.mchid)
    paid = Payment(
        transaction_id=f"42{int(order_id[:20], 16):026d}"[:28], out_trade_no=order_id, trade_type=TradeType.NATIVE,
        appid=account.appid, mchid=account.mchid, total=Decimal("200.00"), currency="CNY",
        payer_total=Decimal("200.00"), bank_type="OTHERS", success_at=moment,
    )  # fmt: skip
    with clock.travel(to=moment):
        received = Received(
            id=f"demo-{order_id}", event_type="TRANSACTION.SUCCESS", resource={"out_trade_no": order_id},
            timestamp=str(int(moment.timestamp())), nonce=order_id, body=order_id.encode(),
        )  # fmt: skip
        settle.settle(payment=paid, account=account, source=PaymentSource.CALLBACK, actor=_WECHAT, received=received)
